//! Convolution as matrix products over a strided view.
//!
//! In a row-major [time, channels] array the `taps` rows that one output row sees are contiguous, so the matrix of all
//! windows is a strided view of the array itself: no window is ever copied. Windows that stick out of the array (padding)
//! are cut to what lies inside and multiplied one by one.

use std::ops::Range;

use super::kernel::{self, Lanes, Panels, View};

/// Windows over the rows of `data`: window `i` covers rows `start + i·step ..` + `taps`; rows outside `data` count as zero.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a, F> {
    pub(super) data: &'a [F],
    pub(super) channels: usize,
    pub(super) taps: usize,
    pub(super) step: usize,
    pub(super) start: isize,
}

impl<'a, F: Lanes> Windows<'a, F> {
    fn length(&self) -> isize {
        (self.data.len() / self.channels) as isize
    }

    fn begin(&self, i: usize) -> isize {
        self.start + (i * self.step) as isize
    }

    /// Those of the windows in `range` that lie inside the data.
    fn interior(&self, range: &Range<usize>) -> Range<usize> {
        let step = self.step as isize;
        let first = (-self.start).max(0).unsigned_abs().div_ceil(self.step);
        let end = ((self.length() - self.taps as isize - self.start).div_euclid(step) + 1).max(0).unsigned_abs();
        let first = first.clamp(range.start, range.end);
        first..end.clamp(first, range.end)
    }

    /// Windows `range`, all of them inside, as the rows of a matrix [windows, taps · channels].
    fn matrix(&self, range: Range<usize>) -> View<'a, F> {
        let from = self.begin(range.start).max(0).unsigned_abs() * self.channels;
        let data = &self.data[from.min(self.data.len())..];
        View { data, rows: range.len(), cols: self.taps * self.channels, row: self.step * self.channels }
    }

    /// What of window `i` lies inside, as one row, and where in the window it begins.
    fn cut(&self, i: usize) -> (View<'a, F>, usize) {
        let begin = self.begin(i);
        let from = (-begin).clamp(0, self.taps as isize);
        let to = (self.length() - begin).clamp(from, self.taps as isize);
        let cols = (to - from).unsigned_abs() * self.channels;
        let inside = if cols == 0 { 0 } else { (begin + from).unsigned_abs() * self.channels };
        (
            View { data: &self.data[inside..inside + cols], rows: 1, cols, row: cols },
            from.unsigned_abs() * self.channels,
        )
    }

    /// Writes window · weights for the windows `range`; `weights` is [taps · channels, outputs], and the row of the first window
    /// is at the start of `out`, the others `out_row` elements apart.
    pub(super) fn product(&self, range: Range<usize>, weights: &Panels<F>, out: &mut [F], out_row: usize) {
        let interior = self.interior(&range);
        for i in (range.start..interior.start).chain(interior.end..range.end) {
            let (row, from) = self.cut(i);
            kernel::product(row, weights, from, &mut out[(i - range.start) * out_row..], out_row);
        }
        if !interior.is_empty() {
            let out = &mut out[(interior.start - range.start) * out_row..];
            kernel::product(self.matrix(interior), weights, 0, out, out_row);
        }
    }

    /// Adds Σ windowᵀ · row to `sum` [taps · channels, outputs], over the first `count` windows and the rows of `rows`
    /// [count, outputs], after which at least [`kernel::panel_width`] more elements must follow.
    pub(super) fn correlate(&self, count: usize, rows: &[F], outputs: usize, sum: &mut [F]) {
        let interior = self.interior(&(0..count));
        for i in (0..interior.start).chain(interior.end..count) {
            let (row, from) = self.cut(i);
            kernel::correlate(row, &rows[i * outputs..], outputs, &mut sum[from * outputs..]);
        }
        if !interior.is_empty() {
            let rows = &rows[interior.start * outputs..];
            kernel::correlate(self.matrix(interior), rows, outputs, sum);
        }
    }
}
