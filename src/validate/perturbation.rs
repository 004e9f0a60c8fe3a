//! Inputs changed on purpose (paper, sections 5.3 and 5.6): what is left of S, of the model's and of what learns nothing.

use super::findings::{Judgement, Row, Table, Unit, Verdict};
use super::subject::Subject;
use crate::data::audio::SAMPLE_RATE;
use crate::data::augment::motion::transposed;
use crate::data::augment::noise::add_noise;
use crate::data::note::Note;
use crate::data::segments::{Dataset, Segment, WINDOW_SAMPLES, excerpt};
use crate::error::{Error, Result};
use crate::eval::baselines::Baseline;
use crate::eval::bootstrap::{self, Interval};
use crate::eval::canonical::{self, System};
use crate::eval::ranks::Ranks;
use crate::eval::view::{Changes, View};
use crate::random::{Philox, site};

/// The keys of a piano, as MIDI pitches.
const KEYBOARD: std::ops::RangeInclusive<i32> = 21..=108;

/// A change of one side; the other stays as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Perturbation {
    /// Every note moved by so many semitones.
    Semitones(i32),
    /// The recording's window begins so many samples later than the notes'; silence beyond the ends of the recording.
    Shift(i64),
    /// Velocities times this, rounded and held within 1 and 127.
    Velocity(f64),
    /// White noise over the recording at this signal-to-noise ratio, in decibels, by the power of each window.
    Noise(f64),
}

impl View for Perturbation {
    fn changes(&self) -> Changes {
        let recording = matches!(self, Perturbation::Shift(_) | Perturbation::Noise(_));
        Changes { recording, notes: !recording, ..Changes::default() }
    }

    fn recording(&self, dataset: &Dataset, segment: &Segment) -> Vec<f32> {
        match *self {
            Perturbation::Shift(later) => {
                let first = (segment.start * f64::from(SAMPLE_RATE)).round() as i64 + later;
                excerpt(dataset.performances[segment.performance as usize].audio.samples(), first, WINDOW_SAMPLES)
            }
            Perturbation::Noise(snr) => {
                let mut audio = dataset.audio(segment);
                // The same noise at every level, so that levels differ in nothing else.
                let place = u64::from(segment.performance) << 32 | (1000.0 * segment.start) as u64;
                add_noise(&mut audio, snr, &mut Philox::new(0, site("validate.noise")).stream(place));
                audio
            }
            _ => dataset.audio(segment),
        }
    }

    fn notes(&self, dataset: &Dataset, segment: &Segment) -> Vec<Note> {
        let mut notes = dataset.notes(segment);
        match *self {
            Perturbation::Semitones(k) => {
                notes.iter_mut().for_each(|n| n.pitch = transposed(n.pitch, k));
                // What had to go to another octave may stand elsewhere within its chord.
                notes.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
            }
            Perturbation::Velocity(factor) => {
                let scaled = |velocity: u8| (f64::from(velocity) * factor).round().clamp(1.0, 127.0) as u8;
                notes.iter_mut().for_each(|n| n.velocity = scaled(n.velocity));
            }
            Perturbation::Shift(_) | Perturbation::Noise(_) => {}
        }
        notes
    }
}

/// How retrieval fared.
pub struct Fared {
    /// S of the model.
    pub s: Interval,
    /// Ranks of the model's queries: the same queries and pools whatever was changed.
    pub ranks: Ranks,
    /// The learning-free baselines, shown the same.
    pub baselines: Vec<System>,
}

impl Fared {
    /// With nothing changed.
    pub fn clean(subject: &Subject) -> Result<Self> {
        let found = subject.canonical()?;
        Self::of(found.model.clone(), found.baselines.clone())
    }

    /// Under `perturbation`.
    pub fn under(subject: &Subject, perturbation: Perturbation) -> Result<Self> {
        let embedded = subject.embed(perturbation)?;
        let dataset = subject.dataset();
        let baselines = Baseline::changed(subject.baselines()?, dataset, &embedded.segments, &perturbation);
        let (pairs, items) = (embedded.embeddings(), &embedded.items);
        let found = canonical::evaluate(subject.arm(), pairs, items, &baselines, &subject.protocol())?;
        Self::of(found.model, found.baselines)
    }

    fn of(model: System, baselines: Vec<System>) -> Result<Self> {
        let s = model.canonical.s;
        let ranks = model.ranks.ok_or_else(|| Error::op("validate", "ranks", "one a query", "none"))?;
        Ok(Fared { s, ranks, baselines })
    }
}

/// Figures made of several S at once, resampled over the queries that all share: `figures` is given S of each of `fared`.
pub fn over_queries<const K: usize>(
    fared: &[&Fared],
    seed: u64,
    figures: impl Fn(&[f64]) -> [f64; K] + Sync,
) -> [Interval; K] {
    let queries = fared.iter().map(|fared| fared.ranks.queries()).min().unwrap_or(0);
    bootstrap::intervals(queries, seed, |chosen| {
        figures(&fared.iter().map(|fared| fared.ranks.s(chosen.iter().copied())).collect::<Vec<_>>())
    })
}

