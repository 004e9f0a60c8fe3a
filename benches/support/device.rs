//! Which device a bench runs on, from its command line.

use clap::ValueEnum;
use descant::device::{DType, Device};

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// Plain Rust on all cores.
    Cpu,
    /// The CUDA kernels on the CPU: shows that launches work, says nothing about speed.
    Emulated,
    /// The first NVIDIA GPU.
    Cuda,
}

impl DeviceName {
    /// The device; where it cannot be had, says so: that is no failure of a bench.
    pub fn open(self) -> Option<Device> {
        let device = match self {
            DeviceName::Cpu => Ok(Device::Cpu),
            DeviceName::Emulated => Device::emulated(0),
            DeviceName::Cuda => Device::cuda(),
        };
        device.inspect_err(|error| println!("SKIPPED (visible): {error}")).ok()
    }
}

/// `--dtype`: how a device stores activations and matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    F32,
    Bf16,
}

impl Storage {
    pub fn dtype(self) -> DType {
        match self {
            Storage::F32 => DType::F32,
            Storage::Bf16 => DType::BF16,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::Bf16 => "bf16",
        }
    }
}
