//! Attention with narrow heads, one (sample, head) at a time, in tiles that stay in a core's first-level cache.
//!
//! With d_k = 16 or 32 a general matrix product spends its time on packing and on storing scores. Here a vector register
//! holds one key's scores against as many queries as it has lanes: keys and values are read as scalars where they lie,
//! maxima and sums of the online softmax (as FlashAttention has it) are taken lane by lane, and products are summed in
//! registers. No transposition, no sum across lanes.

use pulp::{Arch, Simd, WithSimd, bytemuck};

use crate::device::Real;

/// Keys of a tile: their scores against one vector of queries, twice, take 8 KB.
const TILE: usize = 64;
/// Keys whose scores are summed side by side: as many independent sums as hide the latency of a multiply–add.
const KEYS: usize = 8;
/// Columns of an output summed side by side: with one operand, all within the registers.
const COLUMNS: usize = 16;

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

impl<'a> Columns<'a> {
    /// One row.
    #[inline(always)]
    fn row<const D: usize>(&self, i: usize) -> &'a [f32; D] {
        self.data[i * self.stride..].first_chunk().expect("rows lie within the matrix")
    }

    /// A vector of rows from `first` on, a row in each lane, times `scale`; zero beyond the end.
    #[inline(always)]
    fn lanes<S: Simd, const D: usize>(&self, simd: S, first: usize, scale: f32) -> [S::f32s; D] {
        let mut out = [simd.splat_f32s(0.0); D];
        for lane in 0..S::F32_LANES.min(self.rows - first) {
            for (out, &x) in out.iter_mut().zip(self.row::<D>(first + lane)) {
                floats::<S>(std::slice::from_mut(out))[lane] = x * scale;
            }
        }
        out
    }
}

/// The elements of vectors.
#[inline(always)]
fn floats<S: Simd>(vectors: &mut [S::f32s]) -> &mut [f32] {
    bytemuck::cast_slice_mut(vectors)
}

/// out[key] = Σ_c rows[first + key][c]·x[c] for `valid` keys.
#[inline(always)]
fn scores<S: Simd, const D: usize>(
    simd: S,
    x: &[S::f32s; D],
    rows: &Columns,
    (first, valid): (usize, usize),
    out: &mut [S::f32s; TILE],
) {
    let whole = valid / KEYS * KEYS;
    for key in (0..whole).step_by(KEYS) {
        let keys: [&[f32; D]; KEYS] = std::array::from_fn(|j| rows.row(first + key + j));
        let mut sum = [simd.splat_f32s(0.0); KEYS];
        for c in 0..D {
            for j in 0..KEYS {
                sum[j] = simd.mul_add_f32s(simd.splat_f32s(keys[j][c]), x[c], sum[j]);
            }
        }
        out[key..key + KEYS].copy_from_slice(&sum);
    }
    for (key, out) in out.iter_mut().enumerate().take(valid).skip(whole) {
        let row = rows.row::<D>(first + key);
        *out = simd.splat_f32s(0.0);
        for c in 0..D {
            *out = simd.mul_add_f32s(simd.splat_f32s(row[c]), x[c], *out);
        }
    }
}

/// out[c] += Σ_key p[key]·rows[first + key][c] over `valid` keys.
#[inline(always)]
fn accumulate<S: Simd, const D: usize>(
    simd: S,
    p: &[S::f32s; TILE],
    rows: &Columns,
    (first, valid): (usize, usize),
    out: &mut [S::f32s; D],
) {
    for columns in (0..D).step_by(COLUMNS) {
        let mut sum: [S::f32s; COLUMNS] = std::array::from_fn(|c| out[columns + c]);
        for (key, &p) in p.iter().enumerate().take(valid) {
            let row = &rows.row::<D>(first + key)[columns..columns + COLUMNS];
            for c in 0..COLUMNS {
                sum[c] = simd.mul_add_f32s(simd.splat_f32s(row[c]), p, sum[c]);
            }
        }
        out[columns..columns + COLUMNS].copy_from_slice(&sum);
    }
}

