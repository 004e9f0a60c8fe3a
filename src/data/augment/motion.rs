//! Where and how a sample is read from its performance: what moves in pitch and time.

use super::resample::resample;
use super::stretch::stretch;
use crate::data::audio::SAMPLE_RATE;
use crate::data::note::Note;
use crate::data::segments::{MAX_NOTES, Performance, WINDOW_SAMPLES, WINDOW_SECONDS, excerpt};

/// How a window is read. [`Motion::NONE`] reads it as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Semitones added to every note.
    pub semitones: i32,
    /// Both sides run at this speed, and the recording's pitch moves with it (resampled).
    pub speed: f64,
    /// Both sides run at this speed; pitch stays.
    pub stretch: f64,
    /// MIDI alone runs at this speed.
    pub tempo: f64,
    /// Seconds by which the recording's window begins later than the notes'.
    pub shift: f64,
}

impl Motion {
    /// A window as it is.
    pub const NONE: Motion = Motion { semitones: 0, speed: 1.0, stretch: 1.0, tempo: 1.0, shift: 0.0 };

    /// The notes that begin within [`WINDOW_SECONDS`] of `start` as they are now played, by onset then pitch, the first
    /// [`MAX_NOTES`].
    pub fn notes(&self, performance: &Performance, start: f64) -> Vec<Note> {
        let speed = self.speed * self.stretch * self.tempo;
        let moved = |n: &Note| Note {
            pitch: transposed(n.pitch, self.semitones),
            onset: (n.onset - start) / speed,
            duration: n.duration / speed,
            ..*n
        };
        let played = performance.notes_between(start, WINDOW_SECONDS * speed);
        let within = played.iter().map(moved).filter(|n| n.onset < WINDOW_SECONDS);
        let mut notes: Vec<Note> = within.take(MAX_NOTES).collect();
        // Keys that had to go to another octave may stand in another order within a chord.
        notes.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
        notes
    }

    /// Four seconds of `recording` (24 kHz, 16 bits) from `start` on, as it is now heard: 96,000 samples.
    pub fn audio(&self, recording: &[i16], start: f64) -> Vec<f32> {
        let first = ((start + self.shift) * f64::from(SAMPLE_RATE)).round() as i64;
        if self.stretch == 1.0 && self.speed == 1.0 {
            return excerpt(recording, first, WINDOW_SAMPLES);
        }
        let stretched = longer(WINDOW_SAMPLES, self.speed);
        let mut audio = excerpt(recording, first, longer(stretched, self.stretch));
        if self.stretch != 1.0 {
            audio = stretch(&audio, self.stretch, stretched);
        }
        resample(&audio, self.speed, WINDOW_SAMPLES)
    }
}

/// Samples that `count` take at `speed`, and 64 more for the reach of what interpolates them.
fn longer(count: usize, speed: f64) -> usize {
    (count as f64 * speed).ceil() as usize + 64
}

/// `pitch` moved by `semitones`, in another octave where there is no such key.
pub fn transposed(pitch: u8, semitones: i32) -> u8 {
    let moved = i32::from(pitch) + semitones;
    match moved {
        0..=127 => moved as u8,
        ..0 => moved.rem_euclid(12) as u8,
        // The highest octave of the 128 keys: 116–127.
        128.. => (116 + (moved - 116).rem_euclid(12)) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::maestro::Split;

    fn performance(onsets: &[f64]) -> Performance {
        let note = |&onset: &f64| Note { pitch: 69, velocity: 64, onset, duration: 0.5 };
        let (composer, title) = ("C".to_string(), "T".to_string());
        // A pulse at every onset.
        let mut samples = vec![0i16; 20 * 24_000];
        onsets.iter().for_each(|t| samples[(t * 24_000.0) as usize..][..48].fill(20_000));
        Performance {
            composer,
            title,
            piece: 0,
            composer_id: 0,
            split: Split::Train,
            audio: samples.into(),
            renderings: Vec::new(),
            notes: onsets.iter().map(note).collect(),
        }
    }

    #[test]
    fn both_sides_move_alike() {
        let performance = performance(&[2.0, 3.0, 5.5, 7.0, 8.0, 9.0, 10.0]);
        let recording = performance.audio.samples();
        let heard = |motion: &Motion| -> Vec<f64> {
            let audio = motion.audio(recording, 5.0);
            assert_eq!(audio.len(), WINDOW_SAMPLES);
            let loud =
                |n: &usize| audio[*n].abs() > 0.3 && audio[n.saturating_sub(400)..*n].iter().all(|x| x.abs() <= 0.3);
            (0..audio.len()).filter(loud).map(|n| n as f64 / 24_000.0).collect()
        };
        for motion in [
            Motion::NONE,
            Motion { speed: libm::exp2(3.0 / 12.0), semitones: 3, ..Motion::NONE },
            Motion { speed: libm::exp2(-3.0 / 12.0), semitones: -3, ..Motion::NONE },
            Motion { stretch: 1.2, ..Motion::NONE },
            Motion { stretch: 0.85, ..Motion::NONE },
        ] {
            let notes = motion.notes(&performance, 5.0);
            let times = heard(&motion);
            assert_eq!(times.len(), notes.len(), "{motion:?}: {times:?} {notes:?}");
            for (time, note) in times.iter().zip(&notes) {
                assert!((time - note.onset).abs() < 0.045, "{motion:?}: heard at {time}, played at {}", note.onset);
                assert_eq!(i32::from(note.pitch), 69 + motion.semitones);
            }
        }
        // One side alone.
        let late = Motion { shift: 1.0, ..Motion::NONE };
        assert!((heard(&late)[0] - 1.0).abs() < 1e-3 && late.notes(&performance, 5.0)[0].onset == 0.5);
        let fast = Motion { tempo: 2.0, ..Motion::NONE };
        assert_eq!((fast.notes(&performance, 5.0)[1].onset, heard(&fast)), (1.0, heard(&Motion::NONE)));
        assert_eq!([transposed(0, -1), transposed(127, 1), transposed(120, 24), transposed(60, 7)], [11, 116, 120, 67]);
    }

    #[test]
    fn beyond_the_recording_is_silence() {
        let performance = performance(&[0.5]);
        for motion in
            [Motion { shift: -3.0, ..Motion::NONE }, Motion { speed: 1.2, stretch: 0.9, shift: 18.0, ..Motion::NONE }]
        {
            let audio = motion.audio(performance.audio.samples(), 0.0);
            assert!(audio.len() == WINDOW_SAMPLES && audio.iter().all(|x| x.is_finite()));
        }
        let short = Motion { stretch: 1.3, ..Motion::NONE }.audio(&[1; 5], 0.0);
        assert!(short.len() == WINDOW_SAMPLES && short.iter().all(|x| x.is_finite()));
    }
}
