//! The weights that [`attention`](super::attention) never keeps, formed for the eye.

/// softmax_rows(Q·Kᵀ/√d_k) of one head of one sample, row-major [Tq, Tk], from all heads' q [Tq, d] and k [Tk, d] in host memory;
/// head h owns columns h·d_k … (h + 1)·d_k. `heads` divides d, and `head` is one of them.
pub fn head_weights(q: &[f32], k: &[f32], d: usize, heads: usize, head: usize) -> Vec<f32> {
    let width = d / heads;
    let columns = head * width..(head + 1) * width;
    let scale = 1.0 / (width as f32).sqrt();
    let keys: Vec<&[f32]> = k.chunks_exact(d).map(|row| &row[columns.clone()]).collect();
    let mut weights = Vec::with_capacity(q.len() / d * keys.len());
    for query in q.chunks_exact(d).map(|row| &row[columns.clone()]) {
        let from = weights.len();
        let score = |key: &&[f32]| scale * query.iter().zip(*key).map(|(a, b)| a * b).sum::<f32>();
        weights.extend(keys.iter().map(score));
        let row = &mut weights[from..];
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|x| *x = libm::expf(*x - highest));
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::super::{AttentionSpec, attention};
    use super::*;
    use crate::ops::Ragged;
    use crate::random::Philox;
    use crate::tape::{Tape, Var};
    use crate::tensor::Tensor;

    #[test]
    fn weighted_values_are_what_the_operation_gives() {
        let (tq, tk, d, heads) = (5, 13, 12, 3);
        let mut stream = Philox::new(4, 0).stream(0);
        let mut random = |n: usize| (0..n).map(|_| 2.0 * stream.normal() as f32).collect::<Vec<f32>>();
        let (q, k, v) = (random(tq * d), random(tk * d), random(tk * d));
        let var = |rows: usize, values: &[f32]| Var::constant(Tensor::from_slice(&[rows, d], values));
        let spec =
            AttentionSpec { heads, queries: Ragged::uniform(1, tq), keys: Ragged::uniform(1, tk), dropout: None };
        let tape = Tape::inference();
        let out = attention(&tape, &var(tq, &q), &var(tk, &k), &var(tk, &v), &spec).unwrap();
        let out = out.value().as_slice::<f32>();
        for head in 0..heads {
            let weights = head_weights(&q, &k, d, heads, head);
            for (i, row) in weights.chunks_exact(tk).enumerate() {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                for column in head * d / heads..(head + 1) * d / heads {
                    let value: f32 = row.iter().enumerate().map(|(j, w)| w * v[j * d + column]).sum();
                    assert!((value - out[i * d + column]).abs() < 1e-5, "head {head}, row {i}, column {column}");
                }
            }
        }
    }
}
