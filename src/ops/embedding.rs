//! Table lookup: `y[i, :] = table[index[i], :]`; `dtable[v, :] = Σ_{i: index[i] = v} dy[i, :]`, summed in order of i.

use std::sync::Arc;

use super::{Case, Input};
use crate::device::PoolVec;
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// Rows of `table` [V, d] at `index` (each < V) → [N, d].
pub fn embedding(tape: &Tape, table: &Var, index: &Arc<[u32]>) -> Result<Var> {
    table.value().device().cpu_only("embedding")?;
    let (rows, d) = (table.value().rows(), table.value().cols());
    if let Some(bad) = index.iter().find(|&&i| i as usize >= rows) {
        return Err(Error::op("embedding", "index", format!("less than {rows}"), bad.to_string()));
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

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let index: Arc<[u32]> = [3, 0, 3, 1].into();
    vec![Case::new("embedding", vec![Input::new(&[5, 3])], move |t, v| embedding(t, &v[0], &index))]
}
