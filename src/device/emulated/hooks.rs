//! What compiled kernels call: `emulator::Hooks` of `kernels/host/emulator.h`.

use std::backtrace::Backtrace;
use std::ffi::{CStr, c_char, c_void};

use super::POISON;
use super::block::{Block, Copy, Place, State, WARP, current, suspend};
use super::phases::{async_fence, phase_arrive, phase_init, phase_wait, tile_copy, window};
use super::warpgroup::{wgmma, wgmma_commit, wgmma_fence, wgmma_wait};
use crate::device::kernels;

/// Mirrors `emulator::Hooks`.
#[repr(C)]
struct Hooks {
    barrier: extern "C" fn(u32, u32, *const c_char, u32),
    warp_barrier: extern "C" fn(u32, bool, *const c_char, u32),
    shared: extern "C" fn(*const c_void, usize, usize) -> *mut c_void,
    dynamic_shared: extern "C" fn() -> *mut c_void,
    copy: extern "C" fn(*mut c_void, *const c_void, usize, bool, *const c_char, u32),
    copy_commit: extern "C" fn(),
    copy_wait: extern "C" fn(u32, *const c_char, u32),
    fence: extern "C" fn(),
    access: extern "C" fn(*const c_void, usize, bool, bool),
    window: extern "C" fn(*const c_void) -> u32,
    phase_init: extern "C" fn(*mut c_void, u32, *const c_char, u32),
    phase_arrive: extern "C" fn(*mut c_void, u32, *const c_char, u32),
    phase_wait: extern "C" fn(*mut c_void, u32, *const c_char, u32),
    tile_copy: extern "C" fn(*mut c_void, *const c_void, *mut c_void, *const i32, *const c_char, u32),
    async_fence: extern "C" fn(),
    wgmma: extern "C" fn(*const c_void, *const c_char, u32),
    wgmma_fence: extern "C" fn(),
    wgmma_commit: extern "C" fn(),
    wgmma_wait: extern "C" fn(u32, *const c_char, u32),
    fail: extern "C" fn(*const c_char, *const c_char, u32),
    reported: extern "C" fn(*const c_char),
}

static HOOKS: Hooks = Hooks {
    barrier,
    warp_barrier,
    shared,
    dynamic_shared,
    copy,
    copy_commit,
    copy_wait,
    fence,
    access,
    window,
    phase_init,
    phase_arrive,
    phase_wait,
    tile_copy,
    async_fence,
    wgmma,
    wgmma_fence,
    wgmma_commit,
    wgmma_wait,
    fail,
    reported,
};

/// Hands the hooks to the kernels; returns where they read which thread is running.
pub(super) fn attach() -> *mut *const c_void {
    let attach = kernels::ATTACH.expect("an emulator is only made where kernels were compiled for it");
    // SAFETY: the table is static and laid out as the kernels expect.
    unsafe { attach(std::ptr::from_ref(&HOOKS).cast()) }
}

/// Ends the launch: the fiber never runs again.
pub(super) fn stop(block: &mut Block, message: String) -> ! {
    block.failure.get_or_insert(message);
    suspend();
    unreachable!("a failed launch resumes no fiber")
}

extern "C" fn barrier(id: u32, threads: u32, file: *const c_char, line: u32) {
    let block = current();
    block.fibers[block.running].state = State::Barrier { id, threads, place: Place { file, line } };
    suspend();
}

pub(super) extern "C" fn warp_barrier(mask: u32, fences: bool, file: *const c_char, line: u32) {
    let block = current();
    block.fibers[block.running].state = State::Warp { mask, fences, place: Place { file, line } };
    suspend();
}

extern "C" fn shared(key: *const c_void, bytes: usize, _alignment: usize) -> *mut c_void {
    let block = current();
    let known = block.shared.iter().find(|(k, ..)| *k == key as usize).map(|(_, _, region)| region.start());
    known.unwrap_or_else(|| block.add_shared(key as usize, bytes)) as *mut c_void
}

extern "C" fn dynamic_shared() -> *mut c_void {
    let block = current();
    match block.shared.iter().find(|(key, ..)| *key == 0) {
        Some((_, _, region)) => region.start() as *mut c_void,
        None => stop(block, "uses dynamic shared memory, the launch gave it none".into()),
    }
}

extern "C" fn copy(to: *mut c_void, from: *const c_void, bytes: usize, valid: bool, _file: *const c_char, _line: u32) {
    let (to, from) = (to as usize, from as usize);
    access(to as *const c_void, bytes, true, false);
    if valid {
        access(from as *const c_void, bytes, false, false);
    }
    // SAFETY: just checked to be the kernel's own memory.
    unsafe { (to as *mut u8).write_bytes(POISON, bytes) };
    let block = current();
    let open = block.fibers[block.running].copies.last_mut().expect("there is an open group");
    open.push(Copy { to, from, bytes, valid });
}

extern "C" fn copy_commit() {
    let block = current();
    block.fibers[block.running].copies.push(Vec::new());
}

