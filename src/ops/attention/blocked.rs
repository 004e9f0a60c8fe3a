//! Attention of heads of any width by matrix products over blocks of query rows.

use rayon::prelude::*;

use super::{AttentionSpec, Saved, by_sample};
use crate::device::simd::vectorised;
use crate::device::{PoolVec, Real};
use crate::linalg::{Mat, MatMut, Threads, matmul};
use crate::tensor::Tensor;

/// Query rows handled at once: two blocks of this many rows of 2,400 scores stay in a core's second-level cache.
const QUERY_BLOCK: usize = 64;

/// One task of the forward pass: some query rows of one sample, with their slices of the outputs.
struct Block<'a, F> {
    sample: usize,
    first_row: usize,
    out: &'a mut [F],
    log_norm: &'a mut [F],
}

/// Outputs and logarithms of the normalisers.
pub(super) fn forward<F: Real>(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> (Tensor, Tensor) {
    let (d, heads) = (q.cols(), spec.heads);
    let mut out = PoolVec::<F>::uninit(q.len());
    let mut log_norm = PoolVec::<F>::uninit(q.rows() * heads);
    let mut blocks = Vec::new();
    let (mut out_rest, mut norm_rest) = (&mut out[..], &mut log_norm[..]);
    for sample in 0..spec.queries.batch() {
        let range = spec.queries.range(sample);
        for first_row in range.clone().step_by(QUERY_BLOCK) {
            let rows = QUERY_BLOCK.min(range.end - first_row);
            let (out, rest) = out_rest.split_at_mut(rows * d);
            out_rest = rest;
            let (log_norm, rest) = norm_rest.split_at_mut(rows * heads);
            norm_rest = rest;
            blocks.push(Block { sample, first_row, out, log_norm });
        }
    }
    let (qs, ks, vs) = (q.as_slice::<F>(), k.as_slice::<F>(), v.as_slice::<F>());
    blocks.into_par_iter().for_each(|block| {
        let head = Heads::new(spec, d, block.sample);
        let rows = block.out.len() / d;
        let mut p = PoolVec::<F>::uninit(rows * head.keys);
        for h in 0..heads {
            head.scores(h, block.first_row, rows, qs, ks, &mut p);
            for (row, norm) in p.chunks_exact_mut(head.keys.max(1)).zip(block.log_norm[h..].iter_mut().step_by(heads)) {
                *norm = softmax_in_place(row);
            }
            head.drop(h, block.first_row, &mut p);
            let out = MatMut::strided(&mut block.out[head.column(h)..], rows, head.width, d);
            matmul(out, false, F::ONE, Mat::new(&p, rows, head.keys), head.of_keys(h, vs), Threads::One);
        }
    });
    let log_norm = Tensor::from_pool(&[q.rows(), heads], log_norm);
    (Tensor::from_pool(q.shape(), out), log_norm)
}

/// exp(x − max)/Σ in place; returns max + ln Σ.
fn softmax_in_place<F: Real>(row: &mut [F]) -> F {
    vectorised!(|| {
        let max = lanes(row, F::LOWEST, |a, b| a.max(b));
        row.iter_mut().for_each(|x| *x = (*x - max).exp());
        let sum = lanes(row, F::ZERO, |a, b| a + b);
        let inverse = F::ONE / sum;
        row.iter_mut().for_each(|x| *x *= inverse);
        max + sum.ln()
    })
}

/// Folds a row in sixteen independent lanes, which a compiler may vectorise although float sums do not commute.
#[inline(always)]
fn lanes<F: Real>(row: &[F], start: F, f: impl Fn(F, F) -> F) -> F {
    let mut acc = [start; 16];
    let (body, tail) = row.as_chunks::<16>();
    for chunk in body {
        for (a, &x) in acc.iter_mut().zip(chunk) {
            *a = f(*a, x);
        }
    }
    for (a, &x) in acc.iter_mut().zip(tail) {
        *a = f(*a, x);
    }
    acc.into_iter().reduce(f).unwrap_or(start)
}

/// Geometry of one sample's heads.
struct Heads<'a> {
    spec: &'a AttentionSpec,
    d: usize,
    width: usize,
    first_key: usize,
    keys: usize,
}

impl<'a> Heads<'a> {
    fn new(spec: &'a AttentionSpec, d: usize, sample: usize) -> Self {
        let keys = spec.keys.range(sample);
        Heads { spec, d, width: d / spec.heads, first_key: keys.start, keys: keys.len() }
    }

    fn column(&self, h: usize) -> usize {
        h * self.width
    }

    fn scale<F: Real>(&self) -> F {
        super::root(self.width)
    }

