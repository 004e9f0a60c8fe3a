//! The block on a device: which kernels run, and in which order.
//!
//! | step | kernels |
//! |---|---|
//! | convolution, and its gradients | `conv_mma.cu` (bf16, channels in multiples of 8), else `conv_tile.cu` |
//! | statistics, activation, and back through both | `groupnorm.cu` |
//! | all of it for one channel in and ten taps | `conv_wave.cu` |

mod convolution;
mod norm;
mod wave;

use super::layer;
use crate::error::Result;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use convolution::Convolution;
use norm::Norm;

/// Sizes of one layer on a whole batch, checked.
#[derive(Clone, Copy)]
pub(super) struct Shape {
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
    /// `batch` samples of one layer.
    pub(super) fn new(batch: usize, layer: &layer::Shape) -> Self {
        let layer::Shape { time, inputs, rows, outputs, kernel, stride, padding, groups, eps } = *layer;
        Shape { batch, time, inputs, rows, outputs, kernel, stride, padding, groups, eps }
    }
}

/// GELU(GroupNorm(conv1d(x, weight) + bias) · gamma + beta); `inputs` in this order. Bias, gamma and beta are `f32`.
pub(super) fn conv_block(tape: &Tape, inputs: [&Var; 5], shape: Shape) -> Result<Var> {
    let [x, weight, bias, gamma, beta] = inputs.map(|v| v.value().clone());
    let needs_x = inputs[0].needs_grad();
    let norm = Norm { shape, bias, gamma, beta };
    if wave::fits(&shape) {
        let (z, saved) = wave::forward(&norm, &x, &weight)?;
        return Ok(tape.record(z, &inputs, move |dz| {
            let (dw, vectors, means) = wave::backward(&norm, &x, &weight, &saved, dz)?;
            let dx = match needs_x {
                // Only tests ask for it: the waveform is no parameter.
                true => {
                    let convolution = Convolution::new(shape, &weight)?;
                    let (y, _) = convolution.forward(&x)?;
                    Some(convolution.data_gradient(&norm.backward(dz, &y, &saved.statistics, &means)?)?)
                }
                false => None,
            };
            Ok(gradients(&norm, dx, dw, &vectors))
        }));
    }
    let convolution = Convolution::new(shape, &weight)?;
    let (y, moments) = convolution.forward(&x)?;
    let moments = moments.map_or_else(|| norm.moments(&y), Ok)?;
    let statistics = norm.statistics(&moments)?;
    let z = norm.activate(&y, &statistics)?;
    Ok(tape.record(z, &inputs, move |dz| {
        let sums = norm.slopes(dz, &y, &statistics)?;
        let means = norm.group_means(&sums)?;
        let vectors = norm.parameters(&sums, &statistics, &means)?;
        let dy = norm.backward(dz, &y, &statistics, &means)?;
        drop(y);
        let dw = convolution.weight_gradient(&x, &dy)?;
        let dx = if needs_x { Some(convolution.data_gradient(&dy)?) } else { None };
        Ok(gradients(&norm, dx, dw, &vectors))
    }))
}

/// In the order of the inputs; `vectors` is [3, outputs].
fn gradients(norm: &Norm, dx: Option<Tensor>, dw: Tensor, vectors: &Tensor) -> Vec<Option<Tensor>> {
    let outputs = norm.shape.outputs;
    let [bias, gamma, beta] = [0, 1, 2].map(|i| Some(vectors.view(i * outputs, &[outputs])));
    vec![dx, Some(dw), bias, gamma, beta]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DType, Device};
    use crate::ops::Input;
    use crate::ops::conv_block::case;

    /// Several tiles in every direction, and rows, channels and slabs that fill none of them: too large for finite differences.
    #[test]
    fn emulated_convolutions_of_many_tiles_follow_the_cpu() {
        let device = Device::emulated(7).unwrap();
        for (case, dtype, tolerance) in [
            (case(2, 301, 40, &[(3, 2, 1, 136, 4)], false), DType::BF16, 1.2e-2),
            (case(1, 140, 136, &[(5, 3, 2, 24, 8)], false), DType::BF16, 1.2e-2),
            (case(2, 140, 13, &[(3, 2, 1, 70, 5)], false), DType::F32, 2e-5),
            (case(2, 2700, 1, &[(10, 5, 0, 264, 4)], false), DType::F32, 2e-5),
            (case(2, 2700, 1, &[(10, 5, 0, 264, 4)], false), DType::BF16, 1.2e-2),
        ] {
            let error = case.device_error(&device, dtype).unwrap();
            assert!(error < tolerance, "{}: {dtype:?}: error {error:.2e}", case.name);
        }
    }

    /// Two runs give the same bytes whatever order threads and blocks run in.
    #[test]
    fn emulated_convolutions_do_not_depend_on_order() {
        let case = case(2, 290, 8, &[(3, 2, 1, 16, 4)], false);
        let run = |seed| -> Result<Vec<Vec<f64>>> {
            let (device, tape) = (Device::emulated(seed)?, Tape::recording());
            let place = |(input, values): (&Input, &Vec<f64>)| {
                let dtype = if input.vector { DType::F32 } else { DType::BF16 };
                Ok(tape.leaf(Tensor::from_f64(&input.shape, values, DType::F32).to_device(&device, dtype)?))
            };
            let inputs: Vec<Var> = case.inputs.iter().zip(&case.values()).map(place).collect::<Result<_>>()?;
            let z = (case.apply)(&tape, &inputs)?;
            let mut all = vec![z.value().to_f64()];
            let mut gradients = tape.backward(&z, z.value().clone())?;
            all.extend(inputs.iter().filter_map(|v| gradients.take(v)).map(|g| g.to_f64()));
            Ok(all)
        };
        let first = run(1).unwrap();
        assert_eq!(first.len(), 6);
        assert!(first == run(2).unwrap());
    }
}
