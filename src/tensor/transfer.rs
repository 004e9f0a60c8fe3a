//! Tensors in the memory of another device: making them, copying them there and back, handing them to kernels.

use std::sync::Arc;

use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::Tensor;
use crate::device::{Buffer, DType, Device, In, Memory, Out, Storage, kernels};
use crate::error::{Error, Result};
use crate::with_storage;

impl Tensor {
    /// Unspecified content, for a kernel to write every element of.
    pub fn uninit_on(device: &Device, shape: &[usize], dtype: DType) -> Result<Self> {
        let memory = Memory::uninit(device, shape.iter().product::<usize>() * dtype.bytes())?;
        Ok(Self::from_memory(shape, memory, dtype))
    }

    /// All zeros, on any device.
    pub fn zeros_on(device: &Device, shape: &[usize], dtype: DType) -> Result<Self> {
        if device.is_cpu() {
            return Ok(Self::zeros(shape, dtype));
        }
        let memory = Memory::zeros(device, shape.iter().product::<usize>() * dtype.bytes())?;
        Ok(Self::from_memory(shape, memory, dtype))
    }

    /// A scalar 1 on any device (the gradient of a loss with respect to itself).
    pub fn one_on(device: &Device, dtype: DType) -> Result<Self> {
        if device.is_cpu() {
            return Ok(Self::one(dtype));
        }
        let mut one = Self::uninit_on(device, &[], dtype)?;
        with_storage!(dtype, T => kernels::add::fill::<T>(device.launch(1), one.output(), 1.0, 1)?);
        Ok(one)
    }

    /// Wraps device memory; `shape` elements of `dtype` fill it.
    pub fn from_memory(shape: &[usize], memory: Memory, dtype: DType) -> Self {
        let bytes = shape.iter().product::<usize>() * dtype.bytes();
        assert_eq!(bytes, memory.bytes(), "tensor of shape {shape:?} and {dtype:?} fills its memory");
        Tensor { shape: shape.to_vec(), offset: 0, data: Arc::new(Buffer::Device(memory, dtype)) }
    }

    /// A copy on `device`, converted to `dtype` on the way.
    pub fn to_device(&self, device: &Device, dtype: DType) -> Result<Self> {
        if self.device() == device && self.dtype() == dtype {
            return Ok(self.clone());
        }
        if device.is_cpu() {
            return Ok(Self::from_f64(&self.shape, &self.to_host()?.to_f64(), dtype));
        }
        let values = self.to_host()?.to_f32();
        let memory = match dtype {
            DType::F32 => Memory::upload(device, &values)?,
            DType::BF16 => {
                let mut narrow = vec![bf16::ZERO; values.len()];
                narrow.convert_from_f32_slice(&values);
                Memory::upload(device, &narrow)?
            }
            DType::F64 => return Err(Error::op("to_device", "dtype", "f32 or bf16", "f64")),
        };
        Ok(Self::from_memory(&self.shape, memory, dtype))
    }

    /// A copy in host memory, after everything launched before; bf16 becomes f32.
    pub fn to_host(&self) -> Result<Self> {
        let Buffer::Device(memory, dtype) = &*self.data else { return Ok(self.clone()) };
        let start = self.offset * dtype.bytes();
        let mut values = vec![0.0f32; self.len()];
        match dtype {
            DType::BF16 => {
                let mut narrow = vec![bf16::ZERO; self.len()];
                memory.read(start, &mut narrow)?;
                narrow.convert_to_f32_slice(&mut values);
            }
            DType::F32 | DType::F64 => memory.read(start, &mut values)?,
        }
        Ok(Self::from_slice(&self.shape, &values))
    }

    /// For a kernel to read. Panics where `T` is not the element type: that is a programming error.
    pub fn input<T: Storage>(&self) -> In<T> {
        self.memory::<T>().input(self.offset)
    }

    /// For a kernel to write; the memory must not be shared.
    pub fn output<T: Storage>(&mut self) -> Out<T> {
        assert!(Arc::get_mut(&mut self.data).is_some(), "a kernel writes memory that no other tensor shares");
        self.memory::<T>().output(self.offset)
    }

    /// Whether the first element's address allows 16-byte access, whatever the element type.
    pub(crate) fn is_aligned(&self) -> bool {
        self.offset.is_multiple_of(8)
    }

    fn memory<T: Storage>(&self) -> &Memory {
        match &*self.data {
            Buffer::Device(memory, dtype) if *dtype == T::DTYPE => memory,
            other => panic!("a kernel takes {:?}, the tensor is {:?} on {:?}", T::DTYPE, other.dtype(), other.device()),
        }
    }
}
