//! Σ w_i·x_i of scalars: a loss of several terms. dx_i = w_i·dy.

use super::{Case, Input};
use crate::device::{DType, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// The weighted sum of at least one scalar (`f32` on a device); one of weight 0 gets no gradient but 0.
pub fn weighted_sum(tape: &Tape, terms: &[(&Var, f64)]) -> Result<Var> {
    if terms.is_empty() || terms.iter().any(|(x, _)| x.value().len() != 1) {
        let got = format!("{:?}", terms.iter().map(|(x, _)| x.shape().to_vec()).collect::<Vec<_>>());
        return Err(Error::op("weighted_sum", "terms", "at least one, each a scalar", got));
    }
    let first = terms[0].0.value();
    let (vars, weights): (Vec<&Var>, Vec<f64>) = terms.iter().copied().unzip();
    let shapes: Vec<Vec<usize>> = vars.iter().map(|x| x.shape().to_vec()).collect();
    if first.device().is_cpu() {
        let value = vars.iter().zip(&weights).map(|(x, w)| w * x.value().item()).sum();
        let dtype = first.dtype();
        return Ok(tape.record(Tensor::from_f64(&[], &[value], dtype), &vars, move |dy| {
            let scaled = |(w, shape): (&f64, &Vec<usize>)| Some(Tensor::from_f64(shape, &[w * dy.item()], dtype));
            Ok(weights.iter().zip(&shapes).map(scaled).collect())
        }));
    }
    let device = first.device().clone();
    if let Some(x) = vars.iter().find(|x| x.dtype() != DType::F32) {
        return Err(Error::op("weighted_sum", "terms", "f32 on a device", format!("{:?}", x.dtype())));
    }
    let mut y = Tensor::uninit_on(&device, &[], DType::F32)?;
    for (i, (x, &w)) in vars.iter().zip(&weights).enumerate() {
        kernels::weighted_sum::add(device.launch(1), x.value().input(), y.output(), w as f32, i32::from(i == 0))?;
    }
    Ok(tape.record(y, &vars, move |dy| {
        let scaled = |(&w, shape): (&f64, &Vec<usize>)| {
            let mut dx = Tensor::uninit_on(&device, shape, DType::F32)?;
            kernels::weighted_sum::add(device.launch(1), dy.input(), dx.output(), w as f32, 1)?;
            Ok(Some(dx))
        };
        weights.iter().zip(&shapes).map(scaled).collect()
    }))
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let scalar = || Input::new(&[]).vector();
    vec![
        Case::new("weighted_sum", vec![scalar(), scalar(), scalar()], |t, v| {
            weighted_sum(t, &[(&v[0], 1.0), (&v[1], -0.5), (&v[2], 0.0)])
        }),
        Case::new("weighted_sum of one twice", vec![scalar()], |t, v| weighted_sum(t, &[(&v[0], 2.0), (&v[0], 0.25)])),
    ]
}
