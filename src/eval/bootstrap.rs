//! Percentile bootstrap (Efron & Tibshirani 1993, ch. 13): how far a figure would move with other queries.

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};

use crate::random::{Philox, site};

/// Resamples behind an interval.
pub const RESAMPLES: usize = 2000;
/// Share of resampled figures inside an interval.
pub const CONFIDENCE: f64 = 0.95;

/// A figure and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Over the sample itself.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// 2.5th percentile of the resamples.
    #[serde(deserialize_with = "number")]
    pub low: f64,
    /// 97.5th percentile of the resamples.
    #[serde(deserialize_with = "number")]
    pub high: f64,
}

/// JSON has no word for what is not a number but null.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Intervals of the `K` figures that `statistic` computes from a choice among `n` observations. Each of the resamples is
/// `n` draws with replacement, the same for all figures; percentiles interpolate linearly, and a resample in which a
/// figure is not a number does not count for it.
pub fn intervals<const K: usize>(
    n: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> [f64; K] + Sync,
) -> [Interval; K] {
    let observed = statistic(&(0..n).collect::<Vec<_>>());
    let philox = Philox::new(seed, site("eval.bootstrap"));
    let resample = |r: usize| {
        let mut stream = philox.stream(r as u64);
        let chosen: Vec<usize> = (0..n).map(|_| stream.below(n as u64) as usize).collect();
        statistic(&chosen)
    };
    let resampled: Vec<[f64; K]> = (0..RESAMPLES).into_par_iter().map(resample).collect();
    std::array::from_fn(|k| {
        let mut values: Vec<f64> = resampled.iter().map(|figures| figures[k]).filter(|x| !x.is_nan()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        Interval { value: observed[k], low: percentile(&values, tail), high: percentile(&values, 1.0 - tail) }
    })
}

/// The `share` quantile of ascending `values`; not a number where there are none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let position = share * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    values[below] + (position - below as f64) * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_a_proportion_like_the_normal_approximation() {
        let hits: Vec<f64> = (0..500).map(|i| (i % 5 != 0) as u8 as f64).collect();
        let share = |chosen: &[usize]| chosen.iter().map(|&i| hits[i]).sum::<f64>() / chosen.len() as f64;
        let [got, constant, undefined] = intervals(500, 42, |chosen| [share(chosen), 3.0, f64::NAN]);
        let half = 1.96 * (0.8f64 * 0.2 / 500.0).sqrt();
        assert_eq!(got.value, 0.8);
        assert!((got.low - (0.8 - half)).abs() < 0.004 && (got.high - (0.8 + half)).abs() < 0.004, "{got:?}");
        assert_eq!(constant, Interval { value: 3.0, low: 3.0, high: 3.0 });
        assert!(undefined.value.is_nan() && undefined.low.is_nan() && undefined.high.is_nan());
        assert_eq!(got, intervals(500, 42, |chosen| [share(chosen)])[0]);
        assert_ne!(got, intervals(500, 43, |chosen| [share(chosen)])[0]);
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(percentile(&[1.0], 0.3), 1.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
