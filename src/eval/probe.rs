//! Linear probes (paper, test 03): what of a target can a ridge regression read off frozen features?

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::linalg::{Mat, MatMut, Threads, matmul};
use crate::random::{Philox, site};

/// A ridge regression from standardised features to several targets, in `f64`.
///
/// Minimises Σ‖t − b − W·z̃‖² + α‖W‖² over the samples, z̃ the features less their mean over their (population) standard deviation;
/// the intercept b is not penalised. Features that do not vary count for nothing.
#[derive(Debug, Clone)]
pub struct Ridge {
    /// Mean of each feature, and what it is multiplied with.
    mean: Vec<f64>,
    scale: Vec<f64>,
    /// [features, targets]
    weights: Vec<f64>,
    /// Mean of each target.
    intercept: Vec<f64>,
}

impl Ridge {
    /// Fits `targets` [n, k] from `features` [n, d]; both row-major, n ≥ 1.
    ///
    /// # Errors
    /// Where the lengths do not fit, or features depend on each other linearly and `alpha` is 0.
    pub fn fit(features: &[f64], targets: &[f64], n: usize, alpha: f64) -> Result<Self> {
        if n == 0 || !features.len().is_multiple_of(n) || !targets.len().is_multiple_of(n) {
            let got = format!("{} and {} values", features.len(), targets.len());
            return Err(Error::op("ridge", "samples", format!("{n} rows of features and targets, at least 1"), got));
        }
        let (d, k) = (features.len() / n, targets.len() / n);
        let (mean, intercept) = (column_means(features, d), column_means(targets, k));
        let variance = column_means(&centred(features, &mean).iter().map(|x| x * x).collect::<Vec<_>>(), d);
        let scale: Vec<f64> = variance.iter().map(|v| if *v > 0.0 { 1.0 / v.sqrt() } else { 0.0 }).collect();
        let z = scaled(&centred(features, &mean), &scale);
        let t = centred(targets, &intercept);
        let mut gram = vec![0.0; d * d];
        let z_t = Mat::new(&z, n, d).t();
        matmul(MatMut::new(&mut gram, d, d), false, 1.0, z_t, Mat::new(&z, n, d), Threads::All);
        for (i, scale) in scale.iter().enumerate() {
            // A feature that does not vary has a row of zeros: any positive value decouples it.
            gram[i * d + i] += if *scale > 0.0 { alpha } else { 1.0 };
        }
        let mut weights = vec![0.0; d * k];
        matmul(MatMut::new(&mut weights, d, k), false, 1.0, z_t, Mat::new(&t, n, k), Threads::All);
        cholesky_solve(&mut gram, &mut weights, d, k)?;
        Ok(Self { mean, scale, weights, intercept })
    }

    /// Targets [n, k] of features [n, d].
    pub fn predict(&self, features: &[f64]) -> Vec<f64> {
        let (d, k) = (self.mean.len(), self.intercept.len());
        let n = features.len() / d.max(1);
        let z = scaled(&centred(features, &self.mean), &self.scale);
        let mut out: Vec<f64> = self.intercept.iter().copied().cycle().take(n * k).collect();
        matmul(MatMut::new(&mut out, n, k), true, 1.0, Mat::new(&z, n, d), Mat::new(&self.weights, d, k), Threads::All);
        out
    }
}

/// R² of each of `k` targets: 1 − squared error over squared distance from the targets' own mean. Not a number for a target that
/// does not vary.
pub fn r_squared(predicted: &[f64], targets: &[f64], k: usize) -> Vec<f64> {
    let means = column_means(targets, k);
    let sum = |j: usize, of: &dyn Fn(usize) -> f64| (j..targets.len()).step_by(k).map(|i| of(i).powi(2)).sum::<f64>();
    let r_squared = |j: usize| {
        let total = sum(j, &|i| targets[i] - means[j]);
        if total > 0.0 { 1.0 - sum(j, &|i| targets[i] - predicted[i]) / total } else { f64::NAN }
    };
    (0..k).map(r_squared).collect()
}

/// R² over groups of samples, ready to be asked for any choice of the groups: sums of squares of each group and target.
pub struct Explained {
    targets: usize,
    /// [groups, targets]: samples, Σ t, Σ t², Σ (t − predicted)², t less the mean over all samples.
    sums: Vec<[f64; 4]>,
}

impl Explained {
    /// Of `predicted` and `targets` [n, k], sample i in group `group[i]`, groups numbered from 0.
    pub fn new(predicted: &[f64], targets: &[f64], k: usize, group: &[usize]) -> Self {
        let groups = group.iter().max().map_or(0, |last| last + 1);
        let (means, mut sums) = (column_means(targets, k), vec![[0.0; 4]; groups * k]);
        for (i, (predicted, target)) in predicted.iter().zip(targets).enumerate() {
            let (t, error) = (target - means[i % k], target - predicted);
            let sums = &mut sums[group[i / k] * k + i % k];
            sums.iter_mut().zip([1.0, t, t * t, error * error]).for_each(|(sum, x)| *sum += x);
        }
        Self { targets: k, sums }
    }

