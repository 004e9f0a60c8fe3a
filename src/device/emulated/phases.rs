//! Barriers in shared memory that count arrivals and bytes (`mbarrier`), and the copies of tiles that bring the bytes.
//!
//! A tile's destination holds NaN from the start of its copy until a thread waits for the phase that counts it: the latest moment
//! that the hardware allows. A completed phase orders what the copy engine and wgmma do (`clocks`); loads and stores of threads need a
//! barrier of threads.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};

use super::POISON;
use super::block::{Block, Place, State, WARP, current, suspend};
use super::clocks::Clock;
use super::hooks::{access, line, stop};
use crate::device::tensor_map::EMULATED;

/// Bytes of a row of a tile, of the pieces that the swizzle moves, and of the rows after which it repeats.
const ROW: usize = 128;
const PIECE: usize = 16;
pub(super) const PATTERN: usize = 8 * ROW;
const ELEMENT: usize = 2;

/// All barriers of a block by address.
pub(super) type Phases = BTreeMap<usize, Phase>;

/// A barrier and its current phase.
pub(super) struct Phase {
    arrivals: u32,
    pending: u32,
    /// Bytes that were announced.
    expected: usize,
    /// Bytes under way.
    copies: Vec<TileCopy>,
    /// Phases completed so far.
    completed: u32,
    /// What those that arrived have told, and what a completed phase passes on.
    telling: Clock,
    told: Clock,
    /// Who made it, and the fences that thread had passed by then.
    made: (usize, u16),
}

impl Phase {
    fn under_way(&self) -> usize {
        self.copies.iter().map(TileCopy::bytes).sum()
    }
}

/// Mirrors the words of an emulated `TensorMap`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Map {
    mark: u64,
    address: u64,
    extent: [u64; 3],
    /// In bytes, from row to row and from item to item.
    strides: [u64; 2],
    tile_rows: u64,
}

struct TileCopy {
    to: usize,
    map: Map,
    /// First column, row and item.
    from: [i32; 3],
}

impl TileCopy {
    fn bytes(&self) -> usize {
        self.map.tile_rows as usize * ROW
    }

    /// Address and bytes of what there is of row `r` in device memory, and the bytes missing before it.
    fn source(&self, r: usize) -> Option<(usize, usize, usize)> {
        let [column, row, item] = self.from.map(i64::from);
        let [columns, rows, items] = self.map.extent.map(|n| n as i64);
        let (first, last) = (column.max(0), (column + (ROW / ELEMENT) as i64).min(columns));
        let row = row + r as i64;
        let inside = first < last && (0..rows).contains(&row) && (0..items).contains(&item);
        inside.then(|| {
            let start = row * self.map.strides[0] as i64 + item * self.map.strides[1] as i64 + first * ELEMENT as i64;
            let bytes = |n: i64| n as usize * ELEMENT;
            ((self.map.address as i64 + start) as usize, bytes(last - first), bytes(first - column))
        })
    }

    /// Moves the bytes.
    fn arrive(&self) {
        for r in 0..self.map.tile_rows as usize {
            let mut row = [0u8; ROW];
            if let Some((from, bytes, before)) = self.source(r) {
                // SAFETY: checked when the copy started.
                let source = unsafe { std::slice::from_raw_parts(from as *const u8, bytes) };
                row[before..before + bytes].copy_from_slice(source);
            }
            for (piece, bytes) in row.chunks_exact(PIECE).enumerate() {
                let to = swizzled(self.to + r * ROW + piece * PIECE);
                // SAFETY: within the tile, which was checked when the copy started.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, PIECE) };
            }
        }
    }
}

/// Where the 128-byte swizzle puts the byte of a plain address: bits 4 to 6 exclusive-or bits 7 to 9.
pub(super) fn swizzled(address: usize) -> usize {
    address ^ (address >> 7 & 7) << 4
}

/// Finds a barrier for the running thread, which must see its initialization.
fn find<'a>(block: &'a mut Block, barrier: *mut c_void, place: Place) -> &'a mut Phase {
    access(barrier, 8, false, false);
    if !block.phases.contains_key(&(barrier as usize)) {
        let text = format!("no barrier was initialized there: {} at {}", block.who(), place.text());
        stop(block, text);
    }
    block.phases.get_mut(&(barrier as usize)).expect("just seen")
}

pub(super) extern "C" fn phase_init(barrier: *mut c_void, arrivals: u32, _file: *const c_char, _line: u32) {
    access(barrier, 8, true, false);
    let block = current();
    let made = (block.running, block.fibers[block.running].async_fences);
    let (telling, told) = Default::default();
    let phase =
        Phase { arrivals, pending: arrivals, expected: 0, copies: Vec::new(), completed: 0, telling, told, made };
    block.phases.insert(barrier as usize, phase);
}

pub(super) extern "C" fn phase_arrive(barrier: *mut c_void, bytes: u32, file: *const c_char, line: u32) {
    let (block, place) = (current(), Place { file, line });
    if find(current(), barrier, place).pending == 0 {
        // All have arrived and its bytes may long be there: this arrival is the next phase's.
        settle(block, barrier as usize);
    }
    let phase = find(current(), barrier, place);
    if phase.pending == 0 {
        let (expected, under_way) = (phase.expected, phase.under_way());
        let text = format!(
            "one arrival too many: {} at {}; the phase waits for {expected} bytes, {under_way} are under way",
            block.who(),
            place.text()
        );
        stop(block, text);
    }
    phase.pending -= 1;
    phase.expected += bytes as usize;
    block.clocks.tell(block.running / WARP, &mut phase.telling);
    let nothing_to_bring = phase.pending == 0 && phase.expected == 0 && phase.copies.is_empty();
    if nothing_to_bring || waited_for(block, barrier as usize) {
        settle(block, barrier as usize);
    }
}

