//! One block of the audio front end: z = GELU(GroupNorm(conv1d(x, W) + b)), fused (paper table 15).
//!
//! Shapes: x [batch, time, inputs], W [outputs, inputs, kernel], z [batch, rows, outputs] with
//! rows = (time + 2 · padding − kernel) / stride + 1. Statistics are per sample and group, over rows × the group's channels,
//! with the biased variance: n = γ · (y − μ) / √(σ² + ε) + β, z = n · Φ(n).
//!
//! Samples are independent, so each goes through convolution, statistics and activation in one task, while it is still in
//! the core's cache. All sums are over fixed blocks of rows, then blocks in order, then samples in order: results do not
//! depend on the number of threads.

mod backward;
mod forward;
mod norm;
mod window;

use forward::Parameters;
use window::Windows;

use super::{Case, Input};
use crate::device::{PoolVec, Real};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_real;

/// What is not in the parameters' shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvSpec {
    /// Taps of the convolution.
    pub kernel: usize,
    /// Input rows between two output rows.
    pub stride: usize,
    /// Zero rows before and after the input.
    pub padding: usize,
    /// Groups of channels that are normalised together.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl ConvSpec {
    /// Output rows for `time` input rows; `None` where the kernel does not fit or a field is zero.
    pub fn output_rows(&self, time: usize) -> Option<usize> {
        let padded = self.padding.checked_mul(2)?.checked_add(time)?;
        let rows = padded.checked_sub(self.kernel)?.checked_div(self.stride)? + 1;
        (self.kernel > 0).then_some(rows)
    }
}

/// Sizes of one call, checked.
struct Shape {
    batch: usize,
    time: usize,
    inputs: usize,
    rows: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    groups: usize,
    eps: f64,
}

impl Shape {
    fn new(spec: &ConvSpec, x: &Var, weight: &Var, vectors: [&Var; 3]) -> Result<Self> {
        let wrong = |arg, expected: String, got: &Var| {
            Err(Error::op("conv_block", arg, expected, format!("{:?}", got.shape())))
        };
        let &[batch, time, inputs] = x.shape() else {
            return wrong("x", "[batch, time, channels]".into(), x);
        };
        let &[outputs, expected, kernel] = weight.shape() else {
            return wrong("weight", "[out, in, kernel]".into(), weight);
        };
        if inputs != expected || kernel != spec.kernel || inputs == 0 {
            return wrong("weight", format!("[out, {inputs} in, kernel {}]", spec.kernel), weight);
        }
        for (name, v) in ["bias", "gamma", "beta"].into_iter().zip(vectors) {
            if v.shape() != [outputs] {
                return wrong(name, format!("[{outputs}]"), v);
            }
        }
        let Some(rows) = spec.output_rows(time).filter(|_| time > 0) else {
            return wrong("x", format!("time of at least one window ({spec:?})"), x);
        };
        if spec.groups == 0 || outputs == 0 || outputs % spec.groups != 0 {
            return wrong("weight", format!("output channels in {} equal groups", spec.groups), weight);
        }
        let ConvSpec { stride, padding, groups, eps, .. } = *spec;
        Ok(Shape { batch, time, inputs, rows, outputs, kernel, stride, padding, groups, eps })
    }

    /// Elements of one sample of x.
    fn input_size(&self) -> usize {
        self.time * self.inputs
    }

    /// Elements of one sample of z.
    fn output_size(&self) -> usize {
        self.rows * self.outputs
    }

    /// What each output row sees of the sample `x`.
    fn windows<'a, F>(&self, x: &'a [F]) -> Windows<'a, F> {
        let start = -(self.padding as isize);
        Windows { data: x, channels: self.inputs, taps: self.kernel, step: self.stride, start }
    }
}

/// Rows of `channels` elements that one task handles: 256 KiB of `f32`.
fn block_rows(channels: usize) -> usize {
    (64 * 1024 / channels).max(64)
}

