//! Feature-wise linear modulation (paper, eq. 17): y[t, :] = (1 + γ[b, :])⊙x[t, :] + β[b, :] for the rows t of sample b.
//!
//! dx = (1 + γ)⊙dy, dγ\[b\] = Σ_t x\[t\]⊙dy\[t\], dβ\[b\] = Σ_t dy\[t\]. Rows that only fill up (of no sample) pass through.

use super::{Case, Input, Ragged, rowwise};
use crate::device::{Launch, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// x [ΣT, d] under `modulation` [B, 2d], γ then β of each sample → [ΣT, d].
pub fn film(tape: &Tape, x: &Var, modulation: &Var, rows: &Ragged) -> Result<Var> {
    let d = x.value().cols();
    if x.shape() != [rows.total(), d] || modulation.shape() != [rows.samples(), 2 * d] {
        let expected = format!("[{}, d] and [{}, 2d]", rows.total(), rows.samples());
        return Err(Error::op(
            "film",
            "x and modulation",
            expected,
            format!("{:?}, {:?}", x.shape(), modulation.shape()),
        ));
    }
    if !x.value().device().is_cpu() {
        return launch(tape, x, modulation, rows);
    }
    let (xv, mv, rows) = (x.value().clone(), modulation.value().clone(), rows.clone());
    let value = with_real!(x.dtype(), F => {
        let mut y = PoolVec::<F>::copy_of(xv.as_slice());
        for (b, both) in mv.as_slice::<F>().chunks_exact(2 * d).enumerate() {
            let (gamma, beta) = both.split_at(d);
            for row in y[rows.range(b).start * d..rows.range(b).end * d].chunks_exact_mut(d) {
                for ((y, &g), &s) in row.iter_mut().zip(gamma).zip(beta) {
                    *y = (F::ONE + g) * *y + s;
                }
            }
        }
        Tensor::from_pool(&[rows.total(), d], y)
    });
    Ok(tape.record(value, &[x, modulation], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let mut dx = PoolVec::<F>::copy_of(dy.as_slice());
            let mut dm = PoolVec::<F>::zeros(rows.samples() * 2 * d);
            let (m, x) = (mv.as_slice::<F>(), xv.as_slice::<F>());
            for (b, both) in dm.chunks_exact_mut(2 * d).enumerate() {
                let (dgamma, dbeta) = both.split_at_mut(d);
                let (own, gamma) = (rows.range(b).start * d..rows.range(b).end * d, &m[b * 2 * d..][..d]);
                for (row, x) in dx[own.clone()].chunks_exact_mut(d).zip(x[own].chunks_exact(d)) {
                    for c in 0..d {
                        dgamma[c] += x[c] * row[c];
                        dbeta[c] += row[c];
                        row[c] *= F::ONE + gamma[c];
                    }
                }
            }
            vec![Some(Tensor::from_pool(&[rows.total(), d], dx)), Some(Tensor::from_pool(&[rows.samples(), 2 * d], dm))]
        }))
    }))
}

/// Columns that a block of the kernel of dγ and dβ takes.
const WIDTH: usize = 64;

fn launch(tape: &Tape, x: &Var, modulation: &Var, rows: &Ragged) -> Result<Var> {
    let (batch, total, d) = (rows.samples(), rows.total(), x.value().cols());
    let device = x.value().device().clone();
    let offsets = rows.on(&device)?;
    let (xv, mv) = (x.value().clone(), modulation.value().clone());
    let mut y = Tensor::uninit_on(&device, &[total, d], x.dtype())?;
    let [b, rows, columns] = [batch, total, d].map(|size| size as i32);
    with_storage!(x.dtype(), T => {
        let grid = rowwise(&device, total, d);
        kernels::film::forward::<T>(grid, xv.input(), mv.input(), offsets.input(0), y.output(), b, rows, columns)?;
        Ok(tape.record(y, &[x, modulation], move |dy| {
            let mut dx = Tensor::uninit_on(&device, &[total, d], dy.dtype())?;
            let mut dm = Tensor::uninit_on(&device, &[batch, 2 * d], dy.dtype())?;
            let grid = rowwise(&device, total, d);
            kernels::film::input::<T>(grid, dy.input(), mv.input(), offsets.input(0), dx.output(), b, rows, columns)?;
            let grid = Launch::grid(&device, [d.div_ceil(WIDTH), batch, 1]);
            kernels::film::modulation::<T>(grid, xv.input(), dy.input(), offsets.input(0), dm.output(), columns)?;
            Ok(vec![Some(dx), Some(dm)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, rows: Ragged, d: usize| {
        let inputs = vec![Input::new(&[rows.total(), d]), Input::new(&[rows.samples(), 2 * d])];
        Case::new(name, inputs, move |t, v| film(t, &v[0], &v[1], &rows))
    };
    vec![
        case("film", Ragged::from_lengths([3, 1, 4]), 3),
        case("film beside rows of no sample", Ragged::filled(&[2, 5], 11), 9),
        case("film of many rows", Ragged::from_lengths([70, 33]), 72),
    ]
}
