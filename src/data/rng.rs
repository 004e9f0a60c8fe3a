//! Random draws as a composer and an instrument need them, from the crate's counter-based generator.

use crate::random::{Philox, Stream, site, uniform_f32};

/// Draws of one use of randomness, one after the other; no transcendental functions, so the same on every machine.
#[derive(Debug, Clone)]
pub struct Rng(Stream);

impl Rng {
    /// The draws of `(seed, use_of, index)`, independent of those of any other.
    pub fn new(seed: u64, use_of: &str, index: u64) -> Self {
        Rng(Philox::new(seed, site(use_of)).stream(index))
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn unit(&mut self) -> f64 {
        f64::from(uniform_f32(self.0.u32()))
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n; 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Nearly normal, mean 0, variance 1, within ±3.5 (the sum of four uniforms: nobody plays an outlier).
    pub fn gauss(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3f64.sqrt()
    }

    /// One element of a slice; `None` of an empty one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
