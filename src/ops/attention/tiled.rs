//! Attention with narrow heads, one (sample, head) at a time, in tiles that stay in a core's first-level cache.
//!
//! With d_k = 16 or 32 a general matrix product spends its time on packing and on storing scores, so scores, weights and
//! their gradients are formed here in small tiles: eight queries against a tile of keys, weights by an online softmax
//! (running maximum and normaliser, as FlashAttention has it), products accumulated in registers. SPEEDUP than
//! blocks of matrix products at 188 queries, 2,400 keys and d_k = 16.

use pulp::{Arch, Simd, WithSimd};

use crate::device::Real;

/// Queries handled together: as many independent sums as hide the latency of a multiply–add.
const GROUP: usize = 8;
/// Lanes in which a row of weights is summed.
const SUMS: usize = 16;

/// Columns of one head of a row-major [rows, d] matrix.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// From the first element of the head's first row on.
    pub data: &'a [f32],
    /// Rows.
    pub rows: usize,
    /// Elements from row to row.
    pub stride: usize,
}

impl Columns<'_> {
    /// Rows `first..first + N` times `scale`, zero beyond the end.
    #[inline(always)]
    fn tile<const N: usize, const D: usize>(&self, first: usize, scale: f32, out: &mut [[f32; D]; N]) {
        for (i, row) in out.iter_mut().enumerate() {
            if first + i < self.rows {
                let source = &self.data[(first + i) * self.stride..][..D];
                row.iter_mut().zip(source).for_each(|(o, &x)| *o = x * scale);
            } else {
                *row = [0.0; D];
            }
        }
    }
}

#[inline(always)]
fn transpose<const N: usize, const D: usize>(rows: &[[f32; D]; N], out: &mut [[f32; N]; D]) {
    for (i, row) in rows.iter().enumerate() {
        for (column, &x) in out.iter_mut().zip(row) {
            column[i] = x;
        }
    }
}

/// a·b for a [8, D] and b [D, T], two vectors of keys at a time: sixteen sums in registers.
#[inline(always)]
fn scores<S: Simd, const D: usize, const T: usize>(
    simd: S,
    a: &[[f32; D]; GROUP],
    b: &[[f32; T]; D],
    out: &mut [[f32; T]; GROUP],
) {
    for pair in 0..T / (2 * S::F32_LANES) {
        let at = 2 * pair;
        let mut sum = [[simd.splat_f32s(0.0); 2]; GROUP];
        for (k, row) in b.iter().enumerate() {
            let keys = S::as_simd_f32s(row).0;
            let (low, high) = (keys[at], keys[at + 1]);
            for i in 0..GROUP {
                let q = simd.splat_f32s(a[i][k]);
                sum[i] = [simd.mul_add_f32s(q, low, sum[i][0]), simd.mul_add_f32s(q, high, sum[i][1])];
            }
        }
        for (row, sum) in out.iter_mut().zip(&sum) {
            S::as_mut_simd_f32s(row).0[at..at + 2].copy_from_slice(sum);
        }
    }
}

/// out += p·rows for p [8, T] and rows [T, D], a vector of columns at a time.
#[inline(always)]
fn accumulate<S: Simd, const D: usize, const T: usize>(
    simd: S,
    p: &[[f32; T]; GROUP],
    rows: &[[f32; D]; T],
    out: &mut [[f32; D]; GROUP],
) {
    for column in 0..D / S::F32_LANES {
        let mut sum = [simd.splat_f32s(0.0); GROUP];
        for (sum, row) in sum.iter_mut().zip(out.iter()) {
            *sum = S::as_simd_f32s(row).0[column];
        }
        for (key, row) in rows.iter().enumerate() {
            let row = S::as_simd_f32s(row).0[column];
            for i in 0..GROUP {
                sum[i] = simd.mul_add_f32s(simd.splat_f32s(p[i][key]), row, sum[i]);
            }
        }
        for (row, sum) in out.iter_mut().zip(sum) {
            S::as_mut_simd_f32s(row).0[column] = sum;
        }
    }
}

