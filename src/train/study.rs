//! A model with its parameters, its configuration and its data: what training makes and evaluation reads.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::batches::{Assembler, Batch};
use super::checkpoint::{self, ModelFile};
use super::controls::Turn;
use super::corpus;
use crate::arms::Arm;
use crate::config::{CONFIG_FILE, Config};
use crate::data::augment::Augmenter;
use crate::data::maestro::Split;
use crate::data::segments::Segment;
use crate::device::{DType, Device};
use crate::error::{Error, Result};
use crate::eval::condition::Condition;
use crate::eval::pools::Item;
use crate::eval::retrieval::Embeddings;
use crate::eval::view::View;
use crate::loss::Side;
use crate::model::{AudioBatch, MidiBatch, Model, ModelSpec};
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

/// What one layer holds of some segments.
pub struct Layer {
    /// `audio.0`, …
    pub name: String,
    /// Width.
    pub dim: usize,
    /// [n, dim]
    pub values: Vec<f32>,
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
        let ModelFile { mut tensors, meta } = checkpoint::load_model(run)?;
        let arm = config.arm()?.name;
        if let Some(meta) = meta.filter(|meta| meta.arm != arm && meta.arm != config.arm) {
            let expected = format!("{arm}, as in {}", run.join(CONFIG_FILE).display());
            return Err(Error::input(&tensors.path, "metadata arm", expected, meta.arm));
        }
        let mut study = Study::new(config, device)?;
        study.parameters.load(&mut tensors)?;
        tensors.finish()?;
        Ok(study)
    }

    /// The segments of a split, by performance and start.
    ///
    /// # Errors
    /// Where there are fewer than two; `run` is named as the place to mend that.
    pub fn segments_to_tell_apart(&self, run: &Path, split: Split) -> Result<Vec<Segment>> {
        let segments = self.assembler.dataset().segments(split, None);
        if segments.len() < 2 {
            let found = format!("{} in the {split} split", segments.len());
            let error = Error::input(run, "data", "two segments or more to tell apart", found);
            return Err(error.hint("eval.split=… names another"));
        }
        Ok(segments)
    }

    /// Embeds every segment of a split, in evaluation mode. Empty where the split is.
    pub fn embed(&self, split: Split) -> Result<Embedded> {
        self.embed_under(split, Condition::Clean)
    }

    /// As [`Study::embed`], of segments changed as `condition` says.
    pub fn embed_under(&self, split: Split, condition: Condition) -> Result<Embedded> {
        self.embed_through(split, Arc::new(condition), [true; 2])
    }

    /// As [`Study::embed`], of segments as `view` shows them; a side (audio, MIDI) that `sides` does not ask for stays empty.
    pub fn embed_through(&self, split: Split, view: Arc<dyn View>, sides: [bool; 2]) -> Result<Embedded> {
        self.embed_segments(self.assembler.dataset().segments(split, None), view, sides)
    }

    /// As [`Study::embed_through`], of these segments.
    pub fn embed_segments(&self, segments: Vec<Segment>, view: Arc<dyn View>, sides: [bool; 2]) -> Result<Embedded> {
        let assembler = self.assembler.through(view);
        let items = segments.iter().map(|segment| Item::of(assembler.dataset(), segment)).collect();
        let mut embedded = [Vec::new(), Vec::new()];
        self.pass("embedding", &assembler, &segments, |cx, _, recordings, notes| {
            if sides[Side::Audio as usize] {
                let audio = self.model.embed_audio(&cx, recordings)?;
                embedded[0].extend_from_slice(audio.value().to_host()?.as_slice::<f32>());
            }
            if sides[Side::Midi as usize] {
                let midi = self.model.embed_midi(&cx, notes)?;
                embedded[1].extend_from_slice(midi.value().to_host()?.as_slice::<f32>());
            }
            Ok(())
        })?;
        let [audio, midi] = embedded;
        Ok(Embedded { segments, items, dim: self.config.model.head.out, audio, midi })
    }

    /// What the layers of both encoders (audio, MIDI) hold of `segments`: means over the rows of each after every block, in order.
    pub fn activations(&self, segments: &[Segment]) -> Result<[Vec<Layer>; 2]> {
        let mut found = [Vec::new(), Vec::new()];
        self.pass("layers", &self.assembler, segments, |cx, _, recordings, notes| {
            let cx = cx.probing();
            self.model.embed_audio(&cx, recordings)?;
            self.model.embed_midi(&cx, notes)?;
            let probes = cx.finish().probes;
            for (side, layers) in ["audio", "midi"].into_iter().zip(&mut found) {
                for (i, value) in (0..).map_while(|i| Some((i, probes.get(&format!("{side}.layers.{i}.mean"))?))) {
                    if layers.len() == i {
                        let dim = value.shape()[1];
                        layers.push(Layer { name: format!("{side}.{i}"), dim, values: Vec::new() });
                    }
                    layers[i].values.extend_from_slice(value.to_host()?.as_slice::<f32>());
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Queries [tokens, d] and keys [frames, d] of the audio encoder's reverse cross-attention by a descriptor of audio, as `look` sees
    /// them, one segment after the other.
    ///
    /// # Errors
    /// [`Error::Op`] where the arm has none.
    pub fn audio_attention<T: Send>(
        &self,
        segments: &[Segment],
        look: impl Fn(&Segment, &[f32], &[f32]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let mut seen = Vec::new();
        self.pass("attention", &self.assembler, segments, |cx, batch, recordings, _| {
            let cx = cx.probing();
            self.model.embed_audio(&cx, recordings)?;
            let probes = cx.finish().probes;
            let [queries, keys] = ["audio.inj.q", "audio.inj.k"].map(|name| {
                let missing = || Error::op("attention", "arm", "reverse cross-attention of audio", &*self.arm.name);
                probes.get(name).ok_or_else(missing)?.to_host()
            });
            let (queries, keys) = (queries?, keys?);
            let each = |rows: &'_ [f32]| rows.len() / batch.len();
            let (queries, keys) = (queries.as_slice::<f32>(), keys.as_slice::<f32>());
            let pairs = queries.par_chunks(each(queries)).zip(keys.par_chunks(each(keys)));
            seen.par_extend(batch.par_iter().zip(pairs).map(|(segment, (q, k))| look(segment, q, k)));
            Ok(())
        })?;
        Ok(seen)
    }

    /// Shows `segments` to `each` in evaluation mode, a batch with its inputs where the model is after the other.
    fn pass(
        &self,
        what: &'static str,
        assembler: &Assembler,
        segments: &[Segment],
        mut each: impl FnMut(Context, &[Segment], &AudioBatch, &MidiBatch) -> Result<()>,
    ) -> Result<()> {
        let progress = Progress::new(what, segments.len() as u64, "segments");
        let (device, dtype) = (self.parameters.device(), self.parameters.dtype());
        for batch in segments.chunks(EMBED_BATCH) {
            let tape = Tape::inference();
            let cx = Context::new(&tape, &self.parameters, Mode::Eval);
            let Batch { audio, midi, .. } = assembler.batch(batch.to_vec(), Turn::Evaluation);
            each(cx, batch, &audio.to_device(device, dtype)?, &midi.to_device(device, dtype)?)?;
            progress.advance(batch.len() as u64);
        }
        Ok(())
    }
}
