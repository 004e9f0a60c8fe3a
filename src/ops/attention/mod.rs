//! Multi-head attention over packed samples of any lengths: self-, cross- and reverse cross-attention (paper eq. 8–9).
//!
//! Per sample and head, with d_k columns each: S = Q·Kᵀ/√d_k, P = softmax_rows(S), O = P·V. Only tiles of S exist at a
//! time (`blocked`: any width, by matrix products; `tiled`: narrow heads); for the backward pass the logarithm of each row's normaliser is kept and P is formed again:
//! dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P∘(dP − rowsum(dO∘O)), dQ = dS·K/√d_k, dK = dSᵀ·Q/√d_k.

mod blocked;
mod device;
mod engine;
mod tiled;
pub mod weights;

use rayon::prelude::*;

use super::{Case, Input, Ragged};
use crate::device::{DType, PoolVec, Real};
use crate::error::{Error, Result};
use crate::ops::dropout::Dropout;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// How rows group into samples and columns into heads.
#[derive(Clone)]
pub struct AttentionSpec {
    /// Number of heads; divides the model width.
    pub heads: usize,
    /// Rows of each sample in the queries.
    pub queries: Ragged,
    /// Rows of each sample in the keys and values.
    pub keys: Ragged,
    /// Dropout of the attention weights.
    pub dropout: Option<Dropout>,
}

impl AttentionSpec {
    /// Attention of every sample's rows to themselves.
    pub fn own(heads: usize, rows: &Ragged, dropout: Option<Dropout>) -> Self {
        AttentionSpec { heads, queries: rows.clone(), keys: rows.clone(), dropout }
    }
}

/// softmax(Q·Kᵀ/√d_k)·V per sample and head: q [ΣTq, d], k and v [ΣTk, d] → [ΣTq, d].
pub fn attention(tape: &Tape, q: &Var, k: &Var, v: &Var, spec: &AttentionSpec) -> Result<Var> {
    let d = q.value().cols();
    if spec.heads == 0 || !d.is_multiple_of(spec.heads) {
        return Err(Error::op("attention", "heads", format!("a divisor of {d}"), spec.heads.to_string()));
    }
    let (tq, tk) = (spec.queries.total(), spec.keys.total());
    if q.shape() != [tq, d] || k.shape() != [tk, d] || v.shape() != [tk, d] {
        let got = format!("{:?}, {:?}, {:?}", q.shape(), k.shape(), v.shape());
        return Err(Error::op("attention", "q, k, v", format!("[{tq}, {d}], [{tk}, {d}], [{tk}, {d}]"), got));
    }
    if !q.value().device().is_cpu() {
        return device::launch(tape, q, k, v, spec);
    }
    let (q_value, k_value, v_value) = (q.value().clone(), k.value().clone(), v.value().clone());
    let (out, log_norm) = forward(&q_value, &k_value, &v_value, spec);
    let saved = Saved { q: q_value, k: k_value, v: v_value, out: out.clone(), log_norm };
    let spec = spec.clone();
    Ok(tape.record(out, &[q, k, v], move |dy| Ok(backward(&saved, dy, &spec).map(Some).into())))
}

/// Calls `$call` for narrow heads in single precision, with their width as a constant, `$other` for the rest.
macro_rules! by_width {
    ($dtype:expr, $width:expr, $spec:expr, $call:ident($($argument:expr),*), $other:expr) => {
        match ($dtype, $width, &$spec.dropout) {
            (DType::F32, 16, None) => $call::<16>($($argument),*),
            (DType::F32, 32, None) => $call::<32>($($argument),*),
            _ => $other,
        }
    };
}

fn forward(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> (Tensor, Tensor) {
    let other = || with_real!(q.dtype(), F => blocked::forward::<F>(q, k, v, spec));
    by_width!(q.dtype(), q.cols() / spec.heads, spec, tiled_forward(q, k, v, spec), other())
}

fn backward(saved: &Saved, dy: &Tensor, spec: &AttentionSpec) -> [Tensor; 3] {
    let other = || with_real!(dy.dtype(), F => blocked::backward::<F>(saved, dy, spec));
    by_width!(dy.dtype(), dy.cols() / spec.heads, spec, tiled_backward(saved, dy, spec), other())
}

/// What the forward pass leaves for the backward pass.
struct Saved {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    /// Logarithm of each row's normaliser, [ΣTq, heads].
    log_norm: Tensor,
}

/// Cuts `data` (rows of `width` elements) into the samples of `rows`.
fn by_sample<'a, F>(mut data: &'a mut [F], width: usize, rows: &Ragged) -> Vec<&'a mut [F]> {
    let mut samples = Vec::with_capacity(rows.batch());
    for sample in 0..rows.batch() {
        let (part, rest) = data.split_at_mut(rows.length(sample) * width);
        samples.push(part);
        data = rest;
    }
    samples
}

