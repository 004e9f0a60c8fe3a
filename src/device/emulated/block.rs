//! One block of a launch: a fiber for each thread, resumed in a shuffled order until all have ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::POISON;
use super::access::{Moment, Region};
use super::hooks;
use crate::device::launch::Entry;

/// Threads of a warp.
pub(super) const WARP: usize = 32;
/// Bytes of a fiber's stack; pages are only taken when touched.
const STACK: usize = 256 * 1024;
/// What a block may use of shared memory, on the largest GPU.
const SHARED_LIMIT: usize = 227 * 1024;

/// The launch that blocks belong to.
pub struct Grid {
    pub entry: &'static Entry,
    pub blocks: [u32; 3],
    pub dynamic_shared: usize,
    pub seed: u64,
    /// Number of this launch's first block among all blocks ever run.
    pub first_run: u32,
}

/// Mirrors `emulator::Dim3`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Dim3 {
    x: u32,
    y: u32,
    z: u32,
}

/// Mirrors `emulator::Warp`.
#[repr(C, align(16))]
struct WarpSlots([u8; 2 * WARP * 64]);

/// Mirrors `emulator::Thread`.
#[repr(C)]
struct Thread {
    thread: Dim3,
    block: Dim3,
    threads: Dim3,
    blocks: Dim3,
    warp: *mut WarpSlots,
    lane: u32,
    exchanges: u32,
}

/// What a fiber is doing.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum State {
    Ready,
    /// At barrier `id`, which `threads` threads pass together.
    Barrier {
        id: u32,
        threads: u32,
        place: Place,
    },
    /// At a barrier of the warp's lanes in `mask`.
    Warp {
        mask: u32,
        fences: bool,
        place: Place,
    },
    Ended,
}

/// A line of a kernel.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub file: *const std::ffi::c_char,
    pub line: u32,
}

impl Place {
    pub fn text(self) -> String {
        if self.file.is_null() {
            return "?".into();
        }
        // SAFETY: the compiler's own string.
        let file = unsafe { std::ffi::CStr::from_ptr(self.file) }.to_string_lossy();
        format!("{}:{}", file.rsplit('/').next().unwrap_or_default(), self.line)
    }
}

/// An asynchronous copy under way.
#[derive(Clone, Copy)]
pub(super) struct Copy {
    pub to: usize,
    pub from: usize,
    pub bytes: usize,
    pub valid: bool,
}

type Coro = Coroutine<(), (), (), DefaultStack>;

pub(super) struct Fiber {
    coroutine: Option<Coro>,
    yielder: *const Yielder<(), ()>,
    pub state: State,
    /// Lowest and highest address of its stack.
    pub stack: (usize, usize),
    /// Copies by group; the last group is open.
    pub copies: Vec<Vec<Copy>>,
}

/// A block while it runs. Hooks reach it through [`current`].
pub(super) struct Block<'a> {
    pub grid: &'a Grid,
    pub memory: &'a mut BTreeMap<usize, Region>,
    index: [u32; 3],
    pub fibers: Vec<Fiber>,
    threads: Vec<Thread>,
    slots: Vec<WarpSlots>,
    pub warp_epochs: Vec<u32>,
    pub run: u32,
    pub epoch: u32,
    /// Whether a thread has called `__threadfence`.
    pub fenced: bool,
    /// Shared arrays: their declaration's key, their memory (words keep it aligned to 16), their record.
    pub shared: Vec<(usize, Vec<u128>, Region)>,
    pub shared_bytes: usize,
    pub running: usize,
    ready: Vec<usize>,
    /// Where arguments and the emulator's own data lie: kernels may read them.
    pub own: [(usize, usize); 3],
    pub failure: Option<String>,
}

thread_local! {
    static CURRENT: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// The block that runs on this thread. Only hooks call it, and they only run inside a block.
pub(super) fn current<'a>() -> &'a mut Block<'a> {
    // SAFETY: set by `Grid::run` for as long as fibers run; fibers and their scheduler take turns on one thread.
    unsafe { &mut *CURRENT.get().cast::<Block>() }
}

/// Gives the turn back to the scheduler; returns when the fiber's turn comes again.
pub(super) fn suspend() {
    let block = current();
    let yielder = block.fibers[block.running].yielder;
    // SAFETY: the yielder lives on the stack of the running fiber, which is this one.
    unsafe { (*yielder).suspend(()) };
}

/// Deterministic order of threads and blocks.
struct Shuffle(u64);

impl Shuffle {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) as u128 * n as u128) >> 64) as usize
    }

    fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        (1..n).rev().for_each(|i| order.swap(i, self.below(i + 1)));
        order
    }
}

