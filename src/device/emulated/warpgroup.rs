//! Products that four warps start together (`wgmma`).
//!
//! A warp's sixteen rows are summed when the last of its lanes has asked for them, from shared memory as the *descriptors* say it
//! lies. Until its wait a product is under way:
//!
//! - its accumulators hold NaN, and touching them is an error, as is writing to its operands in registers,
//! - what it reads of shared memory must stay as it is: it is compared when the wait ends,
//! - what was written to shared memory by plain stores needs `fence_async` by the writer before,
//! - registers need `wgmma_fence` between their last wait and the next product,
//! - the four warps must ask for the same products.

use std::ffi::{c_char, c_void};

use super::block::{Block, Place, WARP, current};
use super::hooks::{line, stop, warp_barrier};
use super::phases::swizzled;

/// Rows and depth of a warp's part.
const ROWS: usize = 16;
const DEPTH: usize = 16;
const PIECE: usize = 16;
const POISONED: u32 = u32::MAX;

/// Mirrors `emulator::Wgmma`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Request {
    sums: *mut f32,
    left: *const [u32; 4],
    left_tile: u64,
    right_tile: u64,
    columns: u32,
    accumulate: bool,
    left_across: bool,
    right_across: bool,
}

/// What all threads of a warpgroup must agree on.
#[derive(Clone, Copy, PartialEq)]
struct Shape {
    place: Place,
    tiles: [u64; 2],
    columns: u32,
    flags: [bool; 4],
}

/// A warp's part of a product.
struct Product {
    request: Request,
    place: Place,
    lanes: Vec<Lane>,
    /// [16, columns], once every lane has asked.
    sums: Vec<f32>,
    /// What was read of shared memory: address and content.
    read: Vec<(usize, [u8; PIECE])>,
    /// Whether a lane has waited for it.
    ended: bool,
}

/// What a lane brings to a product.
struct Lane {
    lane: usize,
    sums: *mut f32,
    /// The product under way that these accumulators come from, or their values.
    before: Result<usize, Vec<f32>>,
    left: Option<[u32; 4]>,
}

/// A warp's products, and how far its lanes are with them.
#[derive(Default)]
pub(super) struct Products {
    all: Vec<Product>,
    lanes: [Progress; WARP],
}

#[derive(Default, Clone)]
struct Progress {
    started: usize,
    retired: usize,
    /// Products started before each commit.
    groups: Vec<usize>,
    fenced: bool,
}

/// Products that the warps of a warpgroup have asked for, in order.
#[derive(Default)]
pub(super) struct Agreement(Vec<Shape>);

/// A fragment's rows and columns: element `e` of lane `lane`.
fn place_of(lane: usize, e: usize) -> (usize, usize) {
    (lane / 4 + e % 4 / 2 * 8, e / 4 * 8 + lane % 4 * 2 + e % 2)
}

/// One of the halves of a register.
fn half(word: u32, upper: bool) -> f32 {
    f32::from_bits(if upper { word & 0xffff_0000 } else { word << 16 })
}

fn fail(what: &str, place: Place) -> ! {
    let block = current();
    let text = format!("{what}: {} at {}", block.who(), place.text());
    stop(block, text)
}

/// A descriptor: bits 0–13 address, 16–29 and 32–45 the strides, in units of 16 bytes; 49–51 base offset, 62–63 swizzle.
struct Tile {
    start: usize,
    leading: usize,
    stride: usize,
    across: bool,
}

impl Tile {
    fn new(descriptor: u64, across: bool, place: Place) -> Self {
        let field = |low: u32| (descriptor >> low & 0x3fff) as usize * 16;
        if descriptor >> 62 != 1 || descriptor >> 49 & 7 != 0 {
            fail("a descriptor other than of tiles swizzled by 128 bytes", place);
        }
        Tile { start: field(0), leading: field(16), stride: field(32), across }
    }

    /// Shared-memory address of the piece that holds element (`outer`: of m or n, `k`), and the element within it.
    fn piece(&self, outer: usize, k: usize) -> (usize, usize) {
        let plain = if self.across {
            outer / 64 * self.leading + outer % 64 / 8 * PIECE + k / 8 * self.stride + k % 8 * 128
        } else {
            outer / 8 * self.stride + outer % 8 * 128 + k / 8 * PIECE
        };
        (swizzled(self.start + plain), if self.across { outer % 8 } else { k % 8 })
    }
}

/// Reads pieces of shared memory once each, with every check on them.
struct Reader<'a, 'b> {
    block: &'a mut Block<'b>,
    place: Place,
    read: Vec<(usize, [u8; PIECE])>,
}

