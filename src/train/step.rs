//! One optimizer step: forward, loss, backward, clipping, AdamW.

use crate::error::Result;
use crate::model::{AudioBatch, MidiBatch, Model};
use crate::nn::{Context, FlatGradients, Mode, Parameters};
use crate::ops::vicreg::{Vicreg, VicregSpec, VicregTerms, vicreg};
use crate::optim::Optimizer;
use crate::tape::Tape;
use crate::tensor::Tensor;

/// What a forward and backward pass found, where it was computed; nothing of it holds the parameters.
pub struct Passed {
    loss: Vicreg,
    audio: Tensor,
    midi: Tensor,
    gradients: FlatGradients,
}

/// The numbers of a pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
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
}

impl Figures {
    /// Whether loss and gradient are numbers.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }
}

impl Passed {
    /// Reads the numbers; waits for a device.
    pub fn figures(&self) -> Result<Figures> {
        Ok(Figures {
            loss: self.loss.loss.value().to_host()?.item(),
            terms: self.loss.terms()?,
            std_audio: spread(&self.audio.to_host()?),
            std_midi: spread(&self.midi.to_host()?),
            grad_norm: self.gradients.norm()?,
        })
    }

    /// Audio and MIDI embeddings [B, D].
    pub fn embeddings(&self) -> [&Tensor; 2] {
        [&self.audio, &self.midi]
    }

    /// Gradients of all parameters.
    pub fn gradients(&self) -> &FlatGradients {
        &self.gradients
    }

    /// Updates the parameters: the gradient clipped to norm `clip` (0 = not), rate `lr`. Waits for nothing: a device leaves
    /// everything as it is where the gradient's norm is not finite.
    pub fn apply(&self, parameters: &mut Parameters, adam: &mut Optimizer, lr: f64, clip: f64) -> Result<()> {
        adam.update(parameters, &self.gradients, lr, clip)
    }
}

/// Forward and backward pass in training mode, on the device of parameters and batch; also moves the running statistics, unless
/// the result is not finite.
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
    let loss = vicreg(&tape, &audio, &midi, loss)?;
    let done = cx.finish();
    let one = Tensor::one_on(loss.loss.value().device(), loss.loss.dtype())?;
    let mut gradients = tape.backward(&loss.loss, one)?;
    let gradients = parameters.gather(&done.vars, &mut gradients)?;
    let passed = Passed { loss, audio: audio.value().clone(), midi: midi.value().clone(), gradients };
    if !parameters.device().is_cpu() || passed.figures()?.is_finite() {
        done.update_running_statistics(parameters, passed.gradients.device_norm())?;
    }
    Ok(passed)
}

/// Mean over dimensions of the standard deviation over the batch.
fn spread(embeddings: &Tensor) -> f64 {
    let (rows, d) = (embeddings.rows(), embeddings.cols());
    let x = embeddings.to_f64();
    let deviation = |c: usize| {
        let column = || x[c..].iter().step_by(d);
        let mean = column().sum::<f64>() / rows as f64;
        (column().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (rows - 1) as f64).sqrt()
    };
    (0..d).map(deviation).sum::<f64>() / d as f64
}