/// S of each baseline under each change, a row "name, change" each.
pub fn unlearned(id: &str, title: &str, chance: f64, fared: &[(String, &Fared)]) -> Table {
    let names = fared.first().map_or(0, |(_, fared)| fared.baselines.len());
    let row = |which: usize, (change, fared): &(String, &Fared)| {
        let system = &fared.baselines[which];
        Row::measured(format!("{}, {change}", system.name), system.canonical.s).null(chance)
    };
    let rows = (0..names).flat_map(|which| fared.iter().map(move |fared| row(which, fared))).collect();
    let (source, null) = (String::new(), "chance".into());
    Table { id: id.into(), title: title.into(), source, unit: Unit::Share, null, rows }
}

/// Why claims on what a change costs cannot be judged: there is nothing to lose.
pub fn nothing_to_lose(s: Interval, chance: f64) -> Option<Judgement> {
    let because = format!("S = {} is not surely above chance", Unit::Share.text(s.value));
    (s.low <= chance).then(|| Verdict::NotComparable.because(because))
}

/// Share of the split's notes, over all windows, that `semitones` move beyond the 88 keys of a piano, where no model has been trained.
pub fn beyond_the_keyboard(subject: &Subject, semitones: i32) -> Result<f64> {
    let (mut beyond, mut all) = (0, 0);
    for segment in &subject.embedded()?.segments {
        let notes = subject.dataset().notes(segment);
        all += notes.len();
        beyond += notes.iter().filter(|n| !KEYBOARD.contains(&(i32::from(n.pitch) + semitones))).count();
    }
    Ok(beyond as f64 / all.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::noise::power;
    use crate::eval::condition::tests::played;

    fn dataset() -> Dataset {
        let note = |&(pitch, velocity, onset): &(u8, u8, f64)| Note { pitch, velocity, onset, duration: 1.0 };
        played([(60, 1, 2.2), (125, 64, 4.0), (126, 120, 4.0)].iter().map(note).collect())
    }

    #[test]
    fn each_changes_one_side_by_what_it_says() {
        let (dataset, segment) = (dataset(), Segment { performance: 0, start: 2.0 });
        let (audio, notes) = (dataset.audio(&segment), dataset.notes(&segment));
        let all = [
            Perturbation::Semitones(1),
            Perturbation::Shift(-8000),
            Perturbation::Velocity(0.5),
            Perturbation::Noise(10.0),
        ];
        for perturbation in all {
            let Changes { recording, notes: played, descriptors } = perturbation.changes();
            assert!(recording != played && descriptors == [false; 2]);
            assert_eq!(perturbation.recording(&dataset, &segment) != audio, recording, "{perturbation:?}");
            assert_eq!(perturbation.notes(&dataset, &segment) != notes, played, "{perturbation:?}");
        }
        let pitches =
            |k| Perturbation::Semitones(k).notes(&dataset, &segment).iter().map(|n| n.pitch).collect::<Vec<_>>();
        assert_eq!(
            (pitches(1), pitches(2)),
            (vec![61, 126, 127], vec![62, 116, 127]),
            "no key above 127: an octave lower"
        );
        let velocities =
            |f| Perturbation::Velocity(f).notes(&dataset, &segment).iter().map(|n| n.velocity).collect::<Vec<_>>();
        assert_eq!((velocities(0.25), velocities(1.5)), (vec![1, 16, 30], vec![2, 96, 127]));
        let ms = |audio: &[f32], at: usize| (audio[at] * 32_768.0).round() - 1.0;
        assert_eq!(ms(&Perturbation::Shift(8000).recording(&dataset, &segment), 0), 2333.0);
        let early = Perturbation::Shift(-8000).recording(&dataset, &Segment { performance: 0, start: 0.0 });
        assert_eq!((early[7999], ms(&early, 8000)), (0.0, 0.0), "silence before the beginning");
        let noise = |snr: f64| -> Vec<f32> {
            let noisy = Perturbation::Noise(snr).recording(&dataset, &segment);
            noisy.iter().zip(&audio).map(|(a, b)| a - b).collect()
        };
        let (loud, soft) = (noise(0.0), noise(20.0));
        assert!((power(&loud) / power(&audio) - 1.0).abs() < 0.01);
        let apart = loud.iter().zip(&soft).map(|(a, b)| (a - 10.0 * b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-3, "the same noise at another level, up to rounding: {apart}");
    }

    #[test]
    fn figures_of_several_conditions_are_resampled_together() {
        let fared = |hits: usize| {
            let ranks: Vec<u32> = (0..500).map(|query| if query < hits { 1 } else { 99 }).collect();
            let ranks = Ranks { audio_to_midi: ranks.clone(), midi_to_audio: ranks };
            let s = Interval { value: hits as f64 / 500.0, low: 0.0, high: 1.0 };
            Fared { s, ranks, baselines: Vec::new() }
        };
        let (clean, half, least) = (fared(400), fared(200), fared(100));
        let [retained, worst] = over_queries(&[&clean, &half, &least], 42, |s| [s[1] / s[0], s[1].min(s[2]) / s[0]]);
        assert_eq!((retained.value, worst.value), (0.5, 0.25));
        // Of the 400 that were found half stay: a binomial share of them.
        let half_width = 1.96 * (0.25f64 / 400.0).sqrt();
        assert!((retained.high - 0.5 - half_width).abs() < 0.006, "{retained:?}");
    }
}
