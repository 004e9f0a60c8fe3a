//! The model a battery questions, with what its tests share: embeddings and activations are computed once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::arms::Injection;
use crate::data::maestro::Split;
use crate::data::segments::{Dataset, Segment};
use crate::descriptors::Domain;
use crate::error::Result;
use crate::eval::baselines::Baseline;
use crate::eval::bootstrap::Interval;
use crate::eval::canonical::{self, Canonical};
use crate::eval::condition::Condition;
use crate::eval::pools::{Item, Pools, Protocol};
use crate::eval::view::{Changes, View};
use crate::loss::Side;
use crate::train::study::{Embedded, Layer, Study};

/// How much is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Pairs for similarities of representations (the paper: 500).
    pub pairs: usize,
    /// Pairs in maps of the embedding space (the paper: 2,000).
    pub map_pairs: usize,
}

/// A trained model on a split of its data.
pub struct Subject {
    /// The run folder.
    pub run: PathBuf,
    /// Model, parameters, configuration and data.
    pub study: Study,
    /// The split that is asked about.
    pub split: Split,
    /// How much is computed.
    pub sizes: Sizes,
    /// Those of the split, by performance and start.
    segments: Vec<Segment>,
    embedded: OnceCell<Embedded>,
    baselines: OnceCell<[Baseline; 2]>,
    canonical: OnceCell<Canonical>,
    activations: OnceCell<[Vec<Layer>; 2]>,
    fingerprint: OnceCell<String>,
}

impl Subject {
    /// `study` (of the run folder `run`) on `split`.
    ///
    /// # Errors
    /// Where the split has fewer than two segments.
    pub fn new(run: &Path, study: Study, split: Split, sizes: Sizes) -> Result<Self> {
        let segments = study.segments_to_tell_apart(run, split)?;
        let (embedded, baselines, canonical, activations, fingerprint) = Default::default();
        let run = run.to_path_buf();
        Ok(Subject { run, study, split, sizes, segments, embedded, baselines, canonical, activations, fingerprint })
    }

    /// Name of the arm.
    pub fn arm(&self) -> &str {
        &self.study.arm.name
    }

    /// The data.
    pub fn dataset(&self) -> &Dataset {
        self.study.assembler.dataset()
    }

    /// The arm's injections with the encoder they enter (0 = audio, 1 = MIDI).
    pub fn injections(&self) -> impl Iterator<Item = (usize, Injection)> {
        let arm = &self.study.arm;
        [arm.audio, arm.midi].into_iter().enumerate().filter_map(|(side, injection)| Some((side, injection?)))
    }

    /// What tests call the descriptor that enters the encoder of `side`: its name, and where both encoders get the same one, in which.
    pub fn descriptor_name(&self, side: Side) -> String {
        let name = |injection: Option<Injection>| injection.map_or("none", |injection| injection.descriptor.name());
        let [audio, midi] = [self.study.arm.audio, self.study.arm.midi].map(name);
        let (own, encoder) = match side {
            Side::Audio => (audio, "audio"),
            Side::Midi => (midi, "MIDI"),
        };
        if audio == midi { format!("{own} in the {encoder} encoder") } else { own.into() }
    }

    /// 16 digits that are the same for the same model on the same recordings and notes.
    pub fn fingerprint(&self) -> Result<&str> {
        let make = || {
            let mut hasher = blake3::Hasher::new();
            let snapshot = self.study.parameters.snapshot()?;
            for tensor in self.study.parameters.tensors(&snapshot) {
                hasher.update(tensor.name.as_bytes()).update(bytemuck::cast_slice(tensor.data));
            }
            for performance in self.dataset().performances.iter().filter(|p| p.split == self.split) {
                hasher.update(performance.composer.as_bytes()).update(performance.title.as_bytes());
                for note in &performance.notes {
                    hasher.update(&[note.pitch, note.velocity]);
                    hasher.update(&note.onset.to_le_bytes()).update(&note.duration.to_le_bytes());
                }
                hasher.update(bytemuck::cast_slice(performance.audio.samples()));
            }
            Ok(hasher.finalize().to_hex()[..16].to_string())
        };
        once(&self.fingerprint, make).map(String::as_str)
    }

    /// How queries and pools are drawn.
    pub fn protocol(&self) -> Protocol {
        self.study.config.protocol()
    }