    /// Mean over the targets of 1 − Σ (t − predicted)² / Σ (t − mean)² over the samples of `groups`, each counted as often as it is
    /// named. Targets that do not vary there are left out; not a number where none varies.
    pub fn r_squared(&self, groups: &[usize]) -> f64 {
        let of = |j: usize| {
            let mut all = [0.0; 4];
            for group in groups {
                let sums = &self.sums[group * self.targets + j];
                all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            }
            let [n, t, squares, errors] = all;
            let total = squares - t * t / n;
            // What rounding leaves of a constant is no variance.
            (total > 1e-12 * squares).then(|| 1.0 - errors / total)
        };
        let found: Vec<f64> = (0..self.targets).filter_map(of).collect();
        found.iter().sum::<f64>() / found.len() as f64
    }
}

/// Predictions [n, k] of `targets` [n, k] from `features` [n, d], each sample's by a [`Ridge`] that was fitted without its fold.
pub fn predict_held_out(features: &[f64], targets: &[f64], folds: &[usize], alpha: f64) -> Result<Vec<f64>> {
    let n = folds.len();
    let (d, k) = (features.len() / n.max(1), targets.len() / n.max(1));
    let mut predicted = vec![0.0; n * k];
    for fold in 0..folds.iter().max().map_or(0, |last| last + 1) {
        let (held, kept): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| folds[i] == fold);
        let rows = |values: &[f64], width: usize, rows: &[usize]| -> Vec<f64> {
            rows.iter().flat_map(|i| &values[i * width..][..width]).copied().collect()
        };
        let ridge = Ridge::fit(&rows(features, d, &kept), &rows(targets, k, &kept), kept.len(), alpha)?;
        let found = ridge.predict(&rows(features, d, &held));
        for (i, row) in held.into_iter().zip(found.chunks_exact(k.max(1))) {
            predicted[i * k..][..k].copy_from_slice(row);
        }
    }
    Ok(predicted)
}

/// The fold of each sample such that no piece is in two: pieces in an order drawn by `seed` go, each, to the fold that holds the
/// fewest samples so far. No fold is empty where there are as many pieces.
pub fn folds_by_piece(pieces: &[u32], folds: usize, seed: u64) -> Vec<usize> {
    let mut size: BTreeMap<u32, usize> = BTreeMap::new();
    pieces.iter().for_each(|&piece| *size.entry(piece).or_default() += 1);
    let distinct: Vec<(u32, usize)> = size.into_iter().collect();
    let (mut held, mut of) = (vec![0; folds.max(1)], BTreeMap::new());
    for i in Philox::new(seed, site("eval.probe")).stream(0).permutation(distinct.len()) {
        let (piece, samples) = distinct[i];
        let fold = (0..held.len()).min_by_key(|&fold| held[fold]).unwrap_or(0);
        held[fold] += samples;
        of.insert(piece, fold);
    }
    pieces.iter().map(|piece| of[piece]).collect()
}

fn column_means(values: &[f64], columns: usize) -> Vec<f64> {
    let rows = values.len() / columns.max(1);
    (0..columns).map(|j| values[j..].iter().step_by(columns).sum::<f64>() / rows as f64).collect()
}

fn centred(values: &[f64], means: &[f64]) -> Vec<f64> {
    values.iter().zip(means.iter().cycle()).map(|(x, mean)| x - mean).collect()
}

fn scaled(values: &[f64], scales: &[f64]) -> Vec<f64> {
    values.iter().zip(scales.iter().cycle()).map(|(x, scale)| x * scale).collect()
}

