//! Dropout: y = x·mask/(1 − p), where the mask is a pure function of (seed, step, site, element) and so is regenerated, not
//! stored, in the backward pass: dx = dy·mask/(1 − p).

use super::{Case, Input, for_rows, rowwise};
use crate::device::{Device, In, Mirrored, PoolVec, Real, kernels};
use crate::error::Result;
use crate::random::{Philox, uniform_f32};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// One use of dropout in one step.
#[derive(Debug, Clone)]
pub struct Dropout {
    probability: f32,
    source: Philox,
    counter: Mirrored<u64>,
}

/// Where the masks of a step start to be counted: 2⁴⁰ rows a step and 2²⁴ steps fit into one counter word.
pub fn counter(step: u64) -> u64 {
    step << 40
}

impl Dropout {
    /// Drops with `probability` in [0, 1); `site` tells this use from the others of the step.
    pub fn new(probability: f32, seed: u64, step: u64, site: u64) -> Self {
        Self::counted(probability, seed, vec![counter(step)].into(), site)
    }

    /// As [`Dropout::new`] in the step whose [`counter`] is given: kernels read it from device memory, so that a recorded step
    /// draws anew whenever the memory has changed.
    pub fn counted(probability: f32, seed: u64, counter: Mirrored<u64>, site: u64) -> Self {
        Dropout { probability, source: Philox::new(seed, site), counter }
    }

    /// Masks and scales one row in place; `row` is its number within this use.
    pub(crate) fn apply_row<F: Real>(&self, row: u64, values: &mut [F]) {
        let scale = F::of(1.0 / (1.0 - f64::from(self.probability)));
        let counter = self.counter[0] | row;
        for (i, four) in values.chunks_mut(4).enumerate() {
            let words = self.source.u32x4(counter, i as u64);
            for (x, word) in four.iter_mut().zip(words) {
                *x = if uniform_f32(word) < self.probability { F::ZERO } else { *x * scale };
            }
        }
    }

    /// What a kernel needs to draw the same mask.
    pub(crate) fn draws(&self, device: &Device) -> Result<Draws> {
        let [low, high] = self.source.key();
        // (word >> 8)·2⁻²⁴ < p where word < ⌈p·2²⁴⌉·2⁸.
        let below = (f64::from(self.probability) * f64::from(1 << 24)).ceil() as u32;
        Ok(Draws {
            below: below << 8,
            scale: (1.0 / (1.0 - f64::from(self.probability))) as f32,
            counter: self.counter.on(device)?.input(0),
            key: u64::from(high) << 32 | u64::from(low),
        })
    }

    fn launch(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, d, draws) = (x.rows(), x.cols(), self.draws(x.device())?);
        let mut y = Tensor::uninit_on(x.device(), x.shape(), x.dtype())?;
        with_storage!(x.dtype(), T => {
            kernels::dropout::apply::<T>(
                rowwise(x.device(), rows, d), x.input(), y.output(), draws.below, draws.scale, draws.counter, draws.key,
                rows as i32, d as i32,
            )?;
        });
        Ok(y)
    }

    fn apply<F: Real>(&self, x: &Tensor) -> Tensor {
        let cols = x.cols();
        let mut y = PoolVec::<F>::copy_of(x.as_slice());
        for_rows(&mut y, cols, |first, block| {
            for (i, row) in block.chunks_exact_mut(cols).enumerate() {
                self.apply_row((first + i) as u64, row);
            }
        });
        Tensor::from_pool(x.shape(), y)
    }
}

/// Dropout as a kernel sees it: column 4i + j of row r is dropped where word j of Philox(*`counter` | r, i) is smaller than
/// `below`. The counter's memory lives as long as the [`Dropout`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    pub below: u32,
    /// 1/(1 − p), for what is kept.
    pub scale: f32,
    pub counter: In<u64>,
    pub key: u64,
}

impl Draws {
    /// Keeps everything.
    pub const NONE: Draws = Draws { below: 0, scale: 1.0, counter: In::NULL, key: 0 };
}

/// Dropout of every element, or `x` itself where there is none.
pub fn dropout(tape: &Tape, x: &Var, dropout: Option<Dropout>) -> Result<Var> {
    let Some(dropout) = dropout else { return Ok(x.clone()) };
    if !x.value().device().is_cpu() {
        let y = dropout.launch(x.value())?;
        return Ok(tape.record(y, &[x], move |dy| Ok(vec![Some(dropout.launch(dy)?)])));
    }
    let value = with_real!(x.dtype(), F => dropout.apply::<F>(x.value()));
    Ok(tape.record(value, &[x], move |dy| Ok(vec![Some(with_real!(dy.dtype(), F => dropout.apply::<F>(dy)))])))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let case = |name, shape: [usize; 2], p, site| {
        Case::new(name, vec![Input::new(&shape)], move |t, v| dropout(t, &v[0], Some(Dropout::new(p, 1, 2, site))))
    };
    vec![case("dropout", [5, 7], 0.4, 3), case("dropout of wide rows", [33, 64], 0.1, 4)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DType;

    #[test]
    fn keeps_the_mean_and_depends_on_step_and_site() {
        let x = Var::constant(Tensor::from_f64(&[100, 100], &[1.0; 10_000], DType::F32));
        let run = |step, site| {
            dropout(&Tape::inference(), &x, Some(Dropout::new(0.25, 9, step, site))).unwrap().value().to_f32()
        };
        let y = run(1, 1);
        let zeros = y.iter().filter(|&&v| v == 0.0).count() as f64;
        // Binomial(10,000, 0.25): standard deviation 43.
        assert!((zeros - 2500.0).abs() < 220.0, "{zeros} zeros of 10,000 at p = 0.25");
        assert!(y.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(y, run(1, 1));
        assert_ne!(y, run(2, 1));
        assert_ne!(y, run(1, 2));
    }
}
