//! Sums of columns on a device: slices of rows side by side, then the slices in order.

use crate::device::{DType, Launch, kernels};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::with_storage;

/// Rows that one block sums.
const SLICE: usize = 512;
/// Columns that one block sums.
const COLUMNS: usize = 32;

/// Σ over all rows of `x` [R, d] → [d] in f32, in the same order every time.
pub(crate) fn sum_rows(x: &Tensor) -> Result<Tensor> {
    let (rows, d) = (x.rows(), x.cols());
    let slices = rows.div_ceil(SLICE).max(1);
    let mut y = Tensor::uninit_on(x.device(), &[slices, d], DType::F32)?;
    let grid = Launch::grid(x.device(), [d.div_ceil(COLUMNS), slices, 1]);
    with_storage!(x.dtype(), T => {
        kernels::reduce::columns::<T>(grid, x.input(), y.output(), rows as i32, SLICE as i32, d as i32)?;
    });
    if slices == 1 { Ok(y.reshape(&[d])) } else { sum_rows(&y) }
}
