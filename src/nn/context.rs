//! What a layer needs to be applied: the tape, the parameters on it, and whether this is training.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{BufferId, ParamId, Parameters};
use crate::device::{Device, Mirrored};
use crate::error::{Error, Result};
use crate::loss::Term;
use crate::ops::Ragged;
use crate::ops::batchnorm::BatchStatistics;
use crate::ops::dropout::{Dropout, counter};
use crate::ops::pool::mean_pool;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// How layers behave that differ between training and use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Batch statistics and dropout.
    Train {
        /// Chance of an activation to be dropped.
        dropout: f32,
        /// Seed of the run.
        seed: u64,
        /// Optimizer step: every step has its own masks.
        step: u64,
    },
    /// Running statistics, no dropout.
    Eval,
}

/// One forward pass.
pub struct Context<'a> {
    /// Where operations are recorded.
    pub tape: &'a Tape,
    parameters: &'a Parameters,
    vars: Vec<Var>,
    mode: Mode,
    /// Where the step's dropout masks start to be counted.
    counter: Mirrored<u64>,
    statistics: RefCell<Vec<(BufferId, BufferId, BatchStatistics)>>,
    /// Terms of the loss that layers found.
    terms: RefCell<Vec<(Term, Var)>>,
    probes: Option<RefCell<BTreeMap<String, Tensor>>>,
}

impl<'a> Context<'a> {
    /// A pass over `parameters` on `tape`.
    pub fn new(tape: &'a Tape, parameters: &'a Parameters, mode: Mode) -> Self {
        let vars = parameters.on(tape);
        let counter = match mode {
            Mode::Train { step, .. } => vec![counter(step)].into(),
            Mode::Eval => Mirrored::from(Vec::new()),
        };
        let (statistics, terms) = (RefCell::default(), RefCell::default());
        Context { tape, parameters, vars, mode, counter, statistics, terms, probes: None }
    }

    /// Counts dropout masks from here instead of from the mode's step: memory of a device that changes from step to step.
    pub fn counting_from(mut self, counter: Mirrored<u64>) -> Self {
        self.counter = counter;
        self
    }

    /// Sees that dropout's counter is on `device`, which may then be read on any lane.
    pub fn place_counter(&self, device: &Device) -> Result<()> {
        if !device.is_cpu() {
            self.counter.on(device)?;
        }
        Ok(())
    }

    /// Keeps what [`Context::probe`] is shown.
    pub fn probing(mut self) -> Self {
        self.probes = Some(RefCell::default());
        self
    }

    /// A parameter as a variable.
    pub fn var(&self, id: ParamId) -> &Var {
        id.of(&self.vars)
    }

    /// A buffer's values.
    pub fn buffer(&self, id: BufferId) -> &Tensor {
        self.parameters.buffer(id)
    }

    /// Whether batch statistics are used.
    pub fn is_training(&self) -> bool {
        self.mode != Mode::Eval
    }

    /// The dropout of the layer with this random site, if there is any now.
    pub fn dropout(&self, site: u64) -> Option<Dropout> {
        match self.mode {
            Mode::Train { dropout, seed, .. } if dropout > 0.0 => {
                Some(Dropout::counted(dropout, seed, self.counter.clone(), site))
            }
            _ => None,
        }
    }

    /// Notes a batch's statistics for the running ones.
    pub fn observe(&self, mean: BufferId, variance: BufferId, statistics: BatchStatistics) {
        self.statistics.borrow_mut().push((mean, variance, statistics));
    }

    /// Adds a term to the loss of this pass.
    pub fn add_term(&self, term: Term, value: Var) {
        self.terms.borrow_mut().push((term, value));
    }

    /// The terms that layers added so far, in their order; none are left.
    pub fn take_terms(&self) -> Vec<(Term, Var)> {
        self.terms.take()
    }

    /// Shows an intermediate value to whoever asked for [`Context::probing`].
    pub fn probe(&self, name: &str, value: &Var) {
        if let Some(probes) = &self.probes {
            probes.borrow_mut().insert(name.to_string(), value.value().clone());
        }
    }

    /// As [`Context::probe`], of the mean [B, d] over each sample's rows.
    pub fn probe_mean(&self, name: &str, value: &Var, rows: &Ragged) -> Result<()> {
        if self.probes.is_some() {
            self.probe(name, &mean_pool(self.tape, value, rows)?);
        }
        Ok(())
    }

    /// Ends the pass: parameter variables (for gradients), statistics to fold in, and probed values.
    pub fn finish(self) -> Finished {
        Finished {
            vars: self.vars,
            statistics: self.statistics.into_inner(),
            probes: self.probes.map(RefCell::into_inner).unwrap_or_default(),
        }
    }
}

/// What is left of a forward pass.
pub struct Finished {
    /// The parameters, in order of their ids.
    pub vars: Vec<Var>,
    statistics: Vec<(BufferId, BufferId, BatchStatistics)>,
    /// Values shown to [`Context::probe`].
    pub probes: BTreeMap<String, Tensor>,
}

/// Share of the newest batch in running statistics (PyTorch's default).
const MOMENTUM: f64 = 0.1;

impl Finished {
    /// running ← (1 − momentum)·running + momentum·batch, with the unbiased variance; on a device only where the gradient's
    /// `norm` is finite.
    pub fn update_running_statistics(&self, parameters: &mut Parameters, norm: Option<&Tensor>) -> Result<()> {
        for (mean, variance, batch) in &self.statistics {
            let twice = || Error::op("batchnorm", "buffers", "two", "one for both statistics");
            let [mean, variance] = parameters.buffers_mut([*mean, *variance]).ok_or_else(twice)?;
            batch.fold_into(mean, variance, MOMENTUM, norm)?;
        }
        Ok(())
    }
}
