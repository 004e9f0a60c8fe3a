//! Representational similarity analysis (Kriegeskorte et al. 2008; paper, test 06): do two representations of the same samples find
//! the same ones alike? The dissimilarities 1 − cos of all pairs of rows in one are correlated by rank with those in the other.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Dissimilarities of all pairs of n samples.
#[derive(Debug, Clone)]
pub struct Dissimilarities {
    n: usize,
    /// Ranks of the n(n − 1)/2 pairs (0, 1), (0, 2), …, (1, 2), …; equal ones share their mean rank.
    ranks: Vec<f64>,
}

impl Dissimilarities {
    /// 1 − cos of the rows of features [n, d], n ≥ 3, as they are (not centred); in `f64`. A row of zeros has cosine 0 with all.
    pub fn cosine(features: &Tensor) -> Result<Self> {
        let &[n, d] = features.shape() else {
            return Err(Error::op("RSA", "features", "[samples, features]", format!("{:?}", features.shape())));
        };
        if n < 3 {
            return Err(Error::op("RSA", "features", "at least 3 samples", n.to_string()));
        }
        let mut rows = features.to_host()?.to_f64();
        for row in rows.chunks_exact_mut(d.max(1)) {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.iter_mut().for_each(|x| *x = if length > 0.0 { *x / length } else { 0.0 });
        }
        let row = |i: usize| &rows[i * d..][..d];
        let dot = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
        let distances: Vec<f64> =
            (0..n).into_par_iter().flat_map_iter(|i| (i + 1..n).map(move |j| 1.0 - dot(i, j))).collect();
        Ok(Self { n, ranks: ranks(&distances) })
    }

    /// The same samples in another order: row i of the result is row `order[i]`. With a random order, what remains is chance.
    pub fn reordered(&self, order: &[usize]) -> Self {
        Self { n: self.n, ranks: within(&self.ranks, self.n, order) }
    }

    /// Dissimilarities of the samples `chosen` alone, ranked anew.
    pub fn subset(&self, chosen: &[usize]) -> Self {
        Self { n: chosen.len(), ranks: ranks(&within(&self.ranks, self.n, chosen)) }
    }
}

/// The ranks of the pairs within a choice of the samples.
fn within(ranks: &[f64], n: usize, chosen: &[usize]) -> Vec<f64> {
    let pairs = (0..chosen.len()).flat_map(|i| (i + 1..chosen.len()).map(move |j| (chosen[i], chosen[j])));
    pairs.map(|(i, j)| ranks[place(n, i, j)]).collect()
}

/// Where the pair of samples i and j stands.
fn place(n: usize, i: usize, j: usize) -> usize {
    let (i, j) = (i.min(j), i.max(j));
    i * (2 * n - i - 1) / 2 + j - i - 1
}

/// Spearman's rank correlation of the two; 0 where all dissimilarities of one are equal.
pub fn rsa(x: &Dissimilarities, y: &Dissimilarities) -> Result<f64> {
    if x.n != y.n {
        return Err(Error::op("RSA", "samples", x.n.to_string(), y.n.to_string()));
    }
    Ok(pearson(&x.ranks, &y.ranks))
}

/// Pearson's correlation of two samples of equal length; 0 where one is constant.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        let (a, b) = (a - mean_x, b - mean_y);
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = below as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        below += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Golden;
    use crate::random::Philox;

    fn golden(key: &str) -> [Dissimilarities; 2] {
        let golden = Golden::open("metrics");
        ["x", "y"].map(|name| {
            let key = format!("{key}/{name}");
            Dissimilarities::cosine(&Tensor::from_slice(&golden.shape(&key), &golden.f32(&key))).unwrap()
        })
    }

    #[test]
    fn equals_the_reference() {
        for key in ["cka0", "cka1"] {
            let [x, y] = golden(key);
            let expected = Golden::open("metrics").f64(&format!("{key}/rsa_cosine_spearman"))[0];
            let got = rsa(&x, &y).unwrap();
            assert!((got - expected).abs() < 1e-9, "{key}: {got} against {expected}");
            assert!((rsa(&x, &x).unwrap() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn reordering_is_that_of_the_samples_and_shuffled_pairs_are_near_0() {
        let golden = Golden::open("metrics");
        let (x, shape) = (golden.f32("cka0/x"), golden.shape("cka0/x"));
        let order = Philox::new(1, 2).stream(0).permutation(shape[0]);
        let moved: Vec<f32> = order.iter().flat_map(|&i| x[i * shape[1]..][..shape[1]].to_vec()).collect();
        let direct = Dissimilarities::cosine(&Tensor::from_slice(&shape, &moved)).unwrap();
        let plain = Dissimilarities::cosine(&Tensor::from_slice(&shape, &x)).unwrap();
        let reordered = plain.reordered(&order);
        let wrong = reordered.ranks.iter().zip(&direct.ranks).filter(|(a, b)| (*a - *b).abs() > 1.0).count();
        assert_eq!(wrong, 0);
        assert!(rsa(&plain, &reordered).unwrap().abs() < 0.2);
        let of_rows = Dissimilarities::cosine(&Tensor::from_slice(&[9, shape[1]], &moved[..9 * shape[1]])).unwrap();
        assert_eq!(plain.subset(&order[..9]).ranks, of_rows.ranks);
    }

    #[test]
    fn equal_values_share_a_rank_and_odd_input_is_refused() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(pearson(&[1.0, 1.0], &[0.0, 3.0]), 0.0);
        assert!(Dissimilarities::cosine(&Tensor::from_slice(&[2, 1], &[1.0f32, 2.0])).is_err());
        let of = |n: usize| Dissimilarities::cosine(&Tensor::from_slice(&[n, 1], &vec![0.0f32; n])).unwrap();
        assert!(rsa(&of(3), &of(4)).is_err() && rsa(&of(3), &of(3)).unwrap() == 0.0);
    }
}
