//! Each expert's affine map of its own sorted rows: y\[i\] = W_e·x\[i\] + b_e for the expert e of row i.
//!
//! dx\[i\] = W_eᵀ·dy\[i\], dW_e = Σ_{i of e} dy\[i\]⊗x\[i\], db_e = Σ_{i of e} dy\[i\]. On a device the empty rows that fill up an expert's tiles
//! get values, which `combine` does not know, and count with gradient 0.

use super::gate::gate;
use super::routing::{Place, TILE};
use super::{Routing, clear, combine, dispatch, small};
use crate::device::{DType, Launch, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::linalg::{Mat, MatMut, Threads, matmul};
use crate::ops::gemm::shared_bytes;
use crate::ops::{Case, Input};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Sorted rows x [S, in], `weight` [E, out, in], `bias` [E, out] → [S, out]. On a device all three are stored alike: the biases are a matrix.
pub fn expert_linear(tape: &Tape, x: &Var, weight: &Var, bias: &Var, routing: &Routing) -> Result<Var> {
    let (sorted, experts) = (routing.sorted(), routing.experts);
    let &[e, outputs, inputs] = weight.shape() else {
        return Err(Error::op("expert_linear", "weight", "[E, out, in]", format!("{:?}", weight.shape())));
    };
    if e != experts || x.shape() != [sorted, inputs] || bias.shape() != [experts, outputs] {
        let expected = format!("[{sorted}, {inputs}], {experts} experts and [{experts}, {outputs}]");
        let got = format!("{:?}, {e}, {:?}", x.shape(), bias.shape());
        return Err(Error::op("expert_linear", "x, weight and bias", expected, got));
    }
    if !x.value().device().is_cpu() {
        return launch(tape, x, weight, bias, routing);
    }
    let (xv, wv, routing) = (x.value().clone(), weight.value().clone(), routing.clone());
    let value = with_real!(x.dtype(), F => {
        let mut y = PoolVec::<F>::uninit(sorted * outputs);
        let (x, w, b) = (xv.as_slice::<F>(), wv.as_slice::<F>(), bias.value().as_slice::<F>());
        for_experts(&routing, |e, own, count| {
            let y = &mut y[own * outputs..][..count * outputs];
            y.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(&b[e * outputs..][..outputs]));
            let x = Mat::new(&x[own * inputs..][..count * inputs], count, inputs);
            let w = Mat::new(&w[e * outputs * inputs..][..outputs * inputs], outputs, inputs);
            matmul(MatMut::new(y, count, outputs), true, F::ONE, x, w.t(), Threads::All);
        });
        Tensor::from_pool(&[sorted, outputs], y)
    });
    Ok(tape.record(value, &[x, weight, bias], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let (x, w, dy) = (xv.as_slice::<F>(), wv.as_slice::<F>(), dy.as_slice::<F>());
            let mut dx = PoolVec::<F>::uninit(sorted * inputs);
            let (mut dw, mut db) = (PoolVec::<F>::zeros(experts * outputs * inputs), PoolVec::<F>::zeros(experts * outputs));
            for_experts(&routing, |e, own, count| {
                let g = Mat::new(&dy[own * outputs..][..count * outputs], count, outputs);
                let x = Mat::new(&x[own * inputs..][..count * inputs], count, inputs);
                let size = outputs * inputs;
                let w = Mat::new(&w[e * size..][..size], outputs, inputs);
                let to = MatMut::new(&mut dx[own * inputs..][..count * inputs], count, inputs);
                matmul(to, false, F::ONE, g, w, Threads::All);
                matmul(MatMut::new(&mut dw[e * size..][..size], outputs, inputs), false, F::ONE, g.t(), x, Threads::All);
                let db = &mut db[e * outputs..][..outputs];
                for row in dy[own * outputs..][..count * outputs].chunks_exact(outputs) {
                    db.iter_mut().zip(row).for_each(|(b, &g)| *b += g);
                }
            });
            vec![
                Some(Tensor::from_pool(&[sorted, inputs], dx)),
                Some(Tensor::from_pool(&[experts, outputs, inputs], dw)),
                Some(Tensor::from_pool(&[experts, outputs], db)),
            ]
        }))
    }))
}

