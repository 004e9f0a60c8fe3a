//! Mean over the rows of each sample: y[b, :] = Σ_{t < T_b} x[b, t, :]/T_b; dx[b, t, :] = dy[b, :]/T_b.

use super::{Case, Input, Ragged};
use crate::device::{PoolVec, Real};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// x [ΣT, d] → [B, d]; every sample has at least one row.
pub fn mean_pool(tape: &Tape, x: &Var, rows: &Ragged) -> Result<Var> {
    x.value().device().cpu_only("mean_pool")?;
    let d = x.value().cols();
    if x.shape() != [rows.total(), d] || (0..rows.batch()).any(|b| rows.length(b) == 0) {
        let got = format!("{:?}", x.shape());
        return Err(Error::op("mean_pool", "x", format!("[{}, {d}], no empty sample", rows.total()), got));
    }
    let value = with_real!(x.dtype(), F => {
        let source = x.value().as_slice::<F>();
        let mut y = PoolVec::<F>::zeros(rows.batch() * d);
        for (b, mean) in y.chunks_exact_mut(d).enumerate() {
            for row in source[rows.range(b).start * d..rows.range(b).end * d].chunks_exact(d) {
                mean.iter_mut().zip(row).for_each(|(m, &x)| *m += x);
            }
            let scale = F::of(1.0 / rows.length(b) as f64);
            mean.iter_mut().for_each(|m| *m *= scale);
        }
        Tensor::from_pool(&[rows.batch(), d], y)
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
            Tensor::from_pool(&[rows.total(), d], dx)
        }))])
    }))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let rows = Ragged::from_lengths([3, 1, 4]);
    vec![Case::new("mean_pool", vec![Input::new(&[8, 3])], move |t, v| mean_pool(t, &v[0], &rows))]
}
