//! Features over time, column by column of each sample: what a trainable descriptor is made of (A4's steps 4 and 5, eq. 5).
//!
//! difference: y\[t\] = τ₀·x\[t\] + τ₁·x[t + 1], 0 in a sample's last row; dx\[t\] = τ₀·dy\[t\] + τ₁·dy[t − 1], dτ₀ = Σ x\[t\]·dy\[t\],
//! dτ₁ = Σ x[t + 1]·dy\[t\], over the rows that have a next.
//! standardise: y = (x − μ)/(σ + ε), σ² = mean (x − μ)²; dx = (dy − mean dy − (x − μ)/σ·mean(dy·y))/(σ + ε).
//! A column with σ ≤ 1e-6, whose rise and fall is rounding, passes no gradient: 1/(σ + ε) would make a silent segment outweigh a batch.
//! Rows that only fill up (of no sample) become 0 and have gradient 0.

use super::{Case, Input, Ragged};
use crate::device::{DType, Launch, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Keeps a column that never changes at 0 (eq. 5).
const EPSILON: f64 = 1e-8;
/// Deviation up to which a column counts as constant for its gradient.
const FLAT: f64 = 1e-6;

fn check(op: &'static str, x: &Var, rows: &Ragged) -> Result<usize> {
    let d = x.value().cols();
    if x.shape() == [rows.total(), d] {
        return Ok(d);
    }
    Err(Error::op(op, "x", format!("[{}, d]", rows.total()), format!("{:?}", x.shape())))
}

/// x [ΣT, d] by `taps` [2, d], τ₀ then τ₁ → [ΣT, d].
pub fn difference(tape: &Tape, x: &Var, taps: &Var, rows: &Ragged) -> Result<Var> {
    let d = check("difference", x, rows)?;
    if taps.shape() != [2, d] {
        return Err(Error::op("difference", "taps", format!("[2, {d}]"), format!("{:?}", taps.shape())));
    }
    if !x.value().device().is_cpu() {
        return launch_difference(tape, x, taps, rows);
    }
    let (xv, tv, rows) = (x.value().clone(), taps.value().clone(), rows.clone());
    let value = with_real!(x.dtype(), F => {
        let (x, taps, mut y) = (xv.as_slice::<F>(), tv.as_slice::<F>(), PoolVec::<F>::zeros(rows.total() * d));
        for i in with_next(&rows, d) {
            y[i] = taps[i % d] * x[i] + taps[d + i % d] * x[i + d];
        }
        Tensor::from_pool(&[rows.total(), d], y)
    });
    Ok(tape.record(value, &[x, taps], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let (x, taps, dy) = (xv.as_slice::<F>(), tv.as_slice::<F>(), dy.as_slice::<F>());
            let (mut dx, mut dt) = (PoolVec::<F>::zeros(rows.total() * d), vec![0.0; 2 * d]);
            for i in with_next(&rows, d) {
                dx[i] += taps[i % d] * dy[i];
                dx[i + d] += taps[d + i % d] * dy[i];
                dt[i % d] += x[i].f64() * dy[i].f64();
                dt[d + i % d] += x[i + d].f64() * dy[i].f64();
            }
            vec![Some(Tensor::from_pool(&[rows.total(), d], dx)), Some(Tensor::from_f64(&[2, d], &dt, F::DTYPE))]
        }))
    }))
}

/// Elements of rows that have a next row in their sample.
fn with_next(rows: &Ragged, d: usize) -> impl Iterator<Item = usize> {
    (0..rows.samples())
        .map(|b| rows.range(b))
        .flat_map(move |own| own.start * d..own.end.saturating_sub(1).max(own.start) * d)
}

/// x [ΣT, d] → [ΣT, d], each column of each sample with mean 0 and deviation 1.
pub fn standardise(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    let d = check("standardise", x, rows)?;
    if !x.value().device().is_cpu() {
        return launch_standardise(tape, x, rows);
    }
    let (xv, rows, dtype) = (x.value().clone(), rows.clone(), x.dtype());
    let source = xv.to_f64();
    let mut y = vec![0.0; source.len()];
    for (own, c) in columns(&rows, d) {
        let column = || own.clone().map(|t| t * d + c);
        let Moments { mean, deviation } = Moments::of(column().map(|i| source[i]));
        column().for_each(|i| y[i] = (source[i] - mean) / (deviation + EPSILON));
    }
    let value = Tensor::from_f64(&[rows.total(), d], &y, dtype);
    Ok(tape.record(value, &[x], move |dy| {
        let (source, dy, mut dx) = (xv.to_f64(), dy.to_f64(), vec![0.0; y.len()]);
        for (own, c) in columns(&rows, d) {
            let column = || own.clone().map(|t| t * d + c);
            let Moments { mean, deviation } = Moments::of(column().map(|i| source[i]));
            if deviation <= FLAT {
                continue;
            }
            let n = own.len() as f64;
            let (sum, along) = column().fold((0.0, 0.0), |(s, a), i| (s + dy[i], a + dy[i] * y[i]));
            let slope = along / n / deviation;
            column().for_each(|i| dx[i] = (dy[i] - sum / n - (source[i] - mean) * slope) / (deviation + EPSILON));
        }
        Ok(vec![Some(Tensor::from_f64(&[rows.total(), d], &dx, dtype))])
    }))
}

struct Moments {
    mean: f64,
    deviation: f64,
}