impl Reader<'_, '_> {
    /// [outer, 16] of a tile from row `first` on.
    fn matrix(&mut self, tile: &Tile, first: usize, outer: usize) -> Vec<f32> {
        let mut values = vec![0.0; outer * DEPTH];
        let (outer_step, k_step) = if tile.across { (8, 1) } else { (1, 8) };
        for o in (0..outer).step_by(outer_step) {
            for k in (0..DEPTH).step_by(k_step) {
                let (address, _) = tile.piece(first + o, k);
                for (i, pair) in self.piece(address).chunks_exact(2).enumerate() {
                    let at = if tile.across { (o + i) * DEPTH + k } else { o * DEPTH + k + i };
                    values[at] = half(u32::from(u16::from_le_bytes([pair[0], pair[1]])), false);
                }
            }
        }
        values
    }

    fn piece(&mut self, window: usize) -> [u8; PIECE] {
        let block = &mut *self.block;
        let (now, first_run, fenced, fibers) = (block.now(), block.grid.first_run, block.fenced, &block.fibers);
        let inside = block.shared.iter_mut().zip(&block.windows).find_map(|((.., region), &start)| {
            let address = window.checked_sub(start as usize)? + region.start();
            region.contains(address, PIECE).then_some((region, address))
        });
        let Some((region, address)) = inside else {
            fail("out of bounds: a descriptor points beyond shared memory", self.place);
        };
        if let Some(race) = region.written(address, PIECE, now, first_run, fenced) {
            let text = format!("race: wgmma reads what {} wrote with no barrier between", race.who(now.run));
            fail(&text, self.place);
        }
        if let Some(writer) = region.unfenced(address, PIECE, now.run, |thread| fibers[thread].async_fences) {
            fail(&format!("wgmma reads what thread {writer} stored with no fence_async after it"), self.place);
        }
        if let Err(why) = block.clocks.start_read(block.running / WARP, address) {
            fail(&why, self.place);
        }
        // SAFETY: shared memory of this block.
        let bytes = unsafe { (address as *const [u8; PIECE]).read() };
        self.read.push((address, bytes));
        bytes
    }
}

pub(super) extern "C" fn wgmma_fence() {
    let block = current();
    let (warp, lane) = (block.running / WARP, block.running % WARP);
    block.products[warp].lanes[lane].fenced = true;
}

pub(super) extern "C" fn wgmma_commit() {
    let block = current();
    let (warp, lane) = (block.running / WARP, block.running % WARP);
    let progress = &mut block.products[warp].lanes[lane];
    progress.groups.push(progress.started);
}

pub(super) extern "C" fn wgmma(request: *const c_void, file: *const c_char, at_line: u32) {
    let (block, place) = (current(), Place { file, line: at_line });
    // SAFETY: as the compiled primitive passes it; its pointers are into the running fiber's stack.
    let request = unsafe { request.cast::<Request>().read() };
    let (warp, lane) = (block.running / WARP, block.running % WARP);
    if warp / 4 * 4 + 4 > block.products.len() {
        fail("wgmma outside a whole warpgroup", place);
    }
    let products = &mut block.products[warp];
    let progress = &mut products.lanes[lane];
    if !progress.fenced {
        fail("wgmma with no wgmma_fence since its registers were last touched", place);
    }
    let number = progress.started;
    progress.started += 1;

    // SAFETY: this thread's accumulators.
    let sums = unsafe { std::slice::from_raw_parts_mut(request.sums, request.columns as usize / 2) };
    let under_way = (progress.retired..number).rev().find(|&earlier| {
        let earlier = &products.all[earlier].lanes;
        earlier.iter().any(|l| l.lane == lane && l.sums == request.sums)
    });
    let before = under_way.ok_or_else(|| sums.to_vec());
    sums.fill(f32::from_bits(POISONED));
    let span = |start: usize, bytes: usize| (start, start + bytes);
    let accumulators = span(request.sums as usize, size_of_val(sums));
    let operands = (!request.left.is_null()).then(|| span(request.left as usize, size_of::<[u32; 4]>()));
    let busy = &mut block.fibers[block.running].busy;
    busy.extend([Some((number, accumulators, false)), operands.map(|o| (number, o, true))].into_iter().flatten());
    // SAFETY: this thread's registers.
    let left = (!request.left.is_null()).then(|| unsafe { request.left.read() });

    let Request { left_tile, right_tile, columns, accumulate, left_across, right_across, .. } = request;
    let flags = [accumulate, left_across, right_across, left.is_some()];
    let shape = Shape { place, tiles: [left_tile, right_tile], columns, flags };
    let agreed = &mut block.agreements[warp / 4].0;
    if agreed.len() == number {
        agreed.push(shape);
    }
    if agreed[number] != shape {
        let text =
            format!("divergent wgmma: another thread of its warpgroup started that at {}", agreed[number].place.text());
        fail(&text, place);
    }
    if products.all.len() == number {
        let (sums, read) = (Vec::new(), Vec::new());
        products.all.push(Product { request, place, lanes: Vec::with_capacity(WARP), sums, read, ended: false });
    }
    products.all[number].lanes.push(Lane { lane, sums: request.sums, before, left });
    if products.all[number].lanes.len() == WARP {
        compute(block, warp, number);
    }
}

