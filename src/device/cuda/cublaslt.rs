//! cuBLASLt, NVIDIA's library of matrix products, loaded at run time where it is installed. Nothing needs it: the kernels of
//! `kernels/gemm.cu` compute every product too.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUstream;

use super::failed;
use crate::device::DType;
use crate::error::Result;

/// Most workspace an algorithm may ask for.
const WORKSPACE: usize = 32 << 20;
/// Algorithms the library is asked to name for a product, best guess first.
const ALGORITHMS: usize = 8;
/// What operands must be aligned to: the library then picks among its fastest kernels.
pub(crate) const ALIGNMENT_BYTES: usize = 16;

/// A matrix in column-major order, the library's: column j of item i begins at element i·batch + j·stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub batch: usize,
    pub dtype: DType,
}

/// D = op(A)·op(B) (+ C, laid out like D), `items` times; sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Signature {
    pub a: Matrix,
    pub b: Matrix,
    pub d: Matrix,
    pub transpose_a: bool,
    pub transpose_b: bool,
    pub items: usize,
}

/// Addresses of device memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands {
    pub a: u64,
    pub b: u64,
    /// What is added, `d` itself to accumulate.
    pub c: Option<u64>,
    pub d: u64,
    /// As many bytes as the product's algorithm asks for.
    pub workspace: u64,
}

/// A handle of the library.
pub struct CublasLt {
    handle: sys::cublasLtHandle_t,
    version: usize,
    /// Products asked for so far; `None` where the library cannot compute one.
    products: Mutex<HashMap<Signature, Option<Arc<Prepared>>>>,
}

// SAFETY: "cuBLASLt functions are thread-safe"; the handle is a token.
unsafe impl Send for CublasLt {}
// SAFETY: as above.
unsafe impl Sync for CublasLt {}

/// Version of the library as 10000·major + 100·minor + patch, where it is installed; needs no GPU.
pub(crate) fn installed() -> Option<usize> {
    // SAFETY: looks for the library, which cudarc would panic without, then calls a function of it that takes nothing.
    unsafe { sys::is_culib_present().then(|| sys::cublasLtGetVersion()) }
}

impl CublasLt {
    /// The library with the context that is current on this thread; `None` where it is not installed or does not start.
    pub(super) fn open() -> Option<Self> {
        let version = installed()?;
        result::create_handle().ok().map(|handle| CublasLt { handle, version, products: Mutex::default() })
    }

    /// As [`installed`] found it.
    pub fn version(&self) -> usize {
        self.version
    }

    /// A product ready to run, with the algorithms that can compute it; `None` where the library has none.
    pub(crate) fn prepared(&self, signature: &Signature) -> Result<Option<Arc<Prepared>>> {
        let mut products = self.products.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = products.get(signature) {
            return Ok(known.clone());
        }
        let made = self.prepare(signature)?.map(Arc::new);
        products.insert(*signature, made.clone());
        Ok(made)
    }

    fn prepare(&self, signature: &Signature) -> Result<Option<Prepared>> {
        let descriptor = Descriptor::new(signature)?;
        let [a, b, d] = [signature.a, signature.b, signature.d].map(|m| MatrixLayout::new(m, signature.items));
        let mut prepared = Prepared { descriptor, a: a?, b: b?, d: d?, algorithms: Vec::new() };
        prepared.algorithms = self.algorithms(&prepared)?;
        Ok((!prepared.algorithms.is_empty()).then_some(prepared))
    }

