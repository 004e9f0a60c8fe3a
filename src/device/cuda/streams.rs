//! Streams: one for each lane, one for copies, and the events by which they wait for one another.

use std::sync::atomic::Ordering;

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUevent_flags, CUevent_wait_flags};

use super::{Cuda, driver};
use crate::device::heap::Lane;
use crate::error::Result;

/// See the module.
pub(super) struct Streams {
    lanes: [sys::CUstream; Lane::COUNT],
    /// Runs beside both.
    pub copies: sys::CUstream,
    forked: sys::CUevent,
    joined: sys::CUevent,
}

/// An event that only orders work.
pub(super) fn event() -> Result<sys::CUevent> {
    driver("make an event", result::event::create(CUevent_flags::CU_EVENT_DISABLE_TIMING))
}

/// What is launched on `stream` next waits for what was launched on `first` so far.
pub(super) fn after(first: sys::CUstream, event: sys::CUevent, stream: sys::CUstream) -> Result<()> {
    // SAFETY: streams and event live as long as the GPU's context is held.
    unsafe {
        driver("record an event", result::event::record(event, first))?;
        let wait = result::stream::wait_event(stream, event, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT);
        driver("wait for an event", wait)
    }
}

impl Streams {
    /// The context has to be current.
    pub fn new() -> Result<Self> {
        let stream = || driver("make a stream", result::stream::create(result::stream::StreamKind::NonBlocking));
        let lanes = [stream()?, stream()?];
        Ok(Streams { lanes, copies: stream()?, forked: event()?, joined: event()? })
    }

    /// Nothing may run any more.
    pub fn destroy(&self) {
        // SAFETY: made above and not used after this.
        unsafe {
            for event in [self.forked, self.joined] {
                let _ = result::event::destroy(event);
            }
            for stream in self.lanes.into_iter().chain([self.copies]) {
                let _ = result::stream::destroy(stream);
            }
        }
    }
}

impl Cuda {
    pub(in crate::device) fn lane(&self) -> Lane {
        if self.lane.load(Ordering::Relaxed) == 0 { Lane::Main } else { Lane::Side }
    }

    pub(super) fn set_lane(&self, lane: Lane) {
        self.lane.store(lane as u8, Ordering::Relaxed);
    }

    /// The stream of what is launched next.
    pub(super) fn stream(&self) -> sys::CUstream {
        self.streams.lanes[self.lane() as usize]
    }

    pub(super) fn main_stream(&self) -> sys::CUstream {
        self.streams.lanes[Lane::Main as usize]
    }

    pub(in crate::device) fn fork(&self) -> Result<()> {
        self.enter()?;
        self.heap(|heap| heap.fork());
        after(self.main_stream(), self.streams.forked, self.streams.lanes[Lane::Side as usize])
    }

    pub(in crate::device) fn join(&self) -> Result<()> {
        self.enter()?;
        self.heap(|heap| heap.join());
        after(self.streams.lanes[Lane::Side as usize], self.streams.joined, self.main_stream())
    }

    /// Copies from here on come after everything launched so far.
    pub(super) fn copies_after_all(&self) -> Result<()> {
        after(self.main_stream(), self.streams.forked, self.streams.copies)
    }

    /// Waits for everything launched so far.
    pub fn synchronize(&self) -> Result<()> {
        self.enter()?;
        for stream in [self.streams.lanes[Lane::Side as usize], self.main_stream()] {
            // SAFETY: the streams live as long as `self`.
            driver("finish", unsafe { result::stream::synchronize(stream) })?;
        }
        Ok(())
    }
}
