//! Convolution as matrix products over a strided view.
//!
//! In a row-major [time, channels] array the `taps` rows that one output row sees are contiguous, so the matrix of all
//! windows is a strided view of the array itself: no window is ever copied. Windows that stick out of the array (padding)
//! are cut to what lies inside and multiplied one by one.

use std::ops::Range;

use crate::device::Real;
use crate::linalg::{Mat, MatMut, Threads, matmul};

/// Windows over the rows of `data`: window `i` covers rows `start + i·step ..` + `taps`; rows outside `data` count as zero.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a, F> {
    pub(super) data: &'a [F],
    pub(super) channels: usize,
    pub(super) taps: usize,
    pub(super) step: usize,
    pub(super) start: isize,
}

impl<'a, F: Real> Windows<'a, F> {
    fn length(&self) -> isize {
        (self.data.len() / self.channels) as isize
    }

    fn begin(&self, i: usize) -> isize {
        self.start + (i * self.step) as isize
    }

    /// Those of the windows in `range` that lie inside the data.
    fn interior(&self, range: Range<usize>) -> Range<usize> {
        let step = self.step as isize;
        let first = (-self.start).max(0).unsigned_abs().div_ceil(self.step);
        let end = ((self.length() - self.taps as isize - self.start).div_euclid(step) + 1).max(0).unsigned_abs();
        let first = first.clamp(range.start, range.end);
        first..end.clamp(first, range.end)
    }

    /// Windows `range`, all of them inside, as the rows of a matrix [windows, taps · channels].
    fn matrix(&self, range: Range<usize>) -> Mat<'a, F> {
        let from = self.begin(range.start).max(0).unsigned_abs() * self.channels;
        let stride = self.step * self.channels;
        Mat::strided(&self.data[from.min(self.data.len())..], range.len(), self.taps * self.channels, stride)
    }

    /// What of window `i` lies inside, as one row, and the range of the window's elements that it is.
    fn cut(&self, i: usize) -> (Mat<'a, F>, Range<usize>) {
        let begin = self.begin(i);
        let from = (-begin).clamp(0, self.taps as isize);
        let to = (self.length() - begin).clamp(from, self.taps as isize);
        let part = from.unsigned_abs() * self.channels..to.unsigned_abs() * self.channels;
        let inside = if part.is_empty() { 0 } else { (begin + from).unsigned_abs() * self.channels };
        (Mat::new(&self.data[inside..inside + part.len()], 1, part.len()), part)
    }

    fn borders(range: &Range<usize>, interior: &Range<usize>) -> impl Iterator<Item = usize> {
        (range.start..interior.start).chain(interior.end..range.end)
    }

    /// Writes window · weights for the windows `range`; `weights` is [taps · channels, outputs], and the row of the first window
    /// is at the start of `out`, the others `row_stride` elements apart.
    pub(super) fn product(
        &self,
        range: Range<usize>,
        weights: &[F],
        out: &mut [F],
        outputs: usize,
        row_stride: usize,
        threads: Threads,
    ) {
        let interior = self.interior(range.clone());
        if !interior.is_empty() {
            let out = &mut out[(interior.start - range.start) * row_stride..];
            let weights = Mat::new(weights, self.taps * self.channels, outputs);
            let windows = self.matrix(interior.clone());
            matmul(MatMut::strided(out, interior.len(), outputs, row_stride), false, F::ONE, windows, weights, threads);
        }
        for i in Self::borders(&range, &interior) {
            let (row, part) = self.cut(i);
            let weights = Mat::new(&weights[part.start * outputs..part.end * outputs], part.len(), outputs);
            let out = &mut out[(i - range.start) * row_stride..][..outputs];
            matmul(MatMut::new(out, 1, outputs), false, F::ONE, row, weights, Threads::One);
        }
    }

    /// Sets `sum` [taps · channels, outputs] to Σ windowᵀ · row over all windows and the rows of `rows` [windows, outputs].
    pub(super) fn correlate(&self, rows: &[F], outputs: usize, sum: &mut [F]) {
        let range = 0..rows.len() / outputs;
        let interior = self.interior(range.clone());
        let row = |i: usize, n: usize| Mat::new(&rows[i * outputs..(i + n) * outputs], n, outputs);
        let width = self.taps * self.channels;
        if interior.is_empty() {
            sum.fill(F::ZERO);
        } else {
            let windows = self.matrix(interior.clone()).t();
            let rows = row(interior.start, interior.len());
            matmul(MatMut::new(sum, width, outputs), false, F::ONE, windows, rows, Threads::One);
        }
        for i in Self::borders(&range, &interior) {
            let (window, part) = self.cut(i);
            let sum = &mut sum[part.start * outputs..part.end * outputs];
            matmul(MatMut::new(sum, part.len(), outputs), true, F::ONE, window.t(), row(i, 1), Threads::One);
        }
    }
}
