//! Level and tone: other microphones, another recording desk.

use std::f64::consts::TAU;

use super::draws::between;
use crate::data::audio::SAMPLE_RATE;
use crate::random::Stream;

/// Hz at which the low shelf turns.
const LOW: [f64; 2] = [80.0, 400.0];
/// Hz of the two bells.
const MIDDLE: [f64; 2] = [150.0, 6_000.0];
/// Hz at which the high shelf turns.
const HIGH: [f64; 2] = [2_000.0, 8_000.0];
/// Width of a bell, as its quality.
const QUALITY: [f64; 2] = [0.5, 2.0];
/// Steepest shelves that do not overshoot.
const SHELF_QUALITY: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// Turns the level by `decibels`.
pub fn level(audio: &mut [f32], decibels: f64) {
    let gain = libm::pow(10.0, decibels / 20.0) as f32;
    audio.iter_mut().for_each(|x| *x *= gain);
}

/// A low shelf, a high shelf and two bells, drawn at random, each of at most `most` dB up or down.
pub fn equalise(audio: &mut [f32], most: f64, stream: &mut Stream) {
    // Uniform in the logarithm, as pitch is heard.
    let mut log = |[low, high]: [f64; 2]| libm::exp(between(stream, libm::log(low), libm::log(high)));
    let places = [log(LOW), log(MIDDLE), log(MIDDLE), log(HIGH)];
    let widths = [SHELF_QUALITY, log(QUALITY), log(QUALITY), SHELF_QUALITY];
    for ((kind, hz), quality) in
        [Kind::LowShelf, Kind::Bell, Kind::Bell, Kind::HighShelf].into_iter().zip(places).zip(widths)
    {
        Biquad::new(kind, hz, quality, between(stream, -most, most)).run(audio);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    LowShelf,
    Bell,
    HighShelf,
}

/// A second-order filter (Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients").
struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
}

impl Biquad {
    /// `decibels` at `hz` (a bell) or beyond it (a shelf).
    fn new(kind: Kind, hz: f64, quality: f64, decibels: f64) -> Self {
        let gain = libm::pow(10.0, decibels / 40.0);
        let (sin, cos) = libm::sincos(TAU * hz / f64::from(SAMPLE_RATE));
        let alpha = sin / (2.0 * quality);
        let (up, down, root) = (gain + 1.0, gain - 1.0, 2.0 * gain.sqrt() * alpha);
        let (b, a) = match kind {
            Kind::Bell => (
                [1.0 + alpha * gain, -2.0 * cos, 1.0 - alpha * gain],
                [1.0 + alpha / gain, -2.0 * cos, 1.0 - alpha / gain],
            ),
            Kind::LowShelf => (
                [gain * (up - down * cos + root), 2.0 * gain * (down - up * cos), gain * (up - down * cos - root)],
                [up + down * cos + root, -2.0 * (down + up * cos), up + down * cos - root],
            ),
            Kind::HighShelf => (
                [gain * (up + down * cos + root), -2.0 * gain * (down + up * cos), gain * (up + down * cos - root)],
                [up - down * cos + root, 2.0 * (down - up * cos), up - down * cos - root],
            ),
        };
        Biquad { b: b.map(|x| x / a[0]), a: [a[1] / a[0], a[2] / a[0]] }
    }

    fn run(&self, audio: &mut [f32]) {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let (mut s1, mut s2) = (0.0, 0.0);
        for sample in audio {
            let x = f64::from(*sample);
            let y = b0 * x + s1;
            s1 = b1 * x - a1 * y + s2;
            s2 = b2 * x - a2 * y;
            *sample = y as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    /// Gain in dB at `hz`.
    fn response(filter: &Biquad, hz: f64) -> f64 {
        let mut tone: Vec<f32> = (0..48_000).map(|n| libm::sin(TAU * hz * f64::from(n) / 24_000.0) as f32).collect();
        filter.run(&mut tone);
        let power: f64 = tone[24_000..].iter().map(|&x| f64::from(x * x)).sum();
        10.0 * libm::log10(power / 12_000.0)
    }

    #[test]
    fn filters_turn_up_what_they_should() {
        for decibels in [-9.0, 6.0] {
            let bell = Biquad::new(Kind::Bell, 1000.0, 1.0, decibels);
            let low = Biquad::new(Kind::LowShelf, 200.0, SHELF_QUALITY, decibels);
            let high = Biquad::new(Kind::HighShelf, 4000.0, SHELF_QUALITY, decibels);
            for (filter, hz, expected) in [
                (&bell, 1000.0, decibels),
                (&bell, 40.0, 0.0),
                (&low, 20.0, decibels),
                (&low, 200.0, decibels / 2.0),
                (&low, 5000.0, 0.0),
                (&high, 11_500.0, decibels),
                (&high, 100.0, 0.0),
            ] {
                let found = response(filter, hz);
                assert!((found - expected).abs() < 0.2, "{hz} Hz: {found} dB, expected {expected}");
            }
        }
        let mut tone = vec![0.25f32; 10];
        level(&mut tone, 20.0 * libm::log10(2.0));
        assert!(tone.iter().all(|x| (x - 0.5).abs() < 1e-6));
        let mut silence = vec![0.0; 1000];
        equalise(&mut silence, 24.0, &mut Philox::new(1, 1).stream(1));
        assert!(silence.iter().all(|&x| x == 0.0));
        let mut click = vec![0.0; 24_000];
        click[0] = 1.0;
        equalise(&mut click, 24.0, &mut Philox::new(1, 1).stream(2));
        assert!(click.iter().all(|x| x.is_finite()) && click[20_000..].iter().all(|x| x.abs() < 1e-4), "it fades");
    }
}
