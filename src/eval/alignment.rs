//! How alike the layers of two encoders are (paper, section 5.4): linear CKA and RSA of every two representations of the same samples,
//! what is left of them when pairs are shuffled, and how far they move with other samples.

use std::ops::Range;

use rayon::prelude::*;

use super::cka::{Gram, linear_cka, reordered, shuffles};
use super::rsa::{Dissimilarities, rsa};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::random::{Philox, site};
use crate::tensor::Tensor;

/// How alike two representations are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Alike {
    /// Linear CKA, paper eq. 11.
    pub cka: f64,
    /// The same from unbiased estimates.
    pub debiased: f64,
    /// Spearman's correlation of cosine dissimilarities.
    pub rsa: f64,
}

/// Several representations of the same samples.
pub struct Representations {
    grams: Vec<Gram>,
    dissimilarities: Vec<Dissimilarities>,
}

impl Representations {
    /// Of features [n, d] each, n ≥ 4; Gram matrices are computed, and multiplied, on `device`.
    pub fn new(features: &[Tensor], device: &Device) -> Result<Self> {
        let gram = |features: &Tensor| match device.is_cpu() {
            true => Gram::new(features),
            false => Gram::new(&features.to_device(device, crate::device::DType::F32)?),
        };
        Ok(Self {
            grams: features.iter().map(gram).collect::<Result<_>>()?,
            dissimilarities: features.iter().map(Dissimilarities::cosine).collect::<Result<_>>()?,
        })
    }

    /// How many samples they are of.
    pub fn samples(&self) -> usize {
        self.grams.first().map_or(0, Gram::samples)
    }

    /// Every one with every one: [n, n], row-major.
    pub fn matrix(&self) -> Result<Vec<Alike>> {
        let n = self.grams.len();
        let mut matrix = vec![Alike::default(); n * n];
        for i in 0..n {
            for j in i..n {
                let cka = linear_cka(&self.grams[i], &self.grams[j])?;
                let rsa = rsa(&self.dissimilarities[i], &self.dissimilarities[j])?;
                let alike = Alike { cka: cka.biased, debiased: cka.debiased, rsa };
                (matrix[i * n + j], matrix[j * n + i]) = (alike, alike);
            }
        }
        Ok(matrix)
    }

    /// Each of `x` with each of `y` where samples of the one are paired with others' of the other: `count` times [|x|, |y|], the same
    /// shuffle for all in a block. `done` is called after each pair of representations.
    pub fn shuffled(
        &self,
        [x, y]: [Range<usize>; 2],
        count: usize,
        seed: u64,
        done: impl Fn(),
    ) -> Result<Vec<Vec<Alike>>> {
        let orders = shuffles(self.samples(), count, seed);
        let mut blocks = vec![Vec::with_capacity(x.len() * y.len()); count];
        for i in x {
            for j in y.clone() {
                let (fixed, moved) = (&self.dissimilarities[i], &self.dissimilarities[j]);
                let rsa =
                    orders.par_iter().map(|order| rsa(fixed, &moved.reordered(order))).collect::<Result<Vec<_>>>()?;
                let cka = reordered(&self.grams[i], &self.grams[j], &orders)?;
                for (block, (cka, rsa)) in blocks.iter_mut().zip(cka.into_iter().zip(rsa)) {
                    block.push(Alike { cka: cka.biased, debiased: cka.debiased, rsa });
                }
                done();
            }
        }
        Ok(blocks)
    }

    /// [`Representations::matrix`] of `count` random halves of the samples, 8 samples or more. Without duplicates, which would count as
    /// alignment, they tell how a figure varies: the standard deviation over halves is the standard error over all (Politis & Romano 1994, with
    /// the correction for drawing from a finite sample).
    pub fn halves(&self, count: usize, seed: u64, done: impl Fn() + Sync) -> Result<Vec<Vec<Alike>>> {
        let n = self.samples();
        if n < 8 {
            return Err(Error::op("alignment", "samples", "at least 8 to halve", n.to_string()));
        }
        let philox = Philox::new(seed, site("eval.alignment.halves"));
        let grams = self.grams.iter().map(Gram::to_host).collect::<Result<Vec<_>>>()?;
        let half = |i: usize| {
            let chosen = philox.stream(i as u64).choose(n / 2, n);
            let grams = grams.iter().map(|gram| gram.subset(&chosen)).collect::<Result<_>>()?;
            let dissimilarities = self.dissimilarities.iter().map(|all| all.subset(&chosen)).collect();
            let matrix = Representations { grams, dissimilarities }.matrix();
            done();
            matrix
        };
        (0..count).into_par_iter().map(half).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three representations of 60 samples: one, the same with as much noise again, and noise alone.
    fn planted() -> Representations {
        let mut stream = Philox::new(11, 1).stream(0);
        let mut normal = |d: usize| -> Vec<f32> { (0..60 * d).map(|_| stream.normal() as f32).collect() };
        let (x, noise, apart) = (normal(80), normal(80), normal(50));
        let near: Vec<f32> = x.iter().zip(&noise).map(|(x, noise)| x + noise).collect();
        let tensor = |values: &[f32]| Tensor::from_slice(&[60, values.len() / 60], values);
        Representations::new(&[tensor(&x), tensor(&near), tensor(&apart)], &Device::Cpu).unwrap()
    }

    #[test]
    fn pairs_that_belong_together_stand_out_of_shuffled_ones() {
        let all = planted();
        let matrix = all.matrix().unwrap();
        assert!((0..3).all(|i| (matrix[i * 4].cka - 1.0).abs() < 1e-12 && (matrix[i * 4].rsa - 1.0).abs() < 1e-12));
        assert!(matrix[1] == matrix[3] && matrix[2] == matrix[6]);
        let null = all.shuffled([0..1, 1..3], 100, 42, || ()).unwrap();
        let largest = |of: fn(&Alike) -> f64, j: usize| null.iter().map(|block| of(&block[j])).fold(0.0, f64::max);
        for of in [|a: &Alike| a.cka, |a: &Alike| a.debiased, |a: &Alike| a.rsa] {
            assert!(of(&matrix[1]) > largest(of, 0) && of(&matrix[2]) < largest(of, 1), "{matrix:?}");
        }
    }

    #[test]
    fn halves_vary_as_other_samples_would() {
        let all = planted();
        let halves = all.halves(100, 42, || ()).unwrap();
        let values: Vec<f64> = halves.iter().map(|matrix| matrix[1].debiased).collect();
        let mean = values.iter().sum::<f64>() / 100.0;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 99.0).sqrt();
        let whole = all.matrix().unwrap()[1].debiased;
        assert!((mean - whole).abs() < deviation && (0.005..0.1).contains(&deviation), "{mean} {whole} {deviation}");
        assert_eq!(halves, all.halves(100, 42, || ()).unwrap());
    }
}