impl Grid {
    /// Runs every block; the message of the first fault otherwise.
    pub fn run(&self, memory: &mut BTreeMap<usize, Region>, arguments: &mut [*mut c_void]) -> Result<(), String> {
        let name = self.entry.name();
        let entry = self.entry.emulated.ok_or_else(|| format!("{name} has no emulation: it is for Hopper GPUs"))?;
        if self.dynamic_shared > SHARED_LIMIT {
            return Err(format!(
                "{name}: {} bytes of shared memory, no GPU has more than {SHARED_LIMIT}",
                self.dynamic_shared
            ));
        }
        let thread_slot = hooks::attach();
        let [nx, ny, nz] = self.blocks;
        let mut shuffle = Shuffle(self.seed ^ u64::from(self.first_run) << 32);
        for (i, block) in shuffle.order((nx * ny * nz) as usize).into_iter().enumerate() {
            let block = block as u32;
            let index = [block % nx, block / nx % ny, block / nx / ny];
            let mut block = Block::new(self, memory, index, self.first_run + i as u32);
            block.own[0] = (arguments.as_ptr() as usize, arguments.as_ptr() as usize + size_of_val(arguments));
            block.own[1] = argument_values(arguments);
            block.own[2] = (thread_slot as usize, thread_slot as usize + 8);
            CURRENT.set(ptr::from_mut(&mut block).cast());
            block.run_fibers(entry, arguments, thread_slot, &mut shuffle);
            let failure = block.failure.take();
            block.finish();
            CURRENT.set(ptr::null_mut());
            if let Some(failure) = failure {
                return Err(format!("{name}, block ({}, {}, {}): {failure}", index[0], index[1], index[2]));
            }
        }
        Ok(())
    }
}

/// The stretch of the caller's stack that holds the arguments' values.
fn argument_values(arguments: &[*mut c_void]) -> (usize, usize) {
    let addresses = || arguments.iter().map(|&a| a as usize);
    (addresses().min().unwrap_or(0), addresses().max().map_or(0, |last| last + 128))
}

impl<'a> Block<'a> {
    fn new(grid: &'a Grid, memory: &'a mut BTreeMap<usize, Region>, index: [u32; 3], run: u32) -> Self {
        let count = grid.entry.threads as usize;
        let warps = count.div_ceil(WARP);
        let mut slots: Vec<WarpSlots> = (0..warps).map(|_| WarpSlots([POISON; 2 * WARP * 64])).collect();
        let threads = (0..count)
            .map(|t| Thread {
                thread: Dim3 { x: t as u32, y: 0, z: 0 },
                block: Dim3 { x: index[0], y: index[1], z: index[2] },
                threads: Dim3 { x: grid.entry.threads, y: 1, z: 1 },
                blocks: Dim3 { x: grid.blocks[0], y: grid.blocks[1], z: grid.blocks[2] },
                warp: &mut slots[t / WARP],
                lane: (t % WARP) as u32,
                exchanges: 0,
            })
            .collect();
        let mut block = Block {
            grid,
            memory,
            index,
            fibers: Vec::with_capacity(count),
            threads,
            slots,
            warp_epochs: vec![0; warps],
            run,
            epoch: 0,
            fenced: false,
            shared: Vec::new(),
            shared_bytes: 0,
            running: 0,
            ready: Vec::new(),
            own: [(0, 0); 3],
            failure: None,
        };
        if grid.dynamic_shared > 0 {
            block.add_shared(0, grid.dynamic_shared);
        }
        block
    }

    /// Reserves a shared array; poisoned.
    pub fn add_shared(&mut self, key: usize, bytes: usize) -> usize {
        let words = vec![u128::from_ne_bytes([POISON; 16]); bytes.div_ceil(16) + 8];
        // Aligned to 128 like the hardware's dynamic shared memory.
        let start = (words.as_ptr() as usize).next_multiple_of(128);
        self.shared_bytes += bytes;
        self.shared.push((key, words, Region::new(start, bytes)));
        start
    }

    /// The emulator's own data, which compiled primitives read and write.
    pub fn is_internal(&self, address: usize) -> bool {
        let inside = |start: *const u8, bytes: usize| (start as usize..start as usize + bytes).contains(&address);
        inside(self.threads.as_ptr().cast(), size_of_val(&self.threads[..]))
            || inside(self.slots.as_ptr().cast(), size_of_val(&self.slots[..]))
            || self.own.iter().any(|&(low, high)| (low..high).contains(&address))
    }

    /// Now, for the running thread.
    pub fn now(&self) -> Moment {
        let warp_epoch = self.warp_epochs[self.running / WARP];
        Moment { run: self.run, epoch: self.epoch, warp_epoch, thread: self.running as u16 }
    }

