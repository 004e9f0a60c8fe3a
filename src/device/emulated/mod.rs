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
//! | a phase that is not waited for | tiles arrive when their barrier is waited for; vector clocks tell what warps and copies know of each other |
//! | a stage freed while it is read | the same clocks; and shared memory is compared when a wgmma ends |
//! | wgmma used before its wait | accumulators are NaN until then, and so must they be found |
//! | wrong descriptor or tile layout | operands are read as the descriptor says |
//! | `fence_async` or `wgmma_fence` missing | every store remembers its thread's fences; a wait asks for a new one |
//!
//! Each fault ends the launch with an error that names the kernel, the block, the thread and where known the line.

mod access;
mod block;
mod clocks;
mod hooks;
mod phases;
#[cfg(test)]
mod tests;
mod warpgroup;

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::kernels;
use super::launch::{Argument, Entry};
use crate::error::{Error, Result};
use access::Region;
use block::Grid;

/// Allocations are aligned like cudaMalloc's.
const ALIGNMENT: usize = 256;
/// As a byte it makes every float and bf16 a NaN and every index huge.
pub(crate) const POISON: u8 = 0xff;

/// An emulated GPU.
pub struct Emulator {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Device memory by address.
    memory: BTreeMap<usize, Region>,
    /// Blocks run so far: tells accesses of one block from those of another.
    blocks_run: u32,
}

impl Emulator {
    pub(super) fn new(seed: u64) -> Result<Self> {
        if !kernels::EMULATED {
            let reason = "built without a C++ compiler".to_owned();
            return Err(Error::Device { device: "emulated".into(), reason });
        }
        Ok(Emulator { seed, state: Mutex::default() })
    }

    /// One of `n` engines: another seed, another engine.
    pub(crate) fn pick(&self, n: usize) -> usize {
        (self.seed % n as u64) as usize
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn allocate(&self, bytes: usize) -> u64 {
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc(layout(bytes)) };
        assert!(!start.is_null(), "out of memory for {bytes} bytes");
        // SAFETY: just allocated.
        unsafe { start.write_bytes(POISON, bytes) };
        self.state().memory.insert(start as usize, Region::new(start as usize, bytes));
        start as u64
    }

    pub(super) fn free(&self, address: u64) {
        if let Some(region) = self.state().memory.remove(&(address as usize)) {
            // SAFETY: allocated above with this layout, and no launch is under way: it would hold the state.
            unsafe { dealloc(address as *mut u8, layout(region.bytes)) };
        }
    }

    pub(super) fn launch(
        &self,
        entry: &'static Entry,
        blocks: [u32; 3],
        shared: u32,
        arguments: &mut [Argument],
    ) -> Result<()> {
        let state = &mut *self.state();
        let first_run = state.blocks_run;
        let grid = Grid { entry, blocks, dynamic_shared: shared as usize, seed: self.seed, first_run };
        state.blocks_run += blocks.iter().product::<u32>();
        let result = grid.run(&mut state.memory, arguments);
        result.map_err(|reason| Error::Device { device: "emulated".into(), reason })
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes.max(1), ALIGNMENT).expect("device memory fits into the address space")
}
