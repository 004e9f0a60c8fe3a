//! Batch normalisation of columns: y = (x − mean)/√(var + ε)·γ + β.
//!
//! In training, mean and biased variance are the batch's; with x̂ the normalised input and g = dy∘γ:
//! dx = (g − mean_B(g) − x̂·mean_B(g∘x̂))/σ, dγ = Σ dy∘x̂, dβ = Σ dy. In evaluation they are running statistics.

use super::layernorm::EPSILON;
use super::{Case, Input};
use crate::device::{PoolVec, Real};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// Mean and unbiased variance of each column of a batch: what the running statistics move towards.
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Unbiased variance (n − 1) of each column.
    pub variance: Vec<f64>,
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
    x.value().device().cpu_only("batchnorm")?;
    let (n, d) = check(x, gamma, beta)?;
    if n < 2 {
        return Err(Error::op("batchnorm", "batch", "at least 2 samples in training", n.to_string()));
    }
    let gamma_value = gamma.value().clone();
    with_real!(x.dtype(), F => {
        let source = x.value().as_slice::<F>();
        let (mut normed, mut scale) = (PoolVec::<F>::uninit(n * d), vec![F::ZERO; d]);
        let mut statistics = BatchStatistics { mean: vec![0.0; d], variance: vec![0.0; d] };
        for c in 0..d {
            let column = || source[c..].iter().step_by(d).map(|x| x.f64());
            let mean = column().sum::<f64>() / n as f64;
            let squares: f64 = column().map(|x| (x - mean) * (x - mean)).sum();
            let inverse = 1.0 / (squares / n as f64 + EPSILON).sqrt();
            statistics.mean[c] = mean;
            statistics.variance[c] = squares / (n - 1) as f64;
            scale[c] = F::of(inverse);
            normed[c..].iter_mut().step_by(d).zip(column()).for_each(|(o, x)| *o = F::of((x - mean) * inverse));
        }
        let y = affine::<F>(&normed, gamma.value(), beta.value());
        let y = tape.record(y, &[x, gamma, beta], move |dy| Ok(backward::<F>(dy, &normed, &scale, &gamma_value)));
        Ok((y, statistics))
    })
}

/// Normalises by running statistics (evaluation): no gradient flows.
pub fn batchnorm_frozen(x: &Var, gamma: &Var, beta: &Var, mean: &[f32], variance: &[f32]) -> Result<Var> {
    x.value().device().cpu_only("batchnorm")?;
    let (n, d) = check(x, gamma, beta)?;
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

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let inputs =
        vec![Input::within(&[6, 5], -2.0, 3.0), Input::within(&[5], 0.5, 1.5).vector(), Input::new(&[5]).vector()];
    vec![Case::new("batchnorm", inputs, |t, v| Ok(batchnorm(t, &v[0], &v[1], &v[2])?.0))]
}
