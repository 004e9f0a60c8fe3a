//! What the paper says of the bands of A4 (section 5.5), judged.

use std::ops::Range;

use super::{Measured, PUBLISHED};
use crate::eval::bootstrap::{self, Interval};
use crate::validate::findings::{Claim, Judgement, Row, Table, Unit, Verdict};
use crate::validate::paper;

/// Arms of table 9 with the bands that the paper finds them most sensitive to.
const PEAKS: [(&str, Range<usize>); 3] = [("d4a4", 4..6), ("a4r", 6..8), ("d4-a4r", 6..7)];
/// Bands that the paper calls low and mid (47 to 750 Hz), and high (750 Hz to 12 kHz).
const LOW: Range<usize> = 0..4;
const HIGH: Range<usize> = 4..8;
/// Least and greatest of what the paper says the high bands carry more.
const TIMES: (f64, f64) = (2.0, 10.0);
/// The |r| that the paper's correlations stay below.
const LOW_CORRELATION: f64 = 0.05;

/// A figure of the means of all bands.
type Contrast = fn(&[f64]) -> f64;

const CONTRASTS: [(&str, Contrast); 2] = [
    ("mean of bands 4–7 over mean of bands 0–3", |bands| average(&bands[HIGH]) / average(&bands[LOW])),
    ("most over least sensitive band", |bands| greatest(bands) / bands.iter().copied().fold(f64::INFINITY, f64::min)),
];

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `contrast` with its interval over segments, all bands on the same ones.
fn resampled(moved: &[Vec<f64>], seed: u64, contrast: impl Fn(&[f64]) -> f64 + Sync) -> Interval {
    bootstrap::intervals(moved[0].len(), seed, |chosen| {
        let mean = |band: &Vec<f64>| chosen.iter().map(|&i| band[i]).sum::<f64>() / chosen.len() as f64;
        [contrast(&moved.iter().map(mean).collect::<Vec<_>>())]
    })[0]
}

/// How the bands compare, beside what the paper's own table gives.
pub fn contrasts(arm: &str, a4: &Measured, seed: u64) -> Table {
    let theirs: Option<Vec<f64>> = PUBLISHED.iter().map(|row| paper::of(arm, *row)).collect();
    let row = |(name, contrast): &(&str, Contrast)| {
        let paper = theirs.as_ref().map(|bands| contrast(bands));
        Row::measured(*name, resampled(&a4.moved, seed, contrast)).paper(paper).null(1.0)
    };
    Table {
        id: "bands-contrasts".into(),
        title: "How many times as sensitive".into(),
        source: "computed from table 9".into(),
        unit: Unit::Number(2),
        null: "all alike".into(),
        rows: CONTRASTS.iter().map(row).collect(),
    }
}

/// The claims about A4, of `arm` that reaches `s`.
pub fn claims(arm: &str, s: Interval, chance: f64, a4: &Measured, seed: u64) -> Vec<Claim> {
    let arms = PEAKS.map(|(arm, _)| arm);
    let claim = |claim: String, judgement: Judgement| Claim {
        claim,
        source: "section 5.5".into(),
        judgement: paper::unasked(arm, &arms, s, chance).unwrap_or(judgement),
    };
    let ratio = resampled(&a4.moved, seed, CONTRASTS[0].1);
    let mut claims = vec![claim("Bands 4–7 carry 2 to 10 times as much as bands 0–3".into(), dominance(ratio))];
    if let Some((_, peak)) = PEAKS.into_iter().find(|(of, _)| *of == arm) {
        let (first, last) = (peak.start, peak.end - 1);
        let bands = if first == last { format!("band {first}") } else { format!("bands {first} and {last}") };
        claims.push(claim(format!("{arm} is most sensitive to {bands}"), peaked(&a4.moved, peak, seed)));
    }
    let greatest = a4.correlations.iter().map(|(_, found)| found.found.max).fold(0.0, f64::max);
    let bound = a4.correlations.iter().map(|(_, found)| found.bound.max).fold(0.0, f64::max);
    claims.push(claim(
        "Band values correlate with no dimension of the embedding beyond |r| < 0.05".into(),
        Verdict::of(greatest < LOW_CORRELATION)
            .because(format!("|r| up to {greatest:.2}; up to {bound:.2} where segments are permuted")),
    ));
    claims
}

fn dominance(Interval { value, low, high }: Interval) -> Judgement {
    let (least, most) = TIMES;
    let verdict = if low > most { Verdict::NotHeld } else { Verdict::above(least, (low, high)) };
    verdict.because(format!(
        "{value:.2} times [{low:.2}, {high:.2}] by means; the means of the paper's own table 9 give 1.5 to 2.0"
    ))
}

/// Whether the most sensitive band is one of `peak`.
fn peaked(moved: &[Vec<f64>], peak: Range<usize>, seed: u64) -> Judgement {
    let lead = resampled(moved, seed, |bands| {
        let others = bands.iter().enumerate().filter(|(band, _)| !peak.contains(band)).map(|(_, x)| *x);
        greatest(&bands[peak.clone()]) - greatest(&others.collect::<Vec<_>>())
    });
    let means: Vec<f64> = moved.iter().map(|band| average(band)).collect();
    let first = (0..means.len()).max_by(|&a, &b| means[a].total_cmp(&means[b])).unwrap_or_default();
    Verdict::above(0.0, (lead.low, lead.high)).because(format!(
        "band {first} moves it most; {:+.3} [{:+.3}, {:+.3}] to the best of the others",
        lead.value, lead.low, lead.high
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bands whose mean movements are those of the paper's `column`, with some spread over 200 segments.
    fn paper_like(column: usize) -> Vec<Vec<f64>> {
        let spread = |mean: f64| (0..200).map(|i| mean * (0.8 + 0.4 * f64::from(i % 11) / 10.0)).collect();
        PUBLISHED.iter().map(|row| spread(row[column])).collect()
    }

    #[test]
    fn the_papers_table_bears_out_its_peaks_but_not_two_to_ten_times() {
        for (column, (arm, peak)) in PEAKS.into_iter().enumerate() {
            let moved = paper_like(column + 1);
            assert_eq!(peaked(&moved, peak, 42).verdict, Verdict::Held, "{arm}");
            let ratio = resampled(&moved, 42, CONTRASTS[0].1);
            assert!((1.4..2.1).contains(&ratio.value), "{arm}: {ratio:?}");
            assert_ne!(dominance(ratio).verdict, Verdict::Held, "{arm}");
        }
        assert_eq!(peaked(&paper_like(1), 6..8, 42).verdict, Verdict::NotHeld);
        let about = |value: f64| Interval { value, low: value - 0.5, high: value + 0.5 };
        let verdicts = [1.0, 2.2, 5.0, 11.0].map(|times| dominance(about(times)).verdict);
        assert_eq!(verdicts, [Verdict::NotHeld, Verdict::NotComparable, Verdict::Held, Verdict::NotHeld]);
    }
}
