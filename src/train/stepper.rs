//! Training steps on a device without waiting for it: inputs are sent ahead, figures are read behind, and a step whose shapes
//! have been seen before is a recording that is run again.

use std::collections::BTreeMap;

use super::inputs::{Bucket, Inputs};
use super::step::{self, Figures, REPORTED};
use crate::device::{Device, Incoming, Memory, Outgoing, Recording, Ticket};
use crate::error::{Error, Result};
use crate::loss::LossSpec;
use crate::model::{AudioBatch, MidiBatch, Model};
use crate::nn::{Mode, Parameters};
use crate::optim::{DeviceAdamW, Optimizer};

/// Steps whose figures may be on their way.
pub const BEHIND: usize = 2;

/// What is the same in every step of a run.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// The loss.
    pub loss: LossSpec,
    /// Chance of an activation to be dropped.
    pub dropout: f32,
    /// Seed of the run.
    pub seed: u64,
    /// Largest gradient norm; 0 = any.
    pub clip: f64,
    /// Most notes of a sample.
    pub max_notes: usize,
    /// Whether steps are recorded and repeated rather than launched kernel by kernel.
    pub record: bool,
}

/// Makes the steps of a run on a device that is not the CPU.
pub struct Stepper {
    recipe: Recipe,
    device: Device,
    /// Made for the first batch.
    way: Option<Way>,
    /// The figures of the newest step.
    figures: Memory,
    back: Incoming<REPORTED>,
    /// By shape; `None` after the first step of a shape, which runs as it is launched: it loads kernels and fills tables.
    recorded: BTreeMap<Bucket, Option<Recording>>,
}

struct Way {
    inputs: Inputs,
    out: Outgoing,
}

impl Stepper {
    /// For parameters on `device`.
    pub fn new(device: &Device, recipe: Recipe) -> Result<Self> {
        let (figures, back) = (Memory::zeros(device, REPORTED * 4)?, Incoming::new(device, BEHIND + 1)?);
        Ok(Stepper { recipe, device: device.clone(), way: None, figures, back, recorded: BTreeMap::new() })
    }

    /// Makes step number `step` (from 0) at rate `lr` on a batch in host memory. At most [`BEHIND`] tickets may be left open.
    ///
    /// Where the gradient is not finite, parameters, moments and statistics stay as they are.
    pub fn step(
        &mut self,
        model: &Model,
        parameters: &mut Parameters,
        adam: &mut Optimizer,
        batch: (&AudioBatch, &MidiBatch),
        (step, lr): (u64, f64),
    ) -> Result<Ticket> {
        let Optimizer::Device(adam) = adam else {
            return Err(Error::op("step", "optimizer", "on the parameters' device", "on the CPU"));
        };
        let way = match &mut self.way {
            Some(way) => way,
            none => {
                let inputs =
                    Inputs::new(&self.device, parameters.dtype(), batch, model.domains(), self.recipe.max_notes)?;
                let out = Outgoing::new(&self.device, inputs.bytes())?;
                none.insert(Way { inputs, out })
            }
        };
        let (rates, inputs) = (adam.advance(lr), &way.inputs);
        way.out.send(inputs.block(), |bytes| inputs.fill(bytes, batch, step, rates))?;
        let bucket = inputs.bucket(batch.1);
        let (recipe, figures) = (&self.recipe, &self.figures);
        let mut work = || run(recipe, model, parameters, adam, inputs, bucket, figures);
        match self.recorded.get(&bucket) {
            Some(Some(recording)) => recording.replay()?,
            Some(None) if recipe.record => {
                let recording = Recording::of(&self.device, work)?;
                recording.replay()?;
                self.recorded.insert(bucket, Some(recording));
            }
            _ => {
                self.device.step(&mut work)?;
                self.recorded.insert(bucket, None);
            }
        }
        self.back.start(&self.figures)
    }

    /// A step's figures, once it is done.
    pub fn figures(&mut self, ticket: Ticket) -> Result<Figures> {
        Ok(Figures::reported(self.back.finish(ticket)?))
    }

    /// Shapes seen so far, and how many of them are recorded.
    pub fn shapes(&self) -> (usize, usize) {
        (self.recorded.len(), self.recorded.values().flatten().count())
    }
}

/// One whole step on what the inputs hold: forward, backward, update, figures. Reads nothing of the host.
fn run(
    recipe: &Recipe,
    model: &Model,
    parameters: &mut Parameters,
    adam: &mut DeviceAdamW,
    inputs: &Inputs,
    bucket: Bucket,
    figures: &Memory,
) -> Result<()> {
    let (audio, midi) = inputs.batch(bucket)?;
    // The step's number comes from the inputs.
    let mode = Mode::Train { dropout: recipe.dropout, seed: recipe.seed, step: 0 };
    let counter = Some(inputs.counter()?);
    let passed = step::pass_counting(model, parameters, (&audio, &midi), &recipe.loss, mode, counter)?;
    passed.report(figures)?;
    let rates = inputs.rates()?;
    passed.apply_at(rates.input(0), parameters, adam, recipe.clip)
}

#[cfg(test)]
mod tests;
