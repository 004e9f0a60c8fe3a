//! Adds row t of a table to the t-th row of every sample: y[b, t, :] = x[b, t, :] + table[t, :].
//!
//! dx = dy; dtable[t, :] = Σ_b dy[b, t, :], summed in order of b.

use super::{Case, Input, Ragged};
use crate::device::PoolVec;
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// x [ΣT, d] plus `table` [maximum length, d], restarting at every sample.
pub fn add_positions(tape: &Tape, x: &Var, table: &Var, rows: &Ragged) -> Result<Var> {
    x.value().device().cpu_only("add_positions")?;
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

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let rows = Ragged::from_lengths([3, 1, 4]);
    let inputs = vec![Input::new(&[8, 3]), Input::new(&[5, 3])];
    vec![Case::new("add_positions", inputs, move |t, v| add_positions(t, &v[0], &v[1], &rows))]
}
