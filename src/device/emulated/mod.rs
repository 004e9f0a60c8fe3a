//! The CUDA kernels on the CPU: the same `.cu` files compiled by the C++ compiler, one fiber for each CUDA thread, one block
//! after the other. For tests: it looks for what a GPU would only sometimes show.
//!
//! | fault | how it is found |
//! |---|---|
//! | order of threads or blocks relied upon | both are shuffled by a seed |
//! | read of what was never written | device and shared memory start as NaN |
//! | barrier missing | two threads touch the same bytes, one of them writing, with no barrier between |
//! | barrier not reached by all | threads wait at different barriers, or for one that has ended |
//! | wait for an asynchronous copy missing | the bytes arrive at the wait; the destination is NaN until then |
//! | access out of bounds | every load and store is checked against allocations and shared arrays |
//! | misaligned vector access | its address is checked |
//! | two blocks writing the same bytes | every store remembers its block |
//!
//! Each fault ends the launch with an error that names the kernel, the block, the thread and where known the line.

mod access;
mod block;
mod hooks;
mod recording;
#[cfg(test)]
mod tests;

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use super::heap::{Heap, Lane, Life};
use super::kernels;
use super::launch::{Argument, Entry};
use crate::error::{Error, Result};
use access::Region;
use block::Grid;
pub(super) use recording::Recorded;
use recording::{Call, Event};

/// Memory is reserved in pieces of at least so many bytes.
const SEGMENT: usize = 16 << 20;
/// Bytes behind every buffer that belong to none, so that who runs past its end is not inside another.
const GUARD: usize = 16 << 10;
/// As a byte it makes every float and bf16 a NaN and every index huge.
pub(crate) const POISON: u8 = 0xff;

/// An emulated GPU.
pub struct Emulator {
    seed: u64,
    /// The current [`Lane`], for whoever does not hold the state.
    lane: AtomicU8,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    heap: Heap,
    /// Device memory by address.
    memory: BTreeMap<usize, Region>,
    /// Blocks run so far: tells accesses of one block from those of another.
    blocks_run: u32,
    /// What was asked for since recording began.
    recorded: Option<Recorded>,
}

impl Emulator {
    pub(super) fn new(seed: u64) -> Result<Self> {
        if !kernels::EMULATED {
            let reason = "built without a C++ compiler".to_owned();
            return Err(Error::Device { device: "emulated".into(), reason });
        }
        Ok(Emulator { seed, lane: AtomicU8::new(0), state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn lane(&self) -> Lane {
        if self.lane.load(Ordering::Relaxed) == 0 { Lane::Main } else { Lane::Side }
    }

    /// Reads or changes the heap.
    pub(super) fn heap<R>(&self, f: impl FnOnce(&mut Heap) -> R) -> R {
        let heap = &mut self.state().heap;
        let result = f(heap);
        self.lane.store(heap.lane() as u8, Ordering::Relaxed);
        result
    }

    pub(super) fn allocate(&self, bytes: usize, life: Life) -> Result<u64> {
        let state = &mut *self.state();
        let start = state.heap.take(bytes + GUARD, life, |bytes| {
            let bytes = bytes.max(SEGMENT);
            // SAFETY: the layout has a size above zero.
            let start = unsafe { alloc(layout(bytes)) };
            assert!(!start.is_null(), "out of memory for {bytes} bytes");
            Ok((start as u64, bytes))
        })?;
        let lane = state.heap.lane();
        state.appear(start, bytes);
        if life == Life::Passing {
            state.record(lane, Event::Appear { start, bytes });
        }
        Ok(start)
    }

    pub(super) fn free(&self, start: u64, users: u8) {
        let state = &mut *self.state();
        let lane = state.heap.lane();
        if state.heap.give(start, users) {
            state.vanish(start);
            state.record(lane, Event::Vanish { start });
        }
    }

    pub(super) fn give_kept(&self, kept: &[u64]) {
        let state = &mut *self.state();
        state.heap.give_kept(kept);
        kept.iter().for_each(|&start| state.vanish(start));
    }

    pub(super) fn zero(&self, start: u64, bytes: usize) {
        let state = &mut *self.state();
        let lane = state.heap.lane();
        if !state.record(lane, Event::Zero { start, bytes }) {
            // SAFETY: the range was just allocated.
            unsafe { std::ptr::write_bytes(start as *mut u8, 0, bytes) };
        }
    }

    pub(super) fn fork(&self) {
        let state = &mut *self.state();
        state.heap.fork();
        state.record(Lane::Main, Event::Fork);
    }

    pub(super) fn join(&self) {
        let state = &mut *self.state();
        state.record(Lane::Main, Event::Join);
        for start in state.heap.join() {
            state.vanish(start);
            state.record(Lane::Main, Event::Vanish { start });
        }
        self.lane.store(0, Ordering::Relaxed);
    }

    pub(super) fn launch(
        &self,
        entry: &'static Entry,
        blocks: [u32; 3],
        shared: u32,
        arguments: &[Argument],
    ) -> Result<()> {
        let state = &mut *self.state();
        let lane = state.heap.lane();
        let call = Call { entry, blocks, shared };
        if state.recorded.is_some() {
            state.record(lane, Event::launch(call, arguments));
            return Ok(());
        }
        let mut values: Vec<*mut c_void> = arguments.iter().map(|argument| argument.value).collect();
        state.run(self.seed, call, &mut values)
    }
}

impl State {
    /// Unwritten memory is there from now on.
    fn appear(&mut self, start: u64, bytes: usize) {
        // SAFETY: the heap gave at least so many bytes.
        unsafe { std::ptr::write_bytes(start as *mut u8, POISON, bytes) };
        self.memory.insert(start as usize, Region::new(start as usize, bytes));
    }

    /// No kernel may touch it any more.
    fn vanish(&mut self, start: u64) {
        self.memory.remove(&(start as usize));
    }

    fn run(&mut self, seed: u64, call: Call, arguments: &mut [*mut c_void]) -> Result<()> {
        let Call { entry, blocks, shared } = call;
        let first_run = self.blocks_run;
        let grid = Grid { entry, blocks, dynamic_shared: shared as usize, seed, first_run };
        self.blocks_run += blocks.iter().product::<u32>();
        let result = grid.run(&mut self.memory, arguments);
        result.map_err(|reason| Error::Device { device: "emulated".into(), reason })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for (start, bytes) in self.heap.segments() {
            // SAFETY: allocated with this layout, and whoever held a part of it held the device.
            unsafe { dealloc(start as *mut u8, layout(bytes)) };
        }
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, super::arena::ALIGNMENT).expect("device memory fits into the address space")
}
