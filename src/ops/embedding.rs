//! Table lookup: `y[i, :] = table[index[i], :]`; `dtable[v, :] = Σ_{i: index[i] = v} dy[i, :]`, summed in order of i.

use super::{Case, Input, rowwise};
use crate::device::{DType, Launch, Mirrored, PoolVec, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Rows of `table` [V, d] at `index` (each < V) → [N, d].
pub fn embedding(tape: &Tape, table: &Var, index: &Mirrored<u32>) -> Result<Var> {
    let (rows, d) = (table.value().rows(), table.value().cols());
    if let Some(bad) = index.iter().find(|&&i| i as usize >= rows) {
        return Err(Error::op("embedding", "index", format!("less than {rows}"), bad.to_string()));
    }
    if !table.value().device().is_cpu() {
        return launch(tape, table, index);
    }
    let shape = [index.len(), d];
    let value = with_real!(table.dtype(), F => {
        let source = table.value().as_slice::<F>();
        let mut y = PoolVec::<F>::uninit(index.len() * d);
        for (row, &i) in y.chunks_exact_mut(d).zip(index.iter()) {
            row.copy_from_slice(&source[i as usize * d..][..d]);
        }
        Tensor::from_pool(&shape, y)
    });
    let index = index.clone();
    Ok(tape.record(value, &[table], move |dy| {
        Ok(vec![Some(with_real!(dy.dtype(), F => {
            let mut grad = PoolVec::<F>::zeros(rows * d);
            for (row, &i) in dy.as_slice::<F>().chunks_exact(d).zip(index.iter()) {
                grad[i as usize * d..][..d].iter_mut().zip(row).for_each(|(g, &x)| *g += x);
            }
            Tensor::from_pool(&[rows, d], grad)
        }))])
    }))
}

/// Columns that a block of the backward kernel takes.
const WIDTH: usize = 256;

fn launch(tape: &Tape, table: &Var, index: &Mirrored<u32>) -> Result<Var> {
    let (symbols, d, n) = (table.value().rows(), table.value().cols(), index.len());
    let device = table.value().device().clone();
    let index = index.on(&device)?;
    let mut y = Tensor::uninit_on(&device, &[n, d], table.dtype())?;
    with_storage!(table.dtype(), T => {
        let grid = rowwise(&device, n, d);
        kernels::embedding::forward::<T>(grid, table.value().input(), index.input(0), y.output(), n as i32, d as i32)?;
        Ok(tape.record(y, &[table], move |dy| {
            let mut grad = Tensor::uninit_on(&device, &[symbols, d], DType::F32)?;
            let grid = Launch::grid(&device, [symbols, d.div_ceil(WIDTH), 1]);
            kernels::embedding::backward::<T>(grid, dy.input(), index.input(0), grad.output(), n as i32, d as i32)?;
            Ok(vec![Some(grad)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let index: Mirrored<u32> = vec![3, 0, 3, 1].into();
    // More rows than a round of the backward kernel, and columns past one block's.
    let many: Mirrored<u32> = (0..301).map(|i| i * i % 3).collect();
    vec![
        Case::new("embedding", vec![Input::new(&[5, 3])], move |t, v| embedding(t, &v[0], &index)),
        Case::new("embedding of many", vec![Input::new(&[4, 264])], move |t, v| embedding(t, &v[0], &many)),
    ]
}
