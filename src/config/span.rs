//! A value that is an interval: `low..high`, both ends included, or one number for both.

use std::fmt;

use serde_json::Value;

use super::setting::{Limits, Setting};

/// An interval of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Smallest value.
    pub low: f64,
    /// Largest value, at least `low`.
    pub high: f64,
}

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let span = Span { low: low.trim().parse().ok()?, high: high.trim().parse().ok()? };
        (span.low <= span.high).then_some(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

/// `none` clears it; the limits hold for both ends.
impl Setting for Option<Span> {
    fn kind(&self, limits: &Limits) -> String {
        format!("LOW..HIGH|none; {}", limits.describe("number"))
    }

    fn set(&mut self, text: &str, limits: &Limits) -> bool {
        let span = Span::parse(text).filter(|span| limits.hold(span.low) && limits.hold(span.high));
        if text != "none" && span.is_none() {
            return false;
        }
        *self = span;
        true
    }

    fn json(&self) -> Value {
        self.map_or(Value::Null, |span| Value::from(span.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::setting::json_text;

    #[test]
    fn spans_are_read_checked_and_written() {
        let limits = Limits::of(-20.0..=100.0);
        let mut span: Option<Span> = None;
        for (text, low, high) in [("10..40", 10.0, 40.0), ("-5 .. 2.5", -5.0, 2.5), ("3", 3.0, 3.0)] {
            assert!(span.set(text, &limits));
            assert_eq!(span, Some(Span { low, high }));
            let mut back = None;
            assert!(back.set(&json_text(&span.json()), &limits));
            assert_eq!(back, span);
        }
        for bad in ["", "x", "4..3", "1..", "nan", "-30..1", "1..101", "1..2..3"] {
            assert!(!span.set(bad, &limits), "{bad}");
        }
        assert_eq!(span, Some(Span { low: 3.0, high: 3.0 }), "a bad value leaves what was there");
        assert!(span.set("none", &limits) && span.is_none());
        assert_eq!(span.kind(&limits), "LOW..HIGH|none; number, -20 to 100");
    }
}
