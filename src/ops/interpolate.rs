//! Linear interpolation in time (align_corners = false): output t of n reads at s = max((t + ½)·T/n − ½, 0) of T input rows,
//! `y[t] = (1 − w)·x[⌊s⌋] + w·x[min(⌊s⌋ + 1, T − 1)]`, `w = s − ⌊s⌋`. The gradient is the transposed map. Rows that only fill up
//! (of no sample) become 0 and have gradient 0.

use super::{Case, Input, Ragged, rowwise};
use crate::device::{PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Source row pair and weight of the second for output row `t` of `n`, from `length` rows.
fn taps(t: usize, n: usize, length: usize) -> (usize, usize, f64) {
    let s = ((t as f64 + 0.5) * length as f64 / n as f64 - 0.5).max(0.0);
    let low = (s as usize).min(length - 1);
    (low, (low + 1).min(length - 1), s - low as f64)
}

/// Stretches every sample from its length in `from` to its length in `to`: [ΣT, d] → [Σn, d].
pub fn interpolate(tape: &Tape, x: &Var, from: &Ragged, to: &Ragged) -> Result<Var> {
    let d = x.value().cols();
    let fits = from.samples() == to.samples() && (0..from.samples()).all(|b| from.length(b) > 0 || to.length(b) == 0);
    if x.shape() != [from.total(), d] || !fits {
        let got = format!("{:?} in {} samples to {}", x.shape(), from.samples(), to.samples());
        return Err(Error::op("interpolate", "x", format!("[{}, {d}], no empty sample", from.total()), got));
    }
    if !x.value().device().is_cpu() {
        return launch(tape, x, from, to);
    }
    let value = with_real!(x.dtype(), F => {
        let source = x.value().as_slice::<F>();
        let mut y = PoolVec::<F>::uninit(to.total() * d);
        y[to.end() * d..].fill(F::ZERO);
        for b in 0..to.samples() {
            let first = from.range(b).start;
            for t in 0..to.length(b) {
                let (low, high, w) = taps(t, to.length(b), from.length(b));
                let (a, c) = (&source[(first + low) * d..][..d], &source[(first + high) * d..][..d]);
                let (w, v) = (F::of(w), F::of(1.0 - w));
                let row = &mut y[(to.range(b).start + t) * d..][..d];
                row.iter_mut().zip(a).zip(c).for_each(|((y, &a), &c)| *y = v * a + w * c);
            }
        }
        Tensor::from_pool(&[to.total(), d], y)
    });
    let (from, to) = (from.clone(), to.clone());
    Ok(tape.record(value, &[x], move |dy| {
        Ok(vec![Some(with_real!(dy.dtype(), F => {
            let dy = dy.as_slice::<F>();
            let mut dx = PoolVec::<F>::zeros(from.total() * d);
            for b in 0..to.samples() {
                let first = from.range(b).start;
                for t in 0..to.length(b) {
                    let (low, high, w) = taps(t, to.length(b), from.length(b));
                    let row = &dy[(to.range(b).start + t) * d..][..d];
                    for (source, weight) in [(low, 1.0 - w), (high, w)] {
                        let weight = F::of(weight);
                        dx[(first + source) * d..][..d].iter_mut().zip(row).for_each(|(x, &g)| *x += weight * g);
                    }
                }
            }
            Tensor::from_pool(&[from.total(), d], dx)
        }))])
    }))
}

fn launch(tape: &Tape, x: &Var, from: &Ragged, to: &Ragged) -> Result<Var> {
    // Kernels compute source places as 32-bit fractions.
    if (2 * to.longest() as u64 + 3) * (2 * from.longest() as u64 + 3) >= 1 << 31 {
        let got = format!("{} to {}", from.longest(), to.longest());
        return Err(Error::op("interpolate", "lengths", "a product below 2²⁹", got));
    }
    let (batch, d) = (from.samples() as i32, x.value().cols());
    let (rows_from, rows_to) = (from.total(), to.total());
    let device = x.value().device().clone();
    let (from, to) = (from.on(&device)?, to.on(&device)?);
    let mut y = Tensor::uninit_on(&device, &[rows_to, d], x.dtype())?;
    with_storage!(x.dtype(), T => {
        kernels::interpolate::forward::<T>(
            rowwise(&device, rows_to, d), x.value().input(), from.input(0), to.input(0), y.output(), batch,
            rows_to as i32, d as i32,
        )?;
        Ok(tape.record(y, &[x], move |dy| {
            let mut dx = Tensor::uninit_on(&device, &[rows_from, d], dy.dtype())?;
            kernels::interpolate::backward::<T>(
                rowwise(&device, rows_from, d), dy.input(), from.input(0), to.input(0), dx.output(), batch,
                rows_from as i32, d as i32,
            )?;
            Ok(vec![Some(dx)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let (from, to) = (Ragged::from_lengths([3, 1, 5]), Ragged::from_lengths([10, 2, 4]));
    let (filled, short) = (Ragged::filled(&[3, 1, 4], 13), Ragged::uniform(3, 2));
    let (short_too, filled_too) = (short.clone(), filled.clone());
    let (frames, stretched) = (Ragged::uniform(2, 47), Ragged::uniform(2, 600));
    vec![
        Case::new("interpolate", vec![Input::new(&[9, 2])], move |t, v| interpolate(t, &v[0], &from, &to)),
        Case::new("interpolate to rows that fill up", vec![Input::new(&[6, 2])], move |t, v| {
            interpolate(t, &v[0], &short, &filled)
        }),
        Case::new("interpolate from rows that fill up", vec![Input::new(&[13, 2])], move |t, v| {
            interpolate(t, &v[0], &filled_too, &short_too)
        }),
        Case::new("interpolate frames", vec![Input::new(&[94, 8])], move |t, v| {
            interpolate(t, &v[0], &frames, &stretched)
        }),
    ]
}
