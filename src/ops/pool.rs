//! Mean over the rows of each sample: y[b, :] = Σ_{t < T_b} x[b, t, :]/T_b; dx[b, t, :] = dy[b, :]/T_b. Root of the mean square:
//! y[b, :] = √(Σ_t x[b, t, :]²/T_b + ε); dx[b, t, :] = dy[b, :]·x[b, t, :]/(T_b·y[b, :]). Rows that only fill up (of no sample) have no
//! part in it and gradient 0.

use super::{Case, Input, Ragged, rowwise};
use crate::device::{Launch, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// x [ΣT, d] → [B, d]; every sample has at least one row.
pub fn mean_pool(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    let d = x.value().cols();
    if x.shape() != [rows.total(), d] || (0..rows.samples()).any(|b| rows.length(b) == 0) {
        let got = format!("{:?}", x.shape());
        return Err(Error::op("mean_pool", "x", format!("[{}, {d}], no empty sample", rows.total()), got));
    }
    if !x.value().device().is_cpu() {
        return launch(tape, x, rows);
    }
    let value = with_real!(x.dtype(), F => {
        let source = x.value().as_slice::<F>();
        let mut y = PoolVec::<F>::zeros(rows.samples() * d);
        for (b, mean) in y.chunks_exact_mut(d).enumerate() {
            for row in source[rows.range(b).start * d..rows.range(b).end * d].chunks_exact(d) {
                mean.iter_mut().zip(row).for_each(|(m, &x)| *m += x);
            }
            let scale = F::of(1.0 / rows.length(b) as f64);
            mean.iter_mut().for_each(|m| *m *= scale);
        }
        Tensor::from_pool(&[rows.samples(), d], y)
    });
    let rows = rows.clone();
    Ok(tape.record(value, &[x], move |dy| {
        Ok(vec![Some(with_real!(dy.dtype(), F => {
            let mut dx = PoolVec::<F>::uninit(rows.total() * d);
            for (b, mean) in dy.as_slice::<F>().chunks_exact(d).enumerate() {
                let scale = F::of(1.0 / rows.length(b) as f64);
                for row in dx[rows.range(b).start * d..rows.range(b).end * d].chunks_exact_mut(d) {
                    row.iter_mut().zip(mean).for_each(|(x, &g)| *x = g * scale);
                }
            }
            dx[rows.end() * d..].fill(F::ZERO);
            Tensor::from_pool(&[rows.total(), d], dx)
        }))])
    }))
}

/// Keeps the gradient of a feature that is always 0 finite.
const EPSILON: f64 = 1e-8;

/// x [ΣT, d] → root of the mean square over the rows of each sample [B, d]; every sample has at least one row.
pub fn rms_pool(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    let d = x.value().cols();
    if x.shape() != [rows.total(), d] || (0..rows.samples()).any(|b| rows.length(b) == 0) {
        let got = format!("{:?}", x.shape());
        return Err(Error::op("rms_pool", "x", format!("[{}, {d}], no empty sample", rows.total()), got));
    }
    if !x.value().device().is_cpu() {
        return launch_rms(tape, x, rows);
    }
    let (xv, rows) = (x.value().clone(), rows.clone());
    let of = |b: usize| rows.range(b).start * d..rows.range(b).end * d;
    let value = with_real!(x.dtype(), F => {
        let mut y = PoolVec::<F>::zeros(rows.samples() * d);
        for (b, root) in y.chunks_exact_mut(d).enumerate() {
            for row in xv.as_slice::<F>()[of(b)].chunks_exact(d) {
                root.iter_mut().zip(row).for_each(|(m, &x)| *m += x * x);
            }
            let scale = 1.0 / rows.length(b) as f64;
            root.iter_mut().for_each(|m| *m = F::of((m.f64() * scale + EPSILON).sqrt()));
        }
        Tensor::from_pool(&[rows.samples(), d], y)
    });
    let y = value.clone();
    Ok(tape.record(value, &[x], move |dy| {
        Ok(vec![Some(with_real!(dy.dtype(), F => {
            let mut dx = PoolVec::<F>::copy_of(xv.as_slice());
            let (y, dy) = (y.as_slice::<F>(), dy.as_slice::<F>());
            for b in 0..rows.samples() {
                let scale = F::of(1.0 / rows.length(b) as f64);
                for row in dx[rows.range(b).start * d..rows.range(b).end * d].chunks_exact_mut(d) {
                    for (c, x) in row.iter_mut().enumerate() {
                        *x *= scale * dy[b * d + c] / y[b * d + c];
                    }
                }
            }
            dx[rows.end() * d..].fill(F::ZERO);
            Tensor::from_pool(&[rows.total(), d], dx)
        }))])
    }))
}

/// Columns that a block of the forward kernels takes.
const WIDTH: usize = 64;

fn launch(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    let (batch, total, d) = (rows.samples(), rows.total(), x.value().cols());
    let device = x.value().device().clone();
    let offsets = rows.on(&device)?;
    let mut y = Tensor::uninit_on(&device, &[batch, d], x.dtype())?;
    with_storage!(x.dtype(), T => {
        let grid = Launch::grid(&device, [d.div_ceil(WIDTH), batch, 1]);
        kernels::pool::forward::<T>(grid, x.value().input(), offsets.input(0), y.output(), d as i32)?;
        Ok(tape.record(y, &[x], move |dy| {
            let mut dx = Tensor::uninit_on(&device, &[total, d], dy.dtype())?;
            let (grid, out) = (rowwise(&device, total, d), dx.output());
            kernels::pool::backward::<T>(grid, dy.input(), offsets.input(0), out, batch as i32, total as i32, d as i32)?;
            Ok(vec![Some(dx)])
        }))
    })
}

fn launch_rms(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    let (batch, total, d) = (rows.samples(), rows.total(), x.value().cols());
    let device = x.value().device().clone();
    let (offsets, xv) = (rows.on(&device)?, x.value().clone());
    let mut y = Tensor::uninit_on(&device, &[batch, d], x.dtype())?;
    with_storage!(x.dtype(), T => {
        let grid = Launch::grid(&device, [d.div_ceil(WIDTH), batch, 1]);
        kernels::pool::rms::<T>(grid, xv.input(), offsets.input(0), y.output(), EPSILON as f32, d as i32)?;
        let root = y.clone();
        Ok(tape.record(y, &[x], move |dy| {
            let mut dx = Tensor::uninit_on(&device, &[total, d], dy.dtype())?;
            kernels::pool::rms_backward::<T>(
                rowwise(&device, total, d), xv.input(), root.input(), dy.input(), offsets.input(0), dx.output(),
                batch as i32, total as i32, d as i32,
            )?;
            Ok(vec![Some(dx)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let rows = Ragged::from_lengths([3, 1, 4]);
    let long = Ragged::from_lengths([70, 33]);
    let filled = Ragged::filled(&[3, 1, 4], 13);
    let (short, many, beside) = (rows.clone(), long.clone(), filled.clone());
    let clear = |rows: usize, d: usize| vec![Input::within(&[rows, d], 0.2, 1.2)];
    vec![
        Case::new("rms_pool", clear(8, 3), move |t, v| rms_pool(t, &v[0], &short)),
        Case::new("rms_pool beside rows of no sample", clear(13, 3), move |t, v| rms_pool(t, &v[0], &beside)),
        Case::new("rms_pool of many rows", clear(103, 72), move |t, v| rms_pool(t, &v[0], &many)),
        Case::new("mean_pool", vec![Input::new(&[8, 3])], move |t, v| mean_pool(t, &v[0], &rows)),
        Case::new("mean_pool beside rows of no sample", vec![Input::new(&[13, 3])], move |t, v| {
            mean_pool(t, &v[0], &filled)
        }),
        Case::new("mean_pool of many rows", vec![Input::new(&[103, 72])], move |t, v| mean_pool(t, &v[0], &long)),
    ]
}
