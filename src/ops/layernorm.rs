//! Layer normalisation of rows, with an optional residual: y = (s − mean)/σ·γ + β, s = x + r, σ² = var(s) + ε (biased).
//!
//! With x̂ = (s − mean)/σ and g = dy∘γ: ds = (g − mean(g) − x̂·mean(g∘x̂))/σ, dγ = Σ dy∘x̂, dβ = Σ dy, dx = dr = ds.

use rayon::prelude::*;

use super::{Case, Input, column_sums, for_rows};
use crate::device::simd::vectorised;
use crate::device::{PoolVec, Real};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// ε of every normalisation in the model (PyTorch's default).
pub const EPSILON: f64 = 1e-5;

/// LayerNorm(x + residual) over the last axis.
pub fn layernorm(tape: &Tape, x: &Var, residual: Option<&Var>, gamma: &Var, beta: &Var) -> Result<Var> {
    let d = x.value().cols();
    if gamma.shape() != [d] || beta.shape() != [d] {
        let got = format!("{:?} and {:?}", gamma.shape(), beta.shape());
        return Err(Error::op("layernorm", "gamma and beta", format!("[{d}]"), got));
    }
    if let Some(r) = residual.filter(|r| r.shape() != x.shape()) {
        return Err(Error::op("layernorm", "residual", format!("{:?}", x.shape()), format!("{:?}", r.shape())));
    }
    let gamma_value = gamma.value().clone();
    with_real!(x.dtype(), F => {
        let (normed, scale) = normalise::<F>(x.value(), residual.map(Var::value));
        let y = affine::<F>(x.shape(), &normed, gamma.value(), beta.value());
        let inputs: Vec<&Var> = [x].into_iter().chain(residual).chain([gamma, beta]).collect();
        let with_residual = residual.is_some();
        Ok(tape.record(y, &inputs, move |dy| {
            let (ds, dgamma, dbeta) = backward::<F>(dy, &normed, &scale, &gamma_value);
            let ds = Some(ds);
            let mut grads = vec![ds.clone()];
            grads.extend(with_residual.then_some(ds));
            grads.extend([Some(dgamma), Some(dbeta)]);
            Ok(grads)
        }))
    })
}

/// x̂ of each row, and 1/σ.
fn normalise<F: Real>(x: &Tensor, residual: Option<&Tensor>) -> (PoolVec<F>, Vec<F>) {
    let d = x.cols();
    let (x_all, residual) = (x.as_slice::<F>(), residual.map(|r| r.as_slice::<F>()));
    let mut normed = PoolVec::<F>::uninit(x.len());
    let mut scale = vec![F::ZERO; x.rows()];
    let inverse_d = F::of(1.0 / d as f64);
    normed.par_chunks_mut(64 * d).zip(scale.par_chunks_mut(64)).enumerate().for_each(|(i, (block, scales))| {
        let start = i * 64 * d;
        vectorised!(|| {
            block.copy_from_slice(&x_all[start..start + block.len()]);
            if let Some(r) = residual {
                block.iter_mut().zip(&r[start..]).for_each(|(s, &r)| *s += r);
            }
            for (row, scale) in block.chunks_exact_mut(d).zip(scales) {
                let mean = sum(row, |x| x) * inverse_d;
                row.iter_mut().for_each(|x| *x -= mean);
                let variance = sum(row, |x| x * x) * inverse_d;
                *scale = F::ONE / (variance + F::of(EPSILON)).sqrt();
                row.iter_mut().for_each(|x| *x *= *scale);
            }
        });
    });
    (normed, scale)
}

/// Σ f(x) in eight lanes, so that it vectorises.
#[inline(always)]
fn sum<F: Real>(row: &[F], f: impl Fn(F) -> F) -> F {
    let mut acc = [F::ZERO; 8];
    let (body, tail) = row.as_chunks::<8>();
    for chunk in body {
        for (a, &x) in acc.iter_mut().zip(chunk) {
            *a += f(x);
        }
    }
    for (a, &x) in acc.iter_mut().zip(tail) {
        *a += f(x);
    }
    acc.into_iter().sum()
}

fn affine<F: Real>(shape: &[usize], normed: &[F], gamma: &Tensor, beta: &Tensor) -> Tensor {
    let (gamma, beta) = (gamma.as_slice::<F>(), beta.as_slice::<F>());
    let d = gamma.len();
    let mut y = PoolVec::<F>::uninit(normed.len());
    for_rows(&mut y, d, |first, block| {
        vectorised!(|| {
            for (y, x) in block.chunks_exact_mut(d).zip(normed[first * d..].chunks_exact(d)) {
                for (((y, &x), &g), &b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *y = x * g + b;
                }
            }
        });
    });
    Tensor::from_pool(shape, y)
}

fn backward<F: Real>(dy: &Tensor, normed: &[F], scale: &[F], gamma: &Tensor) -> (Tensor, Tensor, Tensor) {
    let (g, gamma) = (dy.as_slice::<F>(), gamma.as_slice::<F>());
    let d = gamma.len();
    let inverse_d = F::of(1.0 / d as f64);
    let mut ds = PoolVec::<F>::uninit(normed.len());
    let mut dy_normed = PoolVec::<F>::uninit(normed.len());
    for_rows(&mut dy_normed, d, |first, block| {
        vectorised!(|| {
            for ((o, &g), &x) in block.iter_mut().zip(&g[first * d..]).zip(&normed[first * d..]) {
                *o = g * x;
            }
        });
    });
    for_rows(&mut ds, d, |first, block| {
        vectorised!(|| {
            for (i, row) in block.chunks_exact_mut(d).enumerate() {
                let at = (first + i) * d;
                let x = &normed[at..at + d];
                row.iter_mut().zip(&g[at..]).zip(gamma).for_each(|((o, &g), &w)| *o = g * w);
                let mean = sum(row, |g| g) * inverse_d;
                let mut along = [F::ZERO; 8];
                for (j, (&g, &x)) in row.iter().zip(x).enumerate() {
                    along[j % 8] += g * x;
                }
                let along = along.into_iter().sum::<F>() * inverse_d;
                let s = scale[first + i];
                row.iter_mut().zip(x).for_each(|(o, &x)| *o = (*o - mean - x * along) * s);
            }
        });
    });
    let dgamma = Tensor::from_pool(&[d], column_sums(&dy_normed, d));
    let dbeta = Tensor::from_pool(&[d], column_sums(g, d));
    (Tensor::from_pool(dy.shape(), ds), dgamma, dbeta)
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let shapes = |n: usize| {
        let mut inputs = vec![Input::within(&[5, 7], -2.0, 3.0); n];
        inputs.extend([Input::within(&[7], 0.5, 1.5), Input::new(&[7])]);
        inputs
    };
    vec![
        Case::new("layernorm", shapes(1), |t, v| layernorm(t, &v[0], None, &v[1], &v[2])),
        Case::new("layernorm with residual", shapes(2), |t, v| layernorm(t, &v[0], Some(&v[1]), &v[2], &v[3])),
    ]
}
