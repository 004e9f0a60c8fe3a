//! Affine map of rows: y[R, out] = x[R, in]·Wᵀ + b, with W[out, in].
//!
//! dx = dy·W, dW = dyᵀ·x, db = Σ_rows dy.

use super::{Case, Input, column_sums, for_rows};
use crate::device::{PoolVec, Real};
use crate::error::{Error, Result};
use crate::linalg::{Mat, MatMut, Threads, matmul};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// y = x·Wᵀ + b over the last axis of `x`.
pub fn linear(tape: &Tape, x: &Var, weight: &Var, bias: &Var) -> Result<Var> {
    x.value().device().cpu_only("linear")?;
    let (rows, inputs) = (x.value().rows(), x.value().cols());
    let &[outputs, expected] = weight.shape() else {
        return Err(Error::op("linear", "weight", "[out, in]", format!("{:?}", weight.shape())));
    };
    if inputs != expected || bias.shape() != [outputs] {
        let got = format!("x {:?}, bias {:?}", x.shape(), bias.shape());
        return Err(Error::op("linear", "x and bias", format!("[…, {expected}] and [{outputs}]"), got));
    }
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("x has columns") = outputs;

    let value = with_real!(x.dtype(), F => forward::<F>(&shape, x.value(), weight.value(), bias.value()));
    let (xv, wv) = (x.value().clone(), weight.value().clone());
    let needs = [x.needs_grad(), weight.needs_grad(), bias.needs_grad()];
    Ok(tape.record(value, &[x, weight, bias], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let dy_rows = Mat::new(dy.as_slice::<F>(), rows, outputs);
            let dx = needs[0].then(|| {
                let mut dx = PoolVec::<F>::uninit(rows * inputs);
                let w = Mat::new(wv.as_slice::<F>(), outputs, inputs);
                matmul(MatMut::new(&mut dx, rows, inputs), false, F::ONE, dy_rows, w, Threads::All);
                Tensor::from_pool(xv.shape(), dx)
            });
            let dw = needs[1].then(|| {
                let mut dw = PoolVec::<F>::uninit(outputs * inputs);
                let x = Mat::new(xv.as_slice::<F>(), rows, inputs);
                matmul(MatMut::new(&mut dw, outputs, inputs), false, F::ONE, dy_rows.t(), x, Threads::All);
                Tensor::from_pool(&[outputs, inputs], dw)
            });
            let db = needs[2].then(|| Tensor::from_pool(&[outputs], column_sums(dy.as_slice::<F>(), outputs)));
            vec![dx, dw, db]
        }))
    }))
}

fn forward<F: Real>(shape: &[usize], x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let (rows, inputs, outputs) = (x.rows(), x.cols(), bias.len());
    let mut y = PoolVec::<F>::uninit(rows * outputs);
    let bias = bias.as_slice::<F>();
    for_rows(&mut y, outputs, |_, block| block.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias)));
    let (x, w) = (Mat::new(x.as_slice(), rows, inputs), Mat::new(weight.as_slice(), outputs, inputs));
    matmul(MatMut::new(&mut y, rows, outputs), true, F::ONE, x, w.t(), Threads::All);
    Tensor::from_pool(shape, y)
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    [(1, 1, 1), (5, 3, 4), (33, 7, 2)]
        .map(|(rows, inputs, outputs)| {
            let inputs =
                vec![Input::new(&[rows, inputs]), Input::new(&[outputs, inputs]), Input::new(&[outputs]).vector()];
            Case::new(format!("linear {rows} rows"), inputs, |t, v| linear(t, &v[0], &v[1], &v[2]))
        })
        .into()
}
