//! Memory of a device that is not the CPU.

use super::Device;
use super::launch::{In, Out};
use crate::error::{Error, Result};

/// A range of device memory, freed when dropped. Addresses are multiples of 256.
pub struct Memory {
    device: Device,
    address: u64,
    bytes: usize,
}

impl Memory {
    /// `bytes` of unspecified content.
    pub fn uninit(device: &Device, bytes: usize) -> Result<Self> {
        let address = match device {
            Device::Cpu => return Err(device.error("host memory is no device memory")),
            Device::Emulated(emulator) => emulator.allocate(bytes),
            Device::Cuda(gpu) => gpu.allocate(bytes)?,
        };
        Ok(Memory { device: device.clone(), address, bytes })
    }

    /// A copy of host memory.
    pub fn upload<X: bytemuck::Pod>(device: &Device, data: &[X]) -> Result<Self> {
        let memory = Self::uninit(device, size_of_val(data))?;
        memory.write(0, data)?;
        Ok(memory)
    }

    /// All bytes zero.
    pub fn zeros(device: &Device, bytes: usize) -> Result<Self> {
        let memory = Self::uninit(device, bytes)?;
        match device {
            Device::Cpu => {}
            // SAFETY: the range was just allocated.
            Device::Emulated(_) => unsafe { std::ptr::write_bytes(memory.address as *mut u8, 0, bytes) },
            Device::Cuda(gpu) => gpu.zero(memory.address, bytes)?,
        }
        Ok(memory)
    }

    /// Size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Owner.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Overwrites from byte `offset` on.
    pub fn write<X: bytemuck::Pod>(&self, offset: usize, data: &[X]) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        self.check(offset, bytes.len())?;
        let to = self.address + offset as u64;
        match &self.device {
            Device::Cpu => Ok(()),
            // SAFETY: the range was checked against the allocation.
            Device::Emulated(_) => unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len());
                Ok(())
            },
            Device::Cuda(gpu) => gpu.upload(to, bytes),
        }
    }

    /// Reads from byte `offset` on, after everything launched before.
    pub fn read<X: bytemuck::Pod>(&self, offset: usize, data: &mut [X]) -> Result<()> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(data);
        self.check(offset, bytes.len())?;
        let from = self.address + offset as u64;
        match &self.device {
            Device::Cpu => Ok(()),
            // SAFETY: the range was checked against the allocation.
            Device::Emulated(_) => unsafe {
                std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len());
                Ok(())
            },
            Device::Cuda(gpu) => gpu.download(from, bytes),
        }
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        if offset.checked_add(len).is_some_and(|end| end <= self.bytes) {
            return Ok(());
        }
        Err(Error::op("copy", "range", format!("within {} bytes", self.bytes), format!("{len} bytes at {offset}")))
    }

    /// For a kernel to read, from element `offset` on.
    pub fn input<X>(&self, offset: usize) -> In<X> {
        In::at(self.address + (offset * size_of::<X>()) as u64)
    }

    /// For a kernel to write, from element `offset` on.
    pub fn output<X>(&self, offset: usize) -> Out<X> {
        Out::at(self.address + (offset * size_of::<X>()) as u64)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match &self.device {
            Device::Cpu => {}
            Device::Emulated(emulator) => emulator.free(self.address),
            Device::Cuda(gpu) => gpu.free(self.address),
        }
    }
}