extern "C" fn copy_wait(pending: u32, _file: *const c_char, _line: u32) {
    let block = current();
    let groups = &mut block.fibers[block.running].copies;
    let closed = groups.len() - 1;
    let arrived: Vec<Copy> = groups.drain(..closed.saturating_sub(pending as usize)).flatten().collect();
    for copy in arrived {
        access(copy.to as *const c_void, copy.bytes, true, false);
        // SAFETY: both ranges were checked when the copy started.
        unsafe {
            match copy.valid {
                true => std::ptr::copy_nonoverlapping(copy.from as *const u8, copy.to as *mut u8, copy.bytes),
                false => (copy.to as *mut u8).write_bytes(0, copy.bytes),
            }
        }
    }
}

extern "C" fn fence() {
    current().fenced = true;
}

extern "C" fn fail(message: *const c_char, file: *const c_char, line: u32) {
    let block = current();
    // SAFETY: a string of the compiled kernels.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let text = format!("{message}: {} at {}", block.who(), Place { file, line }.text());
    stop(block, text)
}

/// AddressSanitizer has found something and holds a lock: the launch ends when the thread waits or ends.
extern "C" fn reported(report: *const c_char) {
    // SAFETY: the sanitizer's own text.
    let report = unsafe { CStr::from_ptr(report) }.to_string_lossy();
    let kind =
        report.split_once("AddressSanitizer: ").map_or("error", |(_, rest)| rest.split(' ').next().unwrap_or(rest));
    let block = current();
    let text = format!("AddressSanitizer: {kind}: {}{}", block.who(), place_in(&report));
    block.failure.get_or_insert(text);
}

/// Checks a load or store of the running thread.
pub(super) extern "C" fn access(address: *const c_void, bytes: usize, write: bool, atomic: bool) {
    let block = current();
    let address = address as usize;
    let fiber = &block.fibers[block.running];
    let (low, high) = fiber.stack;
    if (low..high).contains(&address) {
        let touches = |&(_, (from, to), readable): &(usize, (usize, usize), bool)| {
            address < to && from < address + bytes && (write || !readable)
        };
        if fiber.busy.iter().any(touches) {
            let text = format!("{} touches registers of a wgmma under way{}", block.who(), line());
            stop(block, text);
        }
        return;
    }
    if block.is_internal(address) {
        return;
    }
    let (now, first_run, fenced) = (block.now(), block.grid.first_run, block.fenced);
    let verb = if write { "stores to" } else { "loads from" };
    let shared = block
        .shared
        .iter_mut()
        .find(|(_, _, region)| region.contains(address, bytes))
        .map(|(_, _, r)| (r, "shared memory"));
    let region = shared.or_else(|| {
        let (_, region) = block.memory.range_mut(..=address).next_back()?;
        region.contains(address, bytes).then_some((region, "a buffer"))
    });
    let Some((region, kind)) = region else {
        if !write && in_program(address) {
            return;
        }
        let text = format!(
            "out of bounds: {} {verb} {bytes} bytes at {address:#x}{}{}",
            block.who(),
            near(block, address),
            line()
        );
        stop(block, text);
    };
    if atomic {
        return;
    }
    let (offset, size) = (address - region.start(), region.bytes);
    if let Some(race) = region.touch(address, bytes, write, now, first_run, fenced) {
        let other = format!("{} {} it", race.who(now.run), if race.wrote { "wrote" } else { "read" });
        let text = format!(
            "race: {} {verb} byte {offset} of {kind} of {size} bytes, {other} with no barrier between{}",
            block.who(),
            line()
        );
        stop(block, text);
    }
    if kind == "shared memory"
        && let Err(why) = block.clocks.touch(block.running / WARP, address, write)
    {
        let text = format!("race: {} {verb} {why}{}", block.who(), line());
        stop(block, text);
    }
}

/// How far an address is past the end of a buffer or shared array.
fn near(block: &Block, address: usize) -> String {
    let shared = block.shared.iter().map(|(_, _, region)| (region, "a shared array"));
    let regions = shared.chain(block.memory.values().map(|region| (region, "a buffer")));
    let before = regions.filter(|(r, _)| r.start() <= address).max_by_key(|(r, _)| r.start());
    before
        .map_or_else(String::new, |(r, kind)| format!(", byte {} of {kind} of {} bytes", address - r.start(), r.bytes))
}

/// The line of the kernel that is being executed, from its debug information.
pub(super) fn line() -> String {
    place_in(&Backtrace::force_capture().to_string())
}

/// The first line of a kernel that a trace names.
fn place_in(trace: &str) -> String {
    let place = trace.lines().find(|l| l.contains(".cu:") || l.contains(".cuh:"));
    place.and_then(|l| l.trim().rsplit('/').next()).map_or_else(String::new, |l| format!(", at {l}"))
}

/// Whether an address belongs to the program's own constants.
fn in_program(address: usize) -> bool {
    unsafe extern "C" {
        static __executable_start: u8;
        static end: u8;
    }
    let (low, high) = (&raw const __executable_start as usize, &raw const end as usize);
    (low..high).contains(&address)
}
