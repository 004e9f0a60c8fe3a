//! The matrix product under the convolution: register tiles straight on strided views.
//!
//! A general product packs both operands, which for 64 output channels costs as much as multiplying. Here the weights are
//! packed once per call, the other operand is read where it lies, and a block of rows stays in the core's cache.

#![allow(clippy::needless_range_loop)] // indices that are literals after unrolling

use pulp::{Simd, WithSimd};

use crate::device::{PoolVec, Real};

/// Bytes of one row of a panel: two of the widest registers.
const PANEL_BYTES: usize = 128;
/// Terms summed in registers before the tile goes back to memory: a panel of as many rows fits the first-level cache.
const DEPTH: usize = 256;
/// The same where neither operand is packed, and both should fit.
const DEPTH_TRANSPOSED: usize = 64;

/// A scalar with vector arithmetic.
pub trait Lanes: Real {
    type Vector<S: Simd>: Copy;
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a · b + c.
    fn fma<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($scalar:ty, $vector:ident, $splat:ident, $add:ident, $mul_add:ident) => {
        impl Lanes for $scalar {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn fma<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
        }
    };
}
lanes!(f32, f32s, splat_f32s, add_f32s, mul_add_e_f32s);
lanes!(f64, f64s, splat_f64s, add_f64s, mul_add_e_f64s);

/// Columns of a panel.
pub(super) const fn panel_width<F>() -> usize {
    PANEL_BYTES / size_of::<F>()
}

/// A matrix cut into panels of columns, each contiguous, the last one filled up with zeros.
pub(in crate::ops) struct Panels<F: Real> {
    data: PoolVec<F>,
    rows: usize,
    cols: usize,
}

impl<F: Real> Panels<F> {
    /// Packs the matrix whose element (row, column) is `at(row, column)`.
    pub(in crate::ops) fn pack(rows: usize, cols: usize, at: impl Fn(usize, usize) -> F) -> Self {
        let width = panel_width::<F>();
        let mut data = PoolVec::uninit(cols.div_ceil(width) * rows * width);
        for (i, row) in data.chunks_exact_mut(width).enumerate() {
            let (first, r) = (i / rows * width, i % rows);
            row.iter_mut()
                .enumerate()
                .for_each(|(j, x)| *x = if first + j < cols { at(r, first + j) } else { F::ZERO });
        }
        Panels { data, rows, cols }
    }
}

/// A strided view: element (i, j) is `data[i · row + j · col]`.
#[derive(Clone, Copy)]
pub(in crate::ops) struct View<'a, F> {
    pub(in crate::ops) data: &'a [F],
    pub(in crate::ops) rows: usize,
    pub(in crate::ops) cols: usize,
    pub(in crate::ops) row: usize,
}

impl<F> View<'_, F> {
    fn check(&self) {
        assert!(self.rows == 0 || self.cols == 0 || (self.rows - 1) * self.row + self.cols <= self.data.len());
    }
}

/// out = a · b[from .. from + a.cols], rows of `out` being `out_row` elements apart.
pub(in crate::ops) fn product<F: Lanes>(a: View<F>, b: &Panels<F>, from: usize, out: &mut [F], out_row: usize) {
    a.check();
    assert!(from + a.cols <= b.rows && out_row >= b.cols);
    assert!(a.rows == 0 || (a.rows - 1) * out_row + b.cols <= out.len());
    if a.cols == 0 {
        return (0..a.rows).for_each(|i| out[i * out_row..][..b.cols].fill(F::ZERO));
    }
    let width = panel_width::<F>();
    pulp::Arch::new().dispatch(Product::<F, false> {
        a: a.data.as_ptr(),
        a_stride: a.row,
        rows: a.rows,
        depth: a.cols,
        // SAFETY: `from` is at most the number of rows of the first panel.
        b: unsafe { b.data.as_ptr().add(from * width) },
        b_panel: b.rows * width,
        b_row: width,
        out: out.as_mut_ptr(),
        out_row,
        cols: b.cols,
        accumulate: false,
    });
}

/// out += aᵀ · b, with `b` row-major of `cols` columns and followed by at least [`panel_width`] readable elements.
pub(super) fn correlate<F: Lanes>(a: View<F>, b: &[F], cols: usize, out: &mut [F]) {
    a.check();
    assert!(a.cols * cols <= out.len() && a.rows * cols + panel_width::<F>() <= b.len());
    pulp::Arch::new().dispatch(Product::<F, true> {
        a: a.data.as_ptr(),
        a_stride: a.row,
        rows: a.cols,
        depth: a.rows,
        b: b.as_ptr(),
        b_panel: panel_width::<F>(),
        b_row: cols,
        out: out.as_mut_ptr(),
        out_row: cols,
        cols,
        accumulate: true,
    });
}

