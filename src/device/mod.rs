//! Where tensors live and operations run.
//!
//! | concept | type | meaning |
//! |---|---|---|
//! | device | [`Device`] | what executes an operation |
//! | element type | [`DType`] | `f32` everywhere; `f64` for gradient checks on the CPU |
//! | buffer | [`Buffer`] | flat memory of one device and element type, from a reusing pool |
//! | scalar | [`Real`] | what CPU kernels are generic over |

mod buffer;
mod pool;
mod real;
pub mod simd;

pub use buffer::Buffer;
pub use pool::PoolVec;
pub use real::Real;

/// What executes operations. A closed enum: each operation matches on it once, where it launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// Plain Rust on all cores; always there, and the oracle for every other device.
    Cpu,
}

impl Device {
    /// Name as used in `device=…` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
        }
    }
}

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// 32-bit floats: training and inference.
    F32,
    /// 64-bit floats: gradient checks and golden vectors.
    F64,
}

/// Runs `$body` with the type alias `$F` bound to the Rust type of `$dtype`.
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
        }
    };
}
