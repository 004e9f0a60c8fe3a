//! A model with its parameters, its configuration and its data: what training makes and evaluation reads.

use std::path::Path;
use std::sync::Arc;

use super::batches::{Assembler, Batch};
use super::checkpoint::{self, ModelFile};
use super::controls::Turn;
use super::corpus;
use crate::arms::Arm;
use crate::config::Config;
use crate::data::augment::Augmenter;
use crate::data::maestro::Split;
use crate::data::segments::Segment;
use crate::device::{DType, Device};
use crate::error::Result;
use crate::eval::condition::Condition;
use crate::eval::pools::Item;
use crate::eval::retrieval::Embeddings;
use crate::model::{Model, ModelSpec};
use crate::nn::{Context, Mode, Parameters};
use crate::progress::Progress;
use crate::tape::Tape;

/// Segments embedded at once.
const EMBED_BATCH: usize = 16;

/// A model, what it was configured as, and its data.
pub struct Study {
    /// The resolved configuration.
    pub config: Config,
    /// The arm.
    pub arm: Arm,
    /// Structure of the model.
    pub model: Model,
    /// Values of the model.
    pub parameters: Parameters,
    /// Maker of the model's inputs.
    pub assembler: Arc<Assembler>,
}

/// A split's segments and their embeddings.
pub struct Embedded {
    /// The segments, by performance and start.
    pub segments: Vec<Segment>,
    /// What pools are drawn by, one for each segment.
    pub items: Vec<Item>,
    /// Dimensions of an embedding.
    pub dim: usize,
    /// Audio embeddings [n, dim].
    pub audio: Vec<f32>,
    /// MIDI embeddings [n, dim].
    pub midi: Vec<f32>,
}

impl Embedded {
    /// Both sides, to be ranked.
    pub fn embeddings(&self) -> Embeddings<'_> {
        Embeddings { audio: &self.audio, midi: &self.midi, dim: self.dim }
    }
}

impl Study {
    /// A freshly initialised model of `config` on `device`, over its data.
    pub fn new(config: Config, device: &Device) -> Result<Study> {
        let arm = config.arm()?;
        let dtype = config.precision.on(device)?;
        let dataset = corpus::open(&config)?;
        let (model, mut parameters) = Model::new(&arm, &ModelSpec::from_config(&config), config.seed, DType::F32);
        if !device.is_cpu() {
            parameters = parameters.to_device(device, dtype)?;
        }
        let assembler = Assembler::new(dataset, arm.clone(), config.stft.padding, config.midi.max_notes);
        let assembler = Arc::new(assembler.augmented(Augmenter::from_config(&config)));
        Ok(Study { config, arm, model, parameters, assembler })
    }

    /// The model a run published (its best), on `device`, over the data of `config` (the run's own, possibly adjusted).
    pub fn open(run: &Path, config: Config, device: &Device) -> Result<Study> {
        let ModelFile { mut tensors, .. } = checkpoint::load_model(run)?;
        let mut study = Study::new(config, device)?;
        study.parameters.load(&mut tensors)?;
        tensors.finish()?;
        Ok(study)
    }

    /// Embeds every segment of a split, in evaluation mode. Empty where the split is.
    pub fn embed(&self, split: Split) -> Result<Embedded> {
        self.embed_from(&self.assembler, split)
    }

    /// As [`Study::embed`], of segments changed as `condition` says.
    pub fn embed_under(&self, split: Split, condition: Condition) -> Result<Embedded> {
        self.embed_from(&self.assembler.under(condition), split)
    }

    fn embed_from(&self, assembler: &Assembler, split: Split) -> Result<Embedded> {
        let dataset = assembler.dataset();
        let segments = dataset.segments(split, None);
        let items = segments
            .iter()
            .map(|s| {
                let performance = &dataset.performances[s.performance as usize];
                Item { piece: performance.piece, composer: performance.composer_id, performance: s.performance }
            })
            .collect();
        let progress = Progress::new(format!("embedding {}", split.name()), segments.len() as u64, "segments");
        let (mut audio, mut midi) = (Vec::new(), Vec::new());
        for batch in segments.chunks(EMBED_BATCH) {
            let tape = Tape::inference();
            let cx = Context::new(&tape, &self.parameters, Mode::Eval);
            let (device, dtype) = (self.parameters.device(), self.parameters.dtype());
            let Batch { audio: recordings, midi: notes, .. } = assembler.batch(batch.to_vec(), Turn::Evaluation);
            let a = self.model.embed_audio(&cx, &recordings.to_device(device, dtype)?)?;
            audio.extend_from_slice(a.value().to_host()?.as_slice::<f32>());
            let m = self.model.embed_midi(&cx, &notes.to_device(device, dtype)?)?;
            midi.extend_from_slice(m.value().to_host()?.as_slice::<f32>());
            progress.advance(batch.len() as u64);
        }
        Ok(Embedded { segments, items, dim: self.config.model.head.out, audio, midi })
    }
}
