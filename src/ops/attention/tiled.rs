//! Attention with narrow heads, one (sample, head) at a time, in tiles that stay in a core's first-level cache.
//!
//! With d_k = 16 or 32 a general matrix product spends its time on packing and on storing scores. Here vector registers
//! hold the scores of one key against as many queries as they have lanes: keys and values are read as scalars, maxima and
//! sums of the online softmax (as FlashAttention has it) are taken lane by lane, and products are summed in registers. No
//! transposition, no sum across lanes.
//!
//! Every product runs over a block of two dozen sums, so that a multiply–add needs fewer than one load: a core makes one of
//! each per cycle.

use pulp::{Arch, Simd, WithSimd, bytemuck};

/// Vectors of queries handled together: what is loaded of a key serves all of them.
const GROUP: usize = 3;
/// Keys of a tile: their scores against a group of queries, twice, take 24 KB.
const TILE: usize = 64;
/// Keys or columns summed side by side where there are 32 registers, and where there are 16.
const MANY: usize = 8;
const FEW: usize = 4;

/// A group of queries, one in each lane.
type Lanes<S> = [<S as Simd>::f32s; GROUP];

/// What vectors are read from and written to: of a vector that lies in two lines of the cache each access counts twice.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Aligned<T>(T);

impl<T> std::ops::Deref for Aligned<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

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

    /// A group of rows from `first` on, a row in each lane, times `scale`; zero beyond the end.
    #[inline(always)]
    fn lanes<S: Simd, const D: usize>(&self, simd: S, first: usize, scale: f32) -> Aligned<[Lanes<S>; D]> {
        let mut out = Aligned([[simd.splat_f32s(0.0); GROUP]; D]);
        for lane in 0..group_len::<S>().min(self.rows - first) {
            for (out, &x) in out.iter_mut().zip(self.row::<D>(first + lane)) {
                floats::<S>(out)[lane] = x * scale;
            }
        }
        out
    }

    /// The rows times `scale`, side by side (rows that lie a power of two apart would evict each other from the first-level
    /// cache), with zeros up to a multiple of `multiple`.
    fn packed<const D: usize>(&self, scale: f32, multiple: usize) -> Vec<Aligned<[f32; D]>> {
        let mut out = vec![Aligned([0.0; D]); self.rows.next_multiple_of(multiple)];
        for (i, out) in out.iter_mut().enumerate().take(self.rows) {
            out.iter_mut().zip(self.row::<D>(i)).for_each(|(out, &x)| *out = x * scale);
        }
        out
    }
}

/// Queries of a group.
const fn group_len<S: Simd>() -> usize {
    GROUP * S::F32_LANES
}

/// The elements of vectors.
#[inline(always)]
fn floats<S: Simd>(vectors: &mut [S::f32s]) -> &mut [f32] {
    bytemuck::cast_slice_mut(vectors)
}

/// out[key] = Σ_c rows[key][c]·x[c]; the number of rows is a multiple of [`MANY`].
#[inline(always)]
fn scores<S: Simd, const D: usize>(simd: S, x: &[Lanes<S>; D], rows: &[Aligned<[f32; D]>], out: &mut [Lanes<S>; TILE]) {
    if S::REGISTER_COUNT >= 32 {
        scores_by::<S, D, MANY>(simd, x, rows, out);
    } else {
        scores_by::<S, D, FEW>(simd, x, rows, out);
    }
}

#[inline(always)]
fn scores_by<S: Simd, const D: usize, const BLOCK: usize>(
    simd: S,
    x: &[Lanes<S>; D],
    rows: &[Aligned<[f32; D]>],
    out: &mut [Lanes<S>; TILE],
) {
    for (rows, out) in rows.as_chunks::<BLOCK>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
        let mut sum = [[simd.splat_f32s(0.0); GROUP]; BLOCK];
        for c in 0..D {
            for j in 0..BLOCK {
                let key = simd.splat_f32s(rows[j][c]);
                for g in 0..GROUP {
                    sum[j][g] = simd.mul_add_f32s(key, x[c][g], sum[j][g]);
                }
            }
        }
        *out = sum;
    }
}

