//! Attention with narrow heads, one (sample, head) at a time, in tiles that stay in a core's first-level cache.
//!
//! With d_k = 16 or 32 a general matrix product spends its time on packing and on storing scores, so scores, weights and
//! their gradients are formed here in small tiles: eight queries against a tile of keys, weights by an online softmax
//! (running maximum and normaliser, as FlashAttention has it), products accumulated in registers. SPEEDUP than
//! blocks of matrix products at 188 queries, 2,400 keys and d_k = 16.

use crate::device::Real;
use crate::device::simd::vectorised;

/// Queries handled together: as many independent sums as hide the latency of a multiply–add.
const GROUP: usize = 8;
/// Keys whose scores against one query make a group of vector registers.
const LANES: usize = 32;
/// Lanes in which a row of scores is summed.
const SUMS: usize = 16;

/// Columns of one head of a row-major [rows, d] matrix.
#[derive(Clone, Copy)]
pub struct Columns<'a, F> {
    /// From the first element of the head's first row on.
    pub data: &'a [F],
    /// Rows.
    pub rows: usize,
    /// Elements from row to row.
    pub stride: usize,
}

impl<F: Real> Columns<'_, F> {
    /// Rows `first..first + N` times `scale`, zero beyond the end.
    #[inline(always)]
    fn tile<const N: usize, const D: usize>(&self, first: usize, scale: F, out: &mut [[F; D]; N]) {
        for (i, row) in out.iter_mut().enumerate() {
            if first + i < self.rows {
                let source = &self.data[(first + i) * self.stride..][..D];
                row.iter_mut().zip(source).for_each(|(o, &x)| *o = x * scale);
            } else {
                *row = [F::ZERO; D];
            }
        }
    }
}

#[inline(always)]
fn transpose<F: Real, const N: usize, const D: usize>(rows: &[[F; D]; N], out: &mut [[F; N]; D]) {
    for (i, row) in rows.iter().enumerate() {
        for (column, &x) in out.iter_mut().zip(row) {
            column[i] = x;
        }
    }
}

/// a·b for a [8, D] and b [D, T].
#[inline(always)]
fn scores<F: Real, const D: usize, const T: usize>(a: &[[F; D]; GROUP], b: &[[F; T]; D], out: &mut [[F; T]; GROUP]) {
    for lane in (0..T).step_by(LANES) {
        let mut sum = [[F::ZERO; LANES]; GROUP];
        for (k, row) in b.iter().enumerate() {
            let keys: &[F; LANES] = row[lane..lane + LANES].try_into().expect("a whole group of lanes");
            for (sum, a) in sum.iter_mut().zip(a) {
                let q = a[k];
                for (s, &x) in sum.iter_mut().zip(keys) {
                    *s = q.mul_add(x, *s);
                }
            }
        }
        for (row, sum) in out.iter_mut().zip(&sum) {
            row[lane..lane + LANES].copy_from_slice(sum);
        }
    }
}

/// out += p·rows for p [8, T] and rows [T, D].
#[inline(always)]
fn accumulate<F: Real, const D: usize, const T: usize>(
    p: &[[F; T]; GROUP],
    rows: &[[F; D]; T],
    out: &mut [[F; D]; GROUP],
) {
    let mut sum = *out;
    for (key, row) in rows.iter().enumerate() {
        for (sum, p) in sum.iter_mut().zip(p) {
            let w = p[key];
            for (s, &x) in sum.iter_mut().zip(row) {
                *s = w.mul_add(x, *s);
            }
        }
    }
    *out = sum;
}

/// out += pᵀ·rows for p [8, T] and rows [8, D].
#[inline(always)]
fn scatter<F: Real, const D: usize, const T: usize>(
    p: &[[F; T]; GROUP],
    rows: &[[F; D]; GROUP],
    out: &mut [[F; D]; T],
) {
    for (key, out) in out.iter_mut().enumerate() {
        let mut sum = *out;
        for (p, row) in p.iter().zip(rows) {
            let w = p[key];
            for (s, &x) in sum.iter_mut().zip(row) {
                *s = w.mul_add(x, *s);
            }
        }
        *out = sum;
    }
}

/// What the online softmax knows of eight queries.
struct State<F, const D: usize> {
    query: [[F; D]; GROUP],
    max: [F; GROUP],
    sum: [[F; SUMS]; GROUP],
    out: [[F; D]; GROUP],
}

