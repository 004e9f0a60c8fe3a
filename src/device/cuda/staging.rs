//! Page-locked host memory, and copies that neither side waits for.

use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys;

use super::streams::{after, event};
use super::{Cuda, Handle, driver};
use crate::device::heap::Life;
use crate::error::Result;

/// Host memory that the GPU reads and writes by itself.
pub(in crate::device) struct Pinned {
    start: Handle<*mut u8>,
    len: usize,
    gpu: Arc<Cuda>,
}

impl Pinned {
    /// To be read or written only while no copy is under way.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes, set when they were made; `&mut self` keeps others out.
        unsafe { std::slice::from_raw_parts_mut(self.start.0, self.len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // A copy may still be under way.
        if self.gpu.synchronize().is_ok() {
            // SAFETY: made by the same driver and not used after this.
            let _ = unsafe { result::free_host(self.start.0.cast()) };
        }
    }
}

/// When a copy has arrived.
pub(in crate::device) struct Arrival(Handle<sys::CUevent>);

impl Drop for Arrival {
    fn drop(&mut self) {
        // SAFETY: made by this driver; pending work keeps what it needs of it.
        let _ = unsafe { result::event::destroy(self.0.0) };
    }
}

/// A block on its way: host memory, the memory of the GPU that it crosses the bus to, and when each is done with.
pub(in crate::device) struct Slot {
    host: Pinned,
    /// On the GPU.
    landing: u64,
    /// The host's bytes have left.
    sent: Arrival,
    /// The landing has been copied on.
    taken: Arrival,
}

impl Slot {
    pub fn bytes(&mut self) -> &mut [u8] {
        self.host.bytes()
    }

    pub fn len(&self) -> usize {
        self.host.len
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.host.gpu.synchronize().is_ok() {
            self.host.gpu.free(self.landing, 0);
        }
    }
}

impl Cuda {
    pub(in crate::device) fn pinned(self: &Arc<Self>, len: usize) -> Result<Pinned> {
        self.enter()?;
        // SAFETY: set to zero before anyone reads it.
        let start = unsafe {
            let start = driver(&format!("lock {len} bytes of host memory"), result::malloc_host(len.max(1), 0))?;
            std::ptr::write_bytes(start.cast::<u8>(), 0, len);
            Handle(start.cast::<u8>())
        };
        Ok(Pinned { start, len, gpu: self.clone() })
    }

    pub(in crate::device) fn arrival(&self) -> Result<Arrival> {
        self.enter()?;
        Ok(Arrival(Handle(event()?)))
    }

    pub(in crate::device) fn slot(self: &Arc<Self>, len: usize) -> Result<Slot> {
        let (host, landing) = (self.pinned(len)?, self.allocate(len, Life::Lasting)?);
        // What was there before may still be in use.
        self.copies_after_all()?;
        Ok(Slot { host, landing, sent: self.arrival()?, taken: self.arrival()? })
    }

    /// Waits until the slot's last block has left the host; an event that was never recorded has happened.
    pub(in crate::device) fn wait_until_sent(&self, slot: &Slot) -> Result<()> {
        self.wait(&slot.sent)
    }

    /// Copies the slot's block to `to`, for whatever is launched next.
    pub(in crate::device) fn send(&self, slot: &mut Slot, to: u64) -> Result<()> {
        self.enter()?;
        let (copies, main) = (self.streams.copies, self.main_stream());
        // SAFETY: the landing and `to` hold so many bytes; the host's are left alone until `sent`, the landing's until `taken`.
        unsafe {
            let wait = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            driver("wait for a copy", result::stream::wait_event(copies, slot.taken.0.0, wait))?;
            let host = std::slice::from_raw_parts(slot.host.start.0, slot.host.len);
            driver("copy to the GPU", result::memcpy_htod_async(slot.landing, host, copies))?;
            after(copies, slot.sent.0.0, main)?;
            driver("copy on the GPU", result::memcpy_dtod_async(to, slot.landing, slot.host.len, main))?;
            driver("record an event", result::event::record(slot.taken.0.0, main))
        }
    }

    /// Copies from the GPU once everything launched so far is done.
    pub(in crate::device) fn receive(&self, from: u64, to: &mut Pinned, arrival: &Arrival) -> Result<()> {
        self.enter()?;
        // SAFETY: the caller's memory holds as many bytes as `to`, which is left alone until `arrival`.
        unsafe {
            driver("copy from the GPU", result::memcpy_dtoh_async(to.bytes(), from, self.main_stream()))?;
            driver("record an event", result::event::record(arrival.0.0, self.main_stream()))
        }
    }

    pub(in crate::device) fn wait(&self, arrival: &Arrival) -> Result<()> {
        self.enter()?;
        // SAFETY: the event lives.
        driver("wait for a copy", unsafe { result::event::synchronize(arrival.0.0) })
    }
}