pub(super) extern "C" fn phase_wait(barrier: *mut c_void, parity: u32, file: *const c_char, line: u32) {
    let place = Place { file, line };
    loop {
        let (block, phase) = (current(), find(current(), barrier, place));
        if phase.completed & 1 != parity & 1 {
            block.clocks.learn(block.running / WARP, &phase.told);
            return;
        }
        if !settle(block, barrier as usize) {
            block.fibers[block.running].state = State::Phase { barrier: barrier as usize, place };
            suspend();
        }
    }
}

fn waited_for(block: &Block, barrier: usize) -> bool {
    block.fibers.iter().any(|f| matches!(f.state, State::Phase { barrier: other, .. } if other == barrier))
}

/// Completes the phase if all have arrived and all bytes are under way; whether it did.
fn settle(block: &mut Block, barrier: usize) -> bool {
    let phase = block.phases.get_mut(&barrier).expect("callers have found it");
    if phase.pending > 0 || phase.under_way() != phase.expected {
        return false;
    }
    phase.copies.iter().for_each(TileCopy::arrive);
    block.clocks.complete(phase.copies.iter().map(|copy| (copy.to, copy.bytes())), &mut phase.telling);
    phase.copies.clear();
    phase.told.clone_from(&phase.telling);
    phase.pending = phase.arrivals;
    phase.expected = 0;
    phase.completed += 1;
    for i in 0..block.fibers.len() {
        if matches!(block.fibers[i].state, State::Phase { barrier: other, .. } if other == barrier) {
            block.wake(i);
        }
    }
    true
}

pub(super) extern "C" fn tile_copy(
    to: *mut c_void,
    map: *const c_void,
    barrier: *mut c_void,
    from: *const i32,
    file: *const c_char,
    at_line: u32,
) {
    let (block, place) = (current(), Place { file, line: at_line });
    // SAFETY: a `TensorMap` and three coordinates, as the compiled primitive passes them.
    let (map, from) = unsafe { (map.cast::<Map>().read(), from.cast::<[i32; 3]>().read()) };
    let to = to as usize;
    let fail = |what: String| {
        let block = current();
        stop(block, format!("{what}: {} at {}", block.who(), place.text()))
    };
    if map.mark != EMULATED {
        fail("copies by what is no tensor map".into());
    }
    if !to.is_multiple_of(PATTERN) {
        fail(format!("copies a tile to an address that is not a multiple of {PATTERN}"));
    }
    let (maker, fences) = find(current(), barrier, place).made;
    if block.fibers[maker].async_fences <= fences {
        fail("copies towards a barrier that was initialized with no fence_async after it".into());
    }
    let copy = TileCopy { to, map, from };
    (0..map.tile_rows as usize).filter_map(|r| copy.source(r)).for_each(|(address, bytes, _)| {
        access(address as *const c_void, bytes, false, false);
    });
    if let Err(why) = block.clocks.start_copy(block.running / WARP, to, copy.bytes()) {
        fail(why);
    }
    let (now, first_run, fenced) = (block.now(), block.grid.first_run, block.fenced);
    let Some((.., region)) = block.shared.iter_mut().find(|(.., r)| r.contains(to, copy.bytes())) else {
        return fail(format!("out of bounds: a tile of {} bytes does not fit into shared memory", copy.bytes()));
    };
    if let Some(race) = region.touch(to, copy.bytes(), true, now, first_run, fenced) {
        let verb = if race.wrote { "wrote" } else { "read" };
        let text = format!(
            "race: {} copies a tile over what {} {verb}, with no barrier between{}",
            block.who(),
            race.who(now.run),
            line()
        );
        stop(block, text);
    }
    region.forget(to, copy.bytes());
    // SAFETY: just checked to be shared memory.
    unsafe { (to as *mut u8).write_bytes(POISON, copy.bytes()) };
    let phase = find(current(), barrier, place);
    phase.copies.push(copy);
    let (expected, under_way) = (phase.expected, phase.under_way());
    if phase.pending == 0 && under_way > expected {
        fail(format!("{under_way} bytes on their way to a barrier that expects {expected}"));
    }
    if waited_for(block, barrier as usize) {
        settle(block, barrier as usize);
    }
}

pub(super) extern "C" fn async_fence() {
    let block = current();
    block.fibers[block.running].async_fences += 1;
}

/// The 32-bit address of shared memory that descriptors hold.
pub(super) extern "C" fn window(address: *const c_void) -> u32 {
    let block = current();
    let address = address as usize;
    let inside = block.shared.iter().zip(&block.windows).find(|((.., region), _)| {
        // One past the end is an address, too.
        (region.start()..=region.start() + region.bytes).contains(&address)
    });
    match inside {
        Some(((.., region), window)) => window + (address - region.start()) as u32,
        None => {
            let text = format!("{} takes {address:#x} for shared memory{}", block.who(), line());
            stop(block, text)
        }
    }
}
