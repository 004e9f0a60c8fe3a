//! Linear centred kernel alignment between two representations of the same samples (paper eq. 11; Kornblith et al. 2019).
//!
//! With K and L the Gram matrices of the centred features, CKA = ⟨K, L⟩/√(⟨K, K⟩·⟨L, L⟩). It is biased upwards where features
//! outnumber samples; the debiased form puts Song et al.'s (2012) estimator of HSIC in each place:
//! n(n − 3)·HSIC₁ = Σ_{i≠j} K_ij·L_ij + (Σ_{i≠j} K_ij)(Σ_{i≠j} L_ij)/((n − 1)(n − 2)) − 2/(n − 2)·Σ_{i≠j≠k} K_ij·L_jk.
//! Rows of centred Gram matrices sum to 0, so that all three sums follow from ⟨K, L⟩ and the diagonals.

use rayon::prelude::*;

use super::bootstrap::{Interval, percentile};
use crate::error::{Error, Result};
use crate::ops::gram::{centred_gram, pair_sums};
use crate::random::{Philox, site};
use crate::tensor::Tensor;

/// The Gram matrix of a representation's centred features.
pub struct Gram {
    n: usize,
    values: Values,
}

enum Values {
    Host(Vec<f64>),
    Device(Tensor),
}

/// Alignment of two representations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cka {
    /// Eq. 11.
    pub biased: f64,
    /// With unbiased estimates of each HSIC; around 0 for independent representations.
    pub debiased: f64,
}

/// Sums over a pair of Gram matrices.
#[derive(Clone, Copy)]
struct Pair {
    /// ⟨K, L⟩ and its diagonal part.
    all: f64,
    diagonal: f64,
    traces: [f64; 2],
}

impl Gram {
    /// Of features [n, d], n ≥ 4, on the device where they are; in `f64` on the CPU.
    pub fn new(features: &Tensor) -> Result<Gram> {
        let &[n, d] = features.shape() else {
            return Err(Error::op("CKA", "features", "[samples, features]", format!("{:?}", features.shape())));
        };
        if n < 4 {
            return Err(Error::op("CKA", "features", "at least 4 samples", n.to_string()));
        }
        if !features.device().is_cpu() {
            return Ok(Gram { n, values: Values::Device(centred_gram(features)?) });
        }
        let mut x = features.to_f64();
        for c in 0..d {
            let mean = x[c..].iter().step_by(d).sum::<f64>() / n as f64;
            x[c..].iter_mut().step_by(d).for_each(|x| *x -= mean);
        }
        let row = |i: usize| &x[i * d..][..d];
        let dot = |i, j| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
        Ok(Gram { n, values: Values::Host((0..n * n).map(|i| dot(i / n, i % n)).collect()) })
    }

    /// The same on the host, where its elements can be reordered.
    fn host(&self) -> Result<Vec<f64>> {
        match &self.values {
            Values::Host(values) => Ok(values.clone()),
            Values::Device(values) => Ok(values.to_host()?.to_f64()),
        }
    }

    fn pair(&self, other: &Gram) -> Result<Pair> {
        let wrong = || Error::op("CKA", "pair", "as many samples, on the same device", "others");
        if self.n != other.n {
            return Err(wrong());
        }
        match (&self.values, &other.values) {
            (Values::Host(k), Values::Host(l)) => {
                let diagonal = |x: &[f64]| x.iter().step_by(self.n + 1).copied().collect::<Vec<f64>>();
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let (k_ii, l_ii) = (diagonal(k), diagonal(l));
                let traces = [k_ii.iter().sum(), l_ii.iter().sum()];
                Ok(Pair { all: dot(k, l), diagonal: dot(&k_ii, &l_ii), traces })
            }
            (Values::Device(k), Values::Device(l)) if k.device() == l.device() => {
                let [all, diagonal, k, l] = pair_sums(k, l)?;
                Ok(Pair { all, diagonal, traces: [k, l] })
            }
            _ => Err(wrong()),
        }
    }
}

impl Pair {
    /// Alignment, given the sums of each Gram matrix with itself.
    fn cka(self, xx: Pair, yy: Pair, n: f64) -> Cka {
        let ratio = |xy: f64, xx: f64, yy: f64| if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 };
        Cka {
            biased: ratio(self.all, xx.all, yy.all),
            debiased: ratio(self.debiased(n), xx.debiased(n), yy.debiased(n)),
        }
    }

    fn debiased(self, n: f64) -> f64 {
        let Pair { all, diagonal, traces } = self;
        let sums = all - diagonal + traces[0] * traces[1] / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * diagonal;
        sums / (n * (n - 3.0))
    }
}

/// Alignment of two representations of the same n samples; 0 where one of them is constant.
pub fn linear_cka(x: &Gram, y: &Gram) -> Result<Cka> {
    let (xy, xx, yy) = (x.pair(y)?, x.pair(x)?, y.pair(y)?);
    Ok(xy.cka(xx, yy, x.n as f64))
}

/// What alignment comes to when samples of one are paired with others' of the other: mean, and the 2.5th and 97.5th percentiles over
/// shuffles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Null {
    /// Of [`Cka::biased`].
    pub biased: Interval,
    /// Of [`Cka::debiased`].
    pub debiased: Interval,
}

