//! Adds row t of a table to the t-th row of every sample: y[b, t, :] = x[b, t, :] + table[t, :].
//!
//! dx = dy; dtable[t, :] = Σ_b dy[b, t, :], summed in order of b.

use super::{Case, Input, Ragged, rowwise};
use crate::device::{DType, Mirrored, PoolVec, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// x [ΣT, d] plus `table` [maximum length, d], restarting at every sample.
pub fn add_positions(tape: &Tape, x: &Var, table: &Var, rows: &Ragged) -> Result<Var> {
    let (longest, d) = (table.value().rows(), table.value().cols());
    if x.shape() != [rows.total(), d] || rows.longest() > longest {
        let got = format!("{:?} with samples of up to {} rows", x.shape(), rows.longest());
        return Err(Error::op(
            "add_positions",
            "x",
            format!("[{}, {d}], samples of ≤ {longest} rows", rows.total()),
            got,
        ));
    }
    if !x.value().device().is_cpu() {
        return launch(tape, x, table, rows);
    }
    let value = with_real!(x.dtype(), F => {
        let table = table.value().as_slice::<F>();
        let mut y = PoolVec::<F>::copy_of(x.value().as_slice());
        for b in 0..rows.batch() {
            let range = rows.range(b);
            y[range.start * d..range.end * d].iter_mut().zip(table).for_each(|(y, &p)| *y += p);
        }
        Tensor::from_pool(x.shape(), y)
    });
    let (rows, needs_table) = (rows.clone(), table.needs_grad());
    Ok(tape.record(value, &[x, table], move |dy| {
        let dtable = needs_table.then(|| {
            with_real!(dy.dtype(), F => {
                let mut grad = PoolVec::<F>::zeros(longest * d);
                let dy = dy.as_slice::<F>();
                for b in 0..rows.batch() {
                    let range = rows.range(b);
                    grad.iter_mut().zip(&dy[range.start * d..range.end * d]).for_each(|(g, &x)| *g += x);
                }
                Tensor::from_pool(&[longest, d], grad)
            })
        });
        Ok(vec![Some(dy.clone()), dtable])
    }))
}

fn launch(tape: &Tape, x: &Var, table: &Var, rows: &Ragged) -> Result<Var> {
    let (batch, total, longest, d) = (rows.batch(), rows.total(), table.value().rows(), x.value().cols());
    let device = x.value().device().clone();
    let offsets = rows.on(&device)?;
    let mut y = Tensor::uninit_on(&device, x.shape(), x.dtype())?;
    let needs_table = table.needs_grad();
    with_storage!(x.dtype(), T => {
        kernels::positions::forward::<T>(
            rowwise(&device, total, d), x.value().input(), table.value().input(), offsets.input(0), y.output(),
            batch as i32, total as i32, d as i32,
        )?;
        Ok(tape.record(y, &[x, table], move |dy| {
            let mut dtable = None;
            if needs_table {
                let mut grad = Tensor::uninit_on(&device, &[longest, d], DType::F32)?;
                kernels::positions::backward::<T>(
                    rowwise(&device, longest, d), dy.input(), offsets.input(0), grad.output(), batch as i32,
                    longest as i32, d as i32,
                )?;
                dtable = Some(grad);
            }
            Ok(vec![Some(dy.clone()), dtable])
        }))
    })
}

/// Adds (sin(p·f₀), cos(p·f₀), sin(p·f₁), …) with p = onset/unit to each row of x [N, d], on a device other than the CPU;
/// `frequencies` has d/2 entries (rounded up). No gradient flows to the onsets.
pub(crate) fn add_sinusoids(
    tape: &Tape,
    x: &Var,
    onsets: &Mirrored<f32>,
    frequencies: &Mirrored<f32>,
    unit: f64,
) -> Result<Var> {
    let (rows, d) = (x.value().rows(), x.value().cols());
    if onsets.len() != rows || frequencies.len() != d.div_ceil(2) {
        let got = format!("{} onsets and {} frequencies", onsets.len(), frequencies.len());
        return Err(Error::op("add_sinusoids", "x", format!("one onset for each row of {:?}", x.shape()), got));
    }
    let device = x.value().device();
    let (onsets, frequencies) = (onsets.on(device)?, frequencies.on(device)?);
    let mut y = Tensor::uninit_on(device, x.shape(), x.dtype())?;
    with_storage!(x.dtype(), T => {
        kernels::positions::onsets::<T>(
            rowwise(device, rows, d), x.value().input(), onsets.input(0), frequencies.input(0), y.output(), unit as f32,
            rows as i32, d as i32,
        )?;
    });
    Ok(tape.record(y, &[x], |dy| Ok(vec![Some(dy.clone())])))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let rows = Ragged::from_lengths([3, 1, 4]);
    let inputs = vec![Input::new(&[8, 3]), Input::new(&[5, 3])];
    let wide = vec![Input::new(&[24, 16]), Input::new(&[9, 16])];
    let equal = Ragged::uniform(3, 8);
    vec![
        Case::new("add_positions", inputs, move |t, v| add_positions(t, &v[0], &v[1], &rows)),
        Case::new("add_positions to equal lengths", wide, move |t, v| add_positions(t, &v[0], &v[1], &equal)),
    ]
}
