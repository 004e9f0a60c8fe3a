//! Verdicts on claims from figures with intervals: held or not held only where the whole interval says so.

use super::findings::{Judgement, Unit, Verdict};
use crate::eval::bootstrap::Interval;

/// Whether `what` lies above `bound`: open, hence not comparable, where its interval contains the bound.
pub fn above(what: &str, found: Interval, bound: f64, unit: Unit) -> Judgement {
    let verdict = match (found.low > bound, found.high < bound) {
        (true, _) => Verdict::Held,
        (_, true) => Verdict::NotHeld,
        _ => Verdict::NotComparable,
    };
    verdict.because(words(what, found, bound, unit))
}

/// Whether `what` lies below `bound`.
pub fn below(what: &str, found: Interval, bound: f64, unit: Unit) -> Judgement {
    let judged = above(what, found, bound, unit);
    let verdict = match judged.verdict {
        Verdict::Held => Verdict::NotHeld,
        Verdict::NotHeld => Verdict::Held,
        open => open,
    };
    Judgement { verdict, ..judged }
}

/// "what 41.0 % [36.2 %, 46.0 %] against 50.0 %".
fn words(what: &str, found: Interval, bound: f64, unit: Unit) -> String {
    let Interval { value, low, high } = found;
    format!("{what} {} [{}, {}] against {}", unit.text(value), unit.text(low), unit.text(high), unit.text(bound))
}

/// The worst of several verdicts, with all reasons: a claim of several parts holds where every part does.
pub fn all(parts: impl IntoIterator<Item = Judgement>) -> Judgement {
    let parts: Vec<Judgement> = parts.into_iter().collect();
    let has = |verdict: Verdict| parts.iter().any(|part| part.verdict == verdict);
    let verdict = match parts.is_empty() || has(Verdict::NotComparable) {
        _ if has(Verdict::NotHeld) => Verdict::NotHeld,
        true => Verdict::NotComparable,
        false => Verdict::Held,
    };
    verdict.because(parts.into_iter().map(|part| part.because).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_interval_decides() {
        let found = |low, high| Interval { value: (low + high) / 2.0, low, high };
        let verdict = |low, high| above("x", found(low, high), 0.5, Unit::Share).verdict;
        assert_eq!(verdict(0.6, 0.7), Verdict::Held);
        assert_eq!(verdict(0.3, 0.4), Verdict::NotHeld);
        assert_eq!(verdict(0.4, 0.6), Verdict::NotComparable);
        assert_eq!(verdict(f64::NAN, f64::NAN), Verdict::NotComparable);
        let judged = below("S(1) / S(0)", found(0.3, 0.4), 0.5, Unit::Share);
        assert_eq!(judged, Verdict::Held.because("S(1) / S(0) 35.0 % [30.0 %, 40.0 %] against 50.0 %"));
        let open = Verdict::NotComparable.because("open");
        assert_eq!(all([judged.clone(), open.clone()]).verdict, Verdict::NotComparable);
        assert_eq!(all([open, Verdict::NotHeld.because("no"), judged.clone()]).verdict, Verdict::NotHeld);
        assert_eq!(all([judged.clone(), judged]).verdict, Verdict::Held);
        assert_eq!(all([]).verdict, Verdict::NotComparable);
    }
}
