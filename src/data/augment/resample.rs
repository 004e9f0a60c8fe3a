//! Audio read at another speed: pitch and tempo move together, as a tape's do.

use std::f64::consts::{PI, TAU};

use super::stretch::dot;

/// Zero crossings of the interpolating sinc on either side.
const CROSSINGS: f64 = 16.0;
/// Places between two samples for which the filter is computed; between them it is interpolated linearly.
const PHASES: usize = 256;

/// `count` samples of `source` at positions 0, `speed`, 2 × `speed` …: everything sounds 12 log2(`speed`) semitones higher and
/// `speed` times as fast. Band-limited where it is read faster; silence beyond both ends.
pub fn resample(source: &[f32], speed: f64, count: usize) -> Vec<f32> {
    if speed == 1.0 {
        return source.iter().copied().chain(std::iter::repeat(0.0)).take(count).collect();
    }
    // Read faster, what lay above the new Nyquist limit would fold back: the sinc is as much wider and lower.
    let cutoff = speed.recip().min(1.0);
    let reach = ((CROSSINGS / cutoff).ceil() as usize).next_multiple_of(4);
    let taps = 2 * reach;
    let weight = |phase: usize, tap: usize| {
        let distance = tap as f64 - (reach - 1) as f64 - phase as f64 / PHASES as f64;
        (cutoff * windowed_sinc(distance * cutoff)) as f32
    };
    let bank: Vec<f32> = (0..=PHASES)
        .flat_map(|phase| (0..taps).map(move |tap| (phase, tap)))
        .map(|(phase, tap)| weight(phase, tap))
        .collect();
    let mut padded = vec![0.0; reach - 1];
    padded.extend_from_slice(source);
    padded.resize(padded.len().max((count as f64 * speed) as usize + taps + 1), 0.0);
    let at = |n: usize| {
        let position = n as f64 * speed;
        let (whole, between) = (position as usize, position.fract() * PHASES as f64);
        let (phase, share) = (between as usize, between.fract() as f32);
        let window = &padded[whole..whole + taps];
        let (near, next) =
            (dot(&bank[phase * taps..][..taps], window), dot(&bank[(phase + 1) * taps..][..taps], window));
        near + share * (next - near)
    };
    (0..count).map(at).collect()
}

/// A sinc under a Blackman window that ends at the last zero crossing.
fn windowed_sinc(u: f64) -> f64 {
    if u.abs() >= CROSSINGS {
        return 0.0;
    }
    let sinc = if u == 0.0 { 1.0 } else { libm::sin(PI * u) / (PI * u) };
    let w = TAU * 0.5 * (1.0 + u / CROSSINGS);
    sinc * (0.42 - 0.5 * libm::cos(w) + 0.08 * libm::cos(2.0 * w))
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
