//! The convolution alone, without bias, and its two gradients.

use super::Shape;
use crate::device::{DType, Device, Launch, kernels};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::with_storage;

/// Rows over which the tensor cores' epilogue leaves the moments of y: those of a warp.
pub(super) const PART_ROWS: usize = 64;
/// Rows and columns of a block of `conv_mma.cu`, and rows of a slab of its weight gradient.
const MMA_TILE: usize = 128;
const MMA_DEPTH: usize = 32;
/// Rows and columns of a block of `conv_tile.cu`.
const TILE: usize = 64;
/// Blocks that a weight gradient is shared out to: twice what runs at once on an H100 (two on each of 132 SMs). A fixed number,
/// so that the order of its sums is the same on every GPU.
const BLOCKS: usize = 528;
/// Channels of a 16-byte access.
const PIECE: usize = 8;

/// One convolution with its weights as products read them, [outputs, taps, inputs].
pub(super) struct Convolution {
    shape: Shape,
    packed: Tensor,
    tensor_cores: bool,
}

impl Convolution {
    /// Packs `weight` [outputs, inputs, taps].
    pub(super) fn new(shape: Shape, weight: &Tensor) -> Result<Self> {
        let sizes = [shape.outputs, shape.kernel, shape.inputs];
        let mut packed = Tensor::uninit_on(weight.device(), &sizes, weight.dtype())?;
        let (grid, count) = (weight.device().launch(packed.len().div_ceil(256)), packed.len());
        with_storage!(weight.dtype(), T => {
            let (inputs, taps) = (shape.inputs as i32, shape.kernel as i32);
            kernels::conv_weights::pack::<T>(grid, weight.input(), packed.output(), inputs, taps, count)?;
        });
        let eights = shape.inputs.is_multiple_of(PIECE) && shape.outputs.is_multiple_of(PIECE);
        let tensor_cores = weight.dtype() == DType::BF16 && eights;
        Ok(Convolution { shape, packed, tensor_cores })
    }

    fn device(&self) -> &Device {
        self.packed.device()
    }

    /// Time, inputs, rows, outputs, taps, stride, padding.
    fn sizes(&self) -> [i32; 7] {
        let s = &self.shape;
        [s.time, s.inputs, s.rows, s.outputs, s.kernel, s.stride, s.padding].map(|n| n as i32)
    }

    /// y [batch, rows, outputs], and its moments over parts of [`PART_ROWS`] rows where they are known already.
    pub(super) fn forward(&self, x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let s = &self.shape;
        let mut y = Tensor::uninit_on(self.device(), &[s.batch, s.rows, s.outputs], x.dtype())?;
        let [time, inputs, rows, outputs, taps, stride, padding] = self.sizes();
        let grid =
            |tile: usize| Launch::grid(self.device(), [s.outputs.div_ceil(tile), s.rows.div_ceil(tile), s.batch]);
        if self.tensor_cores {
            let parts = s.rows.div_ceil(PART_ROWS);
            let mut moments = Tensor::uninit_on(self.device(), &[s.batch, parts, 2, s.outputs], DType::F32)?;
            kernels::conv_mma::forward(
                grid(MMA_TILE),
                x.input(),
                self.packed.input(),
                y.output(),
                moments.output(),
                time,
                inputs,
                rows,
                outputs,
                taps,
                stride,
                padding,
            )?;
            return Ok((y, Some(moments)));
        }
        with_storage!(x.dtype(), T => {
            kernels::conv_tile::forward::<T>(
                grid(TILE), x.input(), self.packed.input(), y.output(), time, inputs, rows, outputs, taps, stride, padding,
            )?;
        });
        Ok((y, None))
    }

    /// dx [batch, time, inputs].
    pub(super) fn data_gradient(&self, dy: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        let mut dx = Tensor::uninit_on(self.device(), &[s.batch, s.time, s.inputs], dy.dtype())?;
        let [time, inputs, rows, outputs, taps, stride, padding] = self.sizes();
        let grid = |tile: usize| {
            let blocks = s.time.div_ceil(s.stride).div_ceil(tile) * s.stride;
            Launch::grid(self.device(), [s.inputs.div_ceil(tile), blocks, s.batch])
        };
        if self.tensor_cores {
            kernels::conv_mma::data_gradient(
                grid(MMA_TILE),
                dy.input(),
                self.packed.input(),
                dx.output(),
                time,
                inputs,
                rows,
                outputs,
                taps,
                stride,
                padding,
            )?;
            return Ok(dx);
        }
        with_storage!(dy.dtype(), T => {
            kernels::conv_tile::data_gradient::<T>(
                grid(TILE), dy.input(), self.packed.input(), dx.output(), time, inputs, rows, outputs, taps, stride, padding,
            )?;
        });
        Ok(dx)
    }

    /// dW [outputs, inputs, taps] in f32: shares of the rows side by side, then summed in order.
    pub(super) fn weight_gradient(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        let [time, inputs, rows, outputs, taps, stride, padding] = self.sizes();
        let batch = s.batch as i32;
        let (tiles, units) = if self.tensor_cores {
            let blocks = [s.kernel * s.inputs.div_ceil(MMA_TILE), s.outputs.div_ceil(MMA_TILE)];
            (blocks, s.batch * s.rows.div_ceil(MMA_DEPTH))
        } else {
            ([(s.kernel * s.inputs).div_ceil(TILE), s.outputs.div_ceil(TILE)], s.batch * s.rows)
        };
        let wanted = (BLOCKS / (tiles[0] * tiles[1])).clamp(1, units.max(1));
        let each = units.div_ceil(wanted).max(1);
        let shares = units.div_ceil(each).max(1);
        let mut partial = Tensor::uninit_on(self.device(), &[shares, self.packed.len()], DType::F32)?;
        let grid = Launch::grid(self.device(), [tiles[0], tiles[1], shares]);
        if self.tensor_cores {
            kernels::conv_mma::weight_gradient(
                grid,
                dy.input(),
                x.input(),
                partial.output(),
                batch,
                time,
                inputs,
                rows,
                outputs,
                taps,
                stride,
                padding,
                each as i32,
            )?;
        } else {
            with_storage!(dy.dtype(), T => {
                kernels::conv_tile::weight_gradient::<T>(
                    grid, dy.input(), x.input(), partial.output(), batch, time, inputs, rows, outputs, taps, stride,
                    padding, each as i32,
                )?;
            });
        }
        let mut dw = Tensor::uninit_on(self.device(), &[s.outputs, s.inputs, s.kernel], DType::F32)?;
        let grid = self.device().launch(dw.len().div_ceil(256));
        kernels::conv_weights::sum(grid, partial.input(), dw.output(), shares as i32, inputs, taps, dw.len())?;
        Ok(dw)
    }
}
