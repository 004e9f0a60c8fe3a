//! AdamW with decoupled weight decay (Loshchilov & Hutter 2019) over one flat array of parameters, and the gradient norm.
//!
//! [`AdamW`] updates host memory, [`DeviceAdamW`] the memory of a device; [`Optimizer`] is the one that fits the parameters.

mod device;

pub use device::{DeviceAdamW, RATES};

use rayon::prelude::*;

use crate::device::simd::vectorised;
use crate::error::{Error, Result};
use crate::nn::{FlatGradients, Parameters};

/// Elements of one task; also the unit in which the norm is summed, so that the sum does not depend on threads.
const GRAIN: usize = 16 * 1024;

/// Settings of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSpec {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay, on all parameters.
    pub weight_decay: f64,
}

/// AdamW and its moments, in the layout of the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    spec: AdamWSpec,
    /// First moment.
    pub m: Vec<f32>,
    /// Second moment.
    pub v: Vec<f32>,
    /// Updates made.
    pub step: u64,
}

impl AdamW {
    /// Moments at zero for `len` parameters.
    pub fn new(spec: AdamWSpec, len: usize) -> Self {
        AdamW { spec, m: vec![0.0; len], v: vec![0.0; len], step: 0 }
    }

    /// p ← p·(1 − lr·decay) − lr·m̂/(√v̂ + ε), with gradients multiplied by `scale` first (clipping).
    pub fn update(&mut self, parameters: &mut [f32], gradients: &[f32], lr: f64, scale: f64) {
        self.step += 1;
        let AdamWSpec { beta1, beta2, eps, weight_decay } = self.spec;
        let correct = |beta: f64| 1.0 - beta.powf(self.step as f64);
        let keep = (1.0 - lr * weight_decay) as f32;
        let rate = (lr / correct(beta1)) as f32;
        let root = (1.0 / correct(beta2).sqrt()) as f32;
        let (b1, b2, eps, scale) = (beta1 as f32, beta2 as f32, eps as f32, scale as f32);
        parameters
            .par_chunks_mut(GRAIN)
            .zip(gradients.par_chunks(GRAIN))
            .zip(self.m.par_chunks_mut(GRAIN))
            .zip(self.v.par_chunks_mut(GRAIN))
            .for_each(|(((p, g), m), v)| {
                vectorised!(|| {
                    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                        let g = g * scale;
                        *m = b1 * *m + (1.0 - b1) * g;
                        *v = b2 * *v + (1.0 - b2) * g * g;
                        *p = *p * keep - rate * *m / (v.sqrt() * root + eps);
                    }
                });
            });
    }
}

/// AdamW where the parameters are.
pub enum Optimizer {
    /// On the CPU.
    Host(AdamW),
    /// On another device.
    Device(DeviceAdamW),
}

impl Optimizer {
    /// Moments at zero for `parameters`, on their device.
    pub fn new(spec: AdamWSpec, parameters: &Parameters) -> Result<Self> {
        Ok(match parameters.device().is_cpu() {
            true => Optimizer::Host(AdamW::new(spec, parameters.len())),
            false => Optimizer::Device(DeviceAdamW::new(spec, parameters)?),
        })
    }

    /// One update by gradients clipped to norm `clip` (0 = not), at rate `lr`. A device leaves everything as it is where the
    /// norm is no number; on the CPU the caller has looked.
    pub fn update(&mut self, parameters: &mut Parameters, gradients: &FlatGradients, lr: f64, clip: f64) -> Result<()> {
        match (self, gradients) {
            (Optimizer::Host(adam), FlatGradients::Host { values, norm }) => {
                let held = || Error::op("optimizer", "parameters", "no other holder during the update", "a tape alive");
                let parameters = parameters.values_mut().ok_or_else(held)?;
                adam.update(parameters, values, lr, clip_scale(*norm, clip));
                Ok(())
            }
            (Optimizer::Device(adam), FlatGradients::Device { values, norm }) => {
                adam.update(parameters, values, norm, lr, clip)
            }
            _ => Err(Error::op("optimizer", "gradients", "of the parameters' device", "another's")),
        }
    }

    /// First and second moments in the parameters' host order, after everything launched before.
    pub fn moments(&self, parameters: &Parameters) -> Result<[Vec<f32>; 2]> {
        match self {
            Optimizer::Host(adam) => Ok([adam.m.clone(), adam.v.clone()]),
            Optimizer::Device(adam) => adam.moments(parameters),
        }
    }

    /// Goes on from saved moments and `step` updates.
    pub fn restore(&mut self, parameters: &Parameters, m: Vec<f32>, v: Vec<f32>, step: u64) -> Result<()> {
        match self {
            Optimizer::Host(adam) => {
                (adam.m, adam.v, adam.step) = (m, v, step);
                Ok(())
            }
            Optimizer::Device(adam) => adam.restore(parameters, &m, &v, step),
        }
    }
}

/// Euclidean norm of all gradients together.
pub fn global_norm(gradients: &[f32]) -> f64 {
    let partial: Vec<f64> = gradients
        .par_chunks(GRAIN)
        .map(|chunk| {
            let mut lanes = [0.0f64; 8];
            let (body, tail) = chunk.as_chunks::<8>();
            vectorised!(|| {
                for eight in body {
                    lanes.iter_mut().zip(eight).for_each(|(s, &g)| *s += f64::from(g) * f64::from(g));
                }
            });
            lanes.iter().sum::<f64>() + tail.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>()
        })
        .collect();
    partial.iter().sum::<f64>().sqrt()
}

/// Factor that brings a gradient of this norm down to `limit` (0 = no limit).
pub fn clip_scale(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("optim");
        let spec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let mut p = golden.f32("adamw/p0");
        let mut adam = AdamW::new(spec, p.len());
        let (gradients, expected) = (golden.f32("adamw/grads"), golden.f64("64/adamw/p"));
        for (i, lr) in golden.f64("adamw/lr").into_iter().enumerate() {
            let at = i * p.len()..(i + 1) * p.len();
            adam.update(&mut p, &gradients[at.clone()], lr, 1.0);
            for (got, want) in p.iter().zip(&expected[at]) {
                assert!((f64::from(*got) - want).abs() < 1e-6, "step {i}: {got} against {want}");
            }
        }
        for (got, want) in adam.m.iter().zip(golden.f64("64/adamw/m")) {
            assert!((f64::from(*got) - want).abs() < 1e-6);
        }
    }

    #[test]
    fn clipping_brings_the_norm_to_the_limit() {
        let norm = global_norm(&[3.0, 4.0]);
        assert_eq!(norm, 5.0);
        assert_eq!(clip_scale(norm, 1.0), 0.2);
        assert_eq!(clip_scale(norm, 0.0), 1.0);
        assert_eq!(clip_scale(norm, 6.0), 1.0);
    }
}
