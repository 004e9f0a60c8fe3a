//! Performances cut into the four-second windows everything else works on (paper section 3: 4 s, 1 s hop).

use super::audio::SAMPLE_RATE;
use super::cache::CachedAudio;
use super::maestro::Split;
use super::note::Note;
use super::pairing::Repairs;
use super::quarantine::Quarantined;

/// Length of a window in seconds.
pub const WINDOW_SECONDS: f64 = 4.0;
/// Length of a window in samples.
pub const WINDOW_SAMPLES: usize = 96_000;
/// From one window's start to the next, in seconds.
pub const HOP_SECONDS: f64 = 1.0;
const HOP_SAMPLES: usize = 24_000;
/// Notes of a window that are kept: the model's MIDI positions.
pub const MAX_NOTES: usize = 2048;

/// One recorded performance with its notes.
#[derive(Debug, Clone)]
pub struct Performance {
    pub composer: String,
    pub title: String,
    /// The same number for every performance of the same (composer, title).
    pub piece: u32,
    /// The same number for every piece of the same composer.
    pub composer_id: u32,
    pub split: Split,
    pub audio: CachedAudio,
    /// Further recordings of the same playing: another instrument, another room, in step with the same notes.
    pub renderings: Vec<CachedAudio>,
    /// By onset, then pitch.
    pub notes: Vec<Note>,
}

/// A window of a performance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Index into [`Dataset::performances`].
    pub performance: u32,
    /// Where it begins, in seconds from the start of the performance.
    pub start: f64,
}

/// Performances ready for training and evaluation.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// In the order of the metadata.
    pub performances: Vec<Performance>,
    /// What was left out, by row.
    pub quarantined: Vec<Quarantined>,
    /// What was mended in the MIDI files, all together.
    pub repairs: Repairs,
}

impl Dataset {
    /// What the data set holds, what was mended and what was left out with its reason: one line each, for the log.
    pub fn summary(&self) -> String {
        let count = |split: Split| self.performances.iter().filter(|p| p.split == split).count();
        let splits = Split::ALL.map(|s| format!("{} {s}", count(s))).join(", ");
        let mut text = format!("{} performances ({splits})", self.performances.len());
        if self.repairs.total() > 0 {
            text += &format!("\nMIDI repairs: {}", self.repairs);
        }
        if !self.quarantined.is_empty() {
            text += &format!("\n{} left out:", self.quarantined.len());
        }
        self.quarantined.iter().for_each(|q| text += &format!("\n  {q}"));
        text
    }

    /// The windows of a split, by performance and start. Windows without a note onset are skipped. `per_performance`
    /// keeps that many of each performance, evenly spread; `None` keeps all (as evaluation does).
    pub fn segments(&self, split: Split, per_performance: Option<usize>) -> Vec<Segment> {
        let mut all = Vec::new();
        for (index, performance) in (0u32..).zip(&self.performances) {
            if performance.split == split {
                let starts = performance.window_starts();
                let kept = spread(starts.len(), per_performance.unwrap_or(usize::MAX));
                all.extend(kept.map(|i| Segment { performance: index, start: starts[i] }));
            }
        }
        all
    }

    /// The window's audio: 96,000 samples at 24 kHz, full scale ±1; silence beyond the end of the recording.
    pub fn audio(&self, segment: &Segment) -> Vec<f32> {
        let samples = self.performances[segment.performance as usize].audio.samples();
        excerpt(samples, (segment.start * f64::from(SAMPLE_RATE)).round() as i64, WINDOW_SAMPLES)
    }

    /// The notes whose onset lies in the window, by onset then pitch, onsets counted from the window's start; the
    /// first [`MAX_NOTES`].
    pub fn notes(&self, segment: &Segment) -> Vec<Note> {
        let notes = self.performances[segment.performance as usize].notes_between(segment.start, WINDOW_SECONDS);
        notes.iter().take(MAX_NOTES).map(|n| Note { onset: n.onset - segment.start, ..*n }).collect()
    }
}