/// out[key] += Σ_lane p[key][lane]·rows[lane] over `valid` keys, for rows [lanes, D].
#[inline(always)]
fn scatter<S: Simd, const D: usize>(
    simd: S,
    p: &mut [S::f32s; TILE],
    rows: &[f32],
    valid: usize,
    out: &mut [[f32; D]; TILE],
) {
    let lanes = S::F32_LANES;
    let weights = floats::<S>(p);
    for (key, out) in out.iter_mut().enumerate().take(valid) {
        let weights = &weights[key * lanes..][..lanes];
        for (column, out) in S::as_mut_simd_f32s(out).0.iter_mut().enumerate() {
            // Two sums, each half as long a chain of dependent additions.
            let mut sum = [*out, simd.splat_f32s(0.0)];
            for (lane, &w) in weights.iter().enumerate() {
                let row = S::as_simd_f32s(&rows[lane * D..][..D]).0[column];
                sum[lane % 2] = simd.mul_add_f32s(simd.splat_f32s(w), row, sum[lane % 2]);
            }
            *out = simd.add_f32s(sum[0], sum[1]);
        }
    }
}

/// exp of every element.
#[inline(always)]
fn exponentials<S: Simd>(vectors: &mut [S::f32s]) {
    for x in floats::<S>(vectors) {
        *x = Real::exp(*x);
    }
}

/// What the online softmax knows of a vector of queries.
struct State<S: Simd, const D: usize> {
    query: [S::f32s; D],
    max: S::f32s,
    sum: S::f32s,
    out: [S::f32s; D],
}

/// The forward pass of one head.
pub struct Forward<'a, const D: usize> {
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

impl<const D: usize> Forward<'_, D> {
    /// Computes `out` and `log_norm`.
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<const D: usize> WithSimd for Forward<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward { q, k, v, scale, out, stride, log_norm, heads } = self;
        let zero = simd.splat_f32s(0.0);
        let mut states: Vec<State<S, D>> = Vec::with_capacity(q.rows.div_ceil(S::F32_LANES));
        for first in (0..q.rows).step_by(S::F32_LANES) {
            let query = q.lanes(simd, first, scale);
            states.push(State { query, max: simd.splat_f32s(f32::MIN), sum: zero, out: [zero; D] });
        }
        let mut p = [zero; TILE];
        for first in (0..k.rows).step_by(TILE) {
            let keys = (first, TILE.min(k.rows - first));
            for state in &mut states {
                scores(simd, &state.query, &k, keys, &mut p);
                let p = &mut p;
                let mut max = [state.max; 4];
                for (i, &x) in p.iter().enumerate().take(keys.1) {
                    max[i % 4] = simd.max_f32s(max[i % 4], x);
                }
                let max = simd.max_f32s(simd.max_f32s(max[0], max[1]), simd.max_f32s(max[2], max[3]));
                for x in &mut p[..keys.1] {
                    *x = simd.sub_f32s(*x, max);
                }
                exponentials::<S>(&mut p[..keys.1]);
                let mut shrink = [simd.sub_f32s(state.max, max)];
                exponentials::<S>(&mut shrink);
                let mut sum = [simd.mul_f32s(state.sum, shrink[0]), zero, zero, zero];
                for (i, &x) in p.iter().enumerate().take(keys.1) {
                    sum[i % 4] = simd.add_f32s(sum[i % 4], x);
                }
                state.sum = simd.add_f32s(simd.add_f32s(sum[0], sum[1]), simd.add_f32s(sum[2], sum[3]));
                state.max = max;
                for x in &mut state.out {
                    *x = simd.mul_f32s(*x, shrink[0]);
                }
                accumulate(simd, p, &v, keys, &mut state.out);
            }
        }
        for (group, state) in states.iter_mut().enumerate() {
            let first = group * S::F32_LANES;
            for lane in 0..S::F32_LANES.min(q.rows - first) {
                let at = |vector: &mut S::f32s| floats::<S>(std::slice::from_mut(vector))[lane];
                let (max, sum) = (at(&mut state.max), at(&mut state.sum));
                let row = &mut out[(first + lane) * stride..][..D];
                row.iter_mut().zip(&mut state.out).for_each(|(o, x)| *o = at(x) / sum);
                log_norm[(first + lane) * heads] = max + sum.ln();
            }
        }
    }
}