    /// Every segment of the split, embedded as it is.
    pub fn embedded(&self) -> Result<&Embedded> {
        once(&self.embedded, || self.study.embed(self.split))
    }

    /// What the learning-free baselines make of every segment of the split as it is.
    pub fn baselines(&self) -> Result<&[Baseline; 2]> {
        once(&self.baselines, || Ok(Baseline::both(self.dataset(), &self.segments, &Condition::Clean)))
    }

    /// The canonical evaluation of the split as it is, with the learning-free baselines.
    pub fn canonical(&self) -> Result<&Canonical> {
        once(&self.canonical, || {
            let (embedded, baselines) = (self.embedded()?, self.baselines()?);
            let pairs = embedded.embeddings();
            canonical::evaluate(self.arm(), pairs, &embedded.items, baselines, &self.protocol())
        })
    }

    /// Every segment of the split as `view` shows it. Only what the view touches is computed again.
    pub fn embed(&self, view: impl View + 'static) -> Result<Embedded> {
        let (clean, sides) = (self.embedded()?, self.touched(view.changes()));
        let mut embedded = self.study.embed_through(self.split, Arc::new(view), sides)?;
        if !sides[0] {
            embedded.audio.clone_from(&clean.audio);
        }
        if !sides[1] {
            embedded.midi.clone_from(&clean.midi);
        }
        Ok(embedded)
    }

    /// The segments numbered `chosen` (as [`Subject::pairs`] counts them) as `view` shows them; a side that it leaves as it is stays empty.
    pub fn embed_some(&self, chosen: &[usize], view: impl View + 'static) -> Result<Embedded> {
        let sides = self.touched(view.changes());
        self.study.embed_segments(self.numbered(chosen), Arc::new(view), sides)
    }

    /// Which encoders (audio, MIDI) see anything of `changes`: their own input, or a descriptor of either.
    fn touched(&self, changes: Changes) -> [bool; 2] {
        let mut sides = [changes.recording, changes.notes];
        for (side, injection) in self.injections() {
            sides[side] |= changes.descriptors[side]
                || match injection.descriptor.domain() {
                    Domain::Audio => changes.recording,
                    Domain::Midi => changes.notes,
                };
        }
        sides
    }

    /// The canonical evaluation of changed embeddings, on the queries and pools of the unchanged ones; no baselines.
    pub fn evaluate(&self, embedded: &Embedded) -> Result<Canonical> {
        canonical::evaluate(self.arm(), embedded.embeddings(), &embedded.items, &[], &self.protocol())
    }

    /// S of changed embeddings, and how far it is from that of the unchanged ones, paired by query.
    pub fn compare(&self, embedded: &Embedded) -> Result<(Interval, Interval)> {
        let (changed, clean) = (self.evaluate(embedded)?.model, &self.canonical()?.model);
        let ranks = changed.ranks.as_ref().zip(clean.ranks.as_ref());
        let paired = ranks.and_then(|(a, b)| crate::eval::difference::paired(&[a], &[b], self.protocol().seed));
        let independent = || crate::eval::difference::independent(&changed.canonical.s, &clean.canonical.s);
        Ok((changed.canonical.s, paired.unwrap_or_else(independent)))
    }

    /// The segments of [`Subject::activations`], as indices into those of [`Subject::embedded`]: the first [`Sizes::pairs`] queries.
    pub fn pairs(&self) -> Result<Vec<usize>> {
        let protocol = Protocol { queries: self.sizes.pairs, ..self.protocol() };
        let items: Vec<Item> = self.segments.iter().map(|segment| Item::of(self.dataset(), segment)).collect();
        let queries = Pools::draw(&items, &protocol)?.queries;
        Ok(queries.iter().map(|&query| query as usize).collect())
    }

    /// Means over the rows of every layer of both encoders, of the segments of [`Subject::pairs`].
    pub fn activations(&self) -> Result<&[Vec<Layer>; 2]> {
        once(&self.activations, || self.study.activations(&self.numbered(&self.pairs()?)))
    }

    fn numbered(&self, chosen: &[usize]) -> Vec<Segment> {
        chosen.iter().map(|&i| self.segments[i]).collect()
    }
}

/// The value of a cell that is filled at most once, by what may fail.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