/// out += pᵀ·rows for p [8, T] and rows [8, D], a vector of columns at a time.
#[inline(always)]
fn scatter<S: Simd, const D: usize, const T: usize>(
    simd: S,
    p: &[[f32; T]; GROUP],
    rows: &[[f32; D]; GROUP],
    out: &mut [[f32; D]; T],
) {
    for column in 0..D / S::F32_LANES {
        let rows: [S::f32s; GROUP] = std::array::from_fn(|i| S::as_simd_f32s(&rows[i]).0[column]);
        for (key, out) in out.iter_mut().enumerate() {
            let out = &mut S::as_mut_simd_f32s(out).0[column];
            let mut sum = *out;
            for i in 0..GROUP {
                sum = simd.mul_add_f32s(simd.splat_f32s(p[i][key]), rows[i], sum);
            }
            *out = sum;
        }
    }
}

/// What the online softmax knows of eight queries.
struct State<const D: usize> {
    query: [[f32; D]; GROUP],
    max: [f32; GROUP],
    sum: [[f32; SUMS]; GROUP],
    out: [[f32; D]; GROUP],
}

/// The forward pass of one head.
pub struct Forward<'a, const D: usize, const T: usize> {
    /// Queries.
    pub q: Columns<'a>,
    /// Keys.
    pub k: Columns<'a>,
    /// Values.
    pub v: Columns<'a>,
    /// 1/√d_k.
    pub scale: f32,
    /// softmax(Q·Kᵀ·scale)·V, rows `stride` apart.
    pub out: &'a mut [f32],
    /// Elements from row to row of `out`.
    pub stride: usize,
    /// Logarithms of the normalisers, `heads` apart.
    pub log_norm: &'a mut [f32],
    /// Elements from row to row of `log_norm`.
    pub heads: usize,
}

impl<const D: usize, const T: usize> Forward<'_, D, T> {
    /// Computes `out` and `log_norm`.
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<const D: usize, const T: usize> WithSimd for Forward<'_, D, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward { q, k, v, scale, out, stride, log_norm, heads } = self;
        let mut states: Vec<State<D>> = (0..q.rows)
            .step_by(GROUP)
            .map(|first| {
                let mut query = [[0.0; D]; GROUP];
                q.tile(first, scale, &mut query);
                State { query, max: [f32::MIN; GROUP], sum: [[0.0; SUMS]; GROUP], out: [[0.0; D]; GROUP] }
            })
            .collect();
        let (mut key, mut key_t, mut value) = ([[0.0; D]; T], [[0.0; T]; D], [[0.0; D]; T]);
        let mut p = [[0.0; T]; GROUP];
        for first in (0..k.rows).step_by(T) {
            k.tile(first, 1.0, &mut key);
            transpose(&key, &mut key_t);
            v.tile(first, 1.0, &mut value);
            let valid = T.min(k.rows - first);
            for state in &mut states {
                scores(simd, &state.query, &key_t, &mut p);
                let mut shrink = state.max;
                for (p, max) in p.iter_mut().zip(&mut state.max) {
                    p[valid..].fill(f32::MIN);
                    *max = max.max(largest(p));
                }
                shrink.iter_mut().zip(&state.max).for_each(|(s, &max)| *s = Real::exp(*s - max));
                for i in 0..GROUP {
                    let (max, shrink) = (state.max[i], shrink[i]);
                    p[i].iter_mut().for_each(|x| *x = Real::exp(*x - max));
                    p[i][valid..].fill(0.0);
                    state.sum[i].iter_mut().for_each(|s| *s *= shrink);
                    for chunk in p[i].as_chunks::<SUMS>().0 {
                        state.sum[i].iter_mut().zip(chunk).for_each(|(s, &x)| *s += x);
                    }
                    state.out[i].iter_mut().for_each(|o| *o *= shrink);
                }
                accumulate(simd, &p, &value, &mut state.out);
            }
        }
        for (i, row) in (0..q.rows).map(|i| (i, i * stride)) {
            let (state, lane) = (&states[i / GROUP], i % GROUP);
            let sum = state.sum[lane].iter().copied().sum::<f32>();
            let inverse = 1.0 / sum;
            let target = &mut out[row..row + D];
            target.iter_mut().zip(&state.out[lane]).for_each(|(o, &x)| *o = x * inverse);
            log_norm[i * heads] = state.max[lane] + sum.ln();
        }
    }
}

/// Largest element of a tile's row, by halves so that it vectorises.
#[inline(always)]
fn largest<const T: usize>(row: &[f32; T]) -> f32 {
    let mut lanes = [f32::MIN; SUMS];
    for chunk in row.as_chunks::<SUMS>().0 {
        lanes.iter_mut().zip(chunk).for_each(|(a, &x)| *a = a.max(x));
    }
    let mut half = SUMS / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(a, &mut x)| *a = a.max(x));
        half /= 2;
    }
    lanes[0]
}

