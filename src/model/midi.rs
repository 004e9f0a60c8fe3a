//! The MIDI encoder (paper, section 3.2, tables 17 and 18): note embeddings, descriptor injection, positions, pre-norm
//! Transformer blocks, mean over notes, LayerNorm.

use std::sync::Mutex;

use super::injection::{Injected, Injector};
use super::stack::{Stack, experts};
use super::{MidiBatch, ModelSpec, Onset};
use crate::arms::Arm;
use crate::descriptors::duration::BUCKETS;
use crate::device::{DType, Mirrored};
use crate::error::{Error, Result};
use crate::loss::Side;
use crate::nn::{BlockSpec, Builder, Context, Embedding, LayerNorm, Linear, Norm};
use crate::ops::Ragged;
use crate::ops::add::add;
use crate::ops::concat::concat;
use crate::ops::pool::mean_pool;
use crate::ops::positions::{add_positions, add_sinusoids};
use crate::tape::Var;
use crate::tensor::Tensor;

/// Pitches, and velocities, of MIDI.
const SYMBOLS: usize = 128;
/// Longest wavelength of sinusoidal positions is 2π times this.
const SINUSOID_BASE: f64 = 10_000.0;
/// With onsets as positions, one unit of position lasts 10 ms: the shortest wavelength is then 63 ms, and a segment spans
/// 400 units, of the order of its number of notes.
const ONSET_UNIT: f64 = 0.01;

/// The MIDI encoder.
pub struct MidiEncoder {
    pitch: Embedding,
    velocity: Embedding,
    duration: Embedding,
    linear: Linear,
    norm: LayerNorm,
    injector: Option<Injector>,
    stack: Stack,
    last: LayerNorm,
    onset: Onset,
    d: usize,
    /// Most rows of a sample: notes, or rows of a descriptor in their place.
    max_rows: usize,
    /// Sinusoids of every index [max_rows, d], on the device that asked last.
    indices: Mutex<Option<Tensor>>,
    /// Their frequencies `[d/2]`, which onsets are multiplied by.
    frequencies: Mirrored<f32>,
}

impl MidiEncoder {
    /// Declares `midi.pitch`, `.vel`, `.dur`, `.lin`, `.norm`, `.inj`, `.layers.i`, `.final`.
    pub fn new(b: &mut Builder, arm: &Arm, spec: &ModelSpec) -> Self {
        let midi = &spec.midi;
        let d = midi.d;
        let block = BlockSpec { d, heads: midi.heads, ff: midi.ff, norm: Norm::Pre };
        MidiEncoder {
            pitch: Embedding::new(b, "midi.pitch", SYMBOLS, d / 2),
            velocity: Embedding::new(b, "midi.vel", SYMBOLS, d / 4),
            duration: Embedding::new(b, "midi.dur", BUCKETS, d / 4),
            linear: Linear::new(b, "midi.lin", d / 2 + 2 * (d / 4), d),
            norm: LayerNorm::new(b, "midi.norm", d),
            injector: arm.midi.map(|i| Injector::new(b, "midi.inj", i, (d, midi.layers), spec)),
            stack: Stack::new(b, "midi.layers", midi.layers, block, experts(arm, Side::Midi)),
            last: LayerNorm::new(b, "midi.final", d),
            onset: midi.onset,
            d,
            max_rows: midi.max_notes.max(spec.audio.descriptor_frames),
            indices: Mutex::default(),
            frequencies: (0..d.div_ceil(2)).map(|i| frequency(2 * i, d) as f32).collect(),
        }
    }

    /// Packed notes → [B, d].
    pub fn apply(&self, cx: &Context, batch: &MidiBatch) -> Result<Var> {
        let (pitch, velocity) = (self.pitch.apply(cx, &batch.pitch)?, self.velocity.apply(cx, &batch.velocity)?);
        let duration = self.duration.apply(cx, &batch.duration)?;
        let joined = concat(cx.tape, &[&pitch, &velocity, &duration])?;
        let mut x = self.norm.apply(cx, &self.linear.apply(cx, &joined)?)?;
        let mut rows = batch.rows.clone();
        let mut modulation = None;
        if let Some(injector) = &self.injector {
            let given = injector.given("MIDI encoder", &batch.descriptor)?;
            let descriptor = injector.descriptor(cx, given)?;
            Injected { x, rows, modulation } = injector.apply(cx, &x, &rows, &descriptor, &given.1)?;
        }
        x = self.add_positions(cx, batch, &x, &rows)?;
        x = self.stack.apply(cx, &x, &rows, modulation.as_ref())?;
        self.last.apply(cx, &mean_pool(cx.tape, &x, &rows)?)
    }

    /// x plus sinusoidal positions of the rows of every sample: by their index, or by the onsets of notes.
    fn add_positions(&self, cx: &Context, batch: &MidiBatch, x: &Var, rows: &Ragged) -> Result<Var> {
        if self.onset == Onset::Seconds && *rows != batch.rows {
            let got = "rows of a descriptor of audio in their place";
            return Err(Error::op("MIDI encoder", "midi.onset=seconds", "notes, which have onsets", got));
        }
        let device = x.value().device();
        if device.is_cpu() {
            return add(cx.tape, x, &self.positions(batch, x, rows));
        }
        if self.onset == Onset::Seconds {
            return add_sinusoids(cx.tape, x, &batch.onset, &self.frequencies, ONSET_UNIT);
        }
        let mut indices = self.indices.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let table = match indices.take().filter(|t| t.device() == device && t.dtype() == x.dtype()) {
            Some(known) => known,
            None => {
                let values: Vec<f64> = (0..self.max_rows).flat_map(|i| sinusoid(i as f64, self.d)).collect();
                Tensor::from_f64(&[self.max_rows, self.d], &values, DType::F32).to_device(device, x.dtype())?
            }
        };
        let table = Var::constant(indices.insert(table).clone());
        add_positions(cx.tape, x, &table, rows)
    }

    /// Sinusoidal positions of every row [ΣT, d].
    fn positions(&self, batch: &MidiBatch, like: &Var, rows: &Ragged) -> Var {
        let index = (0..rows.batch()).flat_map(|b| 0..rows.length(b));
        let positions: Vec<f64> = match self.onset {
            Onset::Index => index.map(|i| i as f64).collect(),
            Onset::Seconds => batch.onset.iter().map(|&t| f64::from(t) / ONSET_UNIT).collect(),
        };
        let table: Vec<f64> = positions.iter().flat_map(|&p| sinusoid(p, self.d)).collect();
        Var::constant(Tensor::from_f64(like.shape(), &table, like.dtype()))
    }
}

/// b^(−2i/d) of column 2i or 2i + 1.
fn frequency(column: usize, d: usize) -> f64 {
    SINUSOID_BASE.powf(-((column / 2 * 2) as f64) / d as f64)
}

/// Interleaved sin(p·b^(−2i/d)), cos(p·b^(−2i/d)) for i = 0 … d/2 (Vaswani et al. 2017).
pub fn sinusoid(position: f64, d: usize) -> impl Iterator<Item = f64> {
    (0..d).map(move |c| {
        let angle = position * frequency(c, d);
        if c % 2 == 0 { angle.sin() } else { angle.cos() }
    })
}
