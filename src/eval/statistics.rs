//! How two arms compare over several seeds: sample standard deviation, Cohen's d and Welch's t test (paper, section 5.9).
//!
//! Everything follows from count, mean and standard deviation, so that a published table can be checked as well as runs of one's own.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::bootstrap::{CONFIDENCE, Interval};

/// A sample of figures, one for each seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How many there are.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation with n − 1 in the denominator; not a number for a single value.
    pub sd: f64,
}

impl Sample {
    /// Of `values`; mean and deviation of none are not numbers.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Self { n, mean, sd: (squares / (n as f64 - 1.0)).sqrt() }
    }

    /// The mean with its 95 % interval by Student's t: mean ± t·SD/√n. For fewer than two values its ends are not numbers.
    pub fn mean_interval(&self) -> Interval {
        let reach = match self.n {
            0 | 1 => f64::NAN,
            n => quantile(n as f64 - 1.0) * self.sd / (n as f64).sqrt(),
        };
        Interval { value: self.mean, low: self.mean - reach, high: self.mean + reach }
    }

    /// Squared standard error of the mean.
    fn error(&self) -> f64 {
        self.sd * self.sd / self.n as f64
    }
}

/// Cohen's d: the difference of the means in units of the pooled standard deviation. Not a number where a sample has fewer than
/// two values, infinite or not a number where neither varies.
pub fn cohen_d(a: &Sample, b: &Sample) -> f64 {
    let freedom = |s: &Sample| s.n as f64 - 1.0;
    let pooled = (freedom(a) * a.sd * a.sd + freedom(b) * b.sd * b.sd) / (freedom(a) + freedom(b));
    (a.mean - b.mean) / pooled.sqrt()
}

/// Welch's test of two means whose variances may differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Difference of the means over its standard error.
    pub t: f64,
    /// Degrees of freedom after Welch and Satterthwaite.
    pub df: f64,
    /// Probability of a t at least as far from 0 where the true means are equal.
    pub p: f64,
    /// Difference of the means with its 95 % interval.
    pub difference: Interval,
}

/// Compares the means of two samples; `None` where one has fewer than two values or neither varies.
pub fn welch(a: &Sample, b: &Sample) -> Option<Welch> {
    let (ea, eb) = (a.error(), b.error());
    let squared = ea + eb;
    if a.n < 2 || b.n < 2 || squared.is_nan() || squared <= 0.0 {
        return None;
    }
    let df = squared * squared / (ea * ea / (a.n as f64 - 1.0) + eb * eb / (b.n as f64 - 1.0));
    let value = a.mean - b.mean;
    let (t, reach) = (value / squared.sqrt(), quantile(df) * squared.sqrt());
    let p = 2.0 * student(df)?.sf(t.abs());
    Some(Welch { t, df, p, difference: Interval { value, low: value - reach, high: value + reach } })
}

/// The t that a Student variable stays within, on either side, with the probability [`CONFIDENCE`].
fn quantile(df: f64) -> f64 {
    student(df).map_or(f64::NAN, |student| student.inverse_cdf((1.0 + CONFIDENCE) / 2.0))
}

fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("metrics");
        let [a, b] = ["stat/a", "stat/b"].map(|key| Sample::of(&golden.f64(key)));
        let test = welch(&a, &b).unwrap();
        let got = [("cohen_d", cohen_d(&a, &b)), ("welch_t", test.t), ("welch_df", test.df), ("welch_p", test.p)];
        for (name, value) in got {
            let expected = golden.f64(&format!("stat/{name}"))[0];
            assert!((value - expected).abs() < 1e-9, "{name}: {value} instead of {expected}");
        }
    }

    #[test]
    fn the_papers_replication_table_gives_its_own_effect_size() {
        let [d4a4, d0] = [(84.0, 2.7), (75.2, 2.3)].map(|(mean, sd)| Sample { n: 5, mean, sd });
        let test = welch(&d4a4, &d0).unwrap();
        assert_eq!((format!("{:.2}", cohen_d(&d4a4, &d0)), format!("{:.2}", test.t)), ("3.51".into(), "5.55".into()));
        assert!(test.p < 0.001 && (7.8..7.9).contains(&test.df), "{test:?}");
        assert!(test.difference.low > 5.0 && test.difference.high < 12.6, "{test:?}");
    }

    #[test]
    fn intervals_follow_the_tables_of_t_and_single_values_have_none() {
        for (df, expected) in [(1.0, 12.706204736), (4.0, 2.776445105), (30.0, 2.042272456)] {
            assert!((quantile(df) - expected).abs() < 1e-8, "{df}: {}", quantile(df));
        }
        let interval = Sample::of(&[1.0, 2.0, 3.0]).mean_interval();
        assert!((interval.high - (2.0 + 4.302652730 / 3f64.sqrt())).abs() < 1e-8, "{interval:?}");
        let one = Sample::of(&[0.5]);
        assert!(one.sd.is_nan() && one.mean_interval().low.is_nan() && welch(&one, &one).is_none());
        let still = Sample::of(&[0.5, 0.5]);
        assert!(still.sd == 0.0 && welch(&still, &still).is_none() && cohen_d(&still, &still).is_nan());
        assert!(Sample::of(&[]).mean.is_nan());
    }
}
