//! One block of the audio front end: z = GELU(GroupNorm(conv1d(x, W) + b)), fused (paper table 15).
//!
//! Shapes: x [batch, time, inputs], W [outputs, inputs, kernel], z [batch, rows, outputs] with
//! rows = (time + 2 · padding − kernel) / stride + 1. Statistics are per sample and group, over rows × the group's channels,
//! with the biased variance: n = γ · (y − μ) / √(σ² + ε) + β, z = n · Φ(n).
//!
//! Memory is the limit of these layers more than arithmetic: at the sizes of the paper every activation is a thousand times
//! larger than its weights. So samples, which are independent, go through all layers of a stack one by one, in blocks of
//! rows that stay in a core's cache, and only the convolutions' outputs are kept for the backward pass: activations are
//! made anew (`source`), and the first layer's convolution too.
//!
//! All sums are over fixed blocks of rows, then blocks in order, then samples in order: results do not depend on the number
//! of threads. Samples are what is shared out to threads; a single one keeps a single core busy.

mod backward;
mod device;
mod forward;
pub(super) mod kernel;
mod layer;
mod norm;
mod source;
mod sweep;
#[cfg(test)]
mod tests;
mod window;

use layer::{Layer, Shape, in_weight_order};

use super::{Case, Input};
use crate::device::DType;
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

/// One layer: parameters `W [outputs, inputs, kernel]`, `b, γ, β [outputs]`, and the rest.
#[derive(Clone, Copy)]
pub struct ConvLayer<'a> {
    /// W.
    pub weight: &'a Var,
    /// b.
    pub bias: &'a Var,
    /// γ.
    pub gamma: &'a Var,
    /// β.
    pub beta: &'a Var,
    /// Kernel, stride, padding and groups.
    pub spec: &'a ConvSpec,
}

/// The blocks `layers`, one after the other, on x [batch, time, inputs].
pub fn conv_stack(tape: &Tape, x: &Var, layers: &[ConvLayer]) -> Result<Var> {
    let &[batch, mut time, mut channels] = x.shape() else {
        return Err(Error::op("conv_block", "x", "[batch, time, channels]", format!("{:?}", x.shape())));
    };
    let mut shapes = Vec::new();
    for layer in layers {
        let shape = Shape::new(layer, time, channels)?;
        (time, channels) = (shape.rows, shape.outputs);
        shapes.push(shape);
    }
    if layers.is_empty() {
        return Ok(x.clone());
    }
    if !x.value().device().is_cpu() {
        return layers.iter().zip(shapes).try_fold(x.clone(), |x, (layer, shape)| {
            let ConvLayer { weight, bias, gamma, beta, .. } = *layer;
            device::conv_block(tape, [&x, weight, bias, gamma, beta], device::Shape::new(batch, &shape))
        });
    }
    let mut inputs = vec![x];
    inputs.extend(layers.iter().flat_map(|l| [l.weight, l.bias, l.gamma, l.beta]));
    let keep = tape.is_recording() && inputs.iter().any(|v| v.needs_grad());
    let (xv, needs_x) = (x.value().clone(), x.needs_grad());
    Ok(with_real!(x.dtype(), F => {
        let packed = shapes.into_iter().zip(layers).enumerate();
        let packed: Vec<_> = packed.map(|(l, (shape, layer))| Layer::<F>::new(shape, layer, l == 0)).collect();
        let (z, saved) = forward::forward(&packed, batch, xv.as_slice(), keep);
        let z = Tensor::from_pool(&[batch, time, channels], z);
        let Some(saved) = saved else { return Ok(Var::constant(z)) };
        tape.record(z, &inputs, move |dz| {
            let (sums, dx) = backward::backward(&packed, xv.as_slice(), &saved, dz.as_slice(), needs_x);
            let mut gradients = vec![dx.map(|dx| Tensor::from_pool(xv.shape(), dx))];
            for (layer, sums) in packed.iter().zip(sums) {
                let weight = Tensor::from_pool(layer.weight.shape(), in_weight_order(&layer.shape, &sums.weights));
                let vectors = [sums.bias, sums.slopes.weighted, sums.slopes.plain];
                gradients.push(Some(weight));
                gradients.extend(vectors.map(|v| Some(Tensor::from_f64(&[layer.shape.outputs], &v, dz.dtype()))));
            }
            Ok(gradients)
        })
    }))
}

