//! How the rows of a matrix lie in a tensor.

use crate::device::{In, Matrix, Storage, TensorMap};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Elements that a 16-byte copy of bf16 takes.
const ALIGNMENT: usize = 8;

/// Row r of item i begins at element `offset + i·batch + (r / group)·jump + (r mod group)·stride`; its columns are neighbours.
///
/// A stride below the number of columns makes rows overlap: the windows of a convolution. A group is then one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Element of the tensor where the first row begins.
    pub offset: usize,
    /// Elements from row to row of a group.
    pub stride: usize,
    /// Rows of a group.
    pub group: usize,
    /// Elements from group to group.
    pub jump: usize,
    /// Elements from item to item of a batch.
    pub batch: usize,
}

impl Layout {
    /// Rows one after the other, items too.
    pub fn dense(rows: usize, cols: usize) -> Self {
        Layout { offset: 0, stride: cols, group: i32::MAX as usize, jump: 0, batch: rows * cols }
    }

    /// Whether the elements are those of a dense matrix, in order, from the start.
    pub(super) fn is_dense(&self, rows: usize, cols: usize, batch: usize) -> bool {
        let rows_follow = self.stride == cols && (rows <= self.group || self.jump == self.group * cols);
        self.offset == 0 && rows_follow && (batch == 1 || self.batch == rows * cols)
    }

    /// Whether every row begins at a multiple of sixteen bytes of bf16.
    fn is_aligned(&self) -> bool {
        let multiples = [self.offset, self.stride, self.jump, self.batch];
        multiples.into_iter().all(|x| x.is_multiple_of(ALIGNMENT))
    }

    /// One past the last element of an item.
    fn extent(&self, rows: usize, cols: usize) -> Option<usize> {
        let Some(last) = rows.checked_sub(1) else { return Some(0) };
        if cols == 0 {
            return Some(0);
        }
        let group = self.group.max(1);
        let begin =
            |row: usize| (row / group).checked_mul(self.jump)?.checked_add((row % group).checked_mul(self.stride)?);
        // The last row, or the end of the last whole group where groups overlap.
        let whole = (last + 1) / group * group;
        begin(last)?.max(begin(whole.saturating_sub(1))?).checked_add(cols)
    }

    /// Refuses what reaches beyond `len` elements or beyond the kernels' 31-bit offsets.
    pub(super) fn check(&self, what: &'static str, len: usize, rows: usize, cols: usize, batch: usize) -> Result<()> {
        let item = self.extent(rows, cols).filter(|&e| e <= i32::MAX as usize && self.group > 0);
        let end =
            item.and_then(|item| item.checked_add(self.offset)?.checked_add(self.batch * batch.saturating_sub(1)));
        let small = rows.max(cols) < i32::MAX as usize - 1024;
        if end.is_some_and(|end| end <= len || rows * cols * batch == 0) && small {
            return Ok(());
        }
        let got = format!("{rows} rows of {cols}, {batch} times, as {self:?}");
        Err(Error::op("gemm", what, format!("within {len} elements"), got))
    }
}

/// A matrix in a tensor of a device.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(super) tensor: &'a Tensor,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) layout: Layout,
}

impl<'a> View<'a> {
    /// All rows of a tensor.
    pub fn of(tensor: &'a Tensor) -> Self {
        let (rows, cols) = (tensor.rows(), tensor.cols());
        View { tensor, rows, cols, layout: Layout::dense(rows, cols) }
    }

    /// `rows` rows of `cols` neighbours.
    pub fn with(tensor: &'a Tensor, rows: usize, cols: usize, layout: Layout) -> Self {
        View { tensor, rows, cols, layout }
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    pub(super) fn transposed(&self) -> (usize, usize) {
        (self.cols, self.rows)
    }

    pub(super) fn input<T: Storage>(&self) -> In<T> {
        self.tensor.input::<T>().shifted(self.layout.offset)
    }

    /// Whether whole rows can be copied sixteen bytes at a time.
    pub(super) fn is_aligned(&self) -> bool {
        self.cols.is_multiple_of(ALIGNMENT) && self.layout.is_aligned() && self.tensor.is_aligned()
    }

    /// Whether the copy engine can find the rows: one after the other in one group.
    pub(super) fn is_mappable(&self, batch: usize) -> bool {
        let Layout { stride, group, batch: item, .. } = self.layout;
        let empty = self.rows == 0 || self.cols == 0;
        !empty && self.rows <= group && stride >= self.cols && (batch == 1 || item >= self.rows * stride)
    }

    /// The matrix as the copy engine finds it, in tiles of `tile_rows`.
    pub(super) fn map(&self, batch: usize, tile_rows: usize) -> Result<TensorMap> {
        let Layout { stride, batch: item, .. } = self.layout;
        // One item has no distance to the next.
        let item = if batch == 1 { self.rows * stride } else { item };
        let matrix = Matrix { extent: [self.cols, self.rows, batch], strides: [stride, item], tile_rows };
        TensorMap::new(self.tensor.device(), self.input(), matrix)
    }

    pub(super) fn check(&self, what: &'static str, batch: usize) -> Result<()> {
        self.layout.check(what, self.tensor.len(), self.rows, self.cols, batch)
    }
}