/// Calls `f(expert, its first sorted row, how many it has)` for every expert that has any, on the CPU.
fn for_experts(routing: &Routing, mut f: impl FnMut(usize, usize, usize)) {
    let Place::Host { starts, .. } = &*routing.place else { return };
    for (e, own) in starts.windows(2).enumerate().filter(|(_, own)| own[1] > own[0]) {
        f(e, own[0], own[1] - own[0]);
    }
}

fn launch(tape: &Tape, x: &Var, weight: &Var, bias: &Var, routing: &Routing) -> Result<Var> {
    let (sorted, experts) = (routing.sorted(), routing.experts);
    let (outputs, inputs) = (weight.shape()[1], weight.shape()[2]);
    let device = x.value().device().clone();
    let (xv, wv, routing) = (x.value().clone(), weight.value().clone(), routing.clone());
    let mut y = Tensor::uninit_on(&device, &[sorted, outputs], x.dtype())?;
    let [s, e, m, n] = [sorted, experts, outputs, inputs].map(|size| size as i32);
    let tensor_cores = x.dtype() == DType::BF16 && outputs.is_multiple_of(8) && inputs.is_multiple_of(8);
    let tiles = move |columns: usize| [columns.div_ceil(TILE), sorted / TILE, 1];
    with_storage!(x.dtype(), T => {
        let (grid, starts, b) = (Launch::grid(&device, tiles(outputs)), routing.starts()?.input(0), bias.value());
        if tensor_cores {
            let grid = grid.shared(shared_bytes(TILE));
            kernels::experts::forward_tensor(grid, xv.input(), wv.input(), b.input(), starts, y.output(), e, s, m, n)?;
        } else {
            kernels::experts::forward::<T>(grid, xv.input(), wv.input(), b.input(), starts, y.output(), e, s, m, n)?;
        }
        Ok(tape.record(y, &[x, weight, bias], move |dy| {
            let starts = routing.starts()?.input(0);
            let mut dx = Tensor::uninit_on(&device, &[sorted, inputs], dy.dtype())?;
            let mut dw = Tensor::uninit_on(&device, &[experts, outputs, inputs], DType::F32)?;
            let mut db = Tensor::uninit_on(&device, &[experts, outputs], DType::F32)?;
            let by_row = Launch::grid(&device, tiles(inputs));
            let by_expert = Launch::grid(&device, [inputs.div_ceil(TILE), outputs.div_ceil(TILE), experts]);
            if tensor_cores {
                let (by_row, by_expert) = (by_row.shared(shared_bytes(TILE)), by_expert.shared(shared_bytes(TILE)));
                kernels::experts::input_tensor(by_row, dy.input(), wv.input(), starts, dx.output(), e, s, m, n)?;
                kernels::experts::weight_tensor(by_expert, dy.input(), xv.input(), starts, dw.output(), m, n)?;
            } else {
                kernels::experts::input::<T>(by_row, dy.input(), wv.input(), starts, dx.output(), e, s, m, n)?;
                kernels::experts::weight::<T>(by_expert, dy.input(), xv.input(), starts, dw.output(), m, n)?;
            }
            let grid = Launch::grid(&device, [outputs.div_ceil(32), experts, 1]);
            kernels::experts::bias::<T>(grid, dy.input(), starts, db.output(), m)?;
            Ok(vec![Some(dx), Some(dw), Some(db)])
        }))
    })
}

/// Configurations for the gradient suite.
pub(super) fn cases() -> Vec<Case> {
    let case = |rows: usize, experts: usize, inputs: usize, outputs: usize| {
        let name = format!("expert_linear {rows} rows, 2 of {experts}, {inputs} to {outputs}");
        let sizes = vec![
            Input::new(&[rows, inputs]),
            Input::new(&[experts, outputs, inputs]),
            Input::new(&[experts, outputs]),
            small(rows, experts),
        ];
        Case::new(name, sizes, move |t, v| {
            let gated = gate(t, &clear(t, &v[3])?, 2, true)?;
            let sorted = dispatch(t, &v[0], &gated.routing)?;
            let y = expert_linear(t, &sorted, &v[1], &v[2], &gated.routing)?;
            combine(t, &y, &gated.weights, &gated.routing)
        })
        .of_depth(4)
    };
    // Odd sizes and many tiles; multiples of eight go to the tensor cores, also where experts have no row.
    vec![case(3, 2, 2, 3), case(33, 4, 5, 7), case(70, 3, 20, 66), case(3, 8, 8, 16), case(90, 2, 72, 104)]
}
