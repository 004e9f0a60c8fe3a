//! Forward pass: y = windows · W, statistics of y while it is warm, z = GELU(γ · ŷ + β).

use rayon::prelude::*;

use super::norm::{Moments, Normaliser};
use super::{Shape, block_rows};
use crate::device::simd::vectorised;
use crate::device::{PoolVec, Real};
use crate::linalg::Threads;
use crate::ops::activation::gelu_value;

/// Convolution output before the bias, and what normalises each sample of it.
pub(super) struct Saved<F: Real> {
    pub(super) y: PoolVec<F>,
    pub(super) norms: Vec<Normaliser<F>>,
}

/// Parameters as the kernels want them.
pub(super) struct Parameters<'a, F> {
    /// [taps · inputs, outputs].
    pub(super) weights: &'a [F],
    pub(super) bias: &'a [F],
    pub(super) gamma: &'a [F],
    pub(super) beta: &'a [F],
}

/// z [batch, rows, outputs] and, if `keep`, what the backward pass needs.
pub(super) fn forward<F: Real>(
    shape: &Shape,
    x: &[F],
    p: &Parameters<F>,
    keep: bool,
) -> (PoolVec<F>, Option<Saved<F>>) {
    let mut z = PoolVec::<F>::uninit(shape.batch * shape.output_size());
    let mut y = PoolVec::<F>::uninit(if keep { z.len() } else { 0 });
    let sample = |x: &[F], y: &mut [F], z: &mut [F]| {
        let moments = convolve(shape, x, p.weights, y);
        let norm = moments.normaliser(p.bias, shape.groups, shape.eps);
        let block = block_rows(shape.outputs) * shape.outputs;
        z.par_chunks_mut(block).zip(y.par_chunks(block)).for_each(|(z, y)| activate(y, &norm, p, z));
        norm
    };
    let (xs, zs) = (x.par_chunks(shape.input_size()), z.par_chunks_mut(shape.output_size()));
    if keep {
        let ys = y.par_chunks_mut(shape.output_size());
        let norms = xs.zip(ys).zip(zs).map(|((x, y), z)| sample(x, y, z)).collect();
        (z, Some(Saved { y, norms }))
    } else {
        xs.zip(zs).for_each(|(x, z)| {
            sample(x, &mut PoolVec::uninit(shape.output_size()), z);
        });
        (z, None)
    }
}

/// Convolution of one sample without bias into `y` [rows, outputs], and the moments of its channels.
fn convolve<F: Real>(shape: &Shape, x: &[F], weights: &[F], y: &mut [F]) -> Moments {
    let (outputs, block) = (shape.outputs, block_rows(shape.outputs));
    let windows = shape.windows(x);
    let blocks: Vec<Moments> = y
        .par_chunks_mut(block * outputs)
        .enumerate()
        .map(|(i, y)| {
            let range = i * block..i * block + y.len() / outputs;
            windows.product(range, weights, y, outputs, outputs, Threads::One);
            Moments::of(y, outputs)
        })
        .collect();
    let mut blocks = blocks.into_iter();
    let first = blocks.next().unwrap_or_else(|| Moments::of(&[] as &[F], outputs));
    blocks.fold(first, |sum, block| sum.merge(&block))
}

fn activate<F: Real>(y: &[F], norm: &Normaliser<F>, p: &Parameters<F>, z: &mut [F]) {
    let outputs = p.gamma.len();
    let affine = |c: usize| (norm.scale[c] * p.gamma[c], norm.offset[c] * p.gamma[c] + p.beta[c]);
    let (scale, offset): (Vec<F>, Vec<F>) = (0..outputs).map(affine).unzip();
    let (scale, offset) = (&scale[..outputs], &offset[..outputs]);
    vectorised!(|| {
        for (z, y) in z.chunks_exact_mut(outputs).zip(y.chunks_exact(outputs)) {
            for (((z, &y), &a), &b) in z.iter_mut().zip(y).zip(scale).zip(offset) {
                *z = gelu_value(y * a + b);
            }
        }
    });
}
