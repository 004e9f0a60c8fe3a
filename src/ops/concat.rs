//! Side-by-side rows: y[i, :] = [a[i, :] ‖ b[i, :] ‖ …]; each input's gradient is its columns of dy.

use super::{Case, Input, rowwise};
use crate::device::{PoolVec, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Concatenates [N, d₁], [N, d₂], … along the last axis → [N, Σd].
pub fn concat(tape: &Tape, parts: &[&Var]) -> Result<Var> {
    let rows = parts.first().map_or(0, |p| p.value().rows());
    if let Some(bad) = parts.iter().find(|p| p.value().rows() != rows) {
        return Err(Error::op("concat", "rows", rows.to_string(), format!("{:?}", bad.shape())));
    }
    let widths: Vec<usize> = parts.iter().map(|p| p.value().cols()).collect();
    let total: usize = widths.iter().sum();
    let Some(first) = parts.first() else { return Err(Error::op("concat", "parts", "at least one", "none")) };
    if !first.value().device().is_cpu() {
        return launch(tape, parts, &widths);
    }
    let value = with_real!(first.dtype(), F => {
        let mut y = PoolVec::<F>::uninit(rows * total);
        let mut column = 0;
        for (part, &width) in parts.iter().zip(&widths) {
            let source = part.value().as_slice::<F>().chunks_exact(width);
            y.chunks_exact_mut(total).zip(source).for_each(|(y, x)| y[column..column + width].copy_from_slice(x));
            column += width;
        }
        Tensor::from_pool(&[rows, total], y)
    });
    let needed: Vec<bool> = parts.iter().map(|p| p.needs_grad()).collect();
    let shapes: Vec<Vec<usize>> = parts.iter().map(|p| p.shape().to_vec()).collect();
    Ok(tape.record(value, parts, move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let mut column = 0;
            let mut grads = Vec::new();
            for ((&width, needed), shape) in widths.iter().zip(needed).zip(&shapes) {
                grads.push(needed.then(|| {
                    let mut dx = PoolVec::<F>::uninit(rows * width);
                    let source = dy.as_slice::<F>().chunks_exact(total);
                    dx.chunks_exact_mut(width).zip(source).for_each(|(x, y)| x.copy_from_slice(&y[column..column + width]));
                    Tensor::from_pool(shape, dx)
                }));
                column += width;
            }
            grads
        }))
    }))
}

fn launch(tape: &Tape, parts: &[&Var], widths: &[usize]) -> Result<Var> {
    let (rows, total) = (parts[0].value().rows(), widths.iter().sum::<usize>());
    let device = parts[0].value().device().clone();
    let mut y = Tensor::uninit_on(&device, &[rows, total], parts[0].dtype())?;
    let columns: Vec<usize> = widths.iter().scan(0, |end, &w| Some(std::mem::replace(end, *end + w))).collect();
    with_storage!(parts[0].dtype(), T => {
        for ((part, &width), &column) in parts.iter().zip(widths).zip(&columns) {
            kernels::concat::copy::<T>(
                rowwise(&device, rows, width), part.value().input(), width as i32, 0, y.output(), total as i32,
                column as i32, rows as i32, width as i32,
            )?;
        }
        let needed: Vec<bool> = parts.iter().map(|p| p.needs_grad()).collect();
        let shapes: Vec<Vec<usize>> = parts.iter().map(|p| p.shape().to_vec()).collect();
        Ok(tape.record(y, parts, move |dy| {
            let mut grads = Vec::new();
            for ((needed, shape), column) in needed.into_iter().zip(&shapes).zip(columns) {
                let mut part = None;
                if needed {
                    let mut dx = Tensor::uninit_on(&device, shape, dy.dtype())?;
                    let width = dx.cols();
                    kernels::concat::copy::<T>(
                        rowwise(&device, rows, width), dy.input(), total as i32, column as i32, dx.output(),
                        width as i32, 0, rows as i32, width as i32,
                    )?;
                    part = Some(dx);
                }
                grads.push(part);
            }
            Ok(grads)
        }))
    })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let inputs = vec![Input::new(&[4, 3]), Input::new(&[4, 1]), Input::new(&[4, 2])];
    vec![
        Case::new("concat", inputs, |t, v| concat(t, &[&v[0], &v[1], &v[2]])),
        Case::new("concat of wide rows", vec![Input::new(&[33, 24]), Input::new(&[33, 8])], |t, v| {
            concat(t, &[&v[0], &v[1]])
        }),
    ]
}