    fn algorithms(&self, p: &Prepared) -> Result<Vec<sys::cublasLtMatmulHeuristicResult_t>> {
        use sys::cublasLtMatmulPreferenceAttributes_t::*;
        let preference = Preference::new()?;
        preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE)?;
        // Splits of k are summed in a fixed order, in f32: the same bits on every run.
        let reductions = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preference.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions)?;
        for operand in [
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ] {
            preference.set(operand, &(ALIGNMENT_BYTES as u32))?;
        }
        // SAFETY: plain data, which the call fills.
        let mut found: [sys::cublasLtMatmulHeuristicResult_t; ALGORITHMS] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        // SAFETY: all descriptors live; `found` has room for as many as asked for.
        let status = unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                self.handle,
                p.descriptor.0,
                p.a.0,
                p.b.0,
                p.d.0,
                p.d.0,
                preference.0,
                ALGORITHMS as i32,
                found.as_mut_ptr(),
                &mut count,
            )
        };
        if status == sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED {
            return Ok(Vec::new());
        }
        check("ask for algorithms", status.result())?;
        let usable = found.into_iter().take(count as usize);
        Ok(usable.filter(|f| f.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS).collect())
    }

    /// Launches a product by its `algorithm`-th algorithm on `stream`.
    pub(super) fn run(&self, p: &Prepared, algorithm: usize, operands: &Operands, stream: CUstream) -> Result<()> {
        let chosen = &p.algorithms[algorithm];
        let (one, beta) = (1.0f32, if operands.c.is_some() { 1.0f32 } else { 0.0 });
        let pointer = |address: u64| address as *const c_void;
        // SAFETY: the descriptors live, the caller's memory has the sizes they say, and all of it is used in stream order.
        let status = unsafe {
            result::matmul(
                self.handle,
                p.descriptor.0,
                (&raw const one).cast(),
                (&raw const beta).cast(),
                pointer(operands.a),
                p.a.0,
                pointer(operands.b),
                p.b.0,
                pointer(operands.c.unwrap_or(operands.d)),
                p.d.0,
                operands.d as *mut c_void,
                p.d.0,
                &chosen.algo,
                operands.workspace as *mut c_void,
                chosen.workspaceSize,
                stream.cast(),
            )
        };
        check("multiply matrices", status)
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        // SAFETY: created in `open`, destroyed once.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// A product with its descriptors and algorithms.
pub(crate) struct Prepared {
    descriptor: Descriptor,
    a: MatrixLayout,
    b: MatrixLayout,
    d: MatrixLayout,
    algorithms: Vec<sys::cublasLtMatmulHeuristicResult_t>,
}

// SAFETY: descriptors are only read after `prepare`.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}

impl Prepared {
    /// How many algorithms there are, from the one the library thinks best.
    pub(crate) fn algorithms(&self) -> usize {
        self.algorithms.len()
    }

    /// Bytes of workspace that an algorithm needs.
    pub(crate) fn workspace(&self, algorithm: usize) -> usize {
        self.algorithms[algorithm].workspaceSize
    }
}

fn check<X>(action: &str, result: std::result::Result<X, CublasError>) -> Result<X> {
    result.map_err(|e| failed(format!("cuBLASLt cannot {action}: {e}")))
}

fn data_type(dtype: DType) -> sys::cudaDataType {
    match dtype {
        DType::F32 => sys::cudaDataType::CUDA_R_32F,
        DType::F64 => sys::cudaDataType::CUDA_R_64F,
        DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
    }
}

struct Descriptor(sys::cublasLtMatmulDesc_t);

impl Descriptor {
    fn new(signature: &Signature) -> Result<Self> {
        use sys::cublasLtMatmulDescAttributes_t::{CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB};
        let (compute, scale) = (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F);
        let descriptor = Descriptor(check("describe a product", result::create_matmul_desc(compute, scale))?);
        for (attribute, transposed) in
            [(CUBLASLT_MATMUL_DESC_TRANSA, signature.transpose_a), (CUBLASLT_MATMUL_DESC_TRANSB, signature.transpose_b)]
        {
            let value = i32::from(transposed);
            // SAFETY: the descriptor lives; the attribute is an i32 (CUBLAS_OP_N = 0, CUBLAS_OP_T = 1).
            let set = unsafe {
                result::set_matmul_desc_attribute(
                    descriptor.0,
                    attribute,
                    (&raw const value).cast(),
                    size_of_val(&value),
                )
            };
            check("describe a product", set)?;
        }
        Ok(descriptor)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: created above, destroyed once.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

struct MatrixLayout(sys::cublasLtMatrixLayout_t);

impl MatrixLayout {
    fn new(m: Matrix, items: usize) -> Result<Self> {
        use sys::cublasLtMatrixLayoutAttribute_t::*;
        let made = result::create_matrix_layout(data_type(m.dtype), m.rows as u64, m.cols as u64, m.stride as i64);
        let layout = MatrixLayout(check("describe a matrix", made)?);
        let (count, batch) = (items as i32, m.batch as i64);
        // SAFETY: the layout lives; the attributes are an i32 and an i64.
        let set = unsafe {
            let count = (&raw const count, size_of_val(&count));
            let batch = (&raw const batch, size_of_val(&batch));
            result::set_matrix_layout_attribute(layout.0, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count.0.cast(), count.1)
                .and_then(|()| {
                    let attribute = CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
                    result::set_matrix_layout_attribute(layout.0, attribute, batch.0.cast(), batch.1)
                })
        };
        check("describe a matrix", set)?;
        Ok(layout)
    }
}

impl Drop for MatrixLayout {
    fn drop(&mut self) {
        // SAFETY: created above, destroyed once.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new() -> Result<Self> {
        Ok(Preference(check("state preferences", result::create_matmul_pref())?))
    }

    fn set<X>(&self, attribute: sys::cublasLtMatmulPreferenceAttributes_t, value: &X) -> Result<()> {
        // SAFETY: the preference lives; the caller passes the attribute's own type.
        let set = unsafe {
            result::set_matmul_pref_attribute(self.0, attribute, std::ptr::from_ref(value).cast(), size_of::<X>())
        };
        check("state preferences", set)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: created above, destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
