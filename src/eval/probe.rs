//! Linear probes (paper, test 03): what of a target can a ridge regression read off frozen features?

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

/// Samples to fit on and to test on, such that no piece is in both: pieces in an order drawn by `seed` go to the test side until it
/// holds `share` of the samples. Neither side is empty where there are two pieces.
pub fn split_by_piece(pieces: &[u32], share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut distinct = pieces.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let order = Philox::new(seed, site("eval.probe")).stream(0).permutation(distinct.len());
    let wanted = (share * pieces.len() as f64).round().max(1.0) as usize;
    let (mut chosen, mut held) = (Vec::new(), 0);
    for i in order.into_iter().take(distinct.len().saturating_sub(1)) {
        if held >= wanted {
            break;
        }
        held += pieces.iter().filter(|&&piece| piece == distinct[i]).count();
        chosen.push(distinct[i]);
    }
    (0..pieces.len()).partition(|&i| !chosen.contains(&pieces[i]))
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
    for c in 0..k {
        for i in 0..d {
            let known: f64 = (0..i).map(|j| a[i * d + j] * b[j * k + c]).sum();
            b[i * k + c] = (b[i * k + c] - known) / a[i * d + i];
        }
        for i in (0..d).rev() {
            let known: f64 = (i + 1..d).map(|j| a[j * d + i] * b[j * k + c]).sum();
            b[i * k + c] = (b[i * k + c] - known) / a[i * d + i];
        }
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
    fn no_piece_is_on_both_sides() {
        let pieces: Vec<u32> = (0..500).map(|i| i / 37 * 3).collect();
        let (fit, test) = split_by_piece(&pieces, 0.2, 42);
        assert!(fit.len() + test.len() == 500 && (100..=137).contains(&test.len()), "{}", test.len());
        assert!(fit.iter().all(|&i| test.iter().all(|&j| pieces[i] != pieces[j])));
        assert_eq!((fit.clone(), test.clone()), split_by_piece(&pieces, 0.2, 42));
        let (fit, test) = split_by_piece(&[4, 4, 9], 0.9, 1);
        assert!(!fit.is_empty() && !test.is_empty());
    }
}