/// out[c] += Σ_key p[key]·rows[key][c].
#[inline(always)]
fn accumulate<S: Simd, const D: usize>(
    simd: S,
    p: &[Lanes<S>; TILE],
    rows: &[Aligned<[f32; D]>],
    out: &mut [Lanes<S>; D],
) {
    if S::REGISTER_COUNT >= 32 {
        accumulate_by::<S, D, MANY>(simd, p, rows, out);
    } else {
        accumulate_by::<S, D, FEW>(simd, p, rows, out);
    }
}

#[inline(always)]
fn accumulate_by<S: Simd, const D: usize, const BLOCK: usize>(
    simd: S,
    p: &[Lanes<S>; TILE],
    rows: &[Aligned<[f32; D]>],
    out: &mut [Lanes<S>; D],
) {
    for (block, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let mut sum = *out;
        for (p, row) in p.iter().zip(rows) {
            let row = &row.as_chunks::<BLOCK>().0[block];
            for c in 0..BLOCK {
                let value = simd.splat_f32s(row[c]);
                for g in 0..GROUP {
                    sum[c][g] = simd.mul_add_f32s(value, p[g], sum[c][g]);
                }
            }
        }
        *out = sum;
    }
}

/// out[key] += Σ_query p[key][query]·rows[query], for the rows of a group; the number of keys is a multiple of [`MANY`].
#[inline(always)]
fn scatter<S: Simd, const D: usize>(
    simd: S,
    p: &mut [Lanes<S>],
    rows: &[Aligned<[f32; D]>],
    out: &mut [[f32; D]; TILE],
) {
    if S::REGISTER_COUNT >= 32 && D >= 2 * S::F32_LANES {
        scatter_by::<S, D, MANY, 2>(simd, p, rows, out);
    } else if S::REGISTER_COUNT >= 32 {
        scatter_by::<S, D, MANY, 1>(simd, p, rows, out);
    } else if D >= 2 * S::F32_LANES {
        scatter_by::<S, D, FEW, 2>(simd, p, rows, out);
    } else {
        scatter_by::<S, D, FEW, 1>(simd, p, rows, out);
    }
}

#[inline(always)]
fn scatter_by<S: Simd, const D: usize, const BLOCK: usize, const WIDE: usize>(
    simd: S,
    p: &mut [Lanes<S>],
    rows: &[Aligned<[f32; D]>],
    out: &mut [[f32; D]; TILE],
) {
    let queries = group_len::<S>();
    let weights = floats::<S>(p.as_flattened_mut());
    for (weights, out) in weights.chunks_exact(BLOCK * queries).zip(out.as_chunks_mut::<BLOCK>().0) {
        let weights: [&[f32]; BLOCK] = std::array::from_fn(|j| &weights[j * queries..][..queries]);
        for column in (0..D / S::F32_LANES).step_by(WIDE) {
            let mut sum = [[simd.splat_f32s(0.0); WIDE]; BLOCK];
            for j in 0..BLOCK {
                sum[j].copy_from_slice(&S::as_simd_f32s(&out[j]).0[column..column + WIDE]);
            }
            for (query, row) in rows.iter().enumerate().take(queries) {
                let row = &S::as_simd_f32s(&row[..]).0[column..column + WIDE];
                for j in 0..BLOCK {
                    let weight = simd.splat_f32s(weights[j][query]);
                    for w in 0..WIDE {
                        sum[j][w] = simd.mul_add_f32s(weight, row[w], sum[j][w]);
                    }
                }
            }
            for (out, sum) in out.iter_mut().zip(&sum) {
                S::as_mut_simd_f32s(out).0[column..column + WIDE].copy_from_slice(sum);
            }
        }
    }
}

/// 2^x for x ≤ 1, and 2^−126 where that is larger. NaN remains NaN. Relative error < 2e-7.
#[inline(always)]
fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.max_f32s(simd.splat_f32s(-126.0), x);
    // Adding 1.5·2²³ rounds to an integer, which stands in the low bits of the sum.
    let magic = simd.splat_f32s(12_582_912.0);
    let shifted = simd.add_f32s(x, magic);
    let r = simd.sub_f32s(x, simd.sub_f32s(shifted, magic));
    let mut p = simd.splat_f32s(EXP2[0]);
    for &c in &EXP2[1..] {
        p = simd.mul_add_f32s(p, r, simd.splat_f32s(c));
    }
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), exponent))
}

