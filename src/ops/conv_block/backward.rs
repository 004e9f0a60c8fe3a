//! Backward pass, sample by sample: dz → dy, then dW = Σ windowᵀ · dy and dx = dy-windows · Wᵀ.
//!
//! Input row j takes part in output row t through tap k where j = s·t + k − p. Fixing r = (j + p) mod s leaves the taps
//! k = r, r + s, …, and t runs over consecutive rows: for each r, dx is a stride-1 convolution of dy, so that it too is a
//! matrix product over a strided view, and nothing is scattered.

use rayon::prelude::*;

use super::forward::{Parameters, Saved};
use super::norm::{Normaliser, Slopes};
use super::window::Windows;
use super::{Shape, block_rows};
use crate::device::simd::vectorised;
use crate::device::{PoolVec, Real};
use crate::linalg::Threads;
use crate::ops::activation::gelu_slope;

/// Gradients; `weights` is laid out [taps · inputs, outputs].
pub(super) struct Gradients<F: Real> {
    pub(super) x: Option<PoolVec<F>>,
    pub(super) weights: PoolVec<F>,
    pub(super) bias: PoolVec<F>,
    pub(super) gamma: PoolVec<F>,
    pub(super) beta: PoolVec<F>,
}

/// What one sample adds to the gradients of the parameters.
struct Partial<F: Real> {
    weights: PoolVec<F>,
    bias: Vec<f64>,
    slopes: Slopes,
}

pub(super) fn backward<F: Real>(
    shape: &Shape,
    x: &[F],
    p: &Parameters<F>,
    saved: &Saved<F>,
    dz: &[F],
    needs_x: bool,
) -> Gradients<F> {
    let phases = if needs_x { phases(shape, p.weights) } else { Vec::new() };
    let mut dx = PoolVec::<F>::uninit(if needs_x { x.len() } else { 0 });
    let size = shape.output_size();
    let sample = |b: usize, dx: &mut [F]| {
        let mut dy = PoolVec::<F>::uninit(size);
        let (y, dz) = (&saved.y[b * size..(b + 1) * size], &dz[b * size..(b + 1) * size]);
        let (bias, slopes) = through_norm(shape, y, &saved.norms[b], p, dz, &mut dy);
        let mut weights = PoolVec::<F>::uninit(p.weights.len());
        let x = &x[b * shape.input_size()..(b + 1) * shape.input_size()];
        shape.windows(x).correlate(&dy, shape.outputs, &mut weights);
        for phase in &phases {
            phase.apply(shape, &dy, dx);
        }
        Partial { weights, bias, slopes }
    };
    let partials: Vec<Partial<F>> = if needs_x {
        dx.par_chunks_mut(shape.input_size()).enumerate().map(|(b, dx)| sample(b, dx)).collect()
    } else {
        (0..shape.batch).into_par_iter().map(|b| sample(b, &mut [])).collect()
    };
    let sum = |part: &dyn Fn(&Partial<F>) -> &[f64]| {
        let mut total = vec![0.0; shape.outputs];
        partials.iter().for_each(|s| total.iter_mut().zip(part(s)).for_each(|(t, &x)| *t += x));
        let mut out = PoolVec::<F>::uninit(shape.outputs);
        out.iter_mut().zip(total).for_each(|(o, t)| *o = F::of(t));
        out
    };
    let mut weights = PoolVec::<F>::zeros(p.weights.len());
    weights.par_chunks_mut(4096).enumerate().for_each(|(i, total)| {
        for s in &partials {
            total.iter_mut().zip(&s.weights[i * 4096..]).for_each(|(t, &x)| *t += x);
        }
    });
    Gradients {
        bias: sum(&|s| &s.bias),
        gamma: sum(&|s| &s.slopes.weighted),
        beta: sum(&|s| &s.slopes.plain),
        weights,
        x: needs_x.then_some(dx),
    }
}

