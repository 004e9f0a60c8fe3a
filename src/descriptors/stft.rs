//! Short-time Fourier transform: periodic Hann window, centred frames, unnormalised (paper section 3.4.1).

use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::device::simd::vectorised;

/// Samples in one analysis window (paper section 3.4.1).
pub const N_FFT: usize = 2048;
/// Samples from one frame to the next (paper section 3.4.1).
pub const HOP_LENGTH: usize = 512;

/// What lies beyond both ends of the signal, where centred frames reach out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Silence.
    Zero,
    /// The signal mirrored about its first and last sample, which are not repeated.
    #[default]
    Reflect,
}

/// A planned transform; cheap to share between threads.
pub struct Stft {
    n_fft: usize,
    hop_length: usize,
    padding: Padding,
    window: Vec<f32>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl Stft {
    /// Plans a transform of `n_fft` samples every `hop_length` samples.
    ///
    /// # Panics
    /// Where `n_fft` is odd or 0, or `hop_length` is 0: both are constants of the program, not input.
    pub fn new(n_fft: usize, hop_length: usize, padding: Padding) -> Self {
        assert!(n_fft > 0 && n_fft.is_multiple_of(2) && hop_length > 0, "n_fft {n_fft}, hop_length {hop_length}");
        let step = std::f64::consts::TAU / n_fft as f64;
        let window = (0..n_fft).map(|i| (0.5 - 0.5 * (step * i as f64).cos()) as f32).collect();
        Stft { n_fft, hop_length, padding, window, fft: RealFftPlanner::new().plan_fft_forward(n_fft) }
    }

    /// The paper's transform ([`N_FFT`], [`HOP_LENGTH`]), planned once for the whole program.
    pub fn paper(padding: Padding) -> &'static Stft {
        static ZERO: LazyLock<Stft> = LazyLock::new(|| Stft::new(N_FFT, HOP_LENGTH, Padding::Zero));
        static REFLECT: LazyLock<Stft> = LazyLock::new(|| Stft::new(N_FFT, HOP_LENGTH, Padding::Reflect));
        match padding {
            Padding::Zero => &ZERO,
            Padding::Reflect => &REFLECT,
        }
    }

    /// Number of frames of a signal of `samples` samples: 188 for 96,000.
    pub fn frames(&self, samples: usize) -> usize {
        1 + samples / self.hop_length
    }

    /// Number of frequency bins of a frame, 0 Hz to half the sample rate: 1025 for 2048.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Magnitudes |X|, row-major [frames, bins].
    pub fn magnitudes(&self, audio: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.frames(audio.len()) * self.bins()];
        let mut rows = out.chunks_exact_mut(self.bins());
        self.for_each_frame(audio, |spectrum| {
            let row = rows.next().expect("one row per frame");
            vectorised!(|| row.iter_mut().zip(spectrum).for_each(|(m, x)| *m = magnitude(x)));
        });
        out
    }

    /// Calls `f` with the spectrum (`bins` values) of each frame in turn; working memory is one frame.
    pub fn for_each_frame(&self, audio: &[f32], mut f: impl FnMut(&[Complex<f32>])) {
        let mut frame = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        for t in 0..self.frames(audio.len()) {
            self.windowed_frame(audio, t, &mut frame);
            self.fft
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .expect("the buffers were made by the plan");
            f(&spectrum);
        }
    }

    /// Writes the windowed samples of frame `t`, whose middle is sample `t * hop_length`.
    fn windowed_frame(&self, audio: &[f32], t: usize, frame: &mut [f32]) {
        let middle = t * self.hop_length;
        let half = self.n_fft / 2;
        if middle >= half && middle + half <= audio.len() {
            let samples = &audio[middle - half..middle + half];
            vectorised!(|| {
                for ((out, &x), &w) in frame.iter_mut().zip(samples).zip(&self.window) {
                    *out = x * w;
                }
            });
            return;
        }
        for (i, (out, &w)) in frame.iter_mut().zip(&self.window).enumerate() {
            *out = w * self.sample(audio, (middle + i) as isize - half as isize);
        }
    }

    /// The padded signal at `index`, which may lie beyond either end.
    fn sample(&self, audio: &[f32], index: isize) -> f32 {
        let inside = usize::try_from(index).ok().and_then(|i| audio.get(i));
        match (inside, self.padding) {
            (Some(&x), _) => x,
            (None, Padding::Zero) => 0.0,
            (None, Padding::Reflect) => match audio.len() {
                0 => 0.0,
                1 => audio[0],
                // A signal shorter than half a window is mirrored again and again: period 2 (n - 1).
                n => {
                    let period = 2 * (n - 1);
                    let i = index.rem_euclid(period as isize) as usize;
                    audio[i.min(period - i)]
                }
            },
        }
    }
}

/// |x|, without the guard against overflow that `hypot` pays for: spectra of audio are far from it.
#[inline(always)]
pub(crate) fn magnitude(x: &Complex<f32>) -> f32 {
    (x.re * x.re + x.im * x.im).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, max_abs_diff};

    #[test]
    fn magnitudes_equal_the_reference() {
        let golden = Golden::open("descriptors");
        let frames = golden.usize("stft_frames");
        let expected = golden.f64("64/stft_mag");
        for (item, expected) in golden.f32("audio_i16").chunks(96_000).zip(expected.chunks(frames.len() * 1025)) {
            let audio: Vec<f32> = item.iter().map(|x| x / 32768.0).collect();
            let got = Stft::paper(Padding::Reflect).magnitudes(&audio);
            assert_eq!(got.len(), 188 * 1025);
            let got: Vec<f32> = frames.iter().flat_map(|t| got[t * 1025..][..1025].to_vec()).collect();
            let scale = expected.iter().fold(0.0, |a: f64, &b| a.max(b));
            let diff = max_abs_diff(&got, expected);
            assert!(diff < 5e-7 * scale, "{diff} of {scale}");
        }
    }

    #[test]
    fn padding_at_the_ends_and_of_short_signals() {
        let stft = |padding| Stft::new(8, 4, padding);
        // By hand: a constant keeps its spectrum under reflection, and halves at the edge under zeros.
        let reflected = stft(Padding::Reflect).magnitudes(&[1.0; 12]);
        assert!(reflected.chunks(5).all(|row| (row[0] - 4.0).abs() < 1e-6), "{reflected:?}");
        let zeros = stft(Padding::Zero).magnitudes(&[1.0; 12]);
        assert!((zeros[0] - 2.5).abs() < 1e-6 && (zeros[5] - 4.0).abs() < 1e-6, "{zeros:?}");
        // 0 1 2 mirrored for ever: 0 1 2 1 | 0 1 2 1.
        let ramp = stft(Padding::Reflect);
        let seen: Vec<f32> = (-4..8).map(|i| ramp.sample(&[0.0, 1.0, 2.0], i)).collect();
        assert_eq!(seen, [0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0]);
        for length in 0..20 {
            for padding in [Padding::Zero, Padding::Reflect] {
                assert_eq!(stft(padding).magnitudes(&vec![0.5; length]).len(), (1 + length / 4) * 5);
            }
        }
    }
}
