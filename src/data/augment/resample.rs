//! Audio read at another speed: pitch and tempo move together, as a tape's do.

use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

/// Zero crossings of the interpolating sinc on either side.
const CROSSINGS: usize = 16;
/// Table entries from one zero crossing to the next; between them it is interpolated linearly.
const STEPS: usize = 512;

/// One side of a sinc under a Blackman window, and a zero behind it.
static KERNEL: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let value = |i: usize| {
        let u = i as f64 / STEPS as f64;
        let sinc = if i == 0 { 1.0 } else { libm::sin(PI * u) / (PI * u) };
        let w = TAU * (0.5 + 0.5 * u / CROSSINGS as f64);
        sinc * (0.42 - 0.5 * libm::cos(w) + 0.08 * libm::cos(2.0 * w))
    };
    (0..CROSSINGS * STEPS).map(|i| value(i) as f32).chain([0.0; 2]).collect()
});

/// `count` samples of `source` at positions 0, `speed`, 2 × `speed` …: everything sounds 12 log2(`speed`) semitones higher and
/// `speed` times as fast. Band-limited where it is read faster; silence beyond both ends.
pub fn resample(source: &[f32], speed: f64, count: usize) -> Vec<f32> {
    if speed == 1.0 {
        return source.iter().copied().chain(std::iter::repeat(0.0)).take(count).collect();
    }
    let kernel = KERNEL.as_slice();
    // Read faster, what lay above the new Nyquist limit would fold back: the sinc is as much wider and lower.
    let cutoff = speed.recip().min(1.0);
    let reach = CROSSINGS as f64 / cutoff;
    let per_sample = (cutoff * STEPS as f64) as f32;
    (0..count)
        .map(|n| {
            let position = n as f64 * speed;
            let first = (position - reach).ceil().max(0.0) as usize;
            let end = ((position + reach).floor() as usize + 1).min(source.len());
            let taps = source.get(first..end).unwrap_or_default();
            let mut offset = (first as f64 - position) as f32;
            let mut sum = 0.0;
            for &x in taps {
                let at = offset.abs() * per_sample;
                let (index, share) = (at as usize, at.fract());
                let near = kernel.get(index..index + 2).map_or(0.0, |pair| pair[0] + share * (pair[1] - pair[0]));
                sum += x * near;
                offset += 1.0;
            }
            sum * cutoff as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_goes_up_by_the_semitones_asked_for_and_nothing_folds_back() {
        let sine = |hz: f64, n: usize| libm::sin(TAU * hz * n as f64 / 24_000.0);
        for semitones in [-7.0, -1.0, 1.0, 5.0] {
            let speed = libm::exp2(semitones / 12.0);
            let source: Vec<f32> = (0..60_000).map(|n| sine(440.0, n) as f32).collect();
            let made = resample(&source, speed, 40_000);
            let error = (100..39_000).map(|n| (f64::from(made[n]) - sine(440.0 * speed, n)).abs()).fold(0.0, f64::max);
            assert!(error < 2e-3, "{semitones} semitones: off by {error}");
        }
        let high: Vec<f32> = (0..60_000).map(|n| sine(11_000.0, n) as f32).collect();
        let folded = resample(&high, 1.5, 30_000)[100..].iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(folded < 1e-3, "11 kHz read at 1.5 leaves {folded}");
    }
}