/// Sums a warp's sixteen rows.
fn compute(block: &mut Block, warp: usize, number: usize) {
    let Product { request, place, .. } = block.products[warp].all[number];
    let columns = request.columns as usize;
    let right = Tile::new(request.right_tile, request.right_across, place);
    let mut reader = Reader { block, place, read: Vec::new() };
    let right = reader.matrix(&right, 0, columns);
    let left = if request.left.is_null() {
        let tile = Tile::new(request.left_tile, request.left_across, place);
        reader.matrix(&tile, warp % 4 * ROWS, ROWS)
    } else {
        let mut values = vec![0.0; ROWS * DEPTH];
        for lane in &reader.block.products[warp].all[number].lanes {
            let Some(registers) = lane.left else { continue };
            for (r, word) in registers.into_iter().enumerate() {
                let (row, k) = (lane.lane / 4 + r % 2 * 8, lane.lane % 4 * 2 + r / 2 * 8);
                values[row * DEPTH + k] = half(word, false);
                values[row * DEPTH + k + 1] = half(word, true);
            }
        }
        values
    };
    let read = reader.read;
    let products = &mut block.products[warp];
    let mut sums = vec![0.0f32; ROWS * columns];
    if request.accumulate {
        for lane in &products.all[number].lanes {
            for e in 0..columns / 2 {
                let (row, column) = place_of(lane.lane, e);
                let at = row * columns + column;
                sums[at] = match &lane.before {
                    Ok(earlier) => products.all[*earlier].sums[at],
                    Err(values) => values[e],
                };
            }
        }
    }
    for (sums, left) in sums.chunks_exact_mut(columns).zip(left.chunks_exact(DEPTH)) {
        for (sum, right) in sums.iter_mut().zip(right.chunks_exact(DEPTH)) {
            *sum += left.iter().zip(right).map(|(a, b)| a * b).sum::<f32>();
        }
    }
    (products.all[number].sums, products.all[number].read) = (sums, read);
}

pub(super) extern "C" fn wgmma_wait(pending: u32, file: *const c_char, at_line: u32) {
    warp_barrier(u32::MAX, false, file, at_line);
    let (block, place) = (current(), Place { file, line: at_line });
    let (warp, lane) = (block.running / WARP, block.running % WARP);
    let Products { all, lanes } = &mut block.products[warp];
    let progress = &mut lanes[lane];
    progress.fenced = false;
    let done = match progress.groups.len().checked_sub(pending as usize + 1) {
        Some(last) => progress.groups[last],
        None => return,
    };
    let retired = progress.retired..done.max(progress.retired);
    progress.retired = retired.end;
    block.fibers[block.running].busy.retain(|(number, ..)| *number >= retired.end);
    let started = progress.started;
    for number in retired {
        let later = (number + 1..started).any(|later| {
            all[later].lanes.iter().any(|l| l.lane == lane && Some(l.sums) == sums_of(&all[number], lane))
        });
        let product = &mut all[number];
        if product.lanes.len() < WARP {
            fail("waits for a wgmma that not all lanes have started", place);
        }
        if !product.ended {
            // SAFETY: shared memory of this block.
            let changed = product.read.iter().any(|&(at, was)| unsafe { (at as *const [u8; PIECE]).read() } != was);
            if changed {
                fail(&format!("shared memory changed while the wgmma of {} read it", product.place.text()), place);
            }
            // The wait is the whole warp's.
            product.read.drain(..).for_each(|(at, _)| block.clocks.end_read(warp, at));
        }
        product.ended = true;
        let columns = product.request.columns as usize;
        let mine = product.lanes.iter().find(|l| l.lane == lane).expect("every lane has started it");
        if !later {
            // SAFETY: this thread's accumulators.
            let sums = unsafe { std::slice::from_raw_parts_mut(mine.sums, columns / 2) };
            for (e, sum) in sums.iter_mut().enumerate() {
                let (row, column) = place_of(lane, e);
                *sum = product.sums[row * columns + column];
            }
        }
    }
}

fn sums_of(product: &Product, lane: usize) -> Option<*mut f32> {
    product.lanes.iter().find(|l| l.lane == lane).map(|l| l.sums)
}

/// What is wrong with a block's products when all its threads have ended.
pub(super) fn unfinished(block: &Block) -> Option<String> {
    let started = |warp: &Products| warp.lanes[0].started;
    let groups = block.products.chunks(4);
    let uneven = groups.enumerate().find(|(_, warps)| warps.iter().any(|w| started(w) != started(&warps[0])));
    let open = block.products.iter().position(|w| w.lanes.iter().any(|l| l.started > l.retired));
    uneven
        .map(|(group, _)| format!("divergent wgmma: the warps of warpgroup {group} started different numbers of them"))
        .or_else(|| open.map(|warp| format!("warp {warp} ends with wgmma under way{}", line())))
}
