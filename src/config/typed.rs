//! From groups of keys to the option structs of the modules that use them.

use super::choices::ScheduleKind;
use super::declare::{ScheduleConfig, VicregConfig};
use crate::ops::vicreg::VicregSpec;
use crate::schedule::Shape;

impl ScheduleConfig {
    /// The shape of the learning rate after the warm-up.
    pub fn shape(&self) -> Shape {
        let ref_epochs = (self.ref_epochs > 0).then_some(self.ref_epochs as f64);
        match self.kind {
            ScheduleKind::Cosine => Shape::Cosine { ref_epochs },
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
