//! What the paper says of ablated descriptors (section 5.2), judged.

use super::Found;
use super::ablated::Mode;
use crate::eval::bootstrap::Interval;
use crate::validate::findings::{Claim, Judgement, Verdict};
use crate::validate::paper;

/// Arms whose A4 the paper ablates, and whose D4.
const A4_ARMS: [&str; 3] = ["d4a4", "a4r", "d4-a4r"];
const D4_ARMS: [&str; 3] = ["d4a4", "d4-a4r", "d4"];
/// Share of what S has above chance whose loss counts as collapse: the paper's runs lose 95 to 99 %.
const COLLAPSE: f64 = 0.9;
/// How far S may move, either way, under an effect that counts as weak.
const WEAK: f64 = 0.05;

/// The claims about the descriptors that were ablated; `s` is that of `arm` as it is.
pub fn claims(arm: &str, s: Interval, chance: f64, found: &[Found]) -> Vec<Claim> {
    let of = |name: &str, mode| found.iter().find(|found| found.name == name && found.mode == mode);
    let all = |name| Some([of(name, Mode::Zero)?, of(name, Mode::Noise)?, of(name, Mode::Shuffle)?]);
    let claim = |claim: &str, source: &str, judgement: Judgement| {
        let arms = if claim.contains("D4") { &D4_ARMS } else { &A4_ARMS };
        let judgement = paper::unasked(arm, arms, s, chance).unwrap_or(judgement);
        Claim { claim: claim.into(), source: source.into(), judgement }
    };
    let mut claims = Vec::new();
    if let Some([zero, _, shuffle]) = all("A4") {
        claims.push(claim(
            "A4 is completely causal: with zeros for it S collapses by 75 to 78 points",
            "section 5.2, table 6",
            collapse(s, chance, &zero.delta),
        ));
        claims.push(claim(
            "Without A4 performance is below random chance",
            "sections 5.2 and 6.1",
            below_chance(&zero.s, chance),
        ));
        claims.push(claim(
            "A4 of another sample is milder than zeros, and still costs 32 to 37 points",
            "section 5.2, table 6",
            milder(&shuffle.delta, &zero.delta),
        ));
    }
    if let Some(modes) = all("D4") {
        claims.push(claim(
            "D4 has a weak effect at inference: −0.4 to +0.6 points beside A4, 0.8 to 1.2 points alone",
            "section 5.2, table 6",
            weak(&modes.map(|found| found.delta)),
        ));
    }
    claims
}

fn collapse(s: Interval, chance: f64, delta: &Interval) -> Judgement {
    let lost = |delta: f64| -delta / (s.value - chance);
    let (low, high) = (lost(delta.high), lost(delta.low));
    Verdict::above(COLLAPSE, (low, high)).because(format!(
        "{:.0} % [{:.0}, {:.0}] of what S has above chance is lost; {:.0} % count as collapse",
        100.0 * lost(delta.value),
        100.0 * low,
        100.0 * high,
        100.0 * COLLAPSE
    ))
}

fn below_chance(s: &Interval, chance: f64) -> Judgement {
    Verdict::above(0.0, (chance - s.high, chance - s.low)).because(format!(
        "S = {:.1} % [{:.1}, {:.1}], chance is {:.1} %",
        100.0 * s.value,
        100.0 * s.low,
        100.0 * s.high,
        100.0 * chance
    ))
}

fn milder(shuffle: &Interval, zero: &Interval) -> Judgement {
    let because = format!("shuffled {} points, zeros {}", points(shuffle), points(zero));
    let verdict = match () {
        () if shuffle.high < 0.0 && zero.high < shuffle.low => Verdict::Held,
        () if shuffle.low >= 0.0 || zero.low > shuffle.high => Verdict::NotHeld,
        () => Verdict::NotComparable,
    };
    verdict.because(because)
}

fn weak(deltas: &[Interval]) -> Judgement {
    let within = deltas.iter().all(|delta| delta.low > -WEAK && delta.high < WEAK);
    let beyond = deltas.iter().any(|delta| delta.high < -WEAK || delta.low > WEAK);
    let verdict = match (within, beyond) {
        (true, _) => Verdict::Held,
        (_, true) => Verdict::NotHeld,
        _ => Verdict::NotComparable,
    };
    let each = deltas.iter().map(points).collect::<Vec<_>>().join(", ");
    verdict.because(format!("zero, noise, shuffle: {each} points; within ±{:.0} counts as weak", 100.0 * WEAK))
}

/// "−76.0 [−79.4, −72.2]"
fn points(delta: &Interval) -> String {
    let signed = |x: f64| format!("{:+.1}", 100.0 * x).replace('-', "−");
    format!("{} [{}, {}]", signed(delta.value), signed(delta.low), signed(delta.high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, deltas: [f64; 3]) -> Vec<Found> {
        let about = |value: f64| Interval { value, low: value - 0.02, high: value + 0.02 };
        let each = Mode::ALL.into_iter().zip(deltas);
        each.map(|(mode, d)| Found { name: name.into(), mode, s: about(0.82 + d), delta: about(d) }).collect()
    }

    fn verdicts(arm: &str, s: f64, found: &[Found]) -> Vec<Verdict> {
        let s = Interval { value: s, low: s - 0.03, high: s + 0.03 };
        claims(arm, s, 10.0 / 256.0, found).iter().map(|claim| claim.judgement.verdict).collect()
    }

    #[test]
    fn the_papers_own_figures_hold_except_that_they_are_not_below_chance() {
        use Verdict::{Held, NotComparable, NotHeld};
        let a4 = found("A4", [-0.776, -0.530, -0.322]);
        let own = verdicts("a4r", 0.82, &a4);
        // 4.4 % ± 2 points cannot be told from 3.9 %.
        assert_eq!(own, [Held, NotComparable, Held]);
        assert_eq!(verdicts("d4a4", 0.82, &found("A4", [-0.72, -0.5, -0.3]))[1], NotHeld);
        let unmoved = found("A4", [-0.05, -0.04, -0.03]);
        assert_eq!(verdicts("a4r", 0.82, &unmoved), [NotHeld, NotHeld, NotComparable]);
        assert_eq!(verdicts("a4r", 0.05, &a4), [NotComparable; 3]);
        assert_eq!(verdicts("a4x", 0.82, &a4), [NotComparable; 3]);
        assert_eq!(verdicts("d4", 0.64, &found("D4", [-0.008, -0.012, -0.01])), [Held]);
        assert_eq!(verdicts("d4", 0.64, &found("D4", [-0.008, -0.2, -0.01])), [NotHeld]);
        assert_eq!(verdicts("d4", 0.64, &found("D4", [-0.04, 0.0, 0.0])), [NotComparable]);
        assert!(verdicts("a7", 0.6, &found("A7", [0.0; 3])).is_empty());
    }
}
