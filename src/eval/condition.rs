//! Changed conditions: what is left of retrieval where recording and notes are not as well matched as in the data set. Model and
//! baselines meet the same changes on the same queries and pools.

use serde::Serialize;

use crate::data::augment::crop::{crop_audio, crop_notes};
use crate::data::augment::motion::transposed;
use crate::data::note::Note;
use crate::data::segments::{Dataset, Segment, WINDOW_SAMPLES, WINDOW_SECONDS, excerpt};
use crate::eval::view::{Changes, View};

/// Seconds by which a recording is misaligned.
const MISALIGNED: f64 = 1.0;
/// Seconds of a clip.
const CLIP: f64 = 1.0;
/// Semitones by which MIDI is transposed.
const SEMITONES: i32 = 1;

/// One way in which segments are changed before they are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As they are.
    Clean,
    /// Every note a semitone higher than it sounds.
    Transposed,
    /// The recording's window a second later than the notes'.
    Misaligned,
    /// One second in silence.
    Clips,
}

impl Condition {
    /// All of them, the unchanged first.
    pub const ALL: [Condition; 4] = [Condition::Clean, Condition::Transposed, Condition::Misaligned, Condition::Clips];

    /// As settings and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Clean => "clean",
            Condition::Transposed => "transposed",
            Condition::Misaligned => "misaligned",
            Condition::Clips => "clips",
        }
    }

    /// What is done, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Condition::Clean => "recordings and notes as they are",
            Condition::Transposed => "every note of the MIDI a semitone higher than it sounds",
            Condition::Misaligned => {
                "the recording's window a second later than the notes', or a second earlier where the recording ends"
            }
            Condition::Clips => {
                "one second of either side, the middle one or, where no note begins in it, the one that begins with the note \
                 nearest to the middle; silence around it, notes that begin outside it dropped, the others cut at its end"
            }
        }
    }
}

impl View for Condition {
    fn changes(&self) -> Changes {
        let (recording, notes) = match self {
            Condition::Clean => (false, false),
            Condition::Transposed => (false, true),
            Condition::Misaligned => (true, false),
            Condition::Clips => (true, true),
        };
        Changes { recording, notes, ..Changes::default() }
    }

    fn recording(&self, dataset: &Dataset, segment: &Segment) -> Vec<f32> {
        let mut audio = match *self {
            Condition::Misaligned => {
                let samples = dataset.performances[segment.performance as usize].audio.samples();
                let at = |start: f64| (start * f64::from(crate::data::audio::SAMPLE_RATE)).round() as i64;
                let later = at(segment.start + MISALIGNED);
                let fits = later + WINDOW_SAMPLES as i64 <= samples.len() as i64;
                excerpt(samples, if fits { later } else { at(segment.start - MISALIGNED) }, WINDOW_SAMPLES)
            }
            _ => dataset.audio(segment),
        };
        if *self == Condition::Clips {
            crop_audio(&mut audio, clip_start(&dataset.notes(segment)), CLIP);
        }
        audio
    }

    fn notes(&self, dataset: &Dataset, segment: &Segment) -> Vec<Note> {
        let mut notes = dataset.notes(segment);
        match *self {
            Condition::Clean | Condition::Misaligned => {}
            Condition::Transposed => notes.iter_mut().for_each(|n| n.pitch = transposed(n.pitch, SEMITONES)),
            Condition::Clips => {
                let start = clip_start(&notes);
                crop_notes(&mut notes, start, CLIP);
            }
        }
        notes
    }
}

/// Where the clip of a window with `notes` begins, in seconds from the window's start.
fn clip_start(notes: &[Note]) -> f64 {
    let middle = 0.5 * (WINDOW_SECONDS - CLIP);
    if notes.iter().any(|n| (middle..middle + CLIP).contains(&n.onset)) {
        return middle;
    }
    let from_middle = |n: &&Note| (n.onset - 0.5 * WINDOW_SECONDS).abs();
    let nearest = notes.iter().min_by(|a, b| from_middle(a).total_cmp(&from_middle(b)));
    nearest.map_or(middle, |n| n.onset.min(WINDOW_SECONDS - CLIP))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::maestro::Split;
    use crate::data::segments::Performance;

    /// Ten seconds whose samples count milliseconds from 1, with these notes.
    pub(crate) fn played(notes: Vec<Note>) -> Dataset {
        let samples: Vec<i16> = (0..10 * 24_000).map(|n| (n / 24) as i16 + 1).collect();
        let performance = Performance {
            composer: "C".into(),
            title: "T".into(),
            piece: 0,
            composer_id: 0,
            split: Split::Test,
            audio: samples.into(),
            renderings: Vec::new(),
            notes,
        };
        Dataset { performances: vec![performance], ..Dataset::default() }
    }

    fn dataset(onsets: &[f64]) -> Dataset {
        let note = |&onset: &f64| Note { pitch: 127, velocity: 64, onset, duration: 5.0 };
        played(onsets.iter().map(note).collect())
    }

    /// Milliseconds of the performance at a place of the window.
    fn ms(audio: &[f32], at: usize) -> f32 {
        (audio[at] * 32_768.0).round() - 1.0
    }

    #[test]
    fn each_condition_changes_what_it_says() {
        let dataset = dataset(&[2.2, 4.0, 5.9]);
        let segment = |start| Segment { performance: 0, start };
        let clean = Condition::Clean.notes(&dataset, &segment(2.0));
        assert_eq!(clean, dataset.notes(&segment(2.0)));
        assert_eq!(Condition::Clean.recording(&dataset, &segment(2.0)), dataset.audio(&segment(2.0)));

        let transposed = Condition::Transposed.notes(&dataset, &segment(2.0));
        assert!(transposed.iter().all(|n| n.pitch == 116), "there is no key above 127: an octave lower");
        assert_eq!(Condition::Transposed.recording(&dataset, &segment(2.0)), dataset.audio(&segment(2.0)));

        assert_eq!(Condition::Misaligned.notes(&dataset, &segment(2.0)), clean);
        assert_eq!(ms(&Condition::Misaligned.recording(&dataset, &segment(2.0)), 0), 3000.0);
        assert_eq!(ms(&Condition::Misaligned.recording(&dataset, &segment(6.0)), 0), 5000.0, "earlier at the end");

        // An onset at 2.0 s of the window: the middle second holds it.
        let (audio, notes) =
            (Condition::Clips.recording(&dataset, &segment(2.0)), Condition::Clips.notes(&dataset, &segment(2.0)));
        assert_eq!(notes.iter().map(|n| (n.onset, n.duration)).collect::<Vec<_>>(), [(2.0, 0.5)]);
        assert_eq!((audio[35_999], ms(&audio, 36_000), ms(&audio, 59_999), audio[60_000]), (0.0, 3500.0, 4499.0, 0.0));
        // None in the middle second; the nearest note begins in the last.
        let (audio, notes) =
            (Condition::Clips.recording(&dataset, &segment(4.5)), Condition::Clips.notes(&dataset, &segment(4.5)));
        assert_eq!((notes.len(), ms(&audio, (notes[0].onset * 24_000.0) as usize)), (1, 5900.0));
        let late = Condition::Clips.notes(&dataset, &segment(0.1));
        assert_eq!(late.len(), 1);
    }
}
