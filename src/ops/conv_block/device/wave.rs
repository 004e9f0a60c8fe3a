//! The first convolution with its normalisation: the launches of `kernels/conv_wave.cu`.

use super::Shape;
use super::norm::{Norm, sum_slices};
use crate::device::{DType, Device, Launch, kernels};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::with_storage;

/// Taps that the kernels are written for.
const TAPS: usize = 10;
/// Elements of the matrix of the windows' moments.
const MOMENTS: usize = 256;
/// Rows of a block: forward, backward and where it takes moments.
const SLICE: usize = 256;
const SUM_SLICE: usize = 512;
/// Channels of a block: forward and backward.
const COLUMNS: usize = 256;
const SUM_COLUMNS: usize = 128;
/// What a block may use of shared memory on every GPU.
const SHARED_BYTES: usize = 32 * 1024;

/// What the backward pass needs beside the inputs.
pub(super) struct Saved {
    /// [batch, 3, channels].
    pub(super) statistics: Tensor,
    /// Σ v · vᵀ over windows v, [batch, 256].
    moments: Tensor,
}

/// Whether these kernels do this convolution.
pub(super) fn fits(shape: &Shape) -> bool {
    shape.inputs == 1 && shape.kernel == TAPS && shared(shape, SUM_SLICE) <= SHARED_BYTES
}

/// Bytes of the waveform that a slice of rows sees, and of two constants.
fn shared(shape: &Shape, rows: usize) -> usize {
    ((rows - 1).saturating_mul(shape.stride)).saturating_add(TAPS + 2).saturating_mul(size_of::<f32>())
}

/// z.
pub(super) fn forward(norm: &Norm, x: &Tensor, w: &Tensor) -> Result<(Tensor, Saved)> {
    let (s, device) = (&norm.shape, x.device());
    let Sizes { time, rows, channels, groups, stride, padding } = Sizes::of(s);
    let slices = s.rows.div_ceil(SUM_SLICE);
    let mut partial = uninit(device, &[s.batch, slices, MOMENTS])?;
    let mut moments = uninit(device, &[s.batch, MOMENTS])?;
    let mut statistics = uninit(device, &[s.batch, 3, s.outputs])?;
    let mut z = Tensor::uninit_on(device, &[s.batch, s.rows, s.outputs], x.dtype())?;
    with_storage!(x.dtype(), T => {
        let grid = Launch::grid(device, [slices, s.batch, 1]).shared(shared(s, SUM_SLICE));
        kernels::conv_wave::moments::<T>(
            grid, x.input(), partial.output(), time, rows, SUM_SLICE as i32, stride, padding,
        )?;
        kernels::conv_wave::statistics::<T>(
            Launch::grid(device, [s.groups, s.batch, 1]), partial.input(), w.input(), norm.bias.input(),
            statistics.output(), moments.output(), slices as i32, rows, channels, groups, s.eps as f32,
        )?;
        let grid = Launch::grid(device, [s.outputs.div_ceil(COLUMNS), s.rows.div_ceil(SLICE), s.batch]);
        kernels::conv_wave::forward::<T>(
            grid.shared(shared(s, SLICE)), x.input(), w.input(), statistics.input(), norm.gamma.input(),
            norm.beta.input(), z.output(), time, rows, SLICE as i32, channels, stride, padding,
        )?;
    });
    Ok((z, Saved { statistics, moments }))
}

/// dW; gradients of bias, γ and β, [3, channels]; and the groups' means, which dx takes.
pub(super) fn backward(
    norm: &Norm,
    x: &Tensor,
    w: &Tensor,
    saved: &Saved,
    dz: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (s, device) = (&norm.shape, x.device());
    let Sizes { time, rows, channels, groups, stride, padding } = Sizes::of(s);
    let slices = s.rows.div_ceil(SUM_SLICE);
    let mut partial = uninit(device, &[s.batch, slices, (TAPS + 1) * s.outputs])?;
    let mut sums = uninit(device, &[s.batch, 2, s.outputs])?;
    let mut dw = uninit(device, w.shape())?;
    with_storage!(x.dtype(), T => {
        let grid = Launch::grid(device, [s.outputs.div_ceil(SUM_COLUMNS), slices, s.batch]);
        kernels::conv_wave::backward::<T>(
            grid.shared(shared(s, SUM_SLICE)), dz.input(), x.input(), w.input(), saved.statistics.input(),
            norm.gamma.input(), norm.beta.input(), partial.output(), time, rows, SUM_SLICE as i32, channels, stride,
            padding,
        )?;
        let g = sum_slices(&partial)?;
        let grid = Launch::grid(device, [s.outputs.div_ceil(256), s.batch, 1]);
        kernels::conv_wave::slopes::<T>(
            grid, g.input(), w.input(), saved.statistics.input(), sums.output(), channels,
        )?;
        let means = norm.group_means(&sums)?;
        kernels::conv_wave::weight_gradient::<T>(
            device.launch(dw.len().div_ceil(256)), g.input(), saved.moments.input(), w.input(), saved.statistics.input(),
            norm.gamma.input(), means.input(), dw.output(), s.batch as i32, channels, groups,
        )?;
        let vectors = norm.parameters(&sums, &saved.statistics, &means)?;
        Ok((dw, vectors, means))
    })
}

struct Sizes {
    time: i32,
    rows: i32,
    channels: i32,
    groups: i32,
    stride: i32,
    padding: i32,
}

impl Sizes {
    fn of(s: &Shape) -> Self {
        let [time, rows, channels, groups, stride, padding] =
            [s.time, s.rows, s.outputs, s.groups, s.stride, s.padding].map(|n| n as i32);
        Sizes { time, rows, channels, groups, stride, padding }
    }
}

fn uninit(device: &Device, shape: &[usize]) -> Result<Tensor> {
    Tensor::uninit_on(device, shape, DType::F32)
}
