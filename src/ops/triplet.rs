//! Triplet margin over a batch: L = mean_i max(0, m + ‖a_i − o_i + ε‖ − ‖a_i − o_{i+1 mod B} + ε‖), Euclidean, ε = 1e-6 as in PyTorch's
//! TripletMarginLoss. The negative of sample i is the other side of its successor.
//!
//! With u⁺, u⁻ the two differences over their norms, where sample i's hinge is above 0: da_i += (u⁺_i − u⁻_i)/B, do_i −= u⁺_i/B,
//! do_{i+1} += u⁻_i/B.

use super::{Case, Input};
use crate::device::{DType, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Added to every difference, so that the gradient of equal vectors is finite.
const EPSILON: f64 = 1e-6;

/// Anchors and their matches, both [B, D], B ≥ 2 → a scalar (`f32` on a device).
pub fn triplet_margin(tape: &Tape, anchor: &Var, other: &Var, margin: f64) -> Result<Var> {
    let &[n, d] = anchor.shape() else {
        return Err(Error::op("triplet_margin", "anchor", "[batch ≥ 2, D]", format!("{:?}", anchor.shape())));
    };
    if n < 2 || other.shape() != anchor.shape() {
        let got = format!("{:?}, {:?}", anchor.shape(), other.shape());
        return Err(Error::op("triplet_margin", "anchor and other", "equal shapes, batch ≥ 2", got));
    }
    if !anchor.value().device().is_cpu() {
        return launch(tape, anchor, other, margin);
    }
    let (a, o) = (anchor.value().to_f64(), other.value().to_f64());
    // (unit difference, norm) of anchor i and other j.
    let apart = move |i: usize, j: usize| -> (Vec<f64>, f64) {
        let u: Vec<f64> = (0..d).map(|c| a[i * d + c] - o[j * d + c] + EPSILON).collect();
        let norm = u.iter().map(|x| x * x).sum::<f64>().sqrt();
        (u.into_iter().map(|x| x / norm).collect(), norm)
    };
    let hinge = |i: usize| (margin + apart(i, i).1 - apart(i, (i + 1) % n).1).max(0.0);
    let loss = (0..n).map(hinge).sum::<f64>() / n as f64;
    let dtype = anchor.dtype();
    Ok(tape.record(Tensor::from_f64(&[], &[loss], dtype), &[anchor, other], move |dy| {
        let scale = dy.item() / n as f64;
        let (mut da, mut d_other) = (vec![0.0; n * d], vec![0.0; n * d]);
        for i in 0..n {
            let next = (i + 1) % n;
            let ((near, plus), (far, minus)) = (apart(i, i), apart(i, next));
            if margin + plus - minus <= 0.0 {
                continue;
            }
            for c in 0..d {
                da[i * d + c] += scale * (near[c] - far[c]);
                d_other[i * d + c] -= scale * near[c];
                d_other[next * d + c] += scale * far[c];
            }
        }
        let tensor = |x: &[f64]| with_real!(dtype, F => Tensor::from_f64(&[n, d], x, F::DTYPE));
        Ok(vec![Some(tensor(&da)), Some(tensor(&d_other))])
    }))
}

fn launch(tape: &Tape, anchor: &Var, other: &Var, margin: f64) -> Result<Var> {
    let &[n, d] = anchor.shape() else { unreachable!("checked by the caller") };
    let device = anchor.value().device().clone();
    let (a, o) = (anchor.value().clone(), other.value().clone());
    let (mut norms, mut y) =
        (Tensor::uninit_on(&device, &[n, 2], DType::F32)?, Tensor::uninit_on(&device, &[], DType::F32)?);
    let (rows, columns, margin) = (n as i32, d as i32, margin as f32);
    with_storage!(anchor.dtype(), T => {
        let (grid, epsilon) = (device.launch(n), EPSILON as f32);
        kernels::triplet::distances::<T>(grid, a.input(), o.input(), norms.output(), epsilon, rows, columns)?;
        kernels::triplet::forward(device.launch(1), norms.input(), y.output(), margin, rows)?;
        Ok(tape.record(y, &[anchor, other], move |dy| {
            let mut da = Tensor::uninit_on(&device, a.shape(), a.dtype())?;
            let mut d_other = Tensor::uninit_on(&device, o.shape(), o.dtype())?;
            kernels::triplet::backward::<T>(
                device.launch(n), dy.input(), a.input(), o.input(), norms.input(), da.output(), d_other.output(),
                margin, epsilon, rows, columns,
            )?;
            Ok(vec![Some(da), Some(d_other)])
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    [(2, 3, 1.0), (5, 7, 1.0), (6, 4, 0.3), (17, 300, 1.0)]
        .map(|(n, d, margin)| {
            let inputs = vec![Input::new(&[n, d]), Input::within(&[n, d], -2.0, 2.0)];
            Case::new(format!("triplet_margin {n}×{d}"), inputs, move |t, v| triplet_margin(t, &v[0], &v[1], margin))
        })
        .into()
}
