//! The GPU's memory: reserved in large pieces that it keeps, and copies to and from it.

use cudarc::driver::result;

use super::{Cuda, driver};
use crate::device::heap::{Heap, Life};
use crate::error::Result;

/// Memory is reserved in multiples of so many bytes: the driver's own pages are 2 MiB.
const SEGMENT: usize = 32 << 20;

impl Cuda {
    /// Reads or changes the heap.
    pub(in crate::device) fn heap<R>(&self, f: impl FnOnce(&mut Heap) -> R) -> R {
        let heap = &mut *self.heap.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let result = f(heap);
        self.set_lane(heap.lane());
        result
    }

    pub(in crate::device) fn allocate(&self, bytes: usize, life: Life) -> Result<u64> {
        self.enter()?;
        self.heap(|heap| {
            let held: usize = heap.segments().map(|(_, bytes)| bytes).sum();
            heap.take(bytes, life, |bytes| {
                let bytes = bytes.next_multiple_of(SEGMENT);
                // SAFETY: nothing reads it before it is written.
                let start = unsafe { result::malloc_sync(bytes) };
                Ok((driver(&format!("reserve {bytes} bytes beside {held}"), start)?, bytes))
            })
        })
    }

    /// Reused in stream order: whatever was launched before has it to itself.
    pub(in crate::device) fn free(&self, start: u64, users: u8) {
        self.heap(|heap| heap.give(start, users));
    }

    pub(in crate::device) fn zero(&self, start: u64, bytes: usize) -> Result<()> {
        self.enter()?;
        // SAFETY: the caller owns the range.
        driver("clear memory", unsafe { result::memset_d8_async(start, 0, bytes, self.stream()) })
    }

    /// After everything launched before; while a step is recorded, at once: the step has not begun.
    pub(in crate::device) fn upload(&self, start: u64, data: &[u8]) -> Result<()> {
        self.enter()?;
        let stream = if self.heap(|heap| heap.recording) { self.streams.copies } else { self.stream() };
        // SAFETY: the caller checked the range; from pageable memory the call returns when `data` has been read.
        driver("copy to the GPU", unsafe { result::memcpy_htod_async(start, data, stream) })
    }

    pub(in crate::device) fn download(&self, start: u64, data: &mut [u8]) -> Result<()> {
        self.enter()?;
        // SAFETY: the caller checked the range; synchronised before `data` is used.
        driver("copy from the GPU", unsafe { result::memcpy_dtoh_async(data, start, self.stream()) })?;
        self.synchronize()
    }

    /// Hands all memory back to the driver; nothing may run any more.
    pub(super) fn release_memory(&self) {
        self.heap(|heap| {
            for (start, _) in heap.segments() {
                // SAFETY: reserved above; whoever held a part of it held the device.
                let _ = unsafe { result::free_sync(start) };
            }
        });
    }
}
