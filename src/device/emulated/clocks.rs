//! What must have happened before what, whatever the order in which fibers happened to run: for the tiles of shared memory that the
//! copy engine writes and wgmma reads.
//!
//! Every warp has a clock, and knows of the others' what barriers have told it (vector clocks); the copy engine has one that moves on
//! with every phase completed. A copy may only overwrite what its issuer knows to have been read to the end, and wgmma may only read
//! what its warp knows to have come. So may a thread's own load and store; among themselves these are ordered by barriers (`access`).

/// Bytes that share a record: tiles are made of them.
const GRAIN: usize = super::phases::PATTERN;

/// What is known of every warp's clock, and of the copy engine's, which is the last.
pub(super) type Clock = Vec<u32>;

pub(super) fn join(into: &mut Clock, other: &Clock) {
    into.iter_mut().zip(other).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
}

/// The last accesses to a stretch of shared memory.
struct Record {
    /// The copy engine's clock when its bytes came; `None` while they are under way.
    came: Option<u32>,
    /// Each warp's clock when it waited for its reads; 0: never.
    read: Vec<u32>,
    /// Reads of each warp that have not been waited for.
    reading: Vec<u32>,
}

pub(super) struct Clocks {
    warps: Vec<Clock>,
    engine: u32,
    records: std::collections::BTreeMap<usize, Record>,
}

impl Clocks {
    pub fn new(warps: usize) -> Self {
        let own = |warp| (0..=warps).map(|other| u32::from(other == warp)).collect();
        Clocks { warps: (0..warps).map(own).collect(), engine: 0, records: Default::default() }
    }

    /// A barrier of these warps.
    pub fn meet(&mut self, warps: impl Iterator<Item = usize> + Clone) {
        let mut all = vec![0; self.warps.len() + 1];
        warps.clone().for_each(|warp| join(&mut all, &self.warps[warp]));
        for warp in warps {
            self.warps[warp].copy_from_slice(&all);
            self.warps[warp][warp] += 1;
        }
    }

    /// What `warp` tells by an arrival.
    pub fn tell(&mut self, warp: usize, told: &mut Clock) {
        told.resize(self.warps.len() + 1, 0);
        join(told, &self.warps[warp]);
        self.warps[warp][warp] += 1;
    }

    /// What `warp` learns from a completed phase.
    pub fn learn(&mut self, warp: usize, told: &Clock) {
        join(&mut self.warps[warp], told);
    }

    /// A copy to `bytes` from `address` on starts; what it must not overwrite yet.
    pub fn start_copy(&mut self, warp: usize, address: usize, bytes: usize) -> Result<(), String> {
        let (count, known) = (self.warps.len(), &self.warps[warp]);
        for grain in grains(address, bytes) {
            let record = self.records.entry(grain).or_insert_with(|| Record::new(count));
            record.may_change(known).map_err(|what| format!("copies over {what}"))?;
            record.came = None;
        }
        Ok(())
    }

    /// A thread of `warp` loads or stores.
    pub fn touch(&self, warp: usize, address: usize, write: bool) -> Result<(), String> {
        let known = &self.warps[warp];
        match self.records.get(&(address / GRAIN)) {
            Some(record) if write => record.may_change(known),
            Some(record) => record.has_come(known),
            None => Ok(()),
        }
    }

    /// A phase completes that these copies (address, bytes) counted towards; `told` passes it on.
    pub fn complete(&mut self, copies: impl Iterator<Item = (usize, usize)>, told: &mut Clock) {
        self.engine += 1;
        told.resize(self.warps.len() + 1, 0);
        told[self.warps.len()] = self.engine;
        for grain in copies.flat_map(|(address, bytes)| grains(address, bytes)) {
            let count = self.warps.len();
            self.records.entry(grain).or_insert_with(|| Record::new(count)).came = Some(self.engine);
        }
    }

    /// wgmma of `warp` starts to read; whether the bytes may not have come.
    pub fn start_read(&mut self, warp: usize, address: usize) -> Result<(), String> {
        let count = self.warps.len();
        let record = self.records.entry(address / GRAIN).or_insert_with(|| Record::new(count));
        record.reading[warp] += 1;
        record.has_come(&self.warps[warp]).map_err(|what| format!("wgmma reads {what}"))
    }

    /// That read has been waited for.
    pub fn end_read(&mut self, warp: usize, address: usize) {
        if let Some(record) = self.records.get_mut(&(address / GRAIN)) {
            record.reading[warp] -= 1;
            record.read[warp] = self.warps[warp][warp];
        }
    }
}

impl Record {
    fn new(warps: usize) -> Self {
        Record { came: Some(0), read: vec![0; warps], reading: vec![0; warps] }
    }

    fn has_come(&self, known: &Clock) -> Result<(), String> {
        let engine = known[self.read.len()];
        let come = self.came.is_some_and(|came| came <= engine);
        if come { Ok(()) } else { Err("a tile that may still be under way".into()) }
    }

    fn may_change(&self, known: &Clock) -> Result<(), String> {
        match (0..self.read.len()).find(|&w| self.reading[w] > 0 || self.read[w] > known[w]) {
            Some(reader) => Err(format!("what warp {reader} may still read by wgmma")),
            None => self.has_come(known),
        }
    }
}

fn grains(address: usize, bytes: usize) -> std::ops::Range<usize> {
    address / GRAIN..(address + bytes).div_ceil(GRAIN)
}
