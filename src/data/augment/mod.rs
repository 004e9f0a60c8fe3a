//! Random changes of training samples (paper, future work 4): what a model hears changed in training, it learns not to mind.
//! All are off unless asked for, and what a sample becomes is a pure function of (seed, step, its place in the batch).
//!
//! | what changes | keys | file |
//! |---|---|---|
//! | pitch and time, of one side or both | `augment.transpose`, `octave`, `shift`, `stretch`, `tempo` | [`motion`], [`stretch`], [`resample`] |
//! | how loud every note is struck | `augment.velocity` | here |
//! | which recording of a performance is heard | `data.renderings` | here |
//! | the room | `augment.room` | [`room`] |
//! | tone and level | `augment.equalise`, `augment.level` | [`equalise`] |
//! | noise | `augment.noise` | [`noise`] |
//! | how much of the window is left | `augment.crop` | [`crop`] |
//! | draws | `augment.chance` | [`draws`] |
//!
//! They apply in this order, to a window on its way into a batch and before descriptors are computed.

pub mod crop;
pub mod draws;
pub mod equalise;
pub mod motion;
pub mod noise;
pub mod resample;
pub mod room;
pub mod stretch;

use draws::{Draws, between, either_way, factor, within};
use motion::Motion;

use super::cache::CachedAudio;
use super::note::Note;
use super::segments::{Dataset, Performance, Segment};
use crate::config::keys::Keyed;
use crate::config::{AugmentConfig, Config, Preset, TransposeOf};

/// A training sample as it is heard and played.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// 96,000 samples at 24 kHz.
    pub audio: Vec<f32>,
    /// By onset then pitch, onsets from the start of the window; never empty where the window is not.
    pub notes: Vec<Note>,
}

/// Changes samples as a configuration says.
#[derive(Debug, Clone)]
pub struct Augmenter {
    keys: AugmentConfig,
    renderings: bool,
    seed: u64,
}

impl Augmenter {
    /// For the training run of `config`; `None` where nothing is to be changed.
    pub fn from_config(config: &Config) -> Option<Self> {
        let AugmentConfig { chance, transpose_of, .. } = config.augment;
        let off = AugmentConfig { chance, transpose_of, ..AugmentConfig::defaults(Preset::Auto) };
        let renderings = config.data.renderings;
        let on = renderings || chance > 0.0 && config.augment != off;
        on.then(|| Augmenter { keys: config.augment.clone(), renderings, seed: config.seed })
    }

    /// What becomes of `segment` as the sample at place `index` of the batch of `step`.
    pub fn sample(&self, dataset: &Dataset, segment: &Segment, step: u64, index: usize) -> Sample {
        let (keys, draws) = (&self.keys, Draws::new(self.seed, step, index));
        let when = |name: &str, on: bool| if on { draws.when(name, keys.chance) } else { None };
        let performance = &dataset.performances[segment.performance as usize];

        let mut motion = self.motion(&draws);
        let mut notes = motion.notes(performance, segment.start);
        if notes.is_empty() {
            // Played slower, the window may end before its first note: such a sample keeps its time.
            motion = Motion { shift: motion.shift, ..Motion::NONE };
            notes = motion.notes(performance, segment.start);
        }
        if let Some(mut stream) = when("augment.velocity", keys.velocity > 0.0) {
            let factor = factor(&mut stream, keys.velocity);
            let scaled = |velocity: u8| (f64::from(velocity) * factor).round().clamp(1.0, 127.0) as u8;
            notes.iter_mut().for_each(|n| n.velocity = scaled(n.velocity));
        }

        let mut audio = motion.audio(self.recording(performance, &draws).samples(), segment.start);
        if let Some(seconds) = keys.room
            && let Some(mut stream) = when("augment.room", true)
        {
            room::add_room(&mut audio, seconds, &mut stream);
        }
        if let Some(mut stream) = when("augment.equalise", keys.equalise > 0.0) {
            equalise::equalise(&mut audio, keys.equalise, &mut stream);
        }
        if let Some(mut stream) = when("augment.level", keys.level > 0.0) {
            equalise::level(&mut audio, between(&mut stream, -keys.level, keys.level));
        }
        if let Some(snr) = keys.noise
            && let Some(mut stream) = when("augment.noise", true)
        {
            let snr = within(&mut stream, snr);
            noise::add_noise(&mut audio, snr, &mut stream);
        }
        if let Some(seconds) = keys.crop
            && let Some(mut stream) = when("augment.crop", true)
        {
            let seconds = within(&mut stream, seconds);
            let start = crop::place(&mut stream, &notes, seconds);
            crop::crop_audio(&mut audio, start, seconds);
            crop::crop_notes(&mut notes, start, seconds);
        }
        Sample { audio, notes }
    }

    /// What moves in pitch and time.
    fn motion(&self, draws: &Draws) -> Motion {
        let keys = &self.keys;
        let mut motion = Motion::NONE;
        let when = |name: &str, on: bool| if on { draws.when(name, keys.chance) } else { None };
        if let Some(mut stream) = when("augment.transpose", keys.transpose > 0) {
            motion.semitones = either_way(&mut stream, keys.transpose);
            if keys.transpose_of == TransposeOf::Both {
                motion.speed = libm::exp2(f64::from(motion.semitones) / 12.0);
            }
        }
        if let Some(mut stream) = when("augment.octave", keys.octave > 0) {
            motion.semitones += 12 * either_way(&mut stream, keys.octave);
        }
        if let Some(mut stream) = when("augment.stretch", keys.stretch > 0.0) {
            motion.stretch = factor(&mut stream, keys.stretch);
        }
        if let Some(mut stream) = when("augment.tempo", keys.tempo > 0.0) {
            motion.tempo = factor(&mut stream, keys.tempo);
        }
        if let Some(mut stream) = when("augment.shift", keys.shift > 0.0) {
            motion.shift = between(&mut stream, -keys.shift, keys.shift);
        }
        motion
    }