impl Moments {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        Moments { mean, deviation: (values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt() }
    }
}

/// Every column of every sample: its rows and the column.
fn columns(rows: &Ragged, d: usize) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> + '_ {
    (0..rows.samples()).flat_map(move |b| (0..d).map(move |c| (rows.range(b), c)))
}

/// Columns that a block takes.
const WIDTH: usize = 32;

fn launch_difference(tape: &Tape, x: &Var, taps: &Var, rows: &Ragged) -> Result<Var> {
    let (batch, total, d) = (rows.samples(), rows.total(), x.value().cols());
    let device = x.value().device().clone();
    let offsets = rows.on(&device)?;
    let (xv, tv) = (x.value().clone(), taps.value().clone());
    let mut y = Tensor::uninit_on(&device, &[total, d], x.dtype())?;
    let [b, r, columns] = [batch, total, d].map(|size| size as i32);
    with_storage!(x.dtype(), T => {
        let grid = super::rowwise(&device, total, d);
        kernels::temporal::difference::<T>(grid, xv.input(), tv.input(), offsets.input(0), y.output(), b, r, columns)?;
        Ok(tape.record(y, &[x, taps], move |dy| {
            let mut dx = Tensor::uninit_on(&device, &[total, d], dy.dtype())?;
            let mut dt = Tensor::uninit_on(&device, &[2, d], DType::F32)?;
            let grid = super::rowwise(&device, total, d);
            kernels::temporal::difference_input::<T>(
                grid, dy.input(), tv.input(), offsets.input(0), dx.output(), b, r, columns,
            )?;
            let grid = device.launch(d.div_ceil(WIDTH));
            kernels::temporal::taps::<T>(grid, xv.input(), dy.input(), offsets.input(0), dt.output(), b, columns)?;
            Ok(vec![Some(dx), Some(dt)])
        }))
    })
}

fn launch_standardise(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    let (groups, samples, total, d) = (rows.batch(), rows.samples(), rows.total(), x.value().cols());
    let device = x.value().device().clone();
    let (offsets, xv) = (rows.on(&device)?, x.value().clone());
    let mut y = Tensor::uninit_on(&device, &[total, d], x.dtype())?;
    let mut moments = Tensor::uninit_on(&device, &[groups, 2, d], DType::F32)?;
    let (b, columns, epsilon) = (samples as i32, d as i32, EPSILON as f32);
    let tiles = [d.div_ceil(WIDTH), groups, 1];
    with_storage!(x.dtype(), T => {
        kernels::temporal::standardise::<T>(
            Launch::grid(&device, tiles), xv.input(), offsets.input(0), y.output(), moments.output(), epsilon, b, columns,
        )?;
        Ok(tape.record(y, &[x], move |dy| {
            let mut dx = Tensor::uninit_on(&device, &[total, d], dy.dtype())?;
            kernels::temporal::standardise_input::<T>(
                Launch::grid(&device, tiles), xv.input(), dy.input(), moments.input(), offsets.input(0), dx.output(),
                epsilon, FLAT as f32, b, columns,
            )?;
            Ok(vec![Some(dx)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let shapes =
        || [(Ragged::from_lengths([3, 1, 4]), 3), (Ragged::filled(&[5, 2], 9), 8), (Ragged::uniform(2, 40), 35)];
    let differences = shapes().map(|(rows, d)| {
        let inputs = vec![Input::new(&[rows.total(), d]), Input::new(&[2, d])];
        Case::new(format!("difference {} rows of {d}", rows.total()), inputs, move |t, v| {
            difference(t, &v[0], &v[1], &rows)
        })
    });
    // A single row has deviation 0, where the function has a kink: those with more are probed.
    let shapes = [(Ragged::from_lengths([3, 4]), 3), (Ragged::filled(&[5, 3], 10), 8), (Ragged::uniform(2, 40), 35)];
    let standardised = shapes.map(|(rows, d)| {
        let inputs = vec![Input::within(&[rows.total(), d], -2.0, 2.0)];
        Case::new(format!("standardise {} rows of {d}", rows.total()), inputs, move |t, v| standardise(t, &v[0], &rows))
            .of_depth(2)
    });
    differences.into_iter().chain(standardised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn silence_is_0_and_passes_no_gradient() {
        let rows = Ragged::from_lengths([4]);
        // A column that moves, one that does not, and one that moves by rounding alone.
        let x = [0.0f32, 3.0, 1.0, 1.0, 3.0, 1.0, 2.0, 3.0, 1.0, 5.0, 3.0, 1.0 + f32::EPSILON];
        for device in [Device::Cpu, Device::emulated(1).unwrap()] {
            let tape = Tape::recording();
            let x = tape.leaf(Tensor::from_slice(&[4, 3], &x).to_device(&device, DType::F32).unwrap());
            let y = standardise(&tape, &x, &rows).unwrap();
            assert!(y.value().to_f32().chunks(3).all(|row| row[1] == 0.0));
            let dy: Vec<f32> = (0..12).map(|i| (i as f32).cos()).collect();
            let dy = Tensor::from_slice(&[4, 3], &dy).to_device(&device, DType::F32).unwrap();
            let dx = tape.backward(&y, dy).unwrap().take(&x).unwrap().to_f32();
            assert!(dx.chunks(3).all(|row| row[0] != 0.0 && row[1..] == [0.0, 0.0]), "{dx:?}");
        }
    }
}
