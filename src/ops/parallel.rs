//! Loops over rows on all cores. Work is split by fixed sizes, never by the number of threads, so that every sum is formed
//! in the same order on every machine.

use rayon::prelude::*;

use crate::device::simd::vectorised;
use crate::device::{Device, Launch, Real};
use crate::tensor::Tensor;

/// Elements one task handles: enough to hide the cost of handing it out, small enough to stay in a core's cache.
const GRAIN: usize = 32 * 1024;

/// `f(&mut a[i], &b[i])` for all i.
pub(crate) fn parallel_zip<F: Real>(a: &mut [F], b: &[F], f: impl Fn(&mut F, &F) + Sync) {
    a.par_chunks_mut(GRAIN)
        .zip(b.par_chunks(GRAIN))
        .for_each(|(a, b)| vectorised!(|| a.iter_mut().zip(b).for_each(|(a, b)| f(a, b))));
}

/// A new buffer of `f(x[i])`.
pub(crate) fn parallel_map<F: Real>(x: &[F], f: impl Fn(F) -> F + Sync) -> crate::device::PoolVec<F> {
    let mut y = crate::device::PoolVec::uninit(x.len());
    parallel_zip(&mut y, x, |y, &x| *y = f(x));
    y
}

fn rows_per_task(cols: usize) -> usize {
    (GRAIN / cols.max(1)).max(1)
}

/// Calls `f(first_row, rows)` over blocks of whole rows of `out` (`cols` wide), in parallel.
pub(crate) fn for_rows<F: Real>(out: &mut [F], cols: usize, f: impl Fn(usize, &mut [F]) + Sync) {
    let rows = rows_per_task(cols);
    out.par_chunks_mut(rows * cols).enumerate().for_each(|(i, block)| f(i * rows, block));
}

/// Sums of each column of a row-major matrix: blocks in parallel, then the blocks in order.
pub(crate) fn column_sums<F: Real>(x: &[F], cols: usize) -> crate::device::PoolVec<F> {
    let partial: Vec<Vec<F>> = x
        .par_chunks(rows_per_task(cols) * cols)
        .map(|block| {
            let mut sum = vec![F::ZERO; cols];
            vectorised!(|| {
                for row in block.chunks_exact(cols) {
                    sum.iter_mut().zip(row).for_each(|(s, &x)| *s += x);
                }
            });
            sum
        })
        .collect();
    let mut total = crate::device::PoolVec::zeros(cols);
    for p in partial {
        total.iter_mut().zip(p).for_each(|(t, p)| *t += p);
    }
    total
}

/// The grid of a kernel that handles [`PER_BLOCK`] elements of `x` in each block.
pub(crate) fn elementwise(x: &Tensor) -> Launch<'_> {
    x.device().launch(x.len().div_ceil(PER_BLOCK))
}

/// The grid of a kernel of `kernels/rows.cuh` over [rows, d]: a thread takes eight columns of a row.
pub(crate) fn rowwise(device: &Device, rows: usize, d: usize) -> Launch<'_> {
    device.launch((rows * d.div_ceil(8)).div_ceil(PER_BLOCK / 8))
}

/// Elements of one block of an element-wise kernel: ELEMENTWISE in `kernels/common.cuh`.
const PER_BLOCK: usize = 2048;
