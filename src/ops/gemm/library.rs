//! Products by cuBLASLt, where it is installed. It takes one group of rows that do not overlap, and of the epilogue the addition:
//! its GELU is the tanh approximation, and its bias is no f32. Everything else is ours.
//!
//! The library reads matrices by columns: a row-major C = A·B is its Cᵀ = Bᵀ·Aᵀ, so operands change places and rows are columns.

use super::{Form, Layout, Size, View};
use crate::device::cublaslt::{ALIGNMENT_BYTES, Matrix, Operands, Signature};
use crate::device::{DType, Device, Memory};
use crate::error::{Error, Result};

/// How many algorithms the library offers for a product on this device, from the one it thinks best; 0 where there is no library.
pub(super) fn algorithms(device: &Device, signature: &Signature) -> Result<usize> {
    let Device::Cuda(gpu) = device else { return Ok(0) };
    let Some(library) = gpu.cublaslt() else { return Ok(0) };
    Ok(library.prepared(signature)?.map_or(0, |p| p.algorithms()))
}

/// Version of the library, 0 where there is none.
pub(super) fn version(device: &Device) -> usize {
    let Device::Cuda(gpu) = device else { return 0 };
    gpu.cublaslt().map_or(0, |library| library.version())
}

/// D = A·B, plus what lies at `addend` (like D, or D itself) where that is not 0. Addresses are those of the operands of the
/// [`super::Product`], not in the library's order.
pub(super) fn run(device: &Device, signature: &Signature, algorithm: usize, [a, b, addend, d]: [u64; 4]) -> Result<()> {
    let missing = || Error::op("gemm", "engine", "cuBLASLt with such an algorithm", "none");
    let Device::Cuda(gpu) = device else { return Err(missing()) };
    let library = gpu.cublaslt().ok_or_else(missing)?;
    let prepared = library.prepared(signature)?.filter(|p| algorithm < p.algorithms()).ok_or_else(missing)?;
    // Its own for every product: two streams may run the same one at once.
    let workspace = Memory::uninit(device, prepared.workspace(algorithm))?;
    let c = (addend != 0).then_some(addend);
    let operands = Operands { a: b, b: a, c, d, workspace: workspace.input::<u8>(0).address() };
    gpu.multiply(&prepared, algorithm, &operands)
}

/// The product as the library describes it; `None` where it does not take the operands as they lie.
pub(super) fn signature(form: Form, size: Size, a: View, b: View, out: Layout, dtype: DType) -> Option<Signature> {
    let plain = |layout: Layout, rows: usize, cols: usize| rows <= layout.group && layout.stride >= cols;
    let aligned = |layout: Layout, dtype: DType| {
        [layout.offset, layout.stride, layout.batch].iter().all(|x| (x * dtype.bytes()).is_multiple_of(ALIGNMENT_BYTES))
    };
    let storage = a.tensor.dtype();
    let operands_fit =
        [a, b].iter().all(|v| plain(v.layout, v.rows, v.cols) && aligned(v.layout, storage) && v.tensor.is_aligned());
    if !operands_fit || !plain(out, size.m, size.n) || !aligned(out, dtype) {
        return None;
    }
    let matrix = |rows: usize, cols: usize, layout: Layout, dtype: DType| Matrix {
        rows: cols,
        cols: rows,
        stride: layout.stride,
        batch: layout.batch,
        dtype,
    };
    Some(Signature {
        a: matrix(b.rows, b.cols, b.layout, storage),
        b: matrix(a.rows, a.cols, a.layout, storage),
        d: matrix(size.m, size.n, out, dtype),
        transpose_a: form == Form::XWt,
        transpose_b: form == Form::DytX,
        items: size.batch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gemm::{Form, Size};
    use crate::tensor::Tensor;

    /// What the library's documentation says it computes: op(A)·op(B) of matrices in column-major order.
    fn by_columns(s: &Signature, a: &[f64], b: &[f64], d: &mut [f64]) {
        let at = |m: &Matrix, transposed: bool, item: usize, i: usize, j: usize| {
            let (row, column) = if transposed { (j, i) } else { (i, j) };
            assert!(row < m.rows && column < m.cols && m.stride >= m.rows);
            item * m.batch + column * m.stride + row
        };
        let inner = if s.transpose_a { s.a.rows } else { s.a.cols };
        for item in 0..s.items {
            for i in 0..s.d.rows {
                for j in 0..s.d.cols {
                    let term = |k| a[at(&s.a, s.transpose_a, item, i, k)] * b[at(&s.b, s.transpose_b, item, k, j)];
                    d[at(&s.d, false, item, i, j)] = (0..inner).map(term).sum();
                }
            }
        }
    }

    #[test]
    fn the_library_is_asked_for_the_product() {
        let (m, n, k, batch, pad) = (3, 5, 4, 2, 8);
        let size = Size { m, n, k, batch };
        for (form, shape_a, shape_b) in
            [(Form::XWt, (m, k), (n, k)), (Form::DyW, (m, k), (k, n)), (Form::DytX, (k, m), (k, n))]
        {
            let layout = |rows: usize| Layout { stride: pad, batch: rows * pad, ..Layout::dense(rows, pad) };
            let values = |rows: usize, salt: usize| -> Vec<f64> {
                (0..batch * rows * pad).map(|i| ((i * 7 + salt) % 11) as f64 - 5.0).collect()
            };
            let (va, vb) = (values(shape_a.0, 1), values(shape_b.0, 2));
            let tensor = |v: &[f64]| Tensor::from_f64(&[v.len()], v, DType::F32);
            let (ta, tb) = (tensor(&va), tensor(&vb));
            let a = View::with(&ta, shape_a.0, shape_a.1, layout(shape_a.0));
            let b = View::with(&tb, shape_b.0, shape_b.1, layout(shape_b.0));
            let s = signature(form, size, a, b, layout(m), DType::F32).expect("the library takes it");
            let mut d = vec![0.0; batch * m * pad];
            by_columns(&s, &vb, &va, &mut d);
            for (item, i, j) in (0..batch).flat_map(|t| (0..m).flat_map(move |i| (0..n).map(move |j| (t, i, j)))) {
                let of_a = |q| if form == Form::DytX { q * pad + i } else { i * pad + q } + item * shape_a.0 * pad;
                let of_b = |q| if form == Form::XWt { j * pad + q } else { q * pad + j } + item * shape_b.0 * pad;
                let expected: f64 = (0..k).map(|q| va[of_a(q)] * vb[of_b(q)]).sum();
                assert_eq!(d[item * m * pad + i * pad + j], expected, "{form:?}: item {item}, row {i}, column {j}");
            }
        }
    }

    #[test]
    fn rows_that_overlap_or_come_in_groups_are_not_the_librarys() {
        let t = Tensor::zeros(&[1024], DType::F32);
        let size = Size { m: 8, n: 8, k: 16, batch: 1 };
        let w = View::with(&t, 8, 16, Layout::dense(8, 16));
        let take =
            |layout| signature(Form::XWt, size, View::with(&t, 8, 16, layout), w, Layout::dense(8, 8), DType::F32);
        assert!(take(Layout::dense(8, 16)).is_some());
        assert!(take(Layout { stride: 8, ..Layout::dense(8, 16) }).is_none());
        assert!(take(Layout { group: 4, jump: 128, ..Layout::dense(8, 16) }).is_none());
        assert!(take(Layout { offset: 1, ..Layout::dense(8, 16) }).is_none());
    }
}
