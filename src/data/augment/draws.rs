//! Where the randomness of augmentation comes from.

use crate::config::Span;
use crate::random::{Philox, Stream, site};

/// Samples of a step are told apart by so many bits: the largest batch has 65,536.
const SAMPLE_BITS: u32 = 16;

/// The draws of one sample of one step: a pure function of (seed, step, sample), and of nothing else. Every augmentation has
/// its own, so that switching one on changes what no other draws.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    seed: u64,
    counter: u64,
}

impl Draws {
    /// The draws of `sample` (its place in the batch) in `step`.
    pub fn new(seed: u64, step: u64, sample: usize) -> Self {
        Draws { seed, counter: (step << SAMPLE_BITS) + sample as u64 }
    }

    /// The draws of the augmentation `name`.
    pub fn of(&self, name: &str) -> Stream {
        Philox::new(self.seed, site(name)).stream(self.counter)
    }

    /// The draws of the augmentation `name`, with probability `chance`.
    pub fn when(&self, name: &str, chance: f64) -> Option<Stream> {
        let mut stream = self.of(name);
        (stream.uniform_f64() < chance).then_some(stream)
    }
}

/// Uniform in [low, high).
pub fn between(stream: &mut Stream, low: f64, high: f64) -> f64 {
    low + (high - low) * stream.uniform_f64()
}

/// Uniform in `span`.
pub fn within(stream: &mut Stream, span: Span) -> f64 {
    between(stream, span.low, span.high)
}

/// A factor from 1 / (1 + `most`) to 1 + `most`, its logarithm uniform: as often larger than 1 as smaller.
pub fn factor(stream: &mut Stream, most: f64) -> f64 {
    libm::exp(between(stream, -1.0, 1.0) * libm::log1p(most))
}

/// An integer from −`most` to `most`.
pub fn either_way(stream: &mut Stream, most: usize) -> i32 {
    stream.below(2 * most as u64 + 1) as i32 - most as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_hang_on_seed_step_sample_and_name_alone() {
        let first = |seed, step, sample, name| Draws::new(seed, step, sample).of(name).u64();
        let reference = first(1, 2, 3, "a");
        assert_eq!(reference, first(1, 2, 3, "a"));
        for other in [first(2, 2, 3, "a"), first(1, 3, 3, "a"), first(1, 2, 4, "a"), first(1, 2, 3, "b")] {
            assert_ne!(reference, other);
        }
        let taken = (0..4000).filter(|&step| Draws::new(1, step, 0).when("a", 0.25).is_some()).count();
        assert!((taken as f64 - 1000.0).abs() < 5.0 * 27.4, "{taken} of 4000");
        let mut stream = Draws::new(1, 0, 0).of("b");
        for _ in 0..1000 {
            let (x, n) = (factor(&mut stream, 0.25), either_way(&mut stream, 2));
            assert!((0.8..=1.25).contains(&x) && (-2..=2).contains(&n), "{x} {n}");
        }
    }
}
