//! A4, octave-band energy dynamics (paper section 3.4.1, eq. 4 and 5).

use realfft::num_complex::Complex;

use super::stft::{N_FFT, Padding, Stft, magnitude};
use super::{Descriptor, Domain, Source};
use crate::data::audio::SAMPLE_RATE;
use crate::device::simd::vectorised;

/// Number of octave bands.
pub const BANDS: usize = 8;

/// STFT bins of each band, first and one past the last (paper table 1). At 24 kHz a bin is 11.72 Hz wide: 47 Hz to 12 kHz.
pub const BAND_BINS: [(usize, usize); BANDS] =
    [(4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 1025)];

/// What sounds in each band (paper table 1).
pub const BAND_NAMES: [&str; BANDS] = [
    "bass fundamentals",
    "bass harmonics",
    "low-mid register",
    "mid register",
    "upper-mid, presence",
    "presence, harmonics",
    "brilliance",
    "air, high harmonics",
];

/// Lower and upper edge of a band in Hz (paper table 1).
pub fn band_hz(band: usize) -> (f64, f64) {
    let hz_per_bin = f64::from(SAMPLE_RATE) / N_FFT as f64;
    let (first, end) = BAND_BINS[band];
    // The last band's last bin is half the sample rate: nothing lies above.
    (first as f64 * hz_per_bin, end.min(N_FFT / 2) as f64 * hz_per_bin)
}

/// Keeps the z-score of a band that never changes at 0 (eq. 5).
const EPSILON: f64 = 1e-8;

/// Octave-band energy dynamics.
pub struct A4;

impl Descriptor for A4 {
    fn name(&self) -> &'static str {
        "A4"
    }

    fn domain(&self) -> Domain {
        Domain::Audio
    }

    fn columns(&self) -> Vec<String> {
        let hz = |band| band_hz(band);
        (0..BANDS).map(|b| format!("{:.0}–{:.0} Hz: {}", hz(b).0, hz(b).1, BAND_NAMES[b])).collect()
    }

    fn about(&self) -> &'static str {
        "how the energy of each octave band changes from frame to frame (section 3.4.1)"
    }

    fn is_standardised(&self) -> bool {
        true
    }

    fn compute(&self, source: Source<'_>) -> Vec<f32> {
        a4(source.samples, source.padding)
    }
}

/// A4 of audio at 24 kHz, row-major [frames, 8]; 96,000 samples (4 s) give 188 frames.
///
/// The change of each band's mean log-magnitude from a frame to the next (the last row, which has no next, is 0), then
/// per band minus the mean over all rows and divided by the deviation (1/T) + 1e-8.
pub fn a4(audio: &[f32], padding: Padding) -> Vec<f32> {
    let mut rows = log_energies(audio, padding);
    difference(&mut rows);
    standardise(&mut rows);
    rows
}

/// Mean of ln(1 + |X|) over the bins of each band, row-major [frames, 8] (eq. 4).
pub fn log_energies(audio: &[f32], padding: Padding) -> Vec<f32> {
    let stft = Stft::paper(padding);
    let mut rows = Vec::with_capacity(stft.frames(audio.len()) * BANDS);
    let mut work = vec![0.0; stft.bins()];
    stft.for_each_frame(audio, |spectrum| rows.extend(vectorised!(|| frame_energies(spectrum, &mut work))));
    rows
}

/// ln(1 + |X|), row-major [frames, 1025].
pub fn log_magnitudes(audio: &[f32], padding: Padding) -> Vec<f32> {
    let stft = Stft::paper(padding);
    let mut rows = vec![0.0; stft.frames(audio.len()) * stft.bins()];
    let mut left = rows.chunks_exact_mut(stft.bins());
    stft.for_each_frame(audio, |spectrum| {
        let row = left.next().into_iter().flatten();
        vectorised!(|| row.zip(spectrum).for_each(|(m, x)| *m = ln(1.0 + magnitude(x))));
    });
    rows
}

#[inline(always)]
fn frame_energies(spectrum: &[Complex<f32>], work: &mut [f32]) -> [f32; BANDS] {
    work.iter_mut().zip(spectrum).for_each(|(m, x)| *m = ln(1.0 + magnitude(x)));
    BAND_BINS.map(|(first, end)| sum(&work[first..end]) / (end - first) as f32)
}

/// Natural logarithm of a finite x ≥ 1 to 2e-7, in operations that a compiler vectorises (the standard library's does not).
#[inline(always)]
fn ln(x: f32) -> f32 {
    // x = 2^exponent · m with m in [√½, √2); adding the gap between 1 and √½ carries into the exponent where m ≥ √2.
    const SQRT_HALF: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let shifted = x.to_bits().wrapping_add(1f32.to_bits() - SQRT_HALF);
    let exponent = (shifted >> 23) as i32 - 127;
    let m = f32::from_bits((shifted & 0x007f_ffff) + SQRT_HALF);
    // ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …) with s = (m − 1) / (m + 1), |s| ≤ 0.172: s¹¹/11 is below 4e-10.
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * s * series
}

/// Sum in 16 lanes: the order is the same on every machine, and vectors of any width keep it.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += x);
    }
    lanes.iter().chain(rest).sum()
}

/// Row t of [frames, 8] becomes row t + 1 minus row t; the last, which has no next, becomes 0.
pub fn difference(rows: &mut [f32]) {
    for i in 0..rows.len() {
        rows[i] = rows.get(i + BANDS).map_or(0.0, |next| next - rows[i]);
    }
}

/// Each band of [frames, 8] minus its mean over the frames, over its deviation (1/T) + 1e-8 (eq. 5).
pub fn standardise(rows: &mut [f32]) {
    let (rows, _) = rows.as_chunks_mut::<BANDS>();
    for band in 0..BANDS {
        let moment = |f: &dyn Fn(f64) -> f64| rows.iter().map(|r| f(r[band].into())).sum::<f64>() / rows.len() as f64;
        let mean = moment(&|x| x);
        let deviation = moment(&|x| (x - mean) * (x - mean)).sqrt();
        rows.iter_mut().for_each(|r| r[band] = ((f64::from(r[band]) - mean) / (deviation + EPSILON)) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, max_abs_diff};

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("descriptors");
        let expected = golden.f64("64/a4/append_zero/before");
        for (item, expected) in golden.f32("audio_i16").chunks(96_000).zip(expected.chunks(188 * BANDS)) {
            let audio: Vec<f32> = item.iter().map(|x| x / 32768.0).collect();
            let got = a4(&audio, Padding::Reflect);
            let diff = max_abs_diff(&got, expected);
            assert!(diff < 3e-5, "{diff}");
        }
    }

    #[test]
    fn silence_and_short_audio_are_finite() {
        for length in [0, 1, 511, 512, 96_000] {
            let got = a4(&vec![0.0; length], Padding::Reflect);
            assert_eq!(got.len(), (1 + length / 512) * BANDS);
            assert!(got.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn logarithm_is_close_over_the_range_of_spectra() {
        for i in 0..200_000 {
            let x = 1.0 + (i as f32 * 1e-4).exp_m1();
            let expected = f64::from(x).ln();
            assert!((f64::from(ln(x)) - expected).abs() <= 2e-7 * expected.max(1.0), "{x}");
        }
    }
}