    /// The recording of `performance` that is heard.
    fn recording<'a>(&self, performance: &'a Performance, draws: &Draws) -> &'a CachedAudio {
        let others = if self.renderings { performance.renderings.as_slice() } else { &[] };
        match draws.of("data.renderings").below(1 + others.len() as u64) {
            0 => &performance.audio,
            other => &others[other as usize - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::maestro::Split;

    fn dataset() -> Dataset {
        let sine =
            |hz: f32| (0..30 * 24_000).map(|n| (8_000.0 * (n as f32 * hz * 2.618e-4).sin()) as i16).collect::<Vec<_>>();
        let note = |i: u8| Note { pitch: 40 + i, velocity: 60 + i, onset: 0.9 * f64::from(i), duration: 0.5 };
        let performance = Performance {
            composer: "C".into(),
            title: "T".into(),
            piece: 0,
            composer_id: 0,
            split: Split::Train,
            audio: sine(440.0).into(),
            renderings: vec![sine(300.0).into(), vec![0; 30 * 24_000].into()],
            notes: (0..30).map(note).collect(),
        };
        Dataset { performances: vec![performance], ..Dataset::default() }
    }

    fn augmenter(keys: &[&str]) -> Option<Augmenter> {
        let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
        Augmenter::from_config(&Config::resolve(&keys, false).unwrap())
    }

    /// Everything at once.
    const ALL: [&str; 14] = [
        "augment.velocity=0.3",
        "augment.transpose=3",
        "augment.transpose_of=both",
        "augment.octave=1",
        "augment.shift=1",
        "augment.stretch=0.2",
        "augment.tempo=0.1",
        "augment.room=0.2..1.5",
        "augment.equalise=9",
        "augment.level=12",
        "augment.noise=0..40",
        "augment.crop=1..4",
        "data.renderings=true",
        "seed=5",
    ];

    #[test]
    fn nothing_is_changed_unless_asked_for() {
        assert!(augmenter(&[]).is_none());
        assert!(augmenter(&["augment.chance=0.5", "augment.transpose_of=both"]).is_none());
        assert!(augmenter(&["augment.chance=0", "augment.noise=10..20"]).is_none());
        let (dataset, segment) = (dataset(), Segment { performance: 0, start: 3.0 });
        // Renderings alone: the window as it is, of one recording or another.
        let augmenter = augmenter(&["data.renderings=true"]).unwrap();
        let mut seen = [0; 3];
        for step in 0..60 {
            let sample = augmenter.sample(&dataset, &segment, step, 0);
            assert_eq!(sample.notes, dataset.notes(&segment));
            let performance = &dataset.performances[0];
            let which = std::iter::once(&performance.audio).chain(&performance.renderings);
            let which =
                which.map(|audio| Motion::NONE.audio(audio.samples(), 3.0)).position(|audio| audio == sample.audio);
            seen[which.unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| count > 8), "{seen:?}");
    }

    #[test]
    fn a_sample_is_a_function_of_seed_step_and_place_and_always_fit_to_train_on() {
        let (dataset, segment) = (dataset(), Segment { performance: 0, start: 3.0 });
        let (one, other) = (augmenter(&ALL).unwrap(), augmenter(&ALL[..13]).unwrap());
        for step in 0..40 {
            let sample = one.sample(&dataset, &segment, step, 1);
            assert_eq!(sample, one.sample(&dataset, &segment, step, 1));
            assert_ne!(sample, one.sample(&dataset, &segment, step, 2));
            assert_ne!(sample.notes, other.sample(&dataset, &segment, step, 1).notes);
            assert!(sample.audio.len() == 96_000 && sample.audio.iter().all(|x| x.is_finite()));
            let fits = |n: &Note| (0.0..4.0).contains(&n.onset) && n.duration > 0.0 && n.pitch < 128 && n.velocity > 0;
            assert!(!sample.notes.is_empty() && sample.notes.iter().all(fits), "{:?}", sample.notes);
            assert!(sample.notes.is_sorted_by_key(|n| n.onset));
        }
    }

    #[test]
    fn a_window_that_would_lose_its_only_note_keeps_its_time() {
        let mut dataset = dataset();
        dataset.performances[0].notes = vec![Note { pitch: 60, velocity: 64, onset: 6.9, duration: 0.5 }];
        let augmenter = augmenter(&["augment.stretch=1", "augment.transpose=5"]).unwrap();
        for step in 0..50 {
            assert_eq!(augmenter.sample(&dataset, &Segment { performance: 0, start: 3.0 }, step, 0).notes.len(), 1);
        }
    }

    #[test]
    fn velocities_are_scaled_and_nothing_else() {
        let (dataset, segment) = (dataset(), Segment { performance: 0, start: 0.0 });
        let augmenter = augmenter(&["augment.velocity=0.5"]).unwrap();
        let plain = dataset.notes(&segment);
        let sample = augmenter.sample(&dataset, &segment, 3, 0);
        assert_eq!(sample.audio, dataset.audio(&segment));
        let ratio = f64::from(sample.notes[0].velocity) / f64::from(plain[0].velocity);
        assert!(ratio != 1.0 && (0.65..1.52).contains(&ratio), "{ratio}");
        for (new, old) in sample.notes.iter().zip(&plain) {
            assert!((f64::from(new.velocity) / f64::from(old.velocity) - ratio).abs() < 0.02);
            assert_eq!(Note { velocity: old.velocity, ..*new }, *old);
        }
    }
}
