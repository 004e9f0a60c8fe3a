//! Contiguous row-major arrays: a shape over shared flat memory.

mod transfer;

use std::fmt;
use std::sync::Arc;

use crate::device::{Buffer, DType, Device, PoolVec, Real};
use crate::error::Result;

/// A contiguous, row-major array. Cloning shares the memory; operations never write to a tensor they did not make.
#[derive(Clone)]
pub struct Tensor {
    shape: Vec<usize>,
    offset: usize,
    data: Arc<Buffer>,
}

impl Tensor {
    /// Wraps freshly written memory; `data.len()` is the product of `shape`.
    pub fn from_pool<F: Real>(shape: &[usize], data: PoolVec<F>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "tensor of shape {shape:?} needs as many elements");
        Tensor { shape: shape.to_vec(), offset: 0, data: Arc::new(F::buffer(data)) }
    }

    /// Copies `data` into a new tensor.
    pub fn from_slice<F: Real>(shape: &[usize], data: &[F]) -> Self {
        Self::from_pool(shape, PoolVec::copy_of(data))
    }

    /// Converts `data` to `dtype` in a new tensor.
    pub fn from_f64(shape: &[usize], data: &[f64], dtype: DType) -> Self {
        crate::with_real!(dtype, F => {
            let mut v = PoolVec::<F>::uninit(data.len());
            v.iter_mut().zip(data).for_each(|(o, &x)| *o = F::of(x));
            Self::from_pool(shape, v)
        })
    }

    /// All zeros.
    pub fn zeros(shape: &[usize], dtype: DType) -> Self {
        crate::with_real!(dtype, F => Self::from_pool(shape, PoolVec::<F>::zeros(shape.iter().product())))
    }

    /// A scalar 1 (the gradient of a loss with respect to itself).
    pub fn one(dtype: DType) -> Self {
        Self::from_f64(&[], &[1.0], dtype)
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Product of all sizes but the last: how many rows of features there are.
    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len().saturating_sub(1)].iter().product()
    }

    /// Last size: how many features a row has.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        self.data.device()
    }

    /// Same memory, another shape of equal size.
    pub fn reshape(&self, shape: &[usize]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), self.len(), "reshape {:?} to {shape:?}", self.shape);
        Tensor { shape: shape.to_vec(), offset: self.offset, data: self.data.clone() }
    }

    /// `shape` elements from `offset` on, in the same memory.
    pub fn view(&self, offset: usize, shape: &[usize]) -> Self {
        let len: usize = shape.iter().product();
        assert!(offset + len <= self.len(), "view of {len} at {offset} in {}", self.len());
        Tensor { shape: shape.to_vec(), offset: self.offset + offset, data: self.data.clone() }
    }

    /// Elements on the host. Panics where `F` is not the element type: that is a programming error.
    pub fn as_slice<F: Real>(&self) -> &[F] {
        let all = F::slice(&self.data).expect("element type of the tensor");
        &all[self.offset..self.offset + self.len()]
    }

    /// Elements for writing, if nothing else shares the memory.
    pub fn as_mut_slice<F: Real>(&mut self) -> Option<&mut [F]> {
        let range = self.offset..self.offset + self.len();
        F::slice_mut(Arc::get_mut(&mut self.data)?).map(|all| &mut all[range])
    }

    /// Elements as `f64`, whatever the element type and device. Panics where a device fails: [`Tensor::to_host`] does not.
    pub fn to_f64(&self) -> Vec<f64> {
        if !self.device().is_cpu() {
            return self.to_host().expect("the device answers").to_f64();
        }
        crate::with_real!(self.dtype(), F => self.as_slice::<F>().iter().map(|x| x.f64()).collect())
    }

    /// Elements as `f32`, whatever the element type and device. Panics where a device fails: [`Tensor::to_host`] does not.
    pub fn to_f32(&self) -> Vec<f32> {
        if !self.device().is_cpu() {
            return self.to_host().expect("the device answers").to_f32();
        }
        crate::with_real!(self.dtype(), F => self.as_slice::<F>().iter().map(|x| x.f64() as f32).collect())
    }

    /// The only element of a one-element tensor.
    pub fn item(&self) -> f64 {
        assert_eq!(self.len(), 1, "item of a tensor of shape {:?}", self.shape);
        self.to_f64()[0]
    }

    /// Whether nothing else shares the memory: a kernel may write it.
    pub fn is_exclusive(&mut self) -> bool {
        Arc::get_mut(&mut self.data).is_some()
    }

    /// Adds `other` element-wise, in place where the memory is not shared.
    pub fn add_assign(&mut self, other: &Tensor) -> Result<()> {
        assert_eq!(self.len(), other.len(), "adding {:?} to {:?}", other.shape, self.shape);
        if !self.device().is_cpu() {
            *self = crate::ops::add::sum(self, other)?;
            return Ok(());
        }
        crate::with_real!(self.dtype(), F => {
            if self.as_mut_slice::<F>().is_none() {
                *self = Tensor::from_slice(&self.shape, self.as_slice::<F>());
            }
            let (a, b) = (self.as_mut_slice::<F>().expect("just copied"), other.as_slice::<F>());
            crate::ops::parallel_zip(a, b, |x, &y| *x += y);
        });
        Ok(())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Tensor{:?} {:?}", self.shape, self.dtype())
    }
}
