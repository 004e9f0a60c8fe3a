//! Flat memory of one device and element type.

use super::{DType, Device, PoolVec};

/// Flat memory behind a [`Tensor`](crate::tensor::Tensor).
pub enum Buffer {
    /// Host memory, 32-bit.
    F32(PoolVec<f32>),
    /// Host memory, 64-bit.
    F64(PoolVec<f64>),
}

impl Buffer {
    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Buffer::F32(_) => DType::F32,
            Buffer::F64(_) => DType::F64,
        }
    }

    /// The device whose memory this is.
    pub fn device(&self) -> Device {
        Device::Cpu
    }
}
