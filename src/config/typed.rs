//! From groups of keys to the option structs of the modules that use them.

use std::path::{Path, PathBuf};

use super::choices::{Precision, ScheduleKind, Size};
use super::declare::{Config, DataConfig, ScheduleConfig, VicregConfig};
use super::setting::{Setting, json_text};
use crate::data::cache;
use crate::data::prepare::PrepareOptions;
use crate::device::{DType, Device};
use crate::error::{Error, Result};
use crate::loss::LossSpec;
use crate::ops::vicreg::VicregSpec;
use crate::schedule::Shape;

impl Precision {
    /// What a model on `device` stores its activations as; [`Error::Usage`] where the device cannot.
    pub fn on(self, device: &Device) -> Result<DType> {
        match (self, device.is_cpu()) {
            (Precision::Bf16, true) => {
                Err(Error::Usage("precision=bf16: the CPU computes in f32; precision=auto follows the device".into()))
            }
            (Precision::F32, _) | (Precision::Auto, true) => Ok(DType::F32),
            (Precision::Bf16 | Precision::Auto, false) => Ok(DType::BF16),
        }
    }
}

impl ScheduleConfig {
    /// The shape of the learning rate after the warm-up; `arm`, which no resolved configuration holds, is a cosine.
    pub fn shape(&self) -> Shape {
        let ref_epochs = (self.ref_epochs > 0).then_some(self.ref_epochs as f64);
        let cosine = |epochs: f64| Shape::Cosine { ref_epochs: ref_epochs.or(Some(epochs)) };
        match self.kind {
            ScheduleKind::Cosine | ScheduleKind::Arm => Shape::Cosine { ref_epochs },
            ScheduleKind::Cosine30 => cosine(30.0),
            ScheduleKind::Cosine60 => cosine(60.0),
            ScheduleKind::CosineTail => Shape::CosineTail { ref_epochs, floor: self.floor, tail_end: self.tail_end },
            ScheduleKind::Trapezoid => Shape::Trapezoid,
        }
    }
}

impl VicregConfig {
    /// The weights and the variant of the loss.
    pub fn spec(&self) -> VicregSpec {
        VicregSpec { invariance: self.inv, variance: self.var, covariance: self.cov, variant: self.variant }
    }
}

impl Config {
    /// Everything in the loss.
    pub fn loss(&self) -> LossSpec {
        LossSpec {
            vicreg: self.vicreg.spec(),
            balance: self.moe.balance,
            entropy: self.moe.entropy,
            tower: [self.tower.alpha, self.tower.beta],
            margin: self.tower.margin,
        }
    }
}

impl DataConfig {
    /// How a data folder is read.
    pub fn prepare_options(&self) -> PrepareOptions {
        PrepareOptions { pedal: self.pedal, disjoint_pieces: self.disjoint_pieces, renderings: self.renderings }
    }

    /// Where decoded audio of the data folder `root` is kept.
    pub fn cache_dir(&self, root: &Path) -> PathBuf {
        if self.cache == Path::new("auto") { cache::default_dir(root) } else { self.cache.clone() }
    }

    /// Where the composed corpus is kept.
    pub fn corpus_dir(&self) -> PathBuf {
        if self.synth_dir == Path::new("auto") { corpus_dir(self.synth, self.seed) } else { self.synth_dir.clone() }
    }
}

/// Where a composed corpus is kept unless the settings say otherwise: `data/synth-SIZE-SEED`.
pub fn corpus_dir(size: Size, seed: u64) -> PathBuf {
    Path::new("data").join(format!("synth-{}-{seed}", json_text(&size.json())))
}
