//! Linear centred kernel alignment between two representations of the same samples (paper eq. 11; Kornblith et al. 2019).
//!
//! With K and L the Gram matrices of the centred features, CKA = ⟨K, L⟩/√(⟨K, K⟩·⟨L, L⟩). It is biased upwards where features
//! outnumber samples; the debiased form puts Song et al.'s (2012) estimator of HSIC in each place:
//! n(n − 3)·HSIC₁ = Σ_{i≠j} K_ij·L_ij + (Σ_{i≠j} K_ij)(Σ_{i≠j} L_ij)/((n − 1)(n − 2)) − 2/(n − 2)·Σ_{i≠j≠k} K_ij·L_jk.
//! Rows of centred Gram matrices sum to 0, so that all three sums follow from ⟨K, L⟩ and the diagonals.

use std::borrow::Cow;

use rayon::prelude::*;

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
        Ok(Gram { n, values: Values::Host((0..n * n).into_par_iter().map(|i| dot(i / n, i % n)).collect()) })
    }

    /// How many samples it is of.
    pub fn samples(&self) -> usize {
        self.n
    }

    /// The same on the host, where its elements can be chosen and reordered.
    pub fn to_host(&self) -> Result<Gram> {
        Ok(Gram { n: self.n, values: Values::Host(self.host()?.into_owned()) })
    }

    /// The Gram matrix of the samples `chosen` alone, centred anew, on the host: as if of their features.
    ///
    /// # Errors
    /// Where fewer than 4 are chosen, or one that is not there.
    pub fn subset(&self, chosen: &[usize]) -> Result<Gram> {
        let (n, k) = (chosen.len(), self.host()?);
        if n < 4 || chosen.iter().any(|&i| i >= self.n) {
            let expected = format!("at least 4 of {} samples", self.n);
            return Err(Error::op("CKA", "chosen", expected, format!("{chosen:?}")));
        }
        let mut values: Vec<f64> =
            chosen.iter().flat_map(|&i| chosen.iter().map(move |&j| (i, j))).map(|(i, j)| k[i * self.n + j]).collect();
        let means: Vec<f64> = values.chunks_exact(n).map(|row| row.iter().sum::<f64>() / n as f64).collect();
        let mean = means.iter().sum::<f64>() / n as f64;
        for (row, own) in values.chunks_exact_mut(n).zip(&means) {
            row.iter_mut().zip(&means).for_each(|(x, other)| *x += mean - own - other);
        }
        Ok(Gram { n, values: Values::Host(values) })
    }

    fn host(&self) -> Result<Cow<'_, [f64]>> {
        match &self.values {
            Values::Host(values) => Ok(values.into()),
            Values::Device(values) => Ok(values.to_host()?.to_f64().into()),
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

/// Alignment of `x` with the samples of `y` in each of `orders`: row i of y is taken from row `order[i]`.
pub fn reordered(x: &Gram, y: &Gram, orders: &[Vec<usize>]) -> Result<Vec<Cka>> {
    let (x, y) = (x.to_host()?, y.to_host()?);
    let (matched, xx, yy, n) = (x.pair(&y)?, x.pair(&x)?, y.pair(&y)?, x.n);
    let (k, l) = (x.host()?, y.host()?);
    let under = |order: &Vec<usize>| {
        let row = |i: usize| k[i * n..][..n].iter().zip(order).map(|(k, &j)| k * l[order[i] * n + j]).sum::<f64>();
        let diagonal = (0..n).map(|i| k[i * n + i] * l[order[i] * n + order[i]]).sum();
        Pair { all: (0..n).map(row).sum(), diagonal, ..matched }.cka(xx, yy, n as f64)
    };
    Ok(orders.par_iter().map(under).collect())
}

/// `count` random orders of `n` samples: with one side in such an order, what alignment remains is chance.
pub fn shuffles(n: usize, count: usize, seed: u64) -> Vec<Vec<usize>> {
    let philox = Philox::new(seed, site("eval.cka.shuffle"));
    (0..count as u64).map(|i| philox.stream(i).permutation(n)).collect()
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
        let null = reordered(&x, &y, &shuffles(100, 50, 42)).unwrap();
        let mean = |of: fn(&Cka) -> f64| null.iter().map(of).sum::<f64>() / 50.0;
        let largest = |of: fn(&Cka) -> f64| null.iter().map(of).fold(0.0, f64::max);
        let (biased, debiased) = (mean(|cka| cka.biased), mean(|cka| cka.debiased));
        assert!((0.6..0.7).contains(&biased) && debiased.abs() < 0.02, "{biased} {debiased}");
        let (paired, apart) = (linear_cka(&x, &y).unwrap(), linear_cka(&x, &noise).unwrap());
        assert!(paired.debiased > 4.0 * largest(|cka| cka.debiased), "{paired:?} {null:?}");
        assert!(paired.biased > largest(|cka| cka.biased), "{paired:?} {null:?}");
        assert!((apart.biased - biased).abs() < 0.02, "{apart:?} {biased}");
    }

    #[test]
    fn a_choice_of_samples_is_aligned_as_their_features_are() {
        let (x, y, _) = golden("cka1");
        let chosen = [3, 5, 6, 11, 17, 30, 39];
        let rows = |t: &Tensor| {
            let values: Vec<f64> =
                chosen.iter().flat_map(|i| t.to_f64()[i * t.cols()..][..t.cols()].to_vec()).collect();
            Gram::new(&Tensor::from_f64(&[chosen.len(), t.cols()], &values, DType::F64)).unwrap()
        };
        let of = |t: &Tensor| Gram::new(t).unwrap().subset(&chosen).unwrap();
        let (got, expected) = (linear_cka(&of(&x), &of(&y)).unwrap(), linear_cka(&rows(&x), &rows(&y)).unwrap());
        assert!((got.biased - expected.biased).abs() < 1e-10, "{got:?} {expected:?}");
        assert!((got.debiased - expected.debiased).abs() < 1e-10, "{got:?} {expected:?}");
        assert!(Gram::new(&x).unwrap().subset(&[1, 2, 3]).is_err());
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
