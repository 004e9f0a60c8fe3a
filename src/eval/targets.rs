//! What a segment is made of and what it sounds like, in a few numbers each: the targets of linear probes (paper, section 5.7).

use super::baselines::audio_weights;
use crate::data::audio::SAMPLE_RATE;
use crate::data::note::Note;
use crate::descriptors::stft::{N_FFT, Padding, Stft};

/// Keys of a piano.
pub const KEYS: usize = 88;
/// MIDI pitch of its lowest key, A0.
const LOWEST: u8 = 21;
/// Intervals from an octave down to an octave up; wider ones count as octaves.
pub const INTERVALS: usize = 25;
const OCTAVE: i32 = 12;
/// Pitch classes.
pub const CLASSES: usize = 12;
/// A frame whose magnitudes come to less than this share of the loudest frame's (−60 dB) is silence with noise in it.
const SILENT: f64 = 1e-3;

/// Shares of the keys among `notes`; pitches no piano has count for its outermost keys.
pub fn pitch_histogram(notes: &[Note]) -> [f64; KEYS] {
    shares(notes.iter().map(|note| (note.pitch.saturating_sub(LOWEST) as usize).min(KEYS - 1)))
}

/// Shares of the intervals from each of `notes`, by onset then pitch, to the next; zeros where there are fewer than two.
pub fn interval_histogram(notes: &[Note]) -> [f64; INTERVALS] {
    let interval = |pair: &[Note]| i32::from(pair[1].pitch) - i32::from(pair[0].pitch);
    shares(notes.windows(2).map(|pair| (interval(pair).clamp(-OCTAVE, OCTAVE) + OCTAVE) as usize))
}

/// Shares of the pitch classes, C first, in the magnitudes of 24 kHz `audio` (60–2500 Hz); zeros for silence.
pub fn chroma(audio: &[f32]) -> [f64; CLASSES] {
    let weights = audio_weights(audio, 1);
    let sum: f64 = weights.iter().sum();
    std::array::from_fn(|class| if sum > 0.0 { weights[class] / sum } else { 0.0 })
}

/// Spectral centroid Σ f·|X| / Σ |X| of 24 kHz `audio` in hertz: the mean over the frames that are not silent; 0 where all are.
pub fn centroid(audio: &[f32]) -> f64 {
    let stft = Stft::paper(Padding::Reflect);
    let hertz = f64::from(SAMPLE_RATE) / N_FFT as f64;
    let magnitudes = stft.magnitudes(audio);
    let frames = magnitudes.chunks_exact(stft.bins()).map(|frame| {
        let weighted =
            |sums: (f64, f64), (bin, &m): (usize, &f32)| (sums.0 + f64::from(m), sums.1 + bin as f64 * f64::from(m));
        frame.iter().enumerate().fold((0.0, 0.0), weighted)
    });
    let frames: Vec<(f64, f64)> = frames.collect();
    let loudest = frames.iter().map(|&(sum, _)| sum).fold(0.0, f64::max);
    let sounding = frames.iter().filter(|&&(sum, _)| sum > SILENT * loudest);
    let (count, total) = sounding.fold((0, 0.0), |(count, total), (sum, weighted)| (count + 1, total + weighted / sum));
    if count > 0 { hertz * total / f64::from(count) } else { 0.0 }
}

fn shares<const N: usize>(places: impl Iterator<Item = usize>) -> [f64; N] {
    let (mut counts, mut all) = ([0.0; N], 0.0);
    for place in places {
        counts[place] += 1.0;
        all += 1.0;
    }
    counts.map(|count| if all > 0.0 { count / all } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_what_is_played() {
        let note = |pitch| Note { pitch, velocity: 64, onset: 0.0, duration: 1.0 };
        let notes = [note(21), note(60), note(64), note(60), note(127)];
        let pitches = pitch_histogram(&notes);
        assert_eq!((pitches[0], pitches[39], pitches[43], pitches[87]), (0.2, 0.4, 0.2, 0.2));
        let intervals = interval_histogram(&notes);
        assert_eq!((intervals[24], intervals[16], intervals[8]), (0.5, 0.25, 0.25), "both leaps count as octaves");
        assert_eq!(interval_histogram(&notes[..1]), [0.0; INTERVALS]);
    }

    #[test]
    fn a_tone_lies_at_its_pitch() {
        let tone = |hertz: f32, n: usize| (std::f32::consts::TAU * hertz * n as f32 / 24_000.0).sin();
        // Half of it silent: that half must not pull the centroid anywhere.
        let audio: Vec<f32> = (0..96_000).map(|n| if n < 48_000 { 0.5 * tone(1760.0, n) } else { 0.0 }).collect();
        let (chroma, centroid) = (chroma(&audio), centroid(&audio));
        assert!(chroma[9] > 0.9 && (chroma.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{chroma:?}");
        assert!((centroid - 1760.0).abs() < 120.0, "{centroid}");
        assert_eq!((super::chroma(&[0.0; 9000]), super::centroid(&[0.0; 9000])), ([0.0; CLASSES], 0.0));
    }
}
