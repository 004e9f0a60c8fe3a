//! Matrix products over strided views, on the `gemm` crate.

use crate::device::Real;

/// A read-only strided matrix: element (i, j) is `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy)]
pub struct Mat<'a, F> {
    data: &'a [F],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, F> Mat<'a, F> {
    /// A row-major matrix.
    pub fn new(data: &'a [F], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart (they may overlap: a convolution's input windows do).
    pub fn strided(data: &'a [F], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(span(rows, cols, row_stride) <= data.len(), "matrix {rows}×{cols} exceeds its {} elements", data.len());
        Mat { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Mat { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }
}

/// A strided matrix to write to, with contiguous rows.
pub struct MatMut<'a, F> {
    data: &'a mut [F],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a, F> MatMut<'a, F> {
    /// A row-major matrix.
    pub fn new(data: &'a mut [F], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart.
    pub fn strided(data: &'a mut [F], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(span(rows, cols, row_stride) <= data.len(), "matrix {rows}×{cols} exceeds its {} elements", data.len());
        assert!(rows <= 1 || row_stride >= cols, "rows of an output must not overlap");
        MatMut { data, rows, cols, row_stride }
    }
}

fn span(rows: usize, cols: usize, row_stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + cols }
}

/// Who runs a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread: for products inside an already parallel loop.
    One,
    /// All of the pool.
    All,
}

/// `out = scale · a·b`, or `out += scale · a·b` with `accumulate`.
///
/// Each output element is one sum in a fixed order whatever the number of threads, so results are reproducible.
pub fn matmul<F: Real>(out: MatMut<F>, accumulate: bool, scale: F, a: Mat<F>, b: Mat<F>, threads: Threads) {
    assert!(
        a.rows == out.rows && b.cols == out.cols && a.cols == b.rows,
        "matrix product {}×{} · {}×{} into {}×{}",
        a.rows,
        a.cols,
        b.rows,
        b.cols,
        out.rows,
        out.cols
    );
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the constructors checked that every (row, column) lies inside its slice, and that rows of `out` are disjoint.
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            a.cols,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            F::ONE,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}