    /// Columns of head `h` in rows `first..first + rows` of a [ΣT, d] matrix.
    fn columns<'m, F>(&self, h: usize, first: usize, rows: usize, matrix: &'m [F]) -> Mat<'m, F> {
        let start = if rows == 0 { 0 } else { first * self.d + self.column(h) };
        Mat::strided(&matrix[start..], rows, self.width, self.d)
    }

    fn of_keys<'m, F>(&self, h: usize, matrix: &'m [F]) -> Mat<'m, F> {
        self.columns(h, self.first_key, self.keys, matrix)
    }

    /// Q·Kᵀ/√d_k of a block of query rows.
    fn scores<F: Real>(&self, h: usize, first: usize, rows: usize, q: &[F], k: &[F], out: &mut [F]) {
        let (q, k) = (self.columns(h, first, rows, q), self.of_keys(h, k));
        matmul(MatMut::new(out, rows, self.keys), false, self.scale(), q, k.t(), Threads::One);
    }

    /// Applies dropout to a block of weights (or of their gradients: the mask is the same).
    fn drop<F: Real>(&self, h: usize, first_row: usize, block: &mut [F]) {
        if let Some(dropout) = &self.spec.dropout {
            for (i, row) in block.chunks_exact_mut(self.keys.max(1)).enumerate() {
                dropout.apply_row(((first_row + i) * self.spec.heads + h) as u64, row);
            }
        }
    }
}

/// Gradients of queries, keys and values.
pub(super) fn backward<F: Real>(saved: &Saved, dy: &Tensor, spec: &AttentionSpec) -> [Tensor; 3] {
    let Saved { q, k, v, out, log_norm } = saved;
    let (d, log_norm) = (q.cols(), log_norm.as_slice::<F>());
    let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| PoolVec::<F>::uninit(x.len()));
    let dqs = by_sample(&mut dq, d, &spec.queries);
    let (dks, dvs) = (by_sample(&mut dk, d, &spec.keys), by_sample(&mut dv, d, &spec.keys));
    let (qs, ks, vs) = (q.as_slice::<F>(), k.as_slice::<F>(), v.as_slice::<F>());
    let (os, dys) = (out.as_slice::<F>(), dy.as_slice::<F>());
    dqs.into_par_iter().zip(dks).zip(dvs).enumerate().for_each(|(sample, ((dq, dk), dv))| {
        let head = Heads::new(spec, d, sample);
        let range = spec.queries.range(sample);
        if range.is_empty() {
            dk.fill(F::ZERO);
            dv.fill(F::ZERO);
        }
        let mut p = PoolVec::<F>::uninit(QUERY_BLOCK * head.keys);
        let mut ds = PoolVec::<F>::uninit(QUERY_BLOCK * head.keys);
        for h in 0..spec.heads {
            for first in range.clone().step_by(QUERY_BLOCK) {
                let rows = QUERY_BLOCK.min(range.end - first);
                let (p, ds) = (&mut p[..rows * head.keys], &mut ds[..rows * head.keys]);
                let more = first > range.start;
                head.scores(h, first, rows, qs, ks, p);
                let dy_block = head.columns(h, first, rows, dys);
                matmul(
                    MatMut::new(ds, rows, head.keys),
                    false,
                    F::ONE,
                    dy_block,
                    head.of_keys(h, vs).t(),
                    Threads::One,
                );
                head.drop(h, first, ds);
                for i in 0..rows {
                    let row = first + i;
                    let at = row * d + head.column(h)..row * d + head.column(h) + head.width;
                    let dot: F = os[at.clone()].iter().zip(&dys[at]).map(|(&o, &g)| o * g).sum();
                    let keys = i * head.keys..(i + 1) * head.keys;
                    softmax_backward(&mut p[keys.clone()], &mut ds[keys], log_norm[row * spec.heads + h], dot);
                }
                let ds_block = Mat::new(ds, rows, head.keys);
                let dq_block =
                    MatMut::strided(&mut dq[(first - range.start) * d + head.column(h)..], rows, head.width, d);
                matmul(dq_block, false, head.scale(), ds_block, head.of_keys(h, ks), Threads::One);
                if head.keys > 0 {
                    let dk_block = MatMut::strided(&mut dk[head.column(h)..], head.keys, head.width, d);
                    let q_block = head.columns(h, first, rows, qs);
                    matmul(dk_block, more, head.scale(), ds_block.t(), q_block, Threads::One);
                    head.drop(h, first, p);
                    let dv_block = MatMut::strided(&mut dv[head.column(h)..], head.keys, head.width, d);
                    matmul(dv_block, more, F::ONE, Mat::new(p, rows, head.keys).t(), dy_block, Threads::One);
                }
            }
        }
    });
    [Tensor::from_pool(q.shape(), dq), Tensor::from_pool(k.shape(), dk), Tensor::from_pool(v.shape(), dv)]
}

/// Scores become weights p = exp(s − log_norm); dP in `ds` becomes dS = p·(dP − dot).
fn softmax_backward<F: Real>(p: &mut [F], ds: &mut [F], log_norm: F, dot: F) {
    vectorised!(|| {
        for (p, ds) in p.iter_mut().zip(ds) {
            *p = (*p - log_norm).exp();
            *ds = *p * (*ds - dot);
        }
    });
}
