//! One optimizer step: forward, loss, backward, clipping, AdamW.

use crate::device::{DType, PoolVec};
use crate::error::{Error, Result};
use crate::model::{AudioBatch, MidiBatch, Model};
use crate::nn::{Context, Mode, Parameters};
use crate::ops::vicreg::{VicregSpec, VicregTerms, vicreg};
use crate::optim::{AdamW, clip_scale, global_norm};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// What a forward and backward pass found; nothing of it holds the parameters.
pub struct Passed {
    /// Weighted loss.
    pub loss: f64,
    /// Its unweighted terms.
    pub terms: VicregTerms,
    /// Mean standard deviation of the audio embeddings over the batch: near 0, the space has collapsed.
    pub std_audio: f64,
    /// The same of the MIDI embeddings.
    pub std_midi: f64,
    /// Global norm of the gradient.
    pub grad_norm: f64,
    gradients: PoolVec<f32>,
}

impl Passed {
    /// Whether loss and gradient are numbers.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }

    /// Updates the parameters: the gradient clipped to norm `clip` (0 = not), rate `lr`.
    pub fn apply(&self, parameters: &mut Parameters, adam: &mut AdamW, lr: f64, clip: f64) -> Result<()> {
        let values = parameters.values_mut().ok_or_else(|| {
            Error::op("optimizer", "parameters", "no other holder during the update", "a tape still alive")
        })?;
        adam.update(values, &self.gradients, lr, clip_scale(self.grad_norm, clip));
        Ok(())
    }
}

/// Forward and backward pass in training mode; also moves the running statistics, unless the result is not finite.
pub fn pass(
    model: &Model,
    parameters: &mut Parameters,
    (audio, midi): (&AudioBatch, &MidiBatch),
    loss: &VicregSpec,
    mode: Mode,
) -> Result<Passed> {
    let tape = Tape::recording();
    let cx = Context::new(&tape, parameters, mode);
    let audio = model.embed_audio(&cx, audio)?;
    let midi = model.embed_midi(&cx, midi)?;
    let (loss, terms) = vicreg(&tape, &audio, &midi, loss)?;
    let done = cx.finish();
    let mut gradients = tape.backward(&loss, Tensor::one(DType::F32))?;
    let flat = parameters.flatten::<f32>(&done.vars, &mut gradients);
    let passed = Passed {
        loss: loss.value().item(),
        terms,
        std_audio: spread(&audio),
        std_midi: spread(&midi),
        grad_norm: global_norm(&flat),
        gradients: flat,
    };
    if passed.is_finite() {
        done.update_running_statistics(parameters);
    }
    Ok(passed)
}

/// Mean over dimensions of the standard deviation over the batch.
fn spread(embeddings: &Var) -> f64 {
    let (rows, d) = (embeddings.value().rows(), embeddings.value().cols());
    let x = embeddings.value().to_f64();
    let deviation = |c: usize| {
        let column = || x[c..].iter().step_by(d);
        let mean = column().sum::<f64>() / rows as f64;
        (column().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (rows - 1) as f64).sqrt()
    };
    (0..d).map(deviation).sum::<f64>() / d as f64
}