/// Writes dy, and returns Σ dy per channel (the bias gradient) and the sums that are the gradients of γ and β.
fn through_norm<F: Real>(
    shape: &Shape,
    y: &[F],
    norm: &Normaliser<F>,
    p: &Parameters<F>,
    dz: &[F],
    dy: &mut [F],
) -> (Vec<f64>, Slopes) {
    let outputs = shape.outputs;
    let block = block_rows(outputs) * outputs;
    let slopes: Vec<Slopes> = (dy.par_chunks_mut(block), y.par_chunks(block), dz.par_chunks(block))
        .into_par_iter()
        .map(|(dn, y, dz)| through_gelu(y, norm, p, dz, dn))
        .collect();
    let zero = Slopes { plain: vec![0.0; outputs], weighted: vec![0.0; outputs] };
    let slopes = slopes.iter().fold(zero, Slopes::merge);
    let gradient = norm.gradient(p.gamma, &slopes, shape.rows);
    let sums: Vec<Vec<F>> = (dy.par_chunks_mut(block), y.par_chunks(block))
        .into_par_iter()
        .map(|(dy, y)| {
            let mut sum = vec![F::ZERO; outputs];
            let (slope, curve, level) =
                (&gradient.slope[..outputs], &gradient.curve[..outputs], &gradient.level[..outputs]);
            vectorised!(|| {
                for (dy, y) in dy.chunks_exact_mut(outputs).zip(y.chunks_exact(outputs)) {
                    for c in 0..outputs {
                        dy[c] = dy[c] * slope[c] + (y[c] * curve[c] + level[c]);
                        sum[c] += dy[c];
                    }
                }
            });
            sum
        })
        .collect();
    let mut bias = vec![0.0; outputs];
    sums.iter().for_each(|sum| bias.iter_mut().zip(sum).for_each(|(b, s)| *b += s.f64()));
    (bias, slopes)
}

/// dn = dz · GELU′(γ · ŷ + β) over a block of rows, and its sums.
fn through_gelu<F: Real>(y: &[F], norm: &Normaliser<F>, p: &Parameters<F>, dz: &[F], dn: &mut [F]) -> Slopes {
    let outputs = p.gamma.len();
    let (scale, offset) = (&norm.scale[..outputs], &norm.offset[..outputs]);
    let (gamma, beta) = (&p.gamma[..outputs], &p.beta[..outputs]);
    let (mut plain, mut weighted) = (vec![F::ZERO; outputs], vec![F::ZERO; outputs]);
    let (s, w) = (&mut plain[..outputs], &mut weighted[..outputs]);
    vectorised!(|| {
        for ((dn, y), dz) in dn.chunks_exact_mut(outputs).zip(y.chunks_exact(outputs)).zip(dz.chunks_exact(outputs)) {
            for c in 0..outputs {
                let normal = y[c] * scale[c] + offset[c];
                let d = dz[c] * gelu_slope(normal * gamma[c] + beta[c]);
                s[c] += d;
                w[c] += d * normal;
                dn[c] = d;
            }
        }
    });
    let widen = |v: Vec<F>| v.into_iter().map(F::f64).collect();
    Slopes { plain: widen(plain), weighted: widen(weighted) }
}

/// The input rows j with (j + padding) mod stride = r, and the taps that reach them.
struct Phase<F: Real> {
    /// First such row.
    first: usize,
    /// Output row that tap r of row `first` belongs to.
    newest: usize,
    taps: usize,
    /// [taps · outputs, inputs], the last tap first.
    weights: PoolVec<F>,
}

fn phases<F: Real>(shape: &Shape, weights: &[F]) -> Vec<Phase<F>> {
    let (inputs, outputs, stride) = (shape.inputs, shape.outputs, shape.stride);
    let phase = |r: usize| {
        let newest = shape.padding.saturating_sub(r).div_ceil(stride);
        let taps = shape.kernel.saturating_sub(r).div_ceil(stride);
        let mut flipped = PoolVec::<F>::uninit(taps * outputs * inputs);
        for (i, block) in flipped.chunks_exact_mut(outputs * inputs).enumerate() {
            let k = r + stride * (taps - 1 - i);
            let tap = &weights[k * inputs * outputs..(k + 1) * inputs * outputs];
            for (o, row) in block.chunks_exact_mut(inputs).enumerate() {
                row.iter_mut().enumerate().for_each(|(c, w)| *w = tap[c * outputs + o]);
            }
        }
        Phase { first: newest * stride + r - shape.padding, newest, taps, weights: flipped }
    };
    (0..stride).map(phase).collect()
}

impl<F: Real> Phase<F> {
    /// Writes this phase's rows of `dx` [length, inputs] from `dy` [rows, outputs].
    fn apply(&self, shape: &Shape, dy: &[F], dx: &mut [F]) {
        let (inputs, stride) = (shape.inputs, shape.stride);
        let block = block_rows(inputs) * inputs * stride;
        let windows = Windows {
            data: dy,
            channels: shape.outputs,
            taps: self.taps,
            step: 1,
            start: self.newest as isize - self.taps as isize + 1,
        };
        let Some(dx) = dx.get_mut(self.first * inputs..) else { return };
        dx.par_chunks_mut(block).enumerate().for_each(|(i, dx)| {
            let rows = (dx.len() / inputs).div_ceil(stride);
            let from = i * block_rows(inputs);
            windows.product(from..from + rows, &self.weights, dx, inputs, inputs * stride, Threads::One);
        });
    }
}