    fn run_fibers(
        &mut self,
        entry: unsafe extern "C" fn(*mut *mut c_void),
        arguments: &mut [*mut c_void],
        thread_slot: *mut *const c_void,
        shuffle: &mut Shuffle,
    ) {
        let pointers = arguments.as_mut_ptr();
        for t in 0..self.threads.len() {
            let stack = STACKS.with_borrow_mut(Vec::pop);
            let stack = stack.unwrap_or_else(|| DefaultStack::new(STACK).expect("memory for the stacks of a block"));
            let high = corosensei::stack::Stack::base(&stack).get();
            let coroutine = Coro::with_stack(stack, move |yielder, ()| {
                current().fibers[t].yielder = yielder;
                // SAFETY: the arguments match the entry point: both come from one signature.
                unsafe { entry(pointers) };
            });
            self.fibers.push(Fiber {
                coroutine: Some(coroutine),
                yielder: ptr::null(),
                state: State::Ready,
                stack: (high - STACK, high),
                copies: vec![Vec::new()],
            });
        }
        self.ready = shuffle.order(self.threads.len());
        // Some blocks let one thread run as far as it can, some deal turns out evenly, some at random.
        let manner = shuffle.below(3);
        while !self.ready.is_empty() && self.failure.is_none() {
            let at = match manner {
                0 => self.ready.len() - 1,
                1 => 0,
                _ => shuffle.below(self.ready.len()),
            };
            let t = if manner == 1 { self.ready.remove(at) } else { self.ready.swap_remove(at) };
            self.running = t;
            // SAFETY: the emulated runtime's own variable for this thread; `threads` outlives the fibers.
            unsafe { *thread_slot = ptr::from_ref(&self.threads[t]).cast() };
            let Some(mut coroutine) = self.fibers[t].coroutine.take() else { continue };
            if let CoroutineResult::Return(()) = coroutine.resume(()) {
                self.fibers[t].state = State::Ended;
            }
            self.fibers[t].coroutine = Some(coroutine);
            self.release(t);
        }
        if self.failure.is_none() && self.fibers.iter().any(|f| f.state != State::Ended) {
            self.failure = Some(self.stall());
        }
    }

    /// Lets waiting threads go on if `t` was the last they waited for.
    fn release(&mut self, t: usize) {
        let state = self.fibers[t].state;
        let group: Vec<usize> = match state {
            State::Ready | State::Ended => return,
            State::Barrier { id, .. } => {
                let here = |f: &Fiber| matches!(f.state, State::Barrier { id: other, .. } if other == id);
                (0..self.fibers.len()).filter(|&i| here(&self.fibers[i])).collect()
            }
            State::Warp { mask, .. } => {
                let first = t / WARP * WARP;
                let lanes = (0..WARP).filter(|lane| mask >> lane & 1 == 1).map(|lane| first + lane);
                let here = |i: &usize| matches!(self.fibers.get(*i).map(|f| f.state), Some(State::Warp { mask: m, .. }) if m == mask);
                lanes.filter(here).collect()
            }
        };
        let needed = match state {
            State::Barrier { threads: 0, .. } => self.fibers.len(),
            State::Barrier { threads, .. } => threads as usize,
            State::Warp { mask, .. } => mask.count_ones() as usize,
            State::Ready | State::Ended => return,
        };
        if group.len() < needed {
            return;
        }
        // Threads with different roles may come to a named barrier from different lines.
        let may_differ = matches!(state, State::Barrier { id: 1.., .. });
        let other = group.iter().copied().find(|&i| self.fibers[i].state != state);
        if let Some(other) = other.filter(|_| !may_differ) {
            let (a, b) = (self.describe(t), self.describe(other));
            self.failure = Some(format!("divergent barrier: {a}, {b}"));
            return;
        }
        match state {
            State::Warp { fences, .. } => self.warp_epochs[t / WARP] += u32::from(fences),
            _ => self.epoch += 1,
        }
        for i in group {
            self.fibers[i].state = State::Ready;
            self.ready.push(i);
        }
    }

    /// Why no thread can go on.
    fn stall(&self) -> String {
        let unlike = |state: State| (0..self.fibers.len()).find(|&i| self.fibers[i].state != state);
        let waits = (0..self.fibers.len()).find(|&i| self.fibers[i].state != State::Ended).unwrap_or(0);
        match unlike(self.fibers[waits].state) {
            Some(other) => format!("barrier not reached by all: {}, {}", self.describe(waits), self.describe(other)),
            None => format!("barrier not reached by all: every thread waits at once: {}", self.describe(waits)),
        }
    }

    fn describe(&self, t: usize) -> String {
        match self.fibers[t].state {
            State::Ready => format!("thread {t} runs"),
            State::Ended => format!("thread {t} has ended"),
            State::Barrier { id: 0, place, .. } => format!("thread {t} waits for the block at {}", place.text()),
            State::Barrier { id, place, .. } => format!("thread {t} waits at barrier {id} at {}", place.text()),
            State::Warp { place, .. } => format!("thread {t} waits for its warp at {}", place.text()),
        }
    }

    /// Returns the stacks; fibers that a failure left waiting are dropped where they stand: kernels own nothing.
    fn finish(self) {
        for fiber in self.fibers {
            let Some(mut coroutine) = fiber.coroutine else { continue };
            if !coroutine.done() {
                // SAFETY: compiled kernels keep no destructors on their stacks.
                unsafe { coroutine.force_reset() };
            }
            STACKS.with_borrow_mut(|stacks| stacks.push(coroutine.into_stack()));
        }
    }

    /// `thread 5` with its place in the block, for messages.
    pub fn who(&self) -> String {
        format!("thread {}", self.running)
    }
}

impl std::fmt::Debug for Block<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "block {:?}", self.index)
    }
}
