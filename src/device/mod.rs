//! Where tensors live and operations run.
//!
//! | concept | type | meaning |
//! |---|---|---|
//! | device | [`Device`] | what executes an operation |
//! | element type | [`DType`] | `f32` everywhere; `f64` for gradient checks on the CPU; `bf16` for activations on a GPU |
//! | buffer | [`Buffer`] | flat memory of one device and element type; on the CPU from a reusing pool |
//! | mirror | [`Mirrored`] | host data with copies on devices: indices, offsets, tables |
//! | scalar | [`Real`] | what CPU code is generic over |
//! | storage | [`Storage`] | what kernels are generic over |
//! | kernel | `kernels` | one typed function for each CUDA kernel |
//! | launch | [`Launch`] | the grid a kernel runs on |
//! | step | [`Device::step`] | work whose memory is dropped at its end |
//! | lane | [`Lane`] | work in order; two of them between [`Device::fork`] and [`Device::join`] |
//! | staging | [`Outgoing`], [`Incoming`] | host memory on its way, without waiting |
//! | recording | [`Recording`] | a step to be repeated as it is: a CUDA graph |

mod arena;
mod buffer;
mod cuda;
pub mod emulated;
mod heap;
pub(crate) mod kernels;
mod launch;
mod memory;
mod mirrored;
mod pool;
pub mod probe;
mod real;
mod recording;
pub mod simd;
mod staging;

use std::fmt;
use std::sync::Arc;

pub use buffer::Buffer;
pub use cuda::Cuda;
pub use emulated::Emulator;
pub use heap::Lane;
pub use launch::{In, Launch, Out, Storage};
pub use memory::Memory;
pub use mirrored::Mirrored;
pub use pool::PoolVec;
pub use real::Real;
pub use recording::Recording;
pub use staging::{Incoming, Outgoing, Ticket};

use crate::error::{Error, Result};

/// What executes operations. A closed enum: each operation matches on it once, where it launches.
#[derive(Clone)]
pub enum Device {
    /// Plain Rust on all cores; always there, and the oracle for every other device.
    Cpu,
    /// The CUDA kernels on the CPU, one fiber for each CUDA thread: for tests, on small shapes.
    Emulated(Arc<Emulator>),
    /// An NVIDIA GPU.
    Cuda(Arc<Cuda>),
}

impl Device {
    /// The first NVIDIA GPU, or why there is none to be had.
    pub fn cuda() -> Result<Self> {
        Ok(Device::Cuda(Arc::new(Cuda::open(0)?)))
    }

    /// A new emulated device whose threads run in an order drawn from `seed`.
    pub fn emulated(seed: u64) -> Result<Self> {
        Ok(Device::Emulated(Arc::new(Emulator::new(seed)?)))
    }

    /// Name as used in `device=…` and in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Emulated(_) => "emulated",
            Device::Cuda(_) => "cuda",
        }
    }

    /// What it is, for people: a GPU's product name, compute capability and memory.
    pub fn product(&self) -> Result<String> {
        match self {
            Device::Cpu | Device::Emulated(_) => Ok(self.name().to_owned()),
            Device::Cuda(gpu) => {
                let ((major, minor), (_, total)) = (gpu.capability()?, gpu.memory()?);
                Ok(format!("{} (compute capability {major}.{minor}, {} GiB)", gpu.name()?, total >> 30))
            }
        }
    }

    /// Whether operations run as plain Rust rather than as kernels.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Device::Cpu)
    }

    /// `blocks` blocks along x of a kernel to be named next.
    pub fn launch(&self, blocks: usize) -> Launch<'_> {
        Launch::new(self, blocks)
    }

    /// An error of this device.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Device { device: self.name().to_owned(), reason: reason.into() }
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        match (self, other) {
            (Device::Cpu, Device::Cpu) => true,
            (Device::Emulated(a), Device::Emulated(b)) => Arc::ptr_eq(a, b),
            (Device::Cuda(a), Device::Cuda(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 32-bit floats: training and inference.
    F32,
    /// 64-bit floats: gradient checks and golden vectors, on the CPU.
    F64,
    /// The upper half of an `f32`: activations on a GPU.
    BF16,
}

impl DType {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F64 => 8,
            DType::BF16 => 2,
        }
    }
}

/// Runs `$body` with the type alias `$F` bound to the Rust type of `$dtype`, on the CPU.
#[macro_export]
macro_rules! with_real {
    ($dtype:expr, $F:ident => $body:expr) => {
        match $dtype {
            $crate::device::DType::F32 => {
                type $F = f32;
                $body
            }
            $crate::device::DType::F64 => {
                type $F = f64;
                $body
            }
            $crate::device::DType::BF16 => unreachable!("the CPU holds no bf16 tensors"),
        }
    };
}

/// Runs `$body` with the type alias `$T` bound to the storage type of `$dtype`, for a kernel.
#[macro_export]
macro_rules! with_storage {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::device::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::device::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            $crate::device::DType::F64 => unreachable!("kernels store no f64 tensors"),
        }
    };
}
