//! Who touched which bytes last, and whether two accesses are in order.
//!
//! Two accesses to the same bytes by different threads, at least one of them a write, must be separated by a barrier: the
//! block's, the warp's where both are of one warp, or the end of the launch where they are of different blocks.

/// Bytes that share a record. A bf16; kernels that let different threads write neighbouring bytes are not checked for races.
const GRAIN: usize = 2;

/// Sentinel threads of a read record: several lanes of warp `w` are `SEVERAL_LANES + w`.
const SEVERAL_LANES: u16 = 2048;
const SEVERAL_WARPS: u16 = 4094;
const SEVERAL_BLOCKS: u16 = 4095;

/// When and by whom an access happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Number of the block among all blocks ever run.
    pub run: u32,
    /// Barriers of the block passed so far.
    pub epoch: u32,
    /// Barriers of the thread's warp passed so far.
    pub warp_epoch: u32,
    pub thread: u16,
    /// `fence_async` that the thread had passed.
    pub fences: u16,
}

impl Moment {
    const NEVER: Moment = Moment { run: u32::MAX, epoch: 0, warp_epoch: 0, thread: 0, fences: 0 };

    fn warp(self) -> Option<u16> {
        match self.thread {
            SEVERAL_WARPS | SEVERAL_BLOCKS => None,
            lanes if lanes >= SEVERAL_LANES => Some(lanes - SEVERAL_LANES),
            thread => Some(thread / 32),
        }
    }

    /// Whether `now` may come before or after `self` as the hardware pleases.
    fn races_with(self, now: Moment, first_run: u32, fenced: bool) -> bool {
        if self.run == u32::MAX || self.run < first_run {
            return false;
        }
        if self.thread == SEVERAL_BLOCKS || self.run != now.run {
            return !fenced;
        }
        if self.thread == now.thread || self.epoch < now.epoch {
            return false;
        }
        self.warp() != now.warp() || self.warp_epoch >= now.warp_epoch
    }
}

#[derive(Debug, Clone, Copy)]
struct Record {
    write: Moment,
    read: Moment,
}

const UNTOUCHED: Record = Record { write: Moment::NEVER, read: Moment::NEVER };

/// Memory that threads share: an allocation or a shared array.
pub struct Region {
    start: usize,
    pub bytes: usize,
    records: Vec<Record>,
}

/// The other side of a race.
pub struct Race {
    pub wrote: bool,
    pub other: Moment,
}

impl Race {
    /// `thread 3`, `several threads`, `another block`, as seen from block `run`.
    pub fn who(&self, run: u32) -> String {
        match self.other.thread {
            SEVERAL_BLOCKS => "another block".into(),
            _ if self.other.run != run => "another block".into(),
            thread if thread >= SEVERAL_LANES => "several threads".into(),
            thread => format!("thread {thread}"),
        }
    }
}

impl Region {
    pub fn new(start: usize, bytes: usize) -> Self {
        Region { start, bytes, records: Vec::new() }
    }

    pub fn start(&self) -> usize {
        self.start
    }

    pub fn contains(&self, address: usize, bytes: usize) -> bool {
        address >= self.start && address + bytes <= self.start + self.bytes
    }

    /// Remembers an access inside the region; the race it is part of, if any.
    pub fn touch(
        &mut self,
        address: usize,
        bytes: usize,
        write: bool,
        now: Moment,
        first_run: u32,
        fenced: bool,
    ) -> Option<Race> {
        if bytes < GRAIN {
            return None;
        }
        if self.records.is_empty() {
            self.records = vec![UNTOUCHED; self.bytes.div_ceil(GRAIN)];
        }
        let offset = address - self.start;
        for record in &mut self.records[offset / GRAIN..(offset + bytes).div_ceil(GRAIN)] {
            if record.write.races_with(now, first_run, fenced) {
                return Some(Race { wrote: true, other: record.write });
            }
            if write {
                if record.read.races_with(now, first_run, fenced) {
                    return Some(Race { wrote: false, other: record.read });
                }
                *record = Record { write: now, read: Moment::NEVER };
            } else {
                record.read = joined(record.read, now, first_run);
            }
        }
        None
    }

    /// The store that a read by the hardware itself races with; the read is not remembered.
    pub fn written(&self, address: usize, bytes: usize, now: Moment, first_run: u32, fenced: bool) -> Option<Race> {
        let write = self.range(address, bytes).iter().map(|record| record.write);
        let mut races = write.filter(|write| write.races_with(now, first_run, fenced));
        races.next().map(|other| Race { wrote: true, other })
    }

    /// The hardware itself has written here: what threads did before no longer matters.
    pub fn forget(&mut self, address: usize, bytes: usize) {
        let offset = address - self.start;
        if !self.records.is_empty() {
            self.records[offset / GRAIN..(offset + bytes).div_ceil(GRAIN)].fill(UNTOUCHED);
        }
    }

    fn range(&self, address: usize, bytes: usize) -> &[Record] {
        let offset = address - self.start;
        self.records.get(offset / GRAIN..(offset + bytes).div_ceil(GRAIN)).unwrap_or_default()
    }

    /// A thread of block `run` that stored here and has passed no `fence_async` since; `fences`: how many a thread has passed.
    pub fn unfenced(&self, address: usize, bytes: usize, run: u32, fences: impl Fn(usize) -> u16) -> Option<u16> {
        let stale = |w: &Moment| w.run == run && fences(usize::from(w.thread)) <= w.fences;
        self.range(address, bytes).iter().map(|record| record.write).find(stale).map(|write| write.thread)
    }
}

/// One record for an earlier read and one more.
fn joined(earlier: Moment, now: Moment, first_run: u32) -> Moment {
    if earlier.run == u32::MAX || earlier.run < first_run {
        return now;
    }
    if earlier.thread == SEVERAL_BLOCKS || earlier.run != now.run {
        return Moment { thread: SEVERAL_BLOCKS, ..now };
    }
    if earlier.epoch < now.epoch || earlier.thread == now.thread {
        return now;
    }
    if earlier.warp() == now.warp() {
        if earlier.warp_epoch < now.warp_epoch {
            return now;
        }
        return Moment { thread: SEVERAL_LANES + now.thread / 32, ..now };
    }
    Moment { thread: SEVERAL_WARPS, ..now }
}