/// Coefficients of 2^r for |r| ≤ ½, highest power first: the polynomial of least relative error with constant term 1.
#[allow(clippy::approx_constant)] // the linear one is near ln 2, not equal to it
const EXP2: [f32; 6] = [0.001_326_472_7, 0.009_671_513, 0.055_507_336, 0.240_222_42, 0.693_147, 1.0];

/// What the online softmax knows of a group of queries.
struct State<S: Simd, const D: usize> {
    max: Lanes<S>,
    sum: Lanes<S>,
    out: Aligned<[Lanes<S>; D]>,
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
        let zero = [simd.splat_f32s(0.0); GROUP];
        let least = [simd.splat_f32s(f32::MIN); GROUP];
        let (keys, values) = (k.packed::<D>(1.0, MANY), v.packed::<D>(1.0, MANY));
        let mut p = Aligned([zero; TILE]);
        for first_query in (0..q.rows).step_by(group_len::<S>()) {
            // Scores in units of ln 2.
            let query = q.lanes::<S, D>(simd, first_query, scale * std::f32::consts::LOG2_E);
            let mut state = State::<S, D> { max: least, sum: zero, out: Aligned([zero; D]) };
            for (i, (keys, values)) in keys.chunks(TILE).zip(values.chunks(TILE)).enumerate() {
                scores(simd, &query, keys, &mut p);
                // What pads the keys has no weight.
                let valid = k.rows - i * TILE;
                for x in p.iter_mut().take(keys.len()).skip(valid) {
                    *x = least;
                }
                let p_used = p.as_chunks_mut::<4>().0;
                let p_used = &mut p_used[..keys.len() / 4];
                // In four independent chains.
                let mut max = [state.max; 4];
                for four in p_used.iter() {
                    for j in 0..4 {
                        for g in 0..GROUP {
                            max[j][g] = simd.max_f32s(max[j][g], four[j][g]);
                        }
                    }
                }
                let mut shrink = state.max;
                for g in 0..GROUP {
                    let (a, b) = (simd.max_f32s(max[0][g], max[1][g]), simd.max_f32s(max[2][g], max[3][g]));
                    state.max[g] = simd.max_f32s(a, b);
                    shrink[g] = exp2(simd, simd.sub_f32s(shrink[g], state.max[g]));
                }
                let mut sum = [zero; 4];
                for four in p_used.iter_mut() {
                    for j in 0..4 {
                        for g in 0..GROUP {
                            let x = exp2(simd, simd.sub_f32s(four[j][g], state.max[g]));
                            sum[j][g] = simd.add_f32s(sum[j][g], x);
                            four[j][g] = x;
                        }
                    }
                }
                for g in 0..GROUP {
                    let (a, b) = (simd.add_f32s(sum[0][g], sum[1][g]), simd.add_f32s(sum[2][g], sum[3][g]));
                    state.sum[g] = simd.mul_add_f32s(state.sum[g], shrink[g], simd.add_f32s(a, b));
                }
                for x in state.out.iter_mut() {
                    for g in 0..GROUP {
                        x[g] = simd.mul_f32s(x[g], shrink[g]);
                    }
                }
                accumulate(simd, &p, values, &mut state.out);
            }
            for lane in 0..group_len::<S>().min(q.rows - first_query) {
                let at = |vectors: &mut Lanes<S>| floats::<S>(vectors)[lane];
                let (max, sum) = (at(&mut state.max), at(&mut state.sum));
                let row = &mut out[(first_query + lane) * stride..][..D];
                row.iter_mut().zip(state.out.iter_mut()).for_each(|(o, x)| *o = at(x) / sum);
                log_norm[(first_query + lane) * heads] = max * std::f32::consts::LN_2 + sum.ln();
            }
        }
    }
}