/// O = softmax(Q·Kᵀ·scale)·V of one head; O to `out` (rows `stride` apart), logarithms of the normalisers to `log_norm`
/// (`heads` apart).
pub fn forward<F: Real, const D: usize, const T: usize>(
    q: Columns<F>,
    (k, v): (Columns<F>, Columns<F>),
    scale: F,
    (out, stride): (&mut [F], usize),
    (log_norm, heads): (&mut [F], usize),
) {
    vectorised(|| {
        let mut states: Vec<State<F, D>> = (0..q.rows)
            .step_by(GROUP)
            .map(|first| {
                let mut query = [[F::ZERO; D]; GROUP];
                q.tile(first, scale, &mut query);
                State { query, max: [F::LOWEST; GROUP], sum: [[F::ZERO; SUMS]; GROUP], out: [[F::ZERO; D]; GROUP] }
            })
            .collect();
        let (mut key, mut key_t, mut value) = ([[F::ZERO; D]; T], [[F::ZERO; T]; D], [[F::ZERO; D]; T]);
        let mut p = [[F::ZERO; T]; GROUP];
        for first in (0..k.rows).step_by(T) {
            k.tile(first, F::ONE, &mut key);
            transpose(&key, &mut key_t);
            v.tile(first, F::ONE, &mut value);
            let valid = T.min(k.rows - first);
            for state in &mut states {
                scores(&state.query, &key_t, &mut p);
                let mut shrink = state.max;
                for (p, max) in p.iter_mut().zip(&mut state.max) {
                    p[valid..].fill(F::LOWEST);
                    *max = max.max(largest(p));
                }
                shrink.iter_mut().zip(&state.max).for_each(|(s, &max)| *s = (*s - max).exp());
                for i in 0..GROUP {
                    let (max, shrink) = (state.max[i], shrink[i]);
                    p[i].iter_mut().for_each(|x| *x = (*x - max).exp());
                    p[i][valid..].fill(F::ZERO);
                    state.sum[i].iter_mut().for_each(|s| *s *= shrink);
                    for chunk in p[i].as_chunks::<SUMS>().0 {
                        state.sum[i].iter_mut().zip(chunk).for_each(|(s, &x)| *s += x);
                    }
                    state.out[i].iter_mut().for_each(|o| *o *= shrink);
                }
                accumulate(&p, &value, &mut state.out);
            }
        }
        for (i, row) in (0..q.rows).map(|i| (i, i * stride)) {
            let (state, lane) = (&states[i / GROUP], i % GROUP);
            let sum = state.sum[lane].iter().copied().sum::<F>();
            let inverse = F::ONE / sum;
            let target = &mut out[row..row + D];
            target.iter_mut().zip(&state.out[lane]).for_each(|(o, &x)| *o = x * inverse);
            log_norm[i * heads] = state.max[lane] + sum.ln();
        }
    });
}

/// Largest element of a tile's row, by halves so that it vectorises.
#[inline(always)]
fn largest<F: Real, const T: usize>(row: &[F; T]) -> F {
    let mut lanes = [F::LOWEST; SUMS];
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

/// What the backward pass reads of one head.
pub struct Saved<'a, F> {
    /// Queries.
    pub q: Columns<'a, F>,
    /// Keys.
    pub k: Columns<'a, F>,
    /// Values.
    pub v: Columns<'a, F>,
    /// Gradient of the output.
    pub dy: Columns<'a, F>,
    /// Output.
    pub out: Columns<'a, F>,
    /// Logarithms of the normalisers, `heads` apart.
    pub log_norm: (&'a [F], usize),
    /// 1/√d_k.
    pub scale: F,
}

/// One group of queries in the backward pass.
struct Group<F, const D: usize> {
    query: [[F; D]; GROUP],
    dy: [[F; D]; GROUP],
    log_norm: [F; GROUP],
    dot: [F; GROUP],
    dq: [[F; D]; GROUP],
}

/// Gradients of one head, written with rows `stride` apart.
pub fn backward<F: Real, const D: usize, const T: usize>(saved: &Saved<F>, [dq, dk, dv]: [&mut [F]; 3], stride: usize) {
    vectorised(|| {
        let Saved { q, k, v, dy, out, log_norm, scale } = saved;
        let mut groups: Vec<Group<F, D>> = (0..q.rows)
            .step_by(GROUP)
            .map(|first| {
                let (mut query, mut gradient, mut output) =
                    ([[F::ZERO; D]; GROUP], [[F::ZERO; D]; GROUP], [[F::ZERO; D]; GROUP]);
                q.tile(first, *scale, &mut query);
                dy.tile(first, F::ONE, &mut gradient);
                out.tile(first, F::ONE, &mut output);
                let (mut norms, mut dot) = ([F::ZERO; GROUP], [F::ZERO; GROUP]);
                for i in 0..GROUP.min(q.rows - first) {
                    norms[i] = log_norm.0[(first + i) * log_norm.1];
                    dot[i] = gradient[i].iter().zip(&output[i]).map(|(&g, &o)| g * o).sum();
                }
                Group { query, dy: gradient, log_norm: norms, dot, dq: [[F::ZERO; D]; GROUP] }
            })
            .collect();
        let (mut key, mut value) = ([[F::ZERO; D]; T], [[F::ZERO; D]; T]);
        let (mut key_t, mut value_t) = ([[F::ZERO; T]; D], [[F::ZERO; T]; D]);
        let (mut p, mut ds) = ([[F::ZERO; T]; GROUP], [[F::ZERO; T]; GROUP]);
        for first in (0..k.rows).step_by(T) {
            k.tile(first, F::ONE, &mut key);
            transpose(&key, &mut key_t);
            v.tile(first, F::ONE, &mut value);
            transpose(&value, &mut value_t);
            let valid = T.min(k.rows - first);
            let (mut key_grad, mut value_grad) = ([[F::ZERO; D]; T], [[F::ZERO; D]; T]);
            for group in &mut groups {
                scores(&group.query, &key_t, &mut p);
                scores(&group.dy, &value_t, &mut ds);
                for i in 0..GROUP {
                    for (p, ds) in p[i].iter_mut().zip(&mut ds[i]) {
                        *p = (*p - group.log_norm[i]).exp();
                        *ds = *p * (*ds - group.dot[i]);
                    }
                    p[i][valid..].fill(F::ZERO);
                    ds[i][valid..].fill(F::ZERO);
                }
                accumulate(&ds, &key, &mut group.dq);
                scatter(&ds, &group.query, &mut key_grad);
                scatter(&p, &group.dy, &mut value_grad);
            }
            for i in 0..valid {
                let at = (first + i) * stride;
                dk[at..at + D].copy_from_slice(&key_grad[i]);
                dv[at..at + D].copy_from_slice(&value_grad[i]);
            }
        }
        for i in 0..q.rows {
            let source = &groups[i / GROUP].dq[i % GROUP];
            dq[i * stride..][..D].iter_mut().zip(source).for_each(|(o, &x)| *o = x * *scale);
        }
    });
}