/// Solves A·X = B for a symmetric positive definite A [d, d] and B [d, k]; A is overwritten by its Cholesky factor, B by X.
fn cholesky_solve(a: &mut [f64], b: &mut [f64], d: usize, k: usize) -> Result<()> {
    let largest = (0..d).map(|i| a[i * d + i]).fold(0.0, f64::max);
    for i in 0..d {
        for j in 0..=i {
            let known: f64 = (0..j).map(|c| a[i * d + c] * a[j * d + c]).sum();
            let left = a[i * d + j] - known;
            if i > j {
                a[i * d + j] = left / a[j * d + j];
            } else if left > 1e-13 * largest {
                a[i * d + i] = left.sqrt();
            } else {
                let got = format!("feature {i} follows from those before it");
                return Err(Error::op("ridge", "features", "linearly independent ones, or alpha above 0", got));
            }
        }
    }
    // Row by row of B: neighbours in memory, however many targets there are.
    let eliminate = |row: &mut [f64], other: &[f64], factor: f64| {
        row.iter_mut().zip(other).for_each(|(x, other)| *x -= factor * other);
    };
    for i in 0..d {
        let (solved, rest) = b.split_at_mut(i * k);
        (0..i).for_each(|j| eliminate(&mut rest[..k], &solved[j * k..][..k], a[i * d + j]));
        rest[..k].iter_mut().for_each(|x| *x /= a[i * d + i]);
    }
    for i in (0..d).rev() {
        let (row, solved) = b[i * k..].split_at_mut(k);
        (i + 1..d).for_each(|j| eliminate(row, &solved[(j - i - 1) * k..][..k], a[j * d + i]));
        row.iter_mut().for_each(|x| *x /= a[i * d + i]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("metrics");
        let rows = |key: &str, index: &str| -> Vec<f64> {
            let (values, width) = (golden.f64(key), golden.shape(key)[1]);
            golden.usize(index).into_iter().flat_map(|i| values[i * width..][..width].to_vec()).collect()
        };
        let [fit, test] = ["probe/train", "probe/test"].map(|index| (rows("probe/z", index), rows("probe/t", index)));
        for alpha in [0, 1, 100] {
            let ridge = Ridge::fit(&fit.0, &fit.1, 192, f64::from(alpha)).unwrap();
            let found = r_squared(&ridge.predict(&test.0), &test.1, 5);
            let (mean, expected) = (found.iter().sum::<f64>() / 5.0, golden.f64(&format!("probe/r2_alpha{alpha}"))[0]);
            assert!((mean - expected).abs() < 1e-9, "alpha {alpha}: {mean} against {expected}");
        }
    }

    #[test]
    fn constant_features_do_nothing_and_dependent_ones_need_a_penalty() {
        let features = [1.0, 5.0, 2.0, 5.0, 4.0, 5.0];
        let ridge = Ridge::fit(&features, &[2.0, 4.0, 8.0], 3, 0.0).unwrap();
        let got = ridge.predict(&[3.0, 9.0]);
        assert!((got[0] - 6.0).abs() < 1e-12, "{got:?}");
        let twice: Vec<f64> = [1.0, 2.0, 4.0].iter().flat_map(|x| [*x, 2.0 * x]).collect();
        assert!(Ridge::fit(&twice, &[2.0, 4.0, 8.0], 3, 0.0).unwrap_err().to_string().contains("feature 1"));
        assert!(Ridge::fit(&twice, &[2.0, 4.0, 8.0], 3, 1.0).is_ok());
        assert!(Ridge::fit(&twice, &[2.0], 4, 1.0).is_err());
        assert!(r_squared(&[1.0, 2.0], &[3.0, 3.0], 1)[0].is_nan());
    }

    #[test]
    fn no_piece_is_in_two_folds_and_all_are_about_equal() {
        let pieces: Vec<u32> = (0..500).map(|i| i / 37 * 3).collect();
        let folds = folds_by_piece(&pieces, 5, 42);
        let size = |fold: usize| folds.iter().filter(|&&f| f == fold).count();
        assert!((0..5).all(|fold| (74..=148).contains(&size(fold))), "{:?}", (0..5).map(size).collect::<Vec<_>>());
        assert!((0..500).all(|i| (0..500).all(|j| pieces[i] != pieces[j] || folds[i] == folds[j])));
        assert_ne!(folds, folds_by_piece(&pieces, 5, 43));
        let mut few = folds_by_piece(&[4, 4, 9], 2, 1);
        few.dedup();
        assert_eq!(few.len(), 2, "neither fold is empty");
    }

    #[test]
    fn held_out_predictions_explain_what_carries_over() {
        let mut stream = Philox::new(5, 1).stream(0);
        let (n, d) = (300, 4);
        let x: Vec<f64> = (0..n * d).map(|_| stream.normal()).collect();
        // One target follows from the features, one is noise, one never changes.
        let t: Vec<f64> = x.chunks_exact(d).flat_map(|x| [x[0] - 2.0 * x[3] + 7.0, stream.normal(), 3.0]).collect();
        let folds: Vec<usize> = (0..n).map(|i| i / 60).collect();
        let predicted = predict_held_out(&x, &t, &folds, 1.0).unwrap();
        let column = |values: &[f64], j: usize| values.iter().skip(j).step_by(3).copied().collect::<Vec<f64>>();
        let of =
            |j: usize| Explained::new(&column(&predicted, j), &column(&t, j), 1, &folds).r_squared(&[0, 1, 2, 3, 4]);
        assert!(of(0) > 0.999 && of(1).abs() < 0.1 && of(2).is_nan(), "{} {} {}", of(0), of(1), of(2));
        let both = Explained::new(&predicted, &t, 3, &folds);
        assert!((both.r_squared(&[0, 1, 2, 3, 4]) - (of(0) + of(1)) / 2.0).abs() < 1e-12);
        // On a choice of groups it is the plain R² of their samples.
        let plain = r_squared(&column(&predicted, 0)[60..120], &column(&t, 0)[60..120], 1)[0];
        let chosen = Explained::new(&column(&predicted, 0), &column(&t, 0), 1, &folds).r_squared(&[1, 1]);
        assert!((plain - chosen).abs() < 1e-9, "{plain} {chosen}");
    }
}
