//! Batch normalisation of columns: y = (x − mean)/√(var + ε)·γ + β.
//!
//! In training, mean and biased variance are the batch's; with x̂ the normalised input and g = dy∘γ:
//! dx = (g − mean_B(g) − x̂·mean_B(g∘x̂))/σ, dγ = Σ dy∘x̂, dβ = Σ dy. In evaluation they are running statistics.

use super::activation::relu;
use super::layernorm::EPSILON;
use super::{Case, Input, rowwise};
use crate::device::{DType, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Mean and unbiased variance of each column of a batch: what the running statistics move towards.
#[derive(Debug, Clone)]
pub enum BatchStatistics {
    /// Of the CPU.
    Host {
        /// Mean of each column.
        mean: Vec<f64>,
        /// Unbiased variance (n − 1) of each column.
        variance: Vec<f64>,
    },
    /// Of another device: `[d]` in f32.
    Device {
        /// Mean of each column.
        mean: Tensor,
        /// Unbiased variance (n − 1) of each column.
        variance: Tensor,
    },
}

impl BatchStatistics {
    /// running ← (1 − momentum)·running + momentum·batch, for both running statistics `[d]` (f32, of the same device). A
    /// device leaves them as they are where the gradient's `norm` (one f32) is not finite; the CPU's caller has looked.
    pub fn fold_into(
        &self,
        mean: &mut Tensor,
        variance: &mut Tensor,
        momentum: f64,
        norm: Option<&Tensor>,
    ) -> Result<()> {
        let held = || Error::op("batchnorm", "running statistics", "no other holder during the update", "one");
        match self {
            BatchStatistics::Host { mean: batch_mean, variance: batch_variance } => {
                for (running, batch) in [(mean, batch_mean), (variance, batch_variance)] {
                    let running = running.as_mut_slice::<f32>().ok_or_else(held)?;
                    for (running, &x) in running.iter_mut().zip(batch) {
                        *running = ((1.0 - momentum) * f64::from(*running) + momentum * x) as f32;
                    }
                }
                Ok(())
            }
            BatchStatistics::Device { mean: batch_mean, variance: batch_variance } => {
                if !mean.is_exclusive() || !variance.is_exclusive() {
                    return Err(held());
                }
                let norm = norm.ok_or_else(|| Error::op("batchnorm", "norm", "the gradient's, on a device", "none"))?;
                let device = batch_mean.device();
                kernels::batchnorm::update_running(
                    device.launch(batch_mean.len().div_ceil(256)),
                    batch_mean.input(),
                    batch_variance.input(),
                    norm.input(),
                    mean.output(),
                    variance.output(),
                    momentum as f32,
                    batch_mean.len() as i32,
                )
            }
        }
    }
}

fn check(x: &Var, gamma: &Var, beta: &Var) -> Result<(usize, usize)> {
    let &[n, d] = x.shape() else {
        return Err(Error::op("batchnorm", "x", "[batch, features]", format!("{:?}", x.shape())));
    };
    if gamma.shape() != [d] || beta.shape() != [d] {
        let got = format!("{:?} and {:?}", gamma.shape(), beta.shape());
        return Err(Error::op("batchnorm", "gamma and beta", format!("[{d}]"), got));
    }
    Ok((n, d))
}

/// Normalises by the batch's own statistics (training; at least two samples) and returns these.
pub fn batchnorm(tape: &Tape, x: &Var, gamma: &Var, beta: &Var) -> Result<(Var, BatchStatistics)> {
    let (n, d) = check(x, gamma, beta)?;
    if n < 2 {
        return Err(Error::op("batchnorm", "batch", "at least 2 samples in training", n.to_string()));
    }
    if !x.value().device().is_cpu() {
        return launch(tape, x, gamma, beta, false);
    }
    let gamma_value = gamma.value().clone();
    with_real!(x.dtype(), F => {
        let source = x.value().as_slice::<F>();
        let (mut normed, mut scale) = (PoolVec::<F>::uninit(n * d), vec![F::ZERO; d]);
        let (mut means, mut variances) = (vec![0.0; d], vec![0.0; d]);
        for c in 0..d {
            let column = || source[c..].iter().step_by(d).map(|x| x.f64());
            let mean = column().sum::<f64>() / n as f64;
            let squares: f64 = column().map(|x| (x - mean) * (x - mean)).sum();
            let inverse = 1.0 / (squares / n as f64 + EPSILON).sqrt();
            means[c] = mean;
            variances[c] = squares / (n - 1) as f64;
            scale[c] = F::of(inverse);
            normed[c..].iter_mut().step_by(d).zip(column()).for_each(|(o, x)| *o = F::of((x - mean) * inverse));
        }
        let y = affine::<F>(&normed, gamma.value(), beta.value());
        let y = tape.record(y, &[x, gamma, beta], move |dy| Ok(backward::<F>(dy, &normed, &scale, &gamma_value)));
        Ok((y, BatchStatistics::Host { mean: means, variance: variances }))
    })
}

/// max(batchnorm(x), 0): one kernel where there are kernels.
pub fn batchnorm_relu(tape: &Tape, x: &Var, gamma: &Var, beta: &Var) -> Result<(Var, BatchStatistics)> {
    if x.value().device().is_cpu() || x.value().rows() < 2 {
        let (y, statistics) = batchnorm(tape, x, gamma, beta)?;
        return Ok((relu(tape, &y)?, statistics));
    }
    check(x, gamma, beta)?;
    launch(tape, x, gamma, beta, true)
}

/// Normalises by running statistics (evaluation; `[d]` in f32): no gradient flows.
pub fn batchnorm_frozen(x: &Var, gamma: &Var, beta: &Var, mean: &Tensor, variance: &Tensor) -> Result<Var> {
    let (n, d) = check(x, gamma, beta)?;
    if mean.shape() != [d] || variance.shape() != [d] {
        let got = format!("{:?} and {:?}", mean.shape(), variance.shape());
        return Err(Error::op("batchnorm", "running statistics", format!("[{d}]"), got));
    }
    if !x.value().device().is_cpu() {
        let mut y = Tensor::uninit_on(x.value().device(), x.shape(), x.dtype())?;
        with_storage!(x.dtype(), T => {
            kernels::batchnorm::frozen::<T>(
                rowwise(x.value().device(), n, d), x.value().input(), gamma.value().input(), beta.value().input(),
                mean.input(), variance.input(), y.output(), EPSILON as f32, n as i32, d as i32,
            )?;
        });
        return Ok(Var::constant(y));
    }
    let (mean, variance) = (mean.as_slice::<f32>(), variance.as_slice::<f32>());
    Ok(Var::constant(with_real!(x.dtype(), F => {
        let mut normed = PoolVec::<F>::uninit(n * d);
        for (row, source) in normed.chunks_exact_mut(d).zip(x.value().as_slice::<F>().chunks_exact(d)) {
            for (c, (o, x)) in row.iter_mut().zip(source).enumerate() {
                let inverse = 1.0 / (f64::from(variance[c]) + EPSILON).sqrt();
                *o = F::of((x.f64() - f64::from(mean[c])) * inverse);
            }
        }
        affine::<F>(&normed, gamma.value(), beta.value())
    })))
}

fn affine<F: Real>(normed: &[F], gamma: &Tensor, beta: &Tensor) -> Tensor {
    let (gamma, beta) = (gamma.as_slice::<F>(), beta.as_slice::<F>());
    let d = gamma.len();
    let mut y = PoolVec::<F>::copy_of(normed);
    for row in y.chunks_exact_mut(d) {
        row.iter_mut().zip(gamma).zip(beta).for_each(|((y, &g), &b)| *y = *y * g + b);
    }
    Tensor::from_pool(&[normed.len() / d, d], y)
}

fn backward<F: Real>(dy: &Tensor, normed: &[F], scale: &[F], gamma: &Tensor) -> Vec<Option<Tensor>> {
    let (g, gamma) = (dy.as_slice::<F>(), gamma.as_slice::<F>());
    let d = gamma.len();
    let n = g.len() / d;
    let (mut dx, mut dgamma, mut dbeta) = (PoolVec::<F>::uninit(n * d), PoolVec::zeros(d), PoolVec::zeros(d));
    for (g, x) in g.chunks_exact(d).zip(normed.chunks_exact(d)) {
        for c in 0..d {
            dgamma[c] += g[c] * x[c];
            dbeta[c] += g[c];
        }
    }
    let inverse_n = F::of(1.0 / n as f64);
    for ((dx, g), x) in dx.chunks_exact_mut(d).zip(g.chunks_exact(d)).zip(normed.chunks_exact(d)) {
        for c in 0..d {
            dx[c] = gamma[c] * scale[c] * (g[c] - (dbeta[c] + x[c] * dgamma[c]) * inverse_n);
        }
    }
    let tensor = |v| Some(Tensor::from_pool(&[d], v));
    vec![Some(Tensor::from_pool(dy.shape(), dx)), tensor(dgamma), tensor(dbeta)]
}

/// Columns of a block of `kernels/batchnorm.cu`.
const WIDTH: usize = 32;

fn launch(tape: &Tape, x: &Var, gamma: &Var, beta: &Var, relu: bool) -> Result<(Var, BatchStatistics)> {
    let (n, d, relu) = (x.value().rows(), x.value().cols(), usize::from(relu));
    let device = x.value().device().clone();
    let vector = || Tensor::uninit_on(&device, &[d], DType::F32);
    let (mut mean, mut variance, mut scale) = (vector()?, vector()?, vector()?);
    let mut y = Tensor::uninit_on(&device, x.shape(), x.dtype())?;
    let (x_value, gamma_value, beta_value) = (x.value().clone(), gamma.value().clone(), beta.value().clone());
    with_storage!(x.dtype(), T => {
        let (y_out, mean_out, variance_out, scale_out) = (y.output(), mean.output(), variance.output(), scale.output());
        kernels::batchnorm::forward::<T>(
            device.launch(d.div_ceil(WIDTH)), relu, x_value.input(), gamma_value.input(), beta_value.input(), y_out,
            mean_out, variance_out, scale_out, EPSILON as f32, n as i32, d as i32,
        )?;
        let statistics = BatchStatistics::Device { mean: mean.clone(), variance };
        let y = tape.record(y, &[x, gamma, beta], move |dy| {
            let vector = || Tensor::uninit_on(&device, &[d], DType::F32);
            let (mut dgamma, mut dbeta) = (vector()?, vector()?);
            let mut dx = Tensor::uninit_on(&device, dy.shape(), dy.dtype())?;
            let (dx_out, dgamma_out, dbeta_out) = (dx.output(), dgamma.output(), dbeta.output());
            kernels::batchnorm::backward::<T>(
                device.launch(d.div_ceil(WIDTH)), relu, dy.input(), x_value.input(), gamma_value.input(),
                beta_value.input(), mean.input(), scale.input(), dx_out, dgamma_out, dbeta_out, n as i32, d as i32,
            )?;
            Ok(vec![Some(dx), Some(dgamma), Some(dbeta)])
        });
        Ok((y, statistics))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let inputs = |n: usize, d: usize| {
        vec![Input::within(&[n, d], -2.0, 3.0), Input::within(&[d], 0.5, 1.5).vector(), Input::new(&[d]).vector()]
    };
    vec![
        Case::new("batchnorm", inputs(6, 5), |t, v| Ok(batchnorm(t, &v[0], &v[1], &v[2])?.0)),
        Case::new("batchnorm and relu", inputs(19, 37), |t, v| Ok(batchnorm_relu(t, &v[0], &v[1], &v[2])?.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    /// Evaluation, and the running statistics it reads.
    #[test]
    fn emulated_running_statistics_follow_the_cpu() {
        const D: usize = 11;
        let values = |n: usize, step: f32| (0..n).map(|i| 1.5 + (i as f32 * step).sin()).collect::<Vec<f32>>();
        let run = |device: &Device| -> Result<Vec<f32>> {
            let place = |shape: &[usize], step| {
                Tensor::from_slice(shape, &values(shape.iter().product(), step)).to_device(device, DType::F32)
            };
            let tape = Tape::inference();
            let x = Var::constant(place(&[7, D], 0.7)?);
            let (gamma, beta) = (Var::constant(place(&[D], 0.3)?), Var::constant(place(&[D], 0.9)?));
            let (mut mean, mut variance) = (place(&[D], 0.2)?, place(&[D], 0.4)?);
            let (_, statistics) = batchnorm(&tape, &x, &gamma, &beta)?;
            for norm in [1.0f32, f32::NAN] {
                // The CPU's caller folds nothing where the norm is no number; a device sees to it itself.
                if norm.is_finite() || !device.is_cpu() {
                    let norm = Tensor::from_slice(&[1], &[norm]).to_device(device, DType::F32)?;
                    statistics.fold_into(&mut mean, &mut variance, 0.1, Some(&norm))?;
                }
            }
            let y = batchnorm_frozen(&x, &gamma, &beta, &mean, &variance)?;
            Ok([y.value(), &mean, &variance].map(Tensor::to_f32).concat())
        };
        let (expected, got) = (run(&Device::Cpu).unwrap(), run(&Device::emulated(3).unwrap()).unwrap());
        for (e, g) in expected.iter().zip(got) {
            assert!((e - g).abs() < 2e-6, "{e} against {g}");
        }
    }
}
