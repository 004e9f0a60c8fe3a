//! A4 with a trainable filterbank and temporal difference (the paper's future work 2, section 6.7): from the log-magnitude spectrogram,
//!
//! bands = S·Wᵀ, Δ\[t\] = τ₀⊙bands\[t\] + τ₁⊙bands\[t + 1\] (0 in the last row), then standardised over time (eq. 4 and 5).
//!
//! W starts as the means over A4's octave bands, τ as −1 and +1: before its first step the descriptor is A4.

use crate::descriptors::a4::{BAND_BINS, BANDS};
use crate::descriptors::a4_learned::BINS;
use crate::device::DType;
use crate::error::{Error, Result};
use crate::nn::{Builder, Context, Init, ParamId};
use crate::ops::Ragged;
use crate::ops::linear::linear;
use crate::ops::temporal::{difference, standardise};
use crate::tape::Var;
use crate::tensor::Tensor;

/// The trainable front end.
pub struct LearnedA4 {
    /// W [8, 1025].
    filterbank: ParamId,
    /// τ [2, 8].
    taps: ParamId,
}

impl LearnedA4 {
    /// Declares `name.filterbank` and `name.taps`.
    pub fn new(b: &mut Builder, name: &str) -> Self {
        LearnedA4 {
            filterbank: b.parameter(format!("{name}.filterbank"), &[BANDS, BINS], Init::By(band_mean)),
            taps: b.parameter(format!("{name}.taps"), &[2, BANDS], Init::By(|i| if i < BANDS { -1.0 } else { 1.0 })),
        }
    }

    /// Spectrogram [ΣT, 1025] → features [ΣT, 8].
    pub fn apply(&self, cx: &Context, spectrogram: &Var, rows: &Ragged) -> Result<Var> {
        if spectrogram.value().cols() != BINS {
            let got = format!("{:?}", spectrogram.shape());
            return Err(Error::op("learned A4", "spectrogram", format!("[rows, {BINS}]"), got));
        }
        let device = spectrogram.value().device();
        let zeros = if device.is_cpu() {
            Tensor::zeros(&[BANDS], spectrogram.dtype())
        } else {
            Tensor::zeros_on(device, &[BANDS], DType::F32)?
        };
        let bands = linear(cx.tape, spectrogram, cx.var(self.filterbank), &Var::constant(zeros))?;
        standardise(cx.tape, &difference(cx.tape, &bands, cx.var(self.taps), rows)?, rows)
    }
}

/// Element `i` of W at the start: bin i mod 1025 of band i / 1025.
fn band_mean(i: usize) -> f64 {
    let (first, end) = BAND_BINS[i / BINS];
    if (first..end).contains(&(i % BINS)) { 1.0 / (end - first) as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::stft::Padding;
    use crate::descriptors::{A4, A4_LEARNED, Descriptor, Source};
    use crate::golden::{Golden, max_abs_diff};
    use crate::nn::Mode;
    use crate::tape::Tape;

    /// The golden recording, and what the front end reads of it.
    fn recording() -> (Vec<f32>, Vec<f32>) {
        let audio: Vec<f32> =
            Golden::open("descriptors").f32("audio_i16")[..96_000].iter().map(|x| x / 32768.0).collect();
        let spectrogram = A4_LEARNED.compute(Source::audio(&audio, Padding::Reflect));
        (audio, spectrogram)
    }

    fn at_the_start(spectrogram: &Tensor) -> Vec<f64> {
        let mut b = Builder::default();
        let learned = LearnedA4::new(&mut b, "a4");
        let parameters = b.initialise(1, spectrogram.dtype());
        let tape = Tape::inference();
        let cx = Context::new(&tape, &parameters, Mode::Eval);
        let rows = Ragged::from_lengths([188]);
        learned.apply(&cx, &Var::constant(spectrogram.clone()), &rows).unwrap().value().to_f64()
    }

    #[test]
    fn starts_as_equations_4_and_5() {
        let wide: Vec<f64> = recording().1.into_iter().map(f64::from).collect();
        let got = at_the_start(&Tensor::from_f64(&[188, BINS], &wide, DType::F64));
        for (band, (first, end)) in BAND_BINS.into_iter().enumerate() {
            let energy: Vec<f64> =
                wide.chunks(BINS).map(|row| row[first..end].iter().sum::<f64>() / (end - first) as f64).collect();
            let change: Vec<f64> = energy.windows(2).map(|pair| pair[1] - pair[0]).chain([0.0]).collect();
            let mean = change.iter().sum::<f64>() / 188.0;
            let deviation = (change.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 188.0).sqrt();
            for (row, x) in got.chunks(BANDS).zip(change) {
                assert!((row[band] - (x - mean) / (deviation + 1e-8)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn starts_as_a4_but_for_rounding() {
        let (audio, spectrogram) = recording();
        let got = at_the_start(&Tensor::from_slice(&[188, BINS], &spectrogram));
        let expected = A4.compute(Source::audio(&audio, Padding::Reflect));
        // Sums of up to 513 bins in f32, in two orders, over the small deviation of a band: A4 itself is held to 3e-5.
        let far = max_abs_diff(&expected, &got);
        assert!(far < 3e-5, "{far}");
    }
}
