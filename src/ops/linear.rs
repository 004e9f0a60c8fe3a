//! Affine map of rows: y[R, out] = x[R, in]·Wᵀ + b, with W[out, in].
//!
//! dx = dy·W, dW = dyᵀ·x, db = Σ_rows dy.

use super::activation::{gelu, gelu_gradient};
use super::conv_block::kernel::{self, Lanes, Panels};
use super::gemm::{View, dy_w, dyt_x, x_wt};
use super::reduce::sum_rows;
use super::{Case, Input, column_sums, for_rows};
use crate::device::simd::vectorised;
use crate::device::{DType, PoolVec, Real};
use crate::error::{Error, Result};
use crate::linalg::{Mat, MatMut, Threads, matmul};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// y = x·Wᵀ + b over the last axis of `x`.
pub fn linear(tape: &Tape, x: &Var, weight: &Var, bias: &Var) -> Result<Var> {
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
    if !x.value().device().is_cpu() {
        let y = x_wt(View::of(x.value()), View::of(weight.value())).bias(bias.value()).run(x.dtype())?;
        let backward = DeviceBackward::of(x, weight, bias);
        return Ok(tape.record(y.reshape(&shape), &[x, weight, bias], move |dy| backward.run(dy)));
    }

    let value = with_real!(x.dtype(), F => forward::<F>(&shape, x.value(), weight.value(), bias.value()));
    let (xv, wv) = (x.value().clone(), weight.value().clone());
    let needs = [x.needs_grad(), weight.needs_grad(), bias.needs_grad()];
    Ok(tape.record(value, &[x, weight, bias], move |dy| {
        Ok(with_real!(dy.dtype(), F => {
            let dx = needs[0].then(|| {
                let w = wv.as_slice::<F>();
                let panels = Panels::pack(outputs, inputs, |o, i| w[o * inputs + i]);
                Tensor::from_pool(xv.shape(), product(dy, &panels, inputs, None))
            });
            let dw = needs[1].then(|| {
                let mut dw = PoolVec::<F>::uninit(outputs * inputs);
                let x = Mat::new(xv.as_slice::<F>(), rows, inputs);
                let dy = Mat::new(dy.as_slice::<F>(), rows, outputs);
                matmul(MatMut::new(&mut dw, outputs, inputs), false, F::ONE, dy.t(), x, Threads::All);
                Tensor::from_pool(&[outputs, inputs], dw)
            });
            let db = needs[2].then(|| Tensor::from_pool(&[outputs], column_sums(dy.as_slice::<F>(), outputs)));
            vec![dx, dw, db]
        }))
    }))
}

/// y = x·Wᵀ, without a bias.
pub fn linear_unbiased(tape: &Tape, x: &Var, weight: &Var) -> Result<Var> {
    let (device, outputs) = (weight.value().device(), weight.value().rows());
    let dtype = if device.is_cpu() { weight.dtype() } else { DType::F32 };
    linear(tape, x, weight, &Var::constant(Tensor::zeros_on(device, &[outputs], dtype)?))
}

/// GELU(x·Wᵀ + b): on a GPU the product's own epilogue.
pub fn linear_gelu(tape: &Tape, x: &Var, weight: &Var, bias: &Var) -> Result<Var> {
    if x.value().device().is_cpu() {
        return gelu(tape, &linear(tape, x, weight, bias)?);
    }
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("x has columns") = bias.value().len();
    let product = x_wt(View::of(x.value()), View::of(weight.value())).bias(bias.value());
    let recorded = tape.is_recording() && [x, weight, bias].into_iter().any(Var::needs_grad);
    if !recorded {
        return Ok(Var::constant(product.gelu(None).run(x.dtype())?.reshape(&shape)));
    }
    let mut pre = Tensor::uninit_on(x.value().device(), &[x.value().rows(), bias.value().len()], x.dtype())?;
    let y = product.gelu(Some(&mut pre)).run(x.dtype())?;
    let backward = DeviceBackward::of(x, weight, bias);
    Ok(tape.record(y.reshape(&shape), &[x, weight, bias], move |dy| backward.run(&gelu_gradient(dy, &pre)?)))
}

/// What the gradients need, on a device.
struct DeviceBackward {
    x: Tensor,
    weight: Tensor,
    needs: [bool; 3],
}

impl DeviceBackward {
    fn of(x: &Var, weight: &Var, bias: &Var) -> Self {
        let needs = [x, weight, bias].map(Var::needs_grad);
        DeviceBackward { x: x.value().clone(), weight: weight.value().clone(), needs }
    }

    fn run(&self, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let DeviceBackward { x, weight, needs } = self;
        let rows = View::of(dy);
        let dx = needs[0].then(|| Ok(dy_w(rows, View::of(weight)).run(dy.dtype())?.reshape(x.shape())));
        let dw = needs[1].then(|| dyt_x(rows, View::of(x)).run(DType::F32));
        let db = needs[2].then(|| sum_rows(dy));
        [dx, dw, db].into_iter().map(Option::transpose).collect()
    }
}

fn forward<F: Lanes>(shape: &[usize], x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let (inputs, outputs) = (x.cols(), bias.len());
    let (w, bias) = (weight.as_slice::<F>(), bias.as_slice::<F>());
    let panels = Panels::pack(inputs, outputs, |i, o| w[o * inputs + i]);
    Tensor::from_pool(shape, product(x, &panels, outputs, Some(bias)))
}

/// x·B, plus `bias` in each row: block by block, so that rows are still in the cache when `bias` is added.
fn product<F: Lanes>(x: &Tensor, b: &Panels<F>, outputs: usize, bias: Option<&[F]>) -> PoolVec<F> {
    let (x_rows, inputs, x) = (x.rows(), x.cols(), x.as_slice::<F>());
    let mut y = PoolVec::<F>::uninit(x_rows * outputs);
    for_rows(&mut y, outputs, |first, block| {
        let rows = block.len() / outputs;
        kernel::product(
            kernel::View { data: &x[first * inputs..], rows, cols: inputs, row: inputs },
            b,
            0,
            block,
            outputs,
        );
        if let Some(bias) = bias {
            vectorised!(|| for row in block.chunks_exact_mut(outputs) {
                row.iter_mut().zip(bias).for_each(|(y, &b)| *y += b);
            });
        }
    });
    y
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    let sized = |rows: usize, inputs: usize, outputs: usize| {
        vec![Input::new(&[rows, inputs]), Input::new(&[outputs, inputs]), Input::new(&[outputs]).vector()]
    };
    let plain = [(1, 1, 1), (5, 3, 4), (33, 7, 2), (67, 40, 24)].map(|(rows, inputs, outputs)| {
        let name = format!("linear {rows} rows of {inputs} to {outputs}");
        Case::new(name, sized(rows, inputs, outputs), |t, v| linear(t, &v[0], &v[1], &v[2]))
    });
    let activated = [(5, 3, 4), (35, 16, 24)].map(|(rows, inputs, outputs)| {
        let name = format!("linear with gelu {rows} rows of {inputs} to {outputs}");
        Case::new(name, sized(rows, inputs, outputs), |t, v| linear_gelu(t, &v[0], &v[1], &v[2]))
    });
    let unbiased = Case::new("linear without bias", vec![Input::new(&[5, 3]), Input::new(&[4, 3])], |t, v| {
        linear_unbiased(t, &v[0], &v[1])
    });
    plain.into_iter().chain(activated).chain([unbiased]).collect()
}
