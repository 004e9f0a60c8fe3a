//! GroupNorm and GELU over the convolution's output: the launches of `kernels/groupnorm.cu`.

use super::Shape;
use super::convolution::PART_ROWS;
use crate::device::{DType, Device, Launch, kernels};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::with_storage;

/// Channels of a block in the passes over all rows.
const COLUMNS: usize = 256;
/// Rows of a block in the passes that write rows, and in the one that sums them.
const SLICE: usize = 64;
const SUM_SLICE: usize = 256;
/// Columns that a block of `reduce.cu` and of `moments` takes.
const NARROW: usize = 32;

/// The parameters of one block's normalisation.
pub(super) struct Norm {
    pub(super) shape: Shape,
    pub(super) bias: Tensor,
    pub(super) gamma: Tensor,
    pub(super) beta: Tensor,
}

impl Norm {
    fn device(&self) -> &Device {
        self.gamma.device()
    }

    /// Rows, channels.
    fn sizes(&self) -> [i32; 2] {
        [self.shape.rows, self.shape.outputs].map(|n| n as i32)
    }

    fn groups(&self) -> i32 {
        self.shape.groups as i32
    }

    fn uninit(&self, shape: &[usize]) -> Result<Tensor> {
        Tensor::uninit_on(self.device(), shape, DType::F32)
    }

    /// Blocks of channels, of rows, samples.
    fn grid(&self, columns: usize, rows: usize) -> Launch<'_> {
        let s = &self.shape;
        Launch::grid(self.device(), [s.outputs.div_ceil(columns), s.rows.div_ceil(rows), s.batch])
    }

    /// A block for each group and sample.
    fn by_group(&self) -> Launch<'_> {
        Launch::grid(self.device(), [self.shape.groups, self.shape.batch, 1])
    }

    /// Moments of y over parts of its rows.
    pub(super) fn moments(&self, y: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        let mut partial = self.uninit(&[s.batch, s.rows.div_ceil(PART_ROWS), 2, s.outputs])?;
        let [rows, channels] = self.sizes();
        let grid = self.grid(NARROW, PART_ROWS);
        with_storage!(y.dtype(), T => {
            kernels::groupnorm::moments::<T>(grid, y.input(), partial.output(), rows, PART_ROWS as i32, channels)?;
        });
        Ok(partial)
    }

    /// Statistics [batch, 3, channels] from moments.
    pub(super) fn statistics(&self, moments: &Tensor) -> Result<Tensor> {
        let mut statistics = self.uninit(&[self.shape.batch, 3, self.shape.outputs])?;
        let [rows, channels] = self.sizes();
        kernels::groupnorm::statistics(
            self.by_group(),
            moments.input(),
            self.bias.input(),
            statistics.output(),
            rows,
            PART_ROWS as i32,
            channels,
            self.groups(),
            self.shape.eps as f32,
        )?;
        Ok(statistics)
    }

    /// z = GELU(γ · ŷ + β).
    pub(super) fn activate(&self, y: &Tensor, statistics: &Tensor) -> Result<Tensor> {
        let mut z = Tensor::uninit_on(self.device(), y.shape(), y.dtype())?;
        let [rows, channels] = self.sizes();
        with_storage!(y.dtype(), T => {
            kernels::groupnorm::activate::<T>(
                self.grid(COLUMNS, SLICE), y.input(), statistics.input(), self.gamma.input(), self.beta.input(),
                z.output(), rows, SLICE as i32, channels,
            )?;
        });
        Ok(z)
    }

    /// Σ dn and Σ dn · ŷ over the rows of each sample, [batch, 2, channels], where dn = dz · GELU′(γ · ŷ + β).
    pub(super) fn slopes(&self, dz: &Tensor, y: &Tensor, statistics: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        let mut partial = self.uninit(&[s.batch, s.rows.div_ceil(SUM_SLICE), 2 * s.outputs])?;
        let [rows, channels] = self.sizes();
        with_storage!(dz.dtype(), T => {
            kernels::groupnorm::slopes::<T>(
                self.grid(COLUMNS, SUM_SLICE), dz.input(), y.input(), statistics.input(), self.gamma.input(),
                self.beta.input(), partial.output(), rows, SUM_SLICE as i32, channels,
            )?;
        });
        sum_slices(&partial)
    }

    /// Means of γ · dn and γ · dn · ŷ, [batch, groups, 2].
    pub(super) fn group_means(&self, sums: &Tensor) -> Result<Tensor> {
        let mut means = self.uninit(&[self.shape.batch, self.shape.groups, 2])?;
        let [rows, channels] = self.sizes();
        let gamma = self.gamma.input();
        kernels::groupnorm::group_means(
            self.by_group(),
            sums.input(),
            gamma,
            means.output(),
            rows,
            channels,
            self.groups(),
        )?;
        Ok(means)
    }

    /// Gradients of bias, γ and β, [3, channels].
    pub(super) fn parameters(&self, sums: &Tensor, statistics: &Tensor, means: &Tensor) -> Result<Tensor> {
        let mut gradients = self.uninit(&[3, self.shape.outputs])?;
        let [rows, channels] = self.sizes();
        kernels::groupnorm::parameters(
            self.device().launch(self.shape.outputs.div_ceil(64)),
            sums.input(),
            statistics.input(),
            self.gamma.input(),
            means.input(),
            gradients.output(),
            self.shape.batch as i32,
            rows,
            channels,
            self.groups(),
        )?;
        Ok(gradients)
    }

    /// dy.
    pub(super) fn backward(&self, dz: &Tensor, y: &Tensor, statistics: &Tensor, means: &Tensor) -> Result<Tensor> {
        let mut dy = Tensor::uninit_on(self.device(), y.shape(), y.dtype())?;
        let [rows, channels] = self.sizes();
        with_storage!(dz.dtype(), T => {
            kernels::groupnorm::backward::<T>(
                self.grid(COLUMNS, SLICE), dz.input(), y.input(), statistics.input(), self.gamma.input(),
                self.beta.input(), means.input(), dy.output(), rows, SLICE as i32, channels, self.groups(),
            )?;
        });
        Ok(dy)
    }
}

/// [batch, slices, d] to [batch, d], slices in a fixed order.
pub(super) fn sum_slices(partial: &Tensor) -> Result<Tensor> {
    let &[batch, slices, d] = partial.shape() else { unreachable!("partial sums have three axes") };
    let mut sums = Tensor::uninit_on(partial.device(), &[batch, d], DType::F32)?;
    let grid = Launch::grid(partial.device(), [d.div_ceil(NARROW), batch, 1]);
    let rows = (batch * slices) as i32;
    kernels::reduce::columns::<f32>(grid, partial.input(), sums.output(), rows, slices as i32, d as i32)?;
    Ok(sums)
}