/// GELU(GroupNorm(conv1d(x, weight) + bias) · gamma + beta).
pub fn conv_block(
    tape: &Tape,
    x: &Var,
    weight: &Var,
    bias: &Var,
    gamma: &Var,
    beta: &Var,
    spec: &ConvSpec,
) -> Result<Var> {
    let shape = Shape::new(spec, x, weight, [bias, gamma, beta])?;
    let inputs = [x, weight, bias, gamma, beta];
    let keep = tape.is_recording() && inputs.iter().any(|v| v.needs_grad());
    let needs_x = x.needs_grad();
    let [xv, wv, bias, gamma, beta] = inputs.map(|v| v.value().clone());
    Ok(with_real!(x.dtype(), F => {
        let weights = taps_first::<F>(&shape, wv.as_slice());
        let parameters =
            Parameters { weights: &weights, bias: bias.as_slice(), gamma: gamma.as_slice(), beta: beta.as_slice() };
        let (z, saved) = forward::forward::<F>(&shape, xv.as_slice(), &parameters, keep);
        let z = Tensor::from_pool(&[shape.batch, shape.rows, shape.outputs], z);
        let Some(saved) = saved else { return Ok(Var::constant(z)) };
        tape.record(z, &inputs, move |dz| {
            let p = Parameters { weights: &weights, bias: bias.as_slice(), gamma: gamma.as_slice(), beta: beta.as_slice() };
            let g = backward::backward::<F>(&shape, xv.as_slice(), &p, &saved, dz.as_slice(), needs_x);
            let per_channel = |v| Some(Tensor::from_pool(&[shape.outputs], v));
            let dw = Tensor::from_pool(wv.shape(), taps_last(&shape, &g.weights));
            let dx = g.x.map(|dx| Tensor::from_pool(xv.shape(), dx));
            Ok(vec![dx, Some(dw), per_channel(g.bias), per_channel(g.gamma), per_channel(g.beta)])
        })
    }))
}

/// [outputs, inputs, kernel] to [kernel · inputs, outputs].
fn taps_first<F: Real>(shape: &Shape, weight: &[F]) -> PoolVec<F> {
    let mut out = PoolVec::uninit(weight.len());
    for (row, out) in out.chunks_exact_mut(shape.outputs).enumerate() {
        let (k, c) = (row / shape.inputs, row % shape.inputs);
        for (o, w) in out.iter_mut().enumerate() {
            *w = weight[(o * shape.inputs + c) * shape.kernel + k];
        }
    }
    out
}

/// [kernel · inputs, outputs] to [outputs, inputs, kernel].
fn taps_last<F: Real>(shape: &Shape, weights: &[F]) -> PoolVec<F> {
    let mut out = PoolVec::uninit(weights.len());
    for (i, w) in out.iter_mut().enumerate() {
        let (o, c, k) = (i / (shape.inputs * shape.kernel), i / shape.kernel % shape.inputs, i % shape.kernel);
        *w = weights[(k * shape.inputs + c) * shape.outputs + o];
    }
    out
}

/// Configurations for the gradient suite: batch, time, channels in and out, kernel, stride, padding, groups.
pub fn cases() -> Vec<Case> {
    [
        (2, 13, 3, 4, 3, 2, 1, 2),
        (1, 29, 1, 6, 10, 5, 0, 3),
        (3, 7, 2, 5, 1, 1, 0, 1),
        (1, 9, 3, 3, 2, 3, 1, 3),
        (2, 5, 1, 4, 4, 3, 3, 2),
        (1, 2, 2, 3, 5, 1, 2, 1),
        (1, 8, 2, 2, 7, 2, 3, 1),
    ]
    .map(|(batch, time, inputs, outputs, kernel, stride, padding, groups)| {
        let spec = ConvSpec { kernel, stride, padding, groups, eps: 1e-5 };
        let tensors = vec![
            Input::new(&[batch, time, inputs]),
            Input::new(&[outputs, inputs, kernel]),
            Input::new(&[outputs]),
            Input::within(&[outputs], 0.5, 1.5),
            Input::new(&[outputs]),
        ];
        let name = format!("conv_block {time}×{inputs} to {outputs}, {spec:?}");
        Case::new(name, tensors, move |t, v| conv_block(t, &v[0], &v[1], &v[2], &v[3], &v[4], &spec))
    })
    .into()
}