/// GELU(GroupNorm(conv1d(x, weight) + bias) · gamma + beta): a stack of one.
pub fn conv_block(
    tape: &Tape,
    x: &Var,
    weight: &Var,
    bias: &Var,
    gamma: &Var,
    beta: &Var,
    spec: &ConvSpec,
) -> Result<Var> {
    conv_stack(tape, x, &[ConvLayer { weight, bias, gamma, beta, spec }])
}

/// Kernel, stride, padding, output channels and groups of a layer of a case.
type Sizes = (usize, usize, usize, usize, usize);

fn case(batch: usize, time: usize, inputs: usize, layers: &'static [Sizes], constant_x: bool) -> Case {
    let specs: Vec<ConvSpec> = layers
        .iter()
        .map(|&(kernel, stride, padding, _, groups)| ConvSpec { kernel, stride, padding, groups, eps: 1e-5 })
        .collect();
    let mut tensors = vec![Input::new(&[batch, time, inputs])];
    let mut channels = inputs;
    for &(kernel, _, _, outputs, _) in layers {
        tensors.push(Input::new(&[outputs, channels, kernel]));
        tensors.push(Input::new(&[outputs]).vector());
        tensors.push(Input::within(&[outputs], 0.5, 1.5).vector());
        tensors.push(Input::new(&[outputs]).vector());
        channels = outputs;
    }
    let x = constant_x.then(|| tensors.remove(0));
    let depth = layers.len();
    let name = format!("conv_stack {batch}×{time}×{inputs}, {layers:?}");
    Case::new(name, tensors, move |tape, vars| {
        let like = vars[0].value();
        let constant = |x: &Input| -> Result<Var> {
            // Halves of small integers: every storage type holds them exactly.
            let values: Vec<f64> =
                (0..x.shape.iter().product()).map(|i: usize| (i * 7 % 5) as f64 / 2.0 - 1.0).collect();
            if like.device().is_cpu() {
                return Ok(Var::constant(Tensor::from_f64(&x.shape, &values, like.dtype())));
            }
            let host = Tensor::from_f64(&x.shape, &values, DType::F32);
            Ok(Var::constant(host.to_device(like.device(), like.dtype())?))
        };
        let x = x.as_ref().map(constant).transpose()?;
        let (x, parameters) = match &x {
            Some(x) => (x, vars),
            None => (&vars[0], &vars[1..]),
        };
        let layers: Vec<ConvLayer> = parameters
            .chunks_exact(4)
            .zip(&specs)
            .map(|(p, spec)| ConvLayer { weight: &p[0], bias: &p[1], gamma: &p[2], beta: &p[3], spec })
            .collect();
        conv_stack(tape, x, &layers)
    })
    .of_depth(depth)
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    vec![
        case(2, 13, 3, &[(3, 2, 1, 4, 2)], false),
        case(1, 29, 1, &[(10, 5, 0, 6, 3)], false),
        case(3, 7, 2, &[(1, 1, 0, 5, 1)], false),
        case(1, 9, 3, &[(2, 3, 1, 3, 3)], false),
        case(2, 5, 1, &[(4, 3, 3, 4, 2)], false),
        case(1, 2, 2, &[(5, 1, 2, 3, 1)], false),
        case(1, 8, 2, &[(7, 2, 3, 2, 1)], false),
        case(1, 11, 9, &[(3, 2, 1, 33, 3)], false),
        case(2, 33, 1, &[(10, 3, 4, 8, 2)], false),
        case(2, 11, 8, &[(3, 2, 1, 16, 4)], false),
        case(2, 31, 1, &[(10, 5, 0, 4, 2)], true),
        case(2, 33, 2, &[(9, 3, 1, 4, 2)], true),
        case(2, 61, 1, &[(10, 5, 0, 4, 2), (3, 2, 1, 3, 1), (3, 2, 1, 6, 3)], true),
        case(1, 19, 2, &[(3, 2, 1, 2, 2), (4, 3, 2, 5, 1)], false),
    ]
}