/// One group of queries in the backward pass.
struct Group<const D: usize> {
    query: [[f32; D]; GROUP],
    dy: [[f32; D]; GROUP],
    log_norm: [f32; GROUP],
    dot: [f32; GROUP],
    dq: [[f32; D]; GROUP],
}

/// The backward pass of one head.
pub struct Backward<'a, const D: usize, const T: usize> {
    /// Queries.
    pub q: Columns<'a>,
    /// Keys.
    pub k: Columns<'a>,
    /// Values.
    pub v: Columns<'a>,
    /// Gradient of the output.
    pub dy: Columns<'a>,
    /// Output.
    pub out: Columns<'a>,
    /// Logarithms of the normalisers, `heads` apart.
    pub log_norm: &'a [f32],
    /// Elements from row to row of `log_norm`.
    pub heads: usize,
    /// 1/√d_k.
    pub scale: f32,
    /// Gradients of queries, keys and values, rows `stride` apart.
    pub gradients: [&'a mut [f32]; 3],
    /// Elements from row to row of the gradients.
    pub stride: usize,
}

impl<const D: usize, const T: usize> Backward<'_, D, T> {
    /// Computes the gradients.
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<const D: usize, const T: usize> WithSimd for Backward<'_, D, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Backward { q, k, v, dy, out, log_norm, heads, scale, gradients: [dq, dk, dv], stride } = self;
        let mut groups: Vec<Group<D>> = (0..q.rows)
            .step_by(GROUP)
            .map(|first| {
                let (mut query, mut gradient, mut output) = ([[0.0; D]; GROUP], [[0.0; D]; GROUP], [[0.0; D]; GROUP]);
                q.tile(first, scale, &mut query);
                dy.tile(first, 1.0, &mut gradient);
                out.tile(first, 1.0, &mut output);
                let (mut norms, mut dot) = ([0.0; GROUP], [0.0; GROUP]);
                for i in 0..GROUP.min(q.rows - first) {
                    norms[i] = log_norm[(first + i) * heads];
                    dot[i] = gradient[i].iter().zip(&output[i]).map(|(&g, &o)| g * o).sum();
                }
                Group { query, dy: gradient, log_norm: norms, dot, dq: [[0.0; D]; GROUP] }
            })
            .collect();
        let (mut key, mut value) = ([[0.0; D]; T], [[0.0; D]; T]);
        let (mut key_t, mut value_t) = ([[0.0; T]; D], [[0.0; T]; D]);
        let (mut p, mut ds) = ([[0.0; T]; GROUP], [[0.0; T]; GROUP]);
        for first in (0..k.rows).step_by(T) {
            k.tile(first, 1.0, &mut key);
            transpose(&key, &mut key_t);
            v.tile(first, 1.0, &mut value);
            transpose(&value, &mut value_t);
            let valid = T.min(k.rows - first);
            let (mut key_grad, mut value_grad) = ([[0.0; D]; T], [[0.0; D]; T]);
            for group in &mut groups {
                scores(simd, &group.query, &key_t, &mut p);
                scores(simd, &group.dy, &value_t, &mut ds);
                for i in 0..GROUP {
                    for (p, ds) in p[i].iter_mut().zip(&mut ds[i]) {
                        *p = Real::exp(*p - group.log_norm[i]);
                        *ds = *p * (*ds - group.dot[i]);
                    }
                    p[i][valid..].fill(0.0);
                    ds[i][valid..].fill(0.0);
                }
                accumulate(simd, &ds, &key, &mut group.dq);
                scatter(simd, &ds, &group.query, &mut key_grad);
                scatter(simd, &p, &group.dy, &mut value_grad);
            }
            for i in 0..valid {
                let at = (first + i) * stride;
                dk[at..at + D].copy_from_slice(&key_grad[i]);
                dv[at..at + D].copy_from_slice(&value_grad[i]);
            }
        }
        for i in 0..q.rows {
            let source = &groups[i / GROUP].dq[i % GROUP];
            dq[i * stride..][..D].iter_mut().zip(source).for_each(|(o, &x)| *o = x * scale);
        }
    }
}
