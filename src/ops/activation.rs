//! Element-wise activations: GELU(x) = x·Φ(x) in its erf form, and ReLU(x) = max(x, 0).
//!
//! GELU′(x) = Φ(x) + x·φ(x); ReLU′(x) = 1 where x > 0, else 0.

use rayon::prelude::*;

use super::{Case, Input, elementwise, parallel_map, parallel_zip};
use crate::device::simd::vectorised;
use crate::device::{PoolVec, Real, kernels};
use crate::error::Result;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// x·Φ(x).
#[inline(always)]
pub(crate) fn gelu_value<F: Real>(x: F) -> F {
    x * x.normal().0
}

/// Φ(x) + x·φ(x).
#[inline(always)]
pub(crate) fn gelu_slope<F: Real>(x: F) -> F {
    let (cdf, pdf) = x.normal();
    cdf + x * pdf
}

/// Elements of one task.
const GRAIN: usize = 16 * 1024;

/// GELU of every element.
pub fn gelu(tape: &Tape, x: &Var) -> Result<Var> {
    if !x.value().device().is_cpu() {
        return launch_gelu(tape, x);
    }
    let value = with_real!(x.dtype(), F => gelu_forward::<F>(x.value()));
    let x_value = x.value().clone();
    Ok(tape
        .record(value, &[x], move |dy| Ok(vec![Some(with_real!(dy.dtype(), F => gelu_backward::<F>(&x_value, dy)))])))
}

fn gelu_forward<F: Real>(x: &Tensor) -> Tensor {
    let mut y = PoolVec::<F>::uninit(x.len());
    y.par_chunks_mut(GRAIN).zip(x.as_slice::<F>().par_chunks(GRAIN)).for_each(|(y, x)| {
        vectorised!(|| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = gelu_value(x);
            }
        });
    });
    Tensor::from_pool(x.shape(), y)
}

fn gelu_backward<F: Real>(x: &Tensor, dy: &Tensor) -> Tensor {
    let mut dx = PoolVec::<F>::uninit(x.len());
    let (x_all, dy_all) = (x.as_slice::<F>().par_chunks(GRAIN), dy.as_slice::<F>().par_chunks(GRAIN));
    dx.par_chunks_mut(GRAIN).zip(x_all).zip(dy_all).for_each(|((dx, x), dy)| {
        vectorised!(|| {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx = dy * gelu_slope(x);
            }
        });
    });
    Tensor::from_pool(x.shape(), dx)
}

/// max(x, 0) of every element.
pub fn relu(tape: &Tape, x: &Var) -> Result<Var> {
    if !x.value().device().is_cpu() {
        return launch_relu(tape, x);
    }
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

fn launch_gelu(tape: &Tape, x: &Var) -> Result<Var> {
    let x_value = x.value().clone();
    let mut y = Tensor::uninit_on(x_value.device(), x.shape(), x.dtype())?;
    with_storage!(x.dtype(), T => {
        kernels::activation::gelu::<T>(elementwise(&x_value), x_value.input(), y.output(), y.len())?;
        Ok(tape.record(y, &[x], move |dy| {
            Ok(vec![Some(gelu_gradient(dy, &x_value)?)])
        }))
    })
}

/// dy·GELU′(x) on a device.
pub(crate) fn gelu_gradient(dy: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut dx = Tensor::uninit_on(dy.device(), dy.shape(), dy.dtype())?;
    with_storage!(dy.dtype(), T => {
        kernels::activation::gelu_backward::<T>(elementwise(dy), dy.input(), x.input(), dx.output(), dy.len())?;
    });
    Ok(dx)
}

fn launch_relu(tape: &Tape, x: &Var) -> Result<Var> {
    let mut y = Tensor::uninit_on(x.value().device(), x.shape(), x.dtype())?;
    with_storage!(x.dtype(), T => {
        kernels::activation::relu::<T>(elementwise(x.value()), x.value().input(), y.output(), y.len())?;
        let kept = y.clone();
        Ok(tape.record(y, &[x], move |dy| {
            let mut dx = Tensor::uninit_on(dy.device(), dy.shape(), dy.dtype())?;
            let grid = elementwise(dy);
            kernels::activation::relu_backward::<T>(grid, dy.input(), kept.input(), dx.output(), dy.len())?;
            Ok(vec![Some(dx)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("gelu", vec![Input::within(&[133], -5.0, 5.0)], |t, v| gelu(t, &v[0])),
        Case::new("relu", vec![Input::new(&[3, 11])], |t, v| relu(t, &v[0])),
    ]
}
