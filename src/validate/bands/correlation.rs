//! Pearson's correlation of what a descriptor holds of a segment with the dimensions of its embedding, beside what permuted segments
//! give: with a finite number of segments no |r| is 0, and the greatest of many is far from it.

use rayon::prelude::*;

use crate::data::segments::{Dataset, Segment};
use crate::descriptors::stft::Padding;
use crate::descriptors::{Descriptor, Source, a4};
use crate::eval::bootstrap::percentile;
use crate::linalg::{Mat, MatMut, Threads, matmul};
use crate::random::{Philox, site};

/// Permutations behind a null.
pub const PERMUTATIONS: usize = 200;

/// |r| over all pairs of a feature and a dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strength {
    /// Their mean.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

/// How strongly features and dimensions go together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// As they are.
    pub found: Strength,
    /// Features given to other segments: means over [`PERMUTATIONS`].
    pub null: Strength,
    /// 97.5th percentiles over the same.
    pub bound: Strength,
}

/// Correlates the columns of `features` [n, k] with those of `embedding` [n, d]. A column that does not vary has r = 0.
pub fn correlate(features: &[f64], embedding: &[f64], n: usize, seed: u64) -> Correlation {
    let (x, z) = (unit_columns(features, n), unit_columns(embedding, n));
    let (k, d) = (features.len() / n.max(1), embedding.len() / n.max(1));
    let strength = |order: &[usize]| {
        let x: Vec<f64> = order.iter().flat_map(|&row| x[row * k..][..k].iter().copied()).collect();
        let mut r = vec![0.0; k * d];
        matmul(MatMut::new(&mut r, k, d), false, 1.0, Mat::new(&x, n, k).t(), Mat::new(&z, n, d), Threads::One);
        let (mut sum, mut max) = (0.0, 0.0f64);
        r.iter().for_each(|r| (sum, max) = (sum + r.abs(), max.max(r.abs())));
        Strength { mean: sum / r.len().max(1) as f64, max }
    };
    let philox = Philox::new(seed, site("validate.bands.permuted"));
    let permuted: Vec<Strength> =
        (0..PERMUTATIONS).into_par_iter().map(|i| strength(&philox.stream(i as u64).permutation(n))).collect();
    let over = |value: fn(&Strength) -> f64| {
        let mut values: Vec<f64> = permuted.iter().map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        (values.iter().sum::<f64>() / values.len() as f64, percentile(&values, 0.975))
    };
    let ((mean, mean_bound), (max, max_bound)) = (over(|s| s.mean), over(|s| s.max));
    Correlation {
        found: strength(&(0..n).collect::<Vec<_>>()),
        null: Strength { mean, max },
        bound: Strength { mean: mean_bound, max: max_bound },
    }
}

/// Columns less their means, over their lengths: products of such columns are correlations.
fn unit_columns(values: &[f64], n: usize) -> Vec<f64> {
    let columns = values.len() / n.max(1);
    let mut out = values.to_vec();
    for column in 0..columns {
        let mean = values.iter().skip(column).step_by(columns).sum::<f64>() / n as f64;
        let of = |out: &mut [f64], f: &dyn Fn(f64) -> f64| {
            out.iter_mut().skip(column).step_by(columns).for_each(|x| *x = f(*x));
        };
        of(&mut out, &|x| x - mean);
        let length = out.iter().skip(column).step_by(columns).map(|x| x * x).sum::<f64>().sqrt();
        // Below that there is nothing but rounding.
        let scale = if length > 1e-9 * mean.abs() && length > 0.0 { 1.0 / length } else { 0.0 };
        of(&mut out, &|x| x * scale);
    }
    out
}

/// What each column of an audio descriptor holds of a whole segment, [n, columns]: its mean over time; where that is 0 in every segment,
/// because columns are standardised, the mean of its magnitude.
pub fn averages(
    descriptor: &'static dyn Descriptor,
    dataset: &Dataset,
    segments: &[Segment],
    padding: Padding,
) -> Vec<f64> {
    let magnitude = descriptor.is_standardised();
    let of = |segment: &Segment| {
        let rows = descriptor.compute(Source::audio(&dataset.audio(segment), padding));
        means(&rows, descriptor.dims(), |x| if magnitude { x.abs() } else { x })
    };
    segments.par_iter().flat_map_iter(of).collect()
}

/// Mean log-energy over time of A4's bands, [n, 8]: what A4 is made of, before differences and standardising take the level away.
pub fn energies(dataset: &Dataset, segments: &[Segment], padding: Padding) -> Vec<f64> {
    let of = |segment: &Segment| means(&a4::log_energies(&dataset.audio(segment), padding), a4::BANDS, |x| x);
    segments.par_iter().flat_map_iter(of).collect()
}

/// Means of `f` over the rows of each column of `values` [rows, columns].
fn means(values: &[f32], columns: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
    let rows = values.len() as f64 / columns as f64;
    let column = |column| values.iter().skip(column).step_by(columns).map(|&x| f(x.into())).sum::<f64>() / rows;
    (0..columns).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::rsa::pearson;

    #[test]
    fn a_planted_correlation_stands_out_of_the_null_and_noise_does_not() {
        let n = 500;
        let mut stream = Philox::new(3, 0).stream(0);
        let mut normal = |count: usize| (0..count).map(|_| stream.normal()).collect::<Vec<f64>>();
        let (features, mut embedding) = (normal(n * 3), normal(n * 20));
        let noise = correlate(&features, &embedding, n, 42);
        // E|r| of independent normals is √(2/π/n) = 0.0357; the greatest of 60 lies near 0.11.
        assert!((noise.null.mean - 0.0357).abs() < 0.002 && (0.08..0.15).contains(&noise.null.max), "{noise:?}");
        assert!(noise.found.max < 1.3 * noise.bound.max && noise.bound.max > noise.null.max, "{noise:?}");
        // Dimension 7 gets feature 1.
        (0..n).for_each(|i| embedding[i * 20 + 7] = 0.5 * embedding[i * 20 + 7] + features[i * 3 + 1]);
        let planted = correlate(&features, &embedding, n, 42);
        let column = |values: &[f64], of: usize, at: usize| -> Vec<f64> {
            values.iter().skip(at).step_by(of).copied().collect()
        };
        let expected = pearson(&column(&features, 3, 1), &column(&embedding, 20, 7)).abs();
        assert!((planted.found.max - expected).abs() < 1e-12 && expected > 0.8, "{planted:?} {expected}");
        assert!(planted.null.max < 0.2 && planted == correlate(&features, &embedding, n, 42));
    }

    #[test]
    fn columns_without_variation_count_for_nothing() {
        let still: Vec<f64> = (0..50).flat_map(|i| [0.1, f64::from(i)]).collect();
        let found = correlate(&still, &(0..50).map(f64::from).collect::<Vec<_>>(), 50, 1).found;
        assert!((found.max - 1.0).abs() < 1e-12 && (found.mean - 0.5).abs() < 1e-12, "{found:?}");
        assert_eq!(means(&[1.0, -2.0, 3.0, -4.0], 2, f64::abs), [2.0, 3.0]);
    }
}