/// 1/√d_k.
fn root<F: Real>(width: usize) -> F {
    F::of(1.0 / (width as f64).sqrt())
}

/// Columns of head `h` of one sample.
fn columns<'a>(x: &'a Tensor, rows: &Ragged, sample: usize, h: usize, width: usize) -> tiled::Columns<'a> {
    let (range, stride) = (rows.range(sample), x.cols());
    let data = x.as_slice::<f32>();
    let start = (range.start * stride + h * width).min(data.len());
    tiled::Columns { data: &data[start..], rows: range.len(), stride }
}

fn tiled_forward<const D: usize>(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> (Tensor, Tensor) {
    let (d, heads) = (q.cols(), spec.heads);
    let (mut out, mut log_norm) = (PoolVec::<f32>::uninit(q.len()), PoolVec::<f32>::uninit(q.rows() * heads));
    let outs = by_sample(&mut out, d, &spec.queries);
    let norms = by_sample(&mut log_norm, heads, &spec.queries);
    outs.into_par_iter().zip(norms).enumerate().for_each(|(sample, (out, norms))| {
        let heads_with_rows = if out.is_empty() { 0 } else { heads };
        for h in 0..heads_with_rows {
            let forward = tiled::Forward::<D> {
                q: columns(q, &spec.queries, sample, h, D),
                k: columns(k, &spec.keys, sample, h, D),
                v: columns(v, &spec.keys, sample, h, D),
                scale: root(D),
                out: &mut out[h * D..],
                stride: d,
                log_norm: &mut norms[h..],
                heads,
            };
            forward.run();
        }
    });
    (Tensor::from_pool(q.shape(), out), Tensor::from_pool(&[q.rows(), heads], log_norm))
}

fn tiled_backward<const D: usize>(saved: &Saved, dy: &Tensor, spec: &AttentionSpec) -> [Tensor; 3] {
    let Saved { q, k, v, out, log_norm } = saved;
    let (d, heads) = (q.cols(), spec.heads);
    let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| PoolVec::<f32>::zeros(x.len()));
    let dqs = by_sample(&mut dq, d, &spec.queries);
    let (dks, dvs) = (by_sample(&mut dk, d, &spec.keys), by_sample(&mut dv, d, &spec.keys));
    dqs.into_par_iter().zip(dks).zip(dvs).enumerate().for_each(|(sample, ((dq, dk), dv))| {
        let heads_with_rows = if dq.is_empty() || dk.is_empty() { 0 } else { heads };
        for h in 0..heads_with_rows {
            let queries = |x| columns(x, &spec.queries, sample, h, D);
            let backward = tiled::Backward::<D> {
                q: queries(q),
                k: columns(k, &spec.keys, sample, h, D),
                v: columns(v, &spec.keys, sample, h, D),
                dy: queries(dy),
                out: queries(out),
                log_norm: &log_norm.as_slice::<f32>()[spec.queries.range(sample).start * heads + h..],
                heads,
                scale: root(D),
                gradients: [&mut dq[h * D..], &mut dk[h * D..], &mut dv[h * D..]],
                stride: d,
            };
            backward.run();
        }
    });
    [Tensor::from_pool(q.shape(), dq), Tensor::from_pool(k.shape(), dk), Tensor::from_pool(v.shape(), dv)]
}

/// One configuration: `d` columns, queries and keys of these lengths.
fn case(name: &str, heads: usize, d: usize, q: &[usize], k: &[usize], dropout: Option<Dropout>) -> Case {
    let (queries, keys) = (Ragged::from_lengths(q.to_vec()), Ragged::from_lengths(k.to_vec()));
    let inputs = [queries.total(), keys.total(), keys.total()].map(|rows| Input::new(&[rows, d])).to_vec();
    let spec = AttentionSpec { heads, queries, keys, dropout };
    Case::new(format!("attention {name}"), inputs, move |t, v| attention(t, &v[0], &v[1], &v[2], &spec))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    vec![
        case("self, ragged", 2, 6, &[5, 1, 3], &[5, 1, 3], None),
        case("reverse, several blocks", 1, 2, &[67, 2], &[9, 33], None),
        case("cross", 3, 6, &[7, 4], &[2, 5], None),
        case("narrow heads, reverse", 2, 32, &[11, 3], &[150, 5], None),
        case("narrow heads, self", 1, 32, &[70, 1], &[70, 1], None),
        case("reverse, keys split", 1, 2, &[3, 1], &[150, 40], None),
        case("dropout", 2, 4, &[6], &[9], Some(Dropout::new(0.3, 7, 11, 3))),
    ]
}
