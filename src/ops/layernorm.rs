//! Layer normalisation of rows, with an optional residual: y = (s − mean)/σ·γ + β, s = x + r, σ² = var(s) + ε (biased).
//!
//! With x̂ = (s − mean)/σ and g = dy∘γ: ds = (g − mean(g) − x̂·mean(g∘x̂))/σ, dγ = Σ dy∘x̂, dβ = Σ dy, dx = dr = ds.

use rayon::prelude::*;

use super::reduce::sum_rows;
use super::{Case, Input, column_sums, for_rows};
use crate::device::simd::vectorised;
use crate::device::{DType, In, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

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
    if !x.value().device().is_cpu() {
        return launch(tape, x, residual, gamma, beta);
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

/// Rows of a block in `kernels/layernorm.cu`.
const WARPS: usize = 8;
/// Blocks of the backward pass: each sums the parameters' gradients over its rows.
const BACKWARD_BLOCKS: usize = 256;
/// Columns that a warp holds with one chunk, and the numbers of chunks there are.
const CHUNK: usize = 256;
const CHUNKS: [usize; 4] = [1, 2, 4, 8];

fn launch(tape: &Tape, x: &Var, residual: Option<&Var>, gamma: &Var, beta: &Var) -> Result<Var> {
    let (rows, d) = (x.value().rows(), x.value().cols());
    let widest = CHUNKS[3] * CHUNK;
    let chunks = CHUNKS.into_iter().find(|c| c * CHUNK >= d);
    let chunks = chunks.ok_or_else(|| Error::op("layernorm", "x", format!("≤ {widest} columns"), d.to_string()))?;
    let inputs: Vec<&Var> = [x].into_iter().chain(residual).chain([gamma, beta]).collect();
    let (x, residual, gamma, beta) =
        (x.value().clone(), residual.map(|r| r.value().clone()), gamma.value().clone(), beta.value());
    let device = x.device().clone();
    let mut y = Tensor::uninit_on(&device, x.shape(), x.dtype())?;
    let mut mean = Tensor::uninit_on(&device, &[rows], DType::F32)?;
    let mut scale = Tensor::uninit_on(&device, &[rows], DType::F32)?;
    let (grid, n, epsilon) = (device.launch(rows.div_ceil(WARPS)), rows as i32, EPSILON as f32);
    with_storage!(x.dtype(), T => {
        let r = residual.as_ref().map_or(In::NULL, |r| r.input::<T>());
        let (y_out, mean_out, scale_out) = (y.output(), mean.output(), scale.output());
        kernels::layernorm::forward::<T>(
            grid, chunks, x.input(), r, gamma.input(), beta.input(), y_out, mean_out, scale_out, epsilon, n, d as i32,
        )?;
    });
    Ok(tape.record(y, &inputs, move |dy| {
        let blocks = rows.div_ceil(WARPS).clamp(1, BACKWARD_BLOCKS);
        let mut ds = Tensor::uninit_on(&device, dy.shape(), dy.dtype())?;
        let mut partial = Tensor::uninit_on(&device, &[blocks, 2 * d], DType::F32)?;
        with_storage!(dy.dtype(), T => {
            let r = residual.as_ref().map_or(In::NULL, |r| r.input::<T>());
            let (ds_out, partial_out) = (ds.output(), partial.output());
            kernels::layernorm::backward::<T>(
                device.launch(blocks), chunks, dy.input(), x.input(), r, gamma.input(), mean.input(), scale.input(),
                ds_out, partial_out, n, d as i32,
            )?;
        });
        let both = sum_rows(&partial)?;
        let ds = Some(ds);
        let mut grads = vec![ds.clone()];
        grads.extend(residual.is_some().then_some(ds));
        grads.extend([Some(both.view(0, &[d])), Some(both.view(d, &[d]))]);
        Ok(grads)
    }))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let sized = |n: usize, rows: usize, d: usize| {
        let mut inputs = vec![Input::within(&[rows, d], -2.0, 3.0); n];
        inputs.extend([Input::within(&[d], 0.5, 1.5).vector(), Input::new(&[d]).vector()]);
        inputs
    };
    vec![
        Case::new("layernorm", sized(1, 5, 7), |t, v| layernorm(t, &v[0], None, &v[1], &v[2])),
        Case::new("layernorm of wide rows", sized(2, 11, 264), |t, v| layernorm(t, &v[0], Some(&v[1]), &v[2], &v[3])),
        Case::new("layernorm of rows read twice", sized(2, 9, 1034), |t, v| {
            layernorm(t, &v[0], Some(&v[1]), &v[2], &v[3])
        }),
        Case::new("layernorm with residual", sized(2, 5, 7), |t, v| layernorm(t, &v[0], Some(&v[1]), &v[2], &v[3])),
    ]
}