/// Writes the body out for m = 0 … 11 as far as m < M: the optimiser keeps an array in registers only if all indices are
/// literals from the start.
macro_rules! unrolled {
    ($m:ident < $count:ident $body:block) => {
        unrolled!(@ $m $count $body 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $m:ident $count:ident $body:block $($i:literal)*) => {
        $(if $i < $count {
            let $m: usize = $i;
            $body
        })*
    };
}

/// A product whose views have been checked. With `TRANSPOSED`, `a` is stored depth-major.
struct Product<F, const TRANSPOSED: bool> {
    a: *const F,
    a_stride: usize,
    rows: usize,
    depth: usize,
    b: *const F,
    b_panel: usize,
    b_row: usize,
    out: *mut F,
    out_row: usize,
    cols: usize,
    accumulate: bool,
}

impl<F: Lanes, const TRANSPOSED: bool> WithSimd for Product<F, TRANSPOSED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Tiles of M rows × one panel, M · N accumulators: as many as there are registers for.
        match PANEL_BYTES / size_of::<F::Vector<S>>() {
            2 => self.run::<S, 12, 2>(simd),
            4 => self.run::<S, 3, 4>(simd),
            8 => self.run::<S, 2, 8>(simd),
            16 => self.run::<S, 1, 16>(simd),
            _ => self.run::<S, 1, 32>(simd),
        }
    }
}

impl<F: Lanes, const TRANSPOSED: bool> Product<F, TRANSPOSED> {
    #[inline(always)]
    fn run<S: Simd, const M: usize, const N: usize>(&self, simd: S) {
        let width = panel_width::<F>();
        let step = if TRANSPOSED { DEPTH_TRANSPOSED } else { DEPTH };
        for first in (0..self.depth).step_by(step) {
            let depth = step.min(self.depth - first);
            let accumulate = self.accumulate || first > 0;
            for panel in 0..self.cols.div_ceil(width) {
                let mut row = 0;
                while row + M <= self.rows {
                    // SAFETY: the tile lies inside the views that the callers checked.
                    unsafe { self.tile::<S, M, N>(simd, row, panel, first, depth, accumulate) };
                    row += M;
                }
                while row + 2 <= self.rows {
                    // SAFETY: as above.
                    unsafe { self.tile::<S, 2, N>(simd, row, panel, first, depth, accumulate) };
                    row += 2;
                }
                if row < self.rows {
                    // SAFETY: as above.
                    unsafe { self.tile::<S, 1, N>(simd, row, panel, first, depth, accumulate) };
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        row: usize,
        panel: usize,
        first: usize,
        depth: usize,
        accumulate: bool,
    ) {
        let width = panel_width::<F>();
        let lanes = size_of::<F::Vector<S>>() / size_of::<F>();
        let (a_row, a_step) = if TRANSPOSED { (1, self.a_stride) } else { (self.a_stride, 1) };
        let mut sum = [[F::splat(simd, F::ZERO); N]; M];
        // SAFETY: the caller keeps row + M, panel and first + depth inside the views.
        unsafe {
            let a = self.a.add(row * a_row + first * a_step);
            let b = self.b.add(panel * self.b_panel + first * self.b_row);
            for k in 0..depth {
                let mut columns = [F::splat(simd, F::ZERO); N];
                for j in 0..N {
                    columns[j] = b.add(k * self.b_row + j * lanes).cast::<F::Vector<S>>().read_unaligned();
                }
                unrolled!(m < M {
                    let x = F::splat(simd, *a.add(m * a_row + k * a_step));
                    for j in 0..N {
                        sum[m][j] = F::fma(simd, x, columns[j], sum[m][j]);
                    }
                });
            }
            let cols = width.min(self.cols - panel * width);
            let out = self.out.add(row * self.out_row + panel * width);
            unrolled!(m < M {
                let out = out.add(m * self.out_row);
                let row = sum[m];
                if cols == width {
                    for j in 0..N {
                        let out = out.add(j * lanes).cast::<F::Vector<S>>();
                        let s = if accumulate { F::plus(simd, out.read_unaligned(), row[j]) } else { row[j] };
                        out.write_unaligned(s);
                    }
                } else {
                    let row = row.as_ptr().cast::<F>();
                    for j in 0..cols {
                        let s = *row.add(j);
                        *out.add(j) = if accumulate { *out.add(j) + s } else { s };
                    }
                }
            });
        }
    }
}
