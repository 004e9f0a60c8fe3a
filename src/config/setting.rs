//! What a value behind a key can be: how it is read from text, described, and written as JSON.

use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;

use serde_json::Value;

/// The interval a number must lie in; both ends open for keys that are not numbers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    low: Bound<f64>,
    high: Bound<f64>,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Limits = Limits { low: Bound::Unbounded, high: Bound::Unbounded };

    /// The limits of a Rust range, e.g. `2..=64` or `0.0..1.0`.
    pub fn of<T: Copy + Into<f64>>(range: impl RangeBounds<T>) -> Self {
        Limits { low: range.start_bound().map(|&x| x.into()), high: range.end_bound().map(|&x| x.into()) }
    }

    /// Whether `value` is a number in the interval.
    pub(crate) fn hold(&self, value: f64) -> bool {
        value.is_finite() && (self.low, self.high).contains(&value)
    }

    /// "integer" → "integer, 2 to 64" / "number, 0 to below 1" / "integer, at least 1".
    pub(crate) fn describe(&self, noun: &str) -> String {
        let low = match self.low {
            Bound::Included(low) | Bound::Excluded(low) => low,
            Bound::Unbounded => return noun.to_string(),
        };
        let low = short(low);
        match self.high {
            Bound::Included(high) => format!("{noun}, {low} to {}", short(high)),
            Bound::Excluded(high) => format!("{noun}, {low} to below {}", short(high)),
            Bound::Unbounded => format!("{noun}, at least {low}"),
        }
    }
}

/// 65536 as it is, 1000000000 as 1e9.
fn short(number: f64) -> String {
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) { number.to_string() } else { format!("{number:e}") }
}

/// A value that a key can hold.
pub trait Setting {
    /// The type as `--keys` shows it and as an error says what it expected.
    fn kind(&self, limits: &Limits) -> String;

    /// Takes the value from `text`; false (and unchanged) where it is not such a value or outside `limits`.
    fn set(&mut self, text: &str, limits: &Limits) -> bool;

    /// A value close to a `text` that is none, where one can be told.
    fn nearest(&self, _text: &str) -> Option<String> {
        None
    }

    /// The value as it stands in `config.json`; [`json_text`] of it is accepted by [`Setting::set`] and gives the same value.
    fn json(&self) -> Value;
}

/// The text form of a JSON value of [`Setting::json`]: lists joined by commas, null as `none`.
pub fn json_text(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(json_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Stores `value` where it was read and is allowed.
fn store<T>(slot: &mut T, value: Option<T>) -> bool {
    value.map(|value| *slot = value).is_some()
}

macro_rules! integer {
    ($ty:ty) => {
        impl Setting for $ty {
            fn kind(&self, limits: &Limits) -> String {
                limits.describe("integer")
            }

            fn set(&mut self, text: &str, limits: &Limits) -> bool {
                store(self, text.parse().ok().filter(|&value: &$ty| limits.hold(value as f64)))
            }

            fn json(&self) -> Value {
                Value::from(*self)
            }
        }
    };
}
integer!(usize);
integer!(u64);

impl Setting for f64 {
    fn kind(&self, limits: &Limits) -> String {
        limits.describe("number")
    }

    fn set(&mut self, text: &str, limits: &Limits) -> bool {
        store(self, text.parse().ok().filter(|&value| limits.hold(value)))
    }

    fn json(&self) -> Value {
        Value::from(*self)
    }
}

impl Setting for bool {
    fn kind(&self, _: &Limits) -> String {
        "true|false".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        store(self, text.parse().ok())
    }

    fn json(&self) -> Value {
        Value::from(*self)
    }
}

impl Setting for String {
    fn kind(&self, _: &Limits) -> String {
        "name".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        store(self, (!text.is_empty()).then(|| text.to_string()))
    }

    fn json(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl Setting for PathBuf {
    fn kind(&self, _: &Limits) -> String {
        "path".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        store(self, (!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn json(&self) -> Value {
        Value::from(self.to_string_lossy())
    }
}

/// A path that may be absent; `none` clears it.
impl Setting for Option<PathBuf> {
    fn kind(&self, _: &Limits) -> String {
        "path|none".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        let value = (text != "none").then(|| PathBuf::from(text));
        store(self, (!text.is_empty()).then_some(value))
    }

    fn json(&self) -> Value {
        self.as_ref().map_or(Value::Null, |path| Value::from(path.to_string_lossy()))
    }
}

/// A text that may be absent; `none` clears it.
impl Setting for Option<String> {
    fn kind(&self, _: &Limits) -> String {
        "text|none".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        let value = (text != "none").then(|| text.to_string());
        store(self, (!text.is_empty()).then_some(value))
    }

    fn json(&self) -> Value {
        self.as_deref().map_or(Value::Null, Value::from)
    }
}

/// A list of names, written with commas; `none` empties it.
impl Setting for Vec<String> {
    fn kind(&self, _: &Limits) -> String {
        "names with commas|none".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        let names: Vec<String> = match text {
            "none" => Vec::new(),
            names => names.split(',').map(|name| name.trim().to_string()).collect(),
        };
        store(self, names.iter().all(|name| !name.is_empty()).then_some(names))
    }

    fn json(&self) -> Value {
        if self.is_empty() { Value::Null } else { Value::from(self.clone()) }
    }
}

/// A list of exactly `N` integers, written with commas; the limits hold for each.
impl<const N: usize> Setting for [usize; N] {
    fn kind(&self, limits: &Limits) -> String {
        format!("{N} of {}, with commas", limits.describe("integer"))
    }

    fn set(&mut self, text: &str, limits: &Limits) -> bool {
        let items: Option<Vec<usize>> =
            text.split(',').map(|item| item.trim().parse().ok().filter(|&value| limits.hold(value as f64))).collect();
        store(self, items.and_then(|items| items.try_into().ok()))
    }

    fn json(&self) -> Value {
        Value::from(self.as_slice())
    }
}

/// Makes an enum of unit variants a [`Setting`], each variant with the word that stands for it.
macro_rules! choices {
    ($name:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $crate::config::setting::Setting for $name {
            fn kind(&self, _: &$crate::config::setting::Limits) -> String {
                [$($word),+].join("|")
            }

            fn set(&mut self, text: &str, _: &$crate::config::setting::Limits) -> bool {
                *self = match text {
                    $($word => <$name>::$variant,)+
                    _ => return false,
                };
                true
            }

            fn json(&self) -> serde_json::Value {
                serde_json::Value::from(match self {
                    $(<$name>::$variant => $word,)+
                })
            }
        }
    };
}
pub(crate) use choices;
