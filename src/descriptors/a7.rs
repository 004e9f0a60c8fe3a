//! A7, rational attractor (paper section A.1, eq. 12–14; the choices left open: spec).

use std::sync::LazyLock;

use super::stft::{N_FFT, Padding, Stft};
use super::{Descriptor, Domain, Source};
use crate::data::audio::SAMPLE_RATE;

/// Just-intonation ratios within an octave (table 14).
pub const RATIOS: [(u32, u32); 12] =
    [(1, 1), (16, 15), (9, 8), (6, 5), (5, 4), (4, 3), (7, 5), (3, 2), (8, 5), (5, 3), (7, 4), (15, 8)];
/// Their musical intervals (table 14).
pub const INTERVALS: [&str; 12] = [
    "unison, octave",
    "minor second",
    "major second",
    "minor third",
    "major third",
    "perfect fourth",
    "septimal tritone",
    "perfect fifth",
    "minor sixth",
    "major sixth",
    "harmonic seventh",
    "major seventh",
];

/// Spectral peaks taken of a frame: the largest bins, neighbours included.
const PEAKS: usize = 8;
/// Bins below are no peaks.
const LOWEST_HZ: f64 = 50.0;
/// Width of the Gaussian around an attractor, in octaves.
pub(super) const SIGMA: f64 = 0.02;
/// Keeps silence at 0 (eq. 14).
pub(super) const EPSILON: f64 = 1e-8;

/// Rational attractor.
pub struct A7;

impl Descriptor for A7 {
    fn name(&self) -> &'static str {
        "A7"
    }

    fn domain(&self) -> Domain {
        Domain::Audio
    }

    fn columns(&self) -> Vec<String> {
        columns()
    }

    fn about(&self) -> &'static str {
        "which just intervals stand between the spectral peaks of a frame (section A.1)"
    }

    fn compute(&self, source: Source<'_>) -> Vec<f32> {
        let normalise = |row: &[f64; 12]| {
            let sum: f64 = row.iter().sum::<f64>() + EPSILON;
            row.map(|w| (w / sum) as f32)
        };
        activations(source.samples, source.padding).iter().flat_map(normalise).collect()
    }
}

/// Names of the twelve columns: ratio and interval.
pub(super) fn columns() -> Vec<String> {
    RATIOS.iter().zip(INTERVALS).map(|((n, d), interval)| format!("{n}/{d} {interval}")).collect()
}

/// Σ over the 28 pairs of peaks of eq. 13, a row of twelve per frame.
pub(super) fn activations(samples: &[f32], padding: Padding) -> Vec<[f64; 12]> {
    let stft = Stft::paper(padding);
    let mut rows = Vec::with_capacity(stft.frames(samples.len()));
    stft.for_each_frame(samples, |spectrum| {
        // Squares order as magnitudes do.
        let power = |bin: usize| spectrum[bin].norm_sqr();
        rows.push(attracted(
            &peaks(lowest_bin(), spectrum.len(), power).map(|bin| (bin, f64::from(power(bin)).sqrt())),
        ));
    });
    rows
}

/// The first bin that can be a peak.
pub(super) fn lowest_bin() -> usize {
    (LOWEST_HZ * N_FFT as f64 / f64::from(SAMPLE_RATE)).ceil() as usize
}

/// The [`PEAKS`] largest bins of `first..end`, ascending; of equal ones the lower.
fn peaks(first: usize, end: usize, power: impl Fn(usize) -> f32) -> [usize; PEAKS] {
    let mut largest: [(f32, usize); PEAKS] = std::array::from_fn(|i| (power(first + i), first + i));
    largest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for bin in first + PEAKS..end {
        let candidate = power(bin);
        if candidate > largest[PEAKS - 1].0 {
            let place = largest.partition_point(|&(p, _)| p >= candidate);
            largest[place..].rotate_right(1);
            largest[place] = (candidate, bin);
        }
    }
    let mut bins = largest.map(|(_, bin)| bin);
    bins.sort_unstable();
    bins
}

/// log2 of [`RATIOS`]: the μ of eq. 13.
pub(super) static ATTRACTORS: LazyLock<[f64; 12]> =
    LazyLock::new(|| RATIOS.map(|(n, d)| (f64::from(n) / f64::from(d)).log2()));

/// Eq. 13 summed over all pairs of peaks (bin, magnitude) in ascending frequency.
fn attracted(peaks: &[(usize, f64); PEAKS]) -> [f64; 12] {
    let mut row = [0.0; 12];
    for (i, &(low, quiet)) in peaks.iter().enumerate() {
        for &(high, loud) in &peaks[i + 1..] {
            let ratio = (high as f64 / low as f64).log2().rem_euclid(1.0);
            let weight = (quiet * loud).sqrt();
            for (w, attractor) in row.iter_mut().zip(&*ATTRACTORS) {
                let distance = ratio - attractor;
                *w += weight * (-distance * distance / (2.0 * SIGMA * SIGMA)).exp();
            }
        }
    }
    row
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::golden::Golden;

    /// Compares with golden `key` on the frames whose choice of peaks is no near tie (spec, "Traps").
    pub(crate) fn equals_the_reference(descriptor: &dyn Descriptor, key: &str, tolerance: f64) {
        let golden = Golden::open("descriptors");
        let (expected, margin) = (golden.f64(key), golden.f64("a7/margin"));
        let mut compared = 0;
        for (item, samples) in golden.f32("audio_i16").chunks(96_000).enumerate() {
            let audio: Vec<f32> = samples.iter().map(|x| x / 32768.0).collect();
            let got = descriptor.compute(Source::audio(&audio, Padding::Reflect));
            assert_eq!(got.len(), 188 * 12);
            for (t, row) in got.chunks(12).enumerate().filter(|(t, _)| margin[item * 188 + t] >= 1e-5) {
                compared += 1;
                for (a, b) in row.iter().zip(&expected[(item * 188 + t) * 12..]) {
                    assert!((f64::from(*a) - b).abs() < tolerance, "{key}, item {item}, frame {t}: {a}, expected {b}");
                }
            }
        }
        assert!(compared > 300, "{compared} of 376 frames");
    }

    #[test]
    fn equals_the_reference_where_peaks_are_clear() {
        equals_the_reference(&A7, "64/a7/default", 2e-5);
    }

    #[test]
    fn a_pure_fifth_is_found() {
        let tone = |hz: f64, t: f64| (std::f64::consts::TAU * hz * t).sin();
        let audio: Vec<f32> =
            (0..24_000).map(|n| n as f64 / 24_000.0).map(|t| (tone(1500.0, t) + tone(2250.0, t)) as f32).collect();
        let rows = A7.compute(Source::audio(&audio, Padding::Reflect));
        let row = &rows[20 * 12..][..12];
        // Neighbouring bins of a tone stand near unison to each other; among the others the fifth is first.
        let strongest = (1..12).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        assert_eq!(strongest, Some(7), "{row:?}");
    }
}