impl Performance {
    /// Starts of all whole windows with at least one onset.
    fn window_starts(&self) -> Vec<f64> {
        let windows = self.audio.samples().len().checked_sub(WINDOW_SAMPLES).map_or(0, |room| room / HOP_SAMPLES + 1);
        (0..windows)
            .map(|i| i as f64 * HOP_SECONDS)
            .filter(|start| !self.notes_between(*start, WINDOW_SECONDS).is_empty())
            .collect()
    }

    /// Notes with onsets in the `seconds` from `start` on.
    pub fn notes_between(&self, start: f64, seconds: f64) -> &[Note] {
        let at = |time: f64| self.notes.partition_point(|n| n.onset < time);
        &self.notes[at(start)..at(start + seconds)]
    }
}

/// `count` of `samples` from number `first` on (which may lie before the first of them), full scale ±1; silence beyond both ends.
pub fn excerpt(samples: &[i16], first: i64, count: usize) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let before = usize::try_from(-first).unwrap_or(0).min(count);
    let present = samples.get(usize::try_from(first).unwrap_or(0)..).unwrap_or_default();
    for (x, &sample) in out[before..].iter_mut().zip(present) {
        *x = f32::from(sample) / 32_768.0;
    }
    out
}

/// At most `wanted` of `0..count`, evenly spread: the middles of `wanted` equal parts.
pub fn spread(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let kept = count.min(wanted);
    (0..kept).map(move |i| (2 * i + 1) * count / (2 * kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn performance(split: Split, seconds: f64, onsets: &[f64]) -> Performance {
        let samples = (0..(seconds * 24_000.0) as i32).map(|n| (n % 30_000) as i16).collect::<Vec<_>>();
        let note = |onset: &f64| Note { pitch: 60, velocity: 64, onset: *onset, duration: 0.5 };
        let (composer, title) = ("C".to_string(), "T".to_string());
        let notes = onsets.iter().map(note).collect();
        Performance {
            composer,
            title,
            piece: 0,
            composer_id: 0,
            split,
            audio: samples.into(),
            renderings: Vec::new(),
            notes,
        }
    }

    #[test]
    fn windows_hold_onsets_and_fit_the_audio() {
        let onsets = [4.0, 9.5, 12.0];
        let performances = vec![
            performance(Split::Test, 30.0, &[1.0]),
            performance(Split::Train, 14.5, &onsets),
            performance(Split::Train, 3.999, &[1.0]),
            performance(Split::Train, 4.0, &[0.0]),
        ];
        let dataset = Dataset { performances, ..Dataset::default() };
        // An onset at 4.0 is outside [0, 4): the first window starts at 1; the last whole one at 10.
        let all = dataset.segments(Split::Train, None);
        let starts: Vec<_> = all.iter().filter(|s| s.performance == 1).map(|s| s.start).collect();
        assert_eq!(starts, [1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
        assert_eq!(all.len(), 10, "a recording of 3.999 s has no window, one of 4 s has one");
        assert_eq!(dataset.segments(Split::Test, None).len(), 2);
        assert!(dataset.segments(Split::Validation, None).is_empty());
        let capped: Vec<_> = dataset.segments(Split::Train, Some(3)).iter().map(|s| s.start).collect();
        assert_eq!(capped, [2.0, 6.0, 9.0, 0.0], "the middles of three thirds");

        let segment = Segment { performance: 1, start: 6.0 };
        assert_eq!(dataset.notes(&segment).iter().map(|n| n.onset).collect::<Vec<_>>(), [3.5]);
        let audio = dataset.audio(&segment);
        assert_eq!((audio.len(), audio[0]), (WINDOW_SAMPLES, f32::from((144_000 % 30_000) as i16) / 32_768.0));
        assert_eq!(dataset.audio(&Segment { performance: 3, start: 3.0 })[24_000], 0.0, "silence after the end");
        assert_eq!(
            spread(5, 2).chain(spread(2, 5)).chain(spread(0, 3)).chain(spread(3, 0)).collect::<Vec<_>>(),
            [1, 3, 0, 1]
        );
    }
}
