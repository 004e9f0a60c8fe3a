//! Element-wise sum of two tensors of one shape: the residual connection. dx = dy, dz = dy.

use super::{Case, Input, elementwise, parallel_zip};
use crate::device::{PoolVec, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// x + z.
pub fn add(tape: &Tape, x: &Var, z: &Var) -> Result<Var> {
    if x.shape() != z.shape() {
        return Err(Error::op("add", "z", format!("{:?}", x.shape()), format!("{:?}", z.shape())));
    }
    let value = sum(x.value(), z.value())?;
    Ok(tape.record(value, &[x, z], |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

/// The sum as a tensor.
pub(crate) fn sum(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return launch(x, z);
    }
    Ok(with_real!(x.dtype(), F => {
        let mut y = PoolVec::<F>::copy_of(x.as_slice());
        parallel_zip(&mut y, z.as_slice(), |y, &z| *y += z);
        Tensor::from_pool(x.shape(), y)
    }))
}

fn launch(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    let mut y = Tensor::uninit_on(x.device(), x.shape(), x.dtype())?;
    with_storage!(x.dtype(), T => {
        kernels::add::forward::<T>(elementwise(x), x.input(), z.input(), y.output(), x.len())?;
    });
    Ok(y)
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("add", vec![Input::new(&[3, 5]), Input::new(&[3, 5])], |t, v| add(t, &v[0], &v[1])),
        Case::new("add to itself", vec![Input::new(&[7])], |t, v| add(t, &v[0], &v[0])),
    ]
}
