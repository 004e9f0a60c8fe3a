//! A8, onset-weighted chroma (paper section A.2, eq. 15 and 16).
//!
//! The onset gate F\[t\]/max F is a factor of a whole frame, and the last step divides each frame by its sum: the gate cancels, except
//! where it is 0. Built as written; A8 is a chroma whose frames without any rise of the spectrum are silent.

use std::sync::LazyLock;

use super::stft::{N_FFT, Padding, Stft, magnitude};
use super::{Descriptor, Domain, Source};
use crate::data::audio::SAMPLE_RATE;

/// C1, where pitch classes count from (eq. 15).
const REFERENCE_HZ: f64 = 32.7;
/// Keeps silence at 0.
pub(super) const EPSILON: f64 = 1e-8;
/// The pitch classes.
pub const PITCH_CLASSES: [&str; 12] = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];

/// Onset-weighted chroma.
pub struct A8;

impl Descriptor for A8 {
    fn name(&self) -> &'static str {
        "A8"
    }

    fn domain(&self) -> Domain {
        Domain::Audio
    }

    fn columns(&self) -> Vec<String> {
        PITCH_CLASSES.map(String::from).to_vec()
    }

    fn about(&self) -> &'static str {
        "the energy of each pitch class (section A.2; its last normalisation cancels the onset gate)"
    }

    fn compute(&self, source: Source<'_>) -> Vec<f32> {
        a8(source.samples, source.padding)
    }
}

/// Pitch class of an STFT bin (eq. 15); `None` for bin 0, which has no pitch.
pub fn pitch_class(bin: usize) -> Option<usize> {
    static CLASSES: LazyLock<Vec<usize>> = LazyLock::new(|| {
        let hz = |bin: usize| bin as f64 * f64::from(SAMPLE_RATE) / N_FFT as f64;
        let semitone = |bin| (12.0 * (hz(bin) / REFERENCE_HZ).log2()).floor();
        (1..=N_FFT / 2).map(|bin| semitone(bin).rem_euclid(12.0) as usize).collect()
    });
    bin.checked_sub(1).and_then(|i| CLASSES.get(i).copied())
}

fn a8(samples: &[f32], padding: Padding) -> Vec<f32> {
    let stft = Stft::paper(padding);
    let frames = stft.frames(samples.len());
    let (mut chroma, mut flux) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    let mut before: Vec<f32> = Vec::new();
    stft.for_each_frame(samples, |spectrum| {
        let mut row = [0.0f64; 12];
        for (bin, x) in spectrum.iter().enumerate() {
            if let Some(class) = pitch_class(bin) {
                row[class] += f64::from(x.norm_sqr());
            }
        }
        chroma.push(row);
        let now: Vec<f32> = spectrum.iter().map(magnitude).collect();
        // Nothing comes before the first frame: its flux is 0.
        flux.push(now.iter().zip(&before).map(|(x, y)| f64::from((x - y).max(0.0))).sum::<f64>());
        before = now;
    });
    let strongest = flux.iter().copied().fold(0.0, f64::max);
    let gated =
        chroma.iter().zip(&flux).map(|(row, f)| row.map(|c| if strongest > 0.0 { c * f / strongest } else { 0.0 }));
    let normalised = gated.flat_map(|row| {
        let sum = row.iter().sum::<f64>() + EPSILON;
        row.map(|c| (c / sum) as f32)
    });
    normalised.collect()
}

#[cfg(test)]
mod tests {
    use super::super::a7::tests::equals_the_reference;
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn equals_the_reference_in_every_pitch_class() {
        let expected = Golden::open("descriptors").f64("a8/pc");
        let got: Vec<f64> = (0..1025).map(|bin| pitch_class(bin).map_or(-1.0, |c| c as f64)).collect();
        assert_eq!(got, expected);
        equals_the_reference(&A8, "64/a8/default", 1e-4);
    }
}
