//! Flat memory of one device and element type.

use super::{DType, Device, Memory, PoolVec};

/// Flat memory behind a [`Tensor`](crate::tensor::Tensor).
pub enum Buffer {
    /// Host memory, 32-bit.
    F32(PoolVec<f32>),
    /// Host memory, 64-bit.
    F64(PoolVec<f64>),
    /// Memory of another device.
    Device(Memory, DType),
}

impl Buffer {
    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Buffer::F32(_) => DType::F32,
            Buffer::F64(_) => DType::F64,
            Buffer::Device(_, dtype) => *dtype,
        }
    }

    /// The device whose memory this is.
    pub fn device(&self) -> &Device {
        match self {
            Buffer::F32(_) | Buffer::F64(_) => &Device::Cpu,
            Buffer::Device(memory, _) => memory.device(),
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Buffer::F32(v) => v.len(),
            Buffer::F64(v) => v.len(),
            Buffer::Device(memory, dtype) => memory.bytes() / dtype.bytes(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
