//! Memory of a device that is not the CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Device;
use super::heap::Life;
use super::launch::{In, Out};
use crate::error::{Error, Result};

/// A range of device memory, given back when dropped. Addresses are multiples of 256.
pub struct Memory {
    device: Device,
    address: u64,
    bytes: usize,
    /// Lanes whose work has it as an argument.
    users: AtomicU8,
    /// What this is a part of.
    whole: Option<Arc<Memory>>,
}

impl Memory {
    /// `bytes` of unspecified content; within a [`Device::step`] to be dropped before it ends.
    pub fn uninit(device: &Device, bytes: usize) -> Result<Self> {
        Self::new(device, bytes, Life::Passing)
    }

    fn new(device: &Device, bytes: usize, life: Life) -> Result<Self> {
        let address = match device {
            Device::Cpu => return Err(device.error("host memory is no device memory")),
            Device::Emulated(emulator) => emulator.allocate(bytes, life)?,
            Device::Cuda(gpu) => gpu.allocate(bytes, life)?,
        };
        let users = AtomicU8::new(device.lane().bit());
        Ok(Memory { device: device.clone(), address, bytes, users, whole: None })
    }

    /// A copy of host memory; it may outlive the step in which it is made.
    pub fn upload<X: bytemuck::Pod>(device: &Device, data: &[X]) -> Result<Self> {
        let memory = Self::new(device, size_of_val(data), Life::Lasting)?;
        memory.copy_in(0, bytemuck::cast_slice(data))?;
        Ok(memory)
    }

    /// All bytes zero.
    pub fn zeros(device: &Device, bytes: usize) -> Result<Self> {
        let memory = Self::uninit(device, bytes)?;
        match device {
            Device::Cpu => {}
            Device::Emulated(emulator) => emulator.zero(memory.address, bytes),
            Device::Cuda(gpu) => gpu.zero(memory.address, bytes)?,
        }
        Ok(memory)
    }

    /// `bytes` of `whole` from `offset` (a multiple of 256) on; keeps the whole alive.
    pub fn part(whole: &Arc<Memory>, offset: usize, bytes: usize) -> Result<Self> {
        whole.check(offset, bytes)?;
        if !offset.is_multiple_of(super::arena::ALIGNMENT) {
            return Err(Error::op("part", "offset", "a multiple of 256", offset.to_string()));
        }
        let (device, address) = (whole.device.clone(), whole.address + offset as u64);
        Ok(Memory { device, address, bytes, users: AtomicU8::new(0), whole: Some(whole.clone()) })
    }

    /// Size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Owner.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Overwrites from byte `offset` on, after everything launched before. Not within a recorded step: it would not be repeated.
    pub fn write<X: bytemuck::Pod>(&self, offset: usize, data: &[X]) -> Result<()> {
        if self.device.is_recording() {
            return Err(Error::op("copy", "to device", "nothing while a step is recorded", "host memory"));
        }
        self.copy_in(offset, bytemuck::cast_slice(data))
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result<()> {
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

    /// Reads from byte `offset` on, after everything launched before; waits for it.
    pub fn read<X: bytemuck::Pod>(&self, offset: usize, data: &mut [X]) -> Result<()> {
        if self.device.is_recording() {
            return Err(Error::op("copy", "from device", "nothing while a step is recorded", "host memory"));
        }
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

    /// For a kernel of the current lane to read, from element `offset` on.
    pub fn input<X>(&self, offset: usize) -> In<X> {
        In::at(self.used_from::<X>(offset))
    }

    /// For a kernel of the current lane to write, from element `offset` on.
    pub fn output<X>(&self, offset: usize) -> Out<X> {
        Out::at(self.used_from::<X>(offset))
    }

    fn used_from<X>(&self, offset: usize) -> u64 {
        self.users.fetch_or(self.device.lane().bit(), Ordering::Relaxed);
        self.address + (offset * size_of::<X>()) as u64
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let users = *self.users.get_mut();
        match (&self.whole, &self.device) {
            (Some(whole), _) => drop(whole.users.fetch_or(users, Ordering::Relaxed)),
            (None, Device::Cpu) => {}
            (None, Device::Emulated(emulator)) => emulator.free(self.address, users),
            (None, Device::Cuda(gpu)) => gpu.free(self.address, users),
        }
    }
}