/// Alignment of `x` with `shuffles` random orders of `y`'s samples: what a figure must exceed to mean that pairs, and not only the
/// shapes of the two clouds, agree.
pub fn shuffled_null(x: &Gram, y: &Gram, shuffles: usize, seed: u64) -> Result<Null> {
    let (matched, xx, yy, n) = (x.pair(y)?, x.pair(x)?, y.pair(y)?, x.n);
    let (k, l) = (x.host()?, y.host()?);
    let philox = Philox::new(seed, site("eval.cka.shuffle"));
    let shuffled = |i: usize| {
        let order = philox.stream(i as u64).permutation(n);
        let row = |i: usize| k[i * n..][..n].iter().zip(&order).map(|(k, &j)| k * l[order[i] * n + j]).sum::<f64>();
        let diagonal = (0..n).map(|i| k[i * n + i] * l[order[i] * n + order[i]]).sum();
        Pair { all: (0..n).map(row).sum(), diagonal, ..matched }.cka(xx, yy, n as f64)
    };
    let found: Vec<Cka> = (0..shuffles).into_par_iter().map(shuffled).collect();
    let spread = |of: fn(&Cka) -> f64| {
        let mut values: Vec<f64> = found.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        let value = values.iter().sum::<f64>() / values.len() as f64;
        Interval { value, low: percentile(&values, 0.025), high: percentile(&values, 0.975) }
    };
    Ok(Null { biased: spread(|cka| cka.biased), debiased: spread(|cka| cka.debiased) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DType, Device};
    use crate::golden::Golden;

    fn golden(key: &str) -> (Tensor, Tensor, f64) {
        let golden = Golden::open("metrics");
        let tensor = |name: &str| {
            let key = format!("{key}/{name}");
            Tensor::from_slice(&golden.shape(&key), &golden.f32(&key))
        };
        (tensor("x"), tensor("y"), golden.f64(&format!("{key}/cka"))[0])
    }

    #[test]
    fn equals_the_reference() {
        for key in ["cka0", "cka1"] {
            let (x, y, expected) = golden(key);
            let got = linear_cka(&Gram::new(&x).unwrap(), &Gram::new(&y).unwrap()).unwrap().biased;
            assert!((got - expected).abs() < 1e-10, "{key}: {got} against {expected}");
        }
    }

    /// The definition with zeroed diagonals, on uncentred Gram matrices, which it may not care about.
    #[test]
    fn debiased_form_equals_its_definition() {
        let (x, y, _) = golden("cka0");
        let n = x.rows();
        let plain = |x: &Tensor| -> Vec<f64> {
            let (v, d) = (x.to_f64(), x.cols());
            let dot = |i: usize, j: usize| (0..d).map(|c| v[i * d + c] * v[j * d + c]).sum::<f64>();
            (0..n * n).map(|i| if i / n == i % n { 0.0 } else { dot(i / n, i % n) }).collect()
        };
        let (k, l) = (plain(&x), plain(&y));
        let hsic = |k: &[f64], l: &[f64]| {
            let rows = |m: &[f64]| m.chunks_exact(n).map(|row| row.iter().sum::<f64>()).collect::<Vec<f64>>();
            let (rows_k, rows_l) = (rows(k), rows(l));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (sum_k, sum_l, m) = (rows_k.iter().sum::<f64>(), rows_l.iter().sum::<f64>(), n as f64);
            dot(k, l) + sum_k * sum_l / ((m - 1.0) * (m - 2.0)) - 2.0 / (m - 2.0) * dot(&rows_k, &rows_l)
        };
        let expected = hsic(&k, &l) / (hsic(&k, &k) * hsic(&l, &l)).sqrt();
        let got = linear_cka(&Gram::new(&x).unwrap(), &Gram::new(&y).unwrap()).unwrap().debiased;
        assert!((got - expected).abs() < 1e-9, "{got} against {expected}");
    }

    #[test]
    fn shuffled_pairs_lose_their_alignment_but_not_its_bias() {
        // The specification's example in small: independent Gaussians with more features than samples.
        let mut stream = Philox::new(3, 1).stream(0);
        let mut normal = |d: usize| -> Vec<f32> { (0..100 * d).map(|_| stream.normal() as f32).collect() };
        let (x, noise) = (normal(200), normal(200));
        let y: Vec<f32> = x.iter().zip(&noise).map(|(x, noise)| x + noise).collect();
        let gram = |values: &[f32]| Gram::new(&Tensor::from_slice(&[100, 200], values)).unwrap();
        let (x, noise, y) = (gram(&x), gram(&noise), gram(&y));
        let null = shuffled_null(&x, &y, 50, 42).unwrap();
        assert!((0.6..0.7).contains(&null.biased.value), "{null:?}");
        assert!(null.debiased.value.abs() < 0.02 && null.debiased.low < 0.0 && null.debiased.high < 0.1, "{null:?}");
        let (paired, apart) = (linear_cka(&x, &y).unwrap(), linear_cka(&x, &noise).unwrap());
        assert!(paired.debiased > 5.0 * null.debiased.high && paired.biased > null.biased.high, "{paired:?} {null:?}");
        assert!((apart.biased - null.biased.value).abs() < 0.02, "{apart:?} {null:?}");
    }

    #[test]
    fn emulated_alignment_follows_the_cpu() {
        for (seed, key) in [(0, "cka0"), (1, "cka1")] {
            let (x, y, _) = golden(key);
            let device = Device::emulated(seed).unwrap();
            for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 1e-2)] {
                let on = |t: &Tensor| Gram::new(&t.to_device(&device, dtype).unwrap()).unwrap();
                let expected = linear_cka(&Gram::new(&x).unwrap(), &Gram::new(&y).unwrap()).unwrap();
                let got = linear_cka(&on(&x), &on(&y)).unwrap();
                assert!((got.biased - expected.biased).abs() < tolerance, "{key}: {got:?} against {expected:?}");
                assert!((got.debiased - expected.debiased).abs() < tolerance, "{key}: {got:?} against {expected:?}");
            }
        }
    }
}