/// A group of queries in the backward pass.
struct Group<S: Simd, const D: usize> {
    query: Aligned<[Lanes<S>; D]>,
    dy: Aligned<[Lanes<S>; D]>,
    log_norm: Lanes<S>,
    dot: Lanes<S>,
    dq: Aligned<[Lanes<S>; D]>,
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
        let zero = [simd.splat_f32s(0.0); GROUP];
        let (keys, values) = (k.packed::<D>(1.0, MANY), v.packed::<D>(1.0, MANY));
        // Queries and output gradients as rows, zero beyond the end.
        let (query_rows, dy_rows) = (q.packed::<D>(scale, group_len::<S>()), dy.packed::<D>(1.0, group_len::<S>()));
        let mut groups: Vec<Group<S, D>> = Vec::with_capacity(query_rows.len() / group_len::<S>());
        for first in (0..q.rows).step_by(group_len::<S>()) {
            let (mut norms, mut dot) = (zero, zero);
            for lane in 0..group_len::<S>().min(q.rows - first) {
                let (g, o) = (dy.row::<D>(first + lane), out.row::<D>(first + lane));
                floats::<S>(&mut norms)[lane] = log_norm[(first + lane) * heads] * std::f32::consts::LOG2_E;
                floats::<S>(&mut dot)[lane] = g.iter().zip(o).map(|(g, o)| g * o).sum();
            }
            let query = q.lanes::<S, D>(simd, first, scale * std::f32::consts::LOG2_E);
            let dy = dy.lanes::<S, D>(simd, first, 1.0);
            groups.push(Group { query, dy, log_norm: norms, dot, dq: Aligned([zero; D]) });
        }
        let (mut p, mut ds) = (Aligned([zero; TILE]), Aligned([zero; TILE]));
        for (i, (keys, values)) in keys.chunks(TILE).zip(values.chunks(TILE)).enumerate() {
            let valid = TILE.min(k.rows - i * TILE);
            let (mut key_grad, mut value_grad) = (Aligned([[0.0f32; D]; TILE]), Aligned([[0.0f32; D]; TILE]));
            for (group, (queries, dy)) in
                groups.iter_mut().zip(query_rows.chunks(group_len::<S>()).zip(dy_rows.chunks(group_len::<S>())))
            {
                scores(simd, &group.query, keys, &mut p);
                scores(simd, &group.dy, values, &mut ds);
                for (p, ds) in p.iter_mut().zip(ds.iter_mut()).take(keys.len()) {
                    for g in 0..GROUP {
                        p[g] = exp2(simd, simd.sub_f32s(p[g], group.log_norm[g]));
                        ds[g] = simd.mul_f32s(p[g], simd.sub_f32s(ds[g], group.dot[g]));
                    }
                }
                // What pads the keys has no weight.
                for x in ds.iter_mut().take(keys.len()).skip(valid) {
                    *x = zero;
                }
                accumulate(simd, &ds, keys, &mut group.dq);
                scatter(simd, &mut ds[..keys.len()], queries, &mut key_grad);
                scatter(simd, &mut p[..keys.len()], dy, &mut value_grad);
            }
            for j in 0..valid {
                let at = (i * TILE + j) * stride;
                dk[at..at + D].copy_from_slice(&key_grad[j]);
                dv[at..at + D].copy_from_slice(&value_grad[j]);
            }
        }
        for (i, group) in groups.iter_mut().enumerate() {
            let first = i * group_len::<S>();
            for lane in 0..group_len::<S>().min(q.rows - first) {
                let row = &mut dq[(first + lane) * stride..][..D];
                for (o, x) in row.iter_mut().zip(group.dq.iter_mut()) {
                    *o = floats::<S>(x)[lane] * scale;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2^x of numbers, in place.
    struct Powers<'a>(&'a mut [f32]);

    impl WithSimd for Powers<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for x in S::as_mut_simd_f32s(self.0).0 {
                *x = exp2(simd, *x);
            }
        }
    }

    #[test]
    fn powers_of_two_follow_double_precision() {
        let at: Vec<f32> = (0..1 << 17).map(|i| 1.0 - i as f32 / 1032.0).collect();
        let mut powers = at.clone();
        Arch::new().dispatch(Powers(&mut powers));
        for (&x, &p) in at.iter().zip(&powers) {
            let error = (f64::from(p) / f64::from(x).exp2() - 1.0).abs();
            assert!(error < 2e-7 || x < -126.0, "2^{x}: relative error {error:.2e}");
            assert!(p >= f32::MIN_POSITIVE, "2^{x} = {p}");
        }
        let mut other = [f32::NAN, f32::NEG_INFINITY, f32::MIN, 0.0].repeat(16);
        Arch::new().dispatch(Powers(&mut other));
        assert!(other[0].is_nan());
        assert_eq!(other[1..4], [f32::MIN_POSITIVE, f32::MIN_POSITIVE, 1.0]);
    }
}
