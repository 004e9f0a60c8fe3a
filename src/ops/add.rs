//! Element-wise sum of two tensors of one shape: the residual connection. dx = dy, dz = dy.

use super::{Case, Input, parallel_zip};
use crate::device::PoolVec;
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// x + z.
pub fn add(tape: &Tape, x: &Var, z: &Var) -> Result<Var> {
    if x.shape() != z.shape() {
        return Err(Error::op("add", "z", format!("{:?}", x.shape()), format!("{:?}", z.shape())));
    }
    let value = with_real!(x.dtype(), F => {
        let mut y = PoolVec::<F>::copy_of(x.value().as_slice());
        parallel_zip(&mut y, z.value().as_slice(), |y, &z| *y += z);
        Tensor::from_pool(x.shape(), y)
    });
    Ok(tape.record(value, &[x, z], |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("add", vec![Input::new(&[3, 5]), Input::new(&[3, 5])], |t, v| add(t, &v[0], &v[1])),
        Case::new("add to itself", vec![Input::new(&[7])], |t, v| add(t, &v[0], &v[0])),
    ]
}
