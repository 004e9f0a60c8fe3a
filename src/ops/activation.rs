//! Element-wise activations: GELU(x) = x·Φ(x) in its erf form, and ReLU(x) = max(x, 0).
//!
//! GELU′(x) = Φ(x) + x·φ(x); ReLU′(x) = 1 where x > 0, else 0.

use super::{Case, Input, parallel_map, parallel_zip};
use crate::device::Real;
use crate::error::Result;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

#[inline(always)]
pub(crate) fn gelu_value<F: Real>(x: F) -> F {
    x * x.normal().0
}

#[inline(always)]
pub(crate) fn gelu_slope<F: Real>(x: F) -> F {
    let (cdf, pdf) = x.normal();
    cdf + x * pdf
}

/// GELU of every element.
pub fn gelu(tape: &Tape, x: &Var) -> Result<Var> {
    let value = with_real!(x.dtype(), F => {
        Tensor::from_pool(x.shape(), parallel_map(x.value().as_slice::<F>(), gelu_value))
    });
    let xv = x.value().clone();
    Ok(tape.record(value, &[x], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let mut dx = parallel_map(xv.as_slice::<F>(), gelu_slope);
            parallel_zip(&mut dx, dy.as_slice(), |dx, &dy| *dx *= dy);
            vec![Some(Tensor::from_pool(dy.shape(), dx))]
        }))
    }))
}

/// max(x, 0) of every element.
pub fn relu(tape: &Tape, x: &Var) -> Result<Var> {
    let value = with_real!(x.dtype(), F => {
        Tensor::from_pool(x.shape(), parallel_map(x.value().as_slice::<F>(), |x| x.max(F::ZERO)))
    });
    let y = value.clone();
    Ok(tape.record(value, &[x], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let mut dx = parallel_map(y.as_slice::<F>(), |y| if y > F::ZERO { F::ONE } else { F::ZERO });
            parallel_zip(&mut dx, dy.as_slice(), |dx, &dy| *dx *= dy);
            vec![Some(Tensor::from_pool(dy.shape(), dx))]
        }))
    }))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("gelu", vec![Input::within(&[133], -5.0, 5.0)], |t, v| gelu(t, &v[0])),
        Case::new("relu", vec![Input::new(&[3, 11])], |t, v| relu(t, &v[0])),
    ]
}
