//! One optimizer step: forward, loss, backward, clipping, AdamW.

use super::log::TrainRecord;
use crate::device::{In, Lane, Memory, Mirrored};
use crate::error::{Error, Result};
use crate::loss::{Loss, LossSpec, MOST_TERMS, Term};
use crate::model::{AudioBatch, MidiBatch, Model};
use crate::nn::{Context, FlatGradients, Mode, Parameters};
use crate::ops::vicreg::VicregTerms;
use crate::optim::{DeviceAdamW, Optimizer};
use crate::tape::Tape;
use crate::tensor::Tensor;

/// What a forward and backward pass found, where it was computed; nothing of it holds the parameters.
pub struct Passed {
    loss: Loss,
    audio: Tensor,
    midi: Tensor,
    gradients: FlatGradients,
}

/// The numbers of a pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// What is minimised: the weighted sum of all terms.
    pub loss: f64,
    /// Terms between audio and MIDI, unweighted.
    pub terms: VicregTerms,
    /// The other terms, unweighted, in the order of [`Model::terms`]; 0 behind the last.
    pub others: [f64; MOST_TERMS],
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

/// Numbers that [`Passed::report`] writes and [`Figures::reported`] takes.
pub use crate::loss::REPORTED;

impl Figures {
    /// What [`Passed::report`] wrote.
    pub fn reported(numbers: [f32; REPORTED]) -> Self {
        let [loss, invariance, variance, covariance, std_audio, std_midi, grad_norm, others @ ..] =
            numbers.map(f64::from);
        let terms = VicregTerms { invariance, variance, covariance };
        Figures { loss, terms, others, std_audio, std_midi, grad_norm }
    }

    /// Puts them into a record of the log; `others` names the terms beside VICReg's.
    pub fn enter(&self, record: &mut TrainRecord, others: &[Term]) {
        record.loss = self.loss;
        record.inv = self.terms.invariance;
        record.var = self.terms.variance;
        record.cov = self.terms.covariance;
        record.terms = others.iter().zip(self.others).map(|(term, value)| (term.name(), value)).collect();
        record.grad_norm = self.grad_norm;
        record.std_audio = self.std_audio;
        record.std_midi = self.std_midi;
    }
}

impl Passed {
    /// Reads the numbers; waits for a device.
    pub fn figures(&self) -> Result<Figures> {
        if let Some(norm) = self.gradients.device_norm() {
            let to = Memory::zeros(norm.device(), REPORTED * 4)?;
            self.report(&to)?;
            let mut numbers = [0.0; REPORTED];
            to.read(0, &mut numbers)?;
            return Ok(Figures::reported(numbers));
        }
        let mut others = [0.0; MOST_TERMS];
        others.iter_mut().zip(&self.loss.terms).for_each(|(other, (_, value))| *other = value.value().item());
        Ok(Figures {
            loss: self.loss.total.value().item(),
            terms: self.loss.direct.terms()?,
            others,
            std_audio: spread(&self.audio),
            std_midi: spread(&self.midi),
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

    /// Writes the numbers to [`REPORTED`] f32 of the device, those of terms that the arm lacks excepted; waits for nothing.
    pub fn report(&self, to: &Memory) -> Result<()> {
        let norm = self.gradients.device_norm();
        self.loss.report(norm.ok_or_else(|| Error::op("report", "pass", "of a device", "of the CPU"))?, to)
    }

    /// Updates the parameters: the gradient clipped to norm `clip` (0 = not), rate `lr`. Waits for nothing: a device leaves
    /// everything as it is where the gradient's norm is not finite.
    pub fn apply(&self, parameters: &mut Parameters, adam: &mut Optimizer, lr: f64, clip: f64) -> Result<()> {
        adam.update(parameters, &self.gradients, lr, clip)
    }

    /// As [`Passed::apply`] on a device, at the rates of [`DeviceAdamW::advance`] in device memory: nothing of the host is read.
    pub fn apply_at(
        &self,
        rates: In<f32>,
        parameters: &mut Parameters,
        adam: &mut DeviceAdamW,
        clip: f64,
    ) -> Result<()> {
        match &self.gradients {
            FlatGradients::Device { values, norm } => adam.apply(parameters, values, norm, rates, clip),
            FlatGradients::Host { .. } => Err(Error::op("apply", "gradients", "of a device", "of the CPU")),
        }
    }
}

/// Forward and backward pass in training mode, on the device of parameters and batch; also moves the running statistics, unless
/// the result is not finite.
pub fn pass(
    model: &Model,
    parameters: &mut Parameters,
    batch: (&AudioBatch, &MidiBatch),
    loss: &LossSpec,
    mode: Mode,
) -> Result<Passed> {
    pass_counting(model, parameters, batch, loss, mode, None)
}

/// As [`pass`], with the dropout counter in memory that changes from step to step. Within a [step](crate::device::Device::step) audio runs on the main
/// lane and MIDI beside it.
pub fn pass_counting(
    model: &Model,
    parameters: &mut Parameters,
    (audio, midi): (&AudioBatch, &MidiBatch),
    loss: &LossSpec,
    mode: Mode,
    counter: Option<Mirrored<u64>>,
) -> Result<Passed> {
    let device = parameters.device().clone();
    let tape = Tape::recording();
    let mut cx = Context::new(&tape, parameters, mode);
    if let Some(counter) = counter {
        cx = cx.counting_from(counter);
    }
    // Both lanes read it.
    cx.place_counter(&device)?;
    let beside = device.is_in_step();
    if beside {
        device.fork()?;
    }
    let recordings = audio;
    let audio = model.embed_audio(&cx, recordings)?;
    if beside {
        device.switch(Lane::Side);
    }
    let midi = model.embed_midi(&cx, midi)?;
    if beside {
        device.join()?;
    }
    let loss = model.loss(&cx, recordings, [&audio, &midi], loss)?;
    let done = cx.finish();
    let one = Tensor::one_on(&device, loss.total.dtype())?;
    let mut gradients = tape.backward(&loss.total, one)?;
    let gradients = parameters.gather(&done.vars, &mut gradients)?;
    let passed = Passed { loss, audio: audio.value().clone(), midi: midi.value().clone(), gradients };
    if !device.is_cpu() || passed.figures()?.is_finite() {
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

#[cfg(test)]
mod catalogue_tests;
#[cfg(test)]
pub(super) mod tests;