/// One vector of queries in the backward pass.
struct Group<S: Simd, const D: usize> {
    query: [S::f32s; D],
    dy: [S::f32s; D],
    log_norm: S::f32s,
    dot: S::f32s,
    dq: [S::f32s; D],
}

/// The backward pass of one head.
pub struct Backward<'a, const D: usize> {
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

impl<const D: usize> Backward<'_, D> {
    /// Computes the gradients.
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<const D: usize> WithSimd for Backward<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Backward { q, k, v, dy, out, log_norm, heads, scale, gradients: [dq, dk, dv], stride } = self;
        let zero = simd.splat_f32s(0.0);
        let lanes = S::F32_LANES;
        let padded = q.rows.div_ceil(lanes) * lanes;
        // Queries (scaled) and output gradients as rows, zero beyond the end.
        let (mut query_rows, mut dy_rows) = (vec![0.0f32; padded * D], vec![0.0f32; padded * D]);
        for i in 0..q.rows {
            query_rows[i * D..][..D].iter_mut().zip(q.row::<D>(i)).for_each(|(o, &x)| *o = x * scale);
            dy_rows[i * D..][..D].copy_from_slice(dy.row::<D>(i));
        }
        let mut groups: Vec<Group<S, D>> = Vec::with_capacity(padded / lanes);
        for first in (0..q.rows).step_by(lanes) {
            let (mut norms, mut dot) = ([zero], [zero]);
            for lane in 0..lanes.min(q.rows - first) {
                let (g, o) = (dy.row::<D>(first + lane), out.row::<D>(first + lane));
                floats::<S>(&mut norms)[lane] = log_norm[(first + lane) * heads];
                floats::<S>(&mut dot)[lane] = g.iter().zip(o).map(|(g, o)| g * o).sum();
            }
            let (query, dy) = (q.lanes(simd, first, scale), dy.lanes(simd, first, 1.0));
            groups.push(Group { query, dy, log_norm: norms[0], dot: dot[0], dq: [zero; D] });
        }
        let (mut p, mut ds) = ([zero; TILE], [zero; TILE]);
        for first in (0..k.rows).step_by(TILE) {
            let keys = (first, TILE.min(k.rows - first));
            let (mut key_grad, mut value_grad) = ([[0.0f32; D]; TILE], [[0.0f32; D]; TILE]);
            for (i, group) in groups.iter_mut().enumerate() {
                scores(simd, &group.query, &k, keys, &mut p);
                scores(simd, &group.dy, &v, keys, &mut ds);
                for x in &mut p[..keys.1] {
                    *x = simd.sub_f32s(*x, group.log_norm);
                }
                exponentials::<S>(&mut p[..keys.1]);
                for (ds, &p) in ds.iter_mut().zip(&p).take(keys.1) {
                    *ds = simd.mul_f32s(p, simd.sub_f32s(*ds, group.dot));
                }
                accumulate(simd, &ds, &k, keys, &mut group.dq);
                let rows = i * lanes * D..(i + 1) * lanes * D;
                scatter(simd, &mut ds, &query_rows[rows.clone()], keys.1, &mut key_grad);
                scatter(simd, &mut p, &dy_rows[rows], keys.1, &mut value_grad);
            }
            for i in 0..keys.1 {
                let at = (first + i) * stride;
                dk[at..at + D].copy_from_slice(&key_grad[i]);
                dv[at..at + D].copy_from_slice(&value_grad[i]);
            }
        }
        for (group, state) in groups.iter_mut().enumerate() {
            let first = group * lanes;
            for lane in 0..lanes.min(q.rows - first) {
                let row = &mut dq[(first + lane) * stride..][..D];
                for (o, x) in row.iter_mut().zip(&mut state.dq) {
                    *o = floats::<S>(std::slice::from_mut(x))[lane] * scale;
                }
            }
        }
    }
}
