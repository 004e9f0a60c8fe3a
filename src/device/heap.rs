//! A device's memory as a program of steps sees it, and which lane of the program is being written.
//!
//! | memory | lives | from |
//! |---|---|---|
//! | lasting | parameters, moments, tables, inputs: from one step to the next | its own [`Arena`] |
//! | passing | what a step makes and drops | an arena for each lane, empty between steps |
//!
//! So what is made between two steps never moves a step's own memory, and a recorded step finds its addresses free whenever it
//! is replayed. A lane runs its work in order; two lanes meet only where [`Heap::fork`] and [`Heap::join`] say. Memory that
//! another lane than its owner has used is reused after the next join at the earliest.

use super::arena::Arena;
use crate::error::Result;

/// A sequence of work on a device: a CUDA stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Where everything runs that does not say otherwise.
    Main = 0,
    /// Beside it, between a fork and a join.
    Side = 1,
}

impl Lane {
    pub(super) const COUNT: usize = 2;

    /// As a set.
    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// How long memory lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Until it is dropped.
    Lasting,
    /// As long as the step that is being written, where one is.
    Passing,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heap {
    lasting: Arena,
    passing: [Arena; Lane::COUNT],
    pub in_step: bool,
    pub recording: bool,
    forked: bool,
    side: bool,
    /// Given back while another lane may still be using it.
    deferred: Vec<u64>,
    /// Lasting memory given back while recording: the recording needs it.
    kept: Vec<u64>,
}

impl Heap {
    pub fn lane(&self) -> Lane {
        if self.side { Lane::Side } else { Lane::Main }
    }

    /// Memory of `bytes`; `reserve` makes more of it, at least as much as it is asked for, and says how much.
    pub fn take(
        &mut self,
        bytes: usize,
        life: Life,
        reserve: impl FnOnce(usize) -> Result<(u64, usize)>,
    ) -> Result<u64> {
        let lane = self.lane() as usize;
        let arena = match life {
            Life::Passing if self.in_step => &mut self.passing[lane],
            _ => &mut self.lasting,
        };
        if let Some(start) = arena.take(bytes) {
            return Ok(start);
        }
        let (start, reserved) = reserve(Arena::rounded(bytes))?;
        arena.add(start, reserved);
        Ok(arena.take(bytes).unwrap_or(start))
    }

    /// Gives memory back that the lanes in `users` have used; whether it is free at once.
    pub fn give(&mut self, start: u64, users: u8) -> bool {
        let owner = if self.passing[Lane::Side as usize].holds(start) { Lane::Side } else { Lane::Main };
        // Whoever takes lasting memory next may be of either lane.
        if self.forked && (users & !owner.bit() != 0 || self.lasting.holds(start)) {
            self.deferred.push(start);
            return false;
        }
        if self.recording && self.lasting.holds(start) {
            self.kept.push(start);
            return false;
        }
        self.give_now(start);
        true
    }

    fn give_now(&mut self, start: u64) {
        let [main, side] = &mut self.passing;
        let known = self.lasting.give(start) || main.give(start) || side.give(start);
        debug_assert!(known, "memory given back twice");
    }

    /// Gives back what a recording kept.
    pub fn give_kept(&mut self, kept: &[u64]) {
        kept.iter().for_each(|&start| self.give_now(start));
    }

    /// From here on the lanes run side by side, both after everything before.
    pub fn fork(&mut self) {
        self.forked = true;
    }

    /// Which lane the next work is of.
    pub fn switch(&mut self, lane: Lane) {
        self.side = lane == Lane::Side;
    }

    /// From here on the main lane runs after all of both; what is free now.
    pub fn join(&mut self) -> Vec<u64> {
        (self.forked, self.side) = (false, false);
        let freed = std::mem::take(&mut self.deferred);
        let (lasting, freed): (Vec<u64>, Vec<u64>) =
            freed.into_iter().partition(|&start| self.recording && self.lasting.holds(start));
        self.kept.extend(lasting);
        freed.iter().for_each(|&start| self.give_now(start));
        freed
    }

    pub fn is_forked(&self) -> bool {
        self.forked
    }

    /// What was kept while recording.
    pub fn take_kept(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.kept)
    }

    /// Bytes of passing memory taken now.
    pub fn passing(&self) -> usize {
        self.passing.iter().map(Arena::used).sum()
    }

    /// Most bytes taken at once, of each kind added up.
    pub fn peak(&self) -> usize {
        self.arenas().map(Arena::peak).sum()
    }

    /// Everything reserved.
    pub fn segments(&self) -> impl Iterator<Item = (u64, usize)> {
        self.arenas().flat_map(Arena::segments)
    }

    fn arenas(&self) -> impl Iterator<Item = &Arena> {
        std::iter::once(&self.lasting).chain(&self.passing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_lanes_used_is_free_after_they_met() {
        let mut heap = Heap { in_step: true, ..Heap::default() };
        let mut end = 1 << 20;
        let mut take = |heap: &mut Heap, life| {
            heap.take(1000, life, |bytes| {
                end += 1 << 20;
                Ok((end, bytes))
            })
            .unwrap()
        };
        let (main, both) = (take(&mut heap, Life::Passing), take(&mut heap, Life::Passing));
        let lasting = take(&mut heap, Life::Lasting);
        heap.fork();
        heap.switch(Lane::Side);
        let side = take(&mut heap, Life::Passing);
        assert!(!heap.give(both, 0b11), "the side lane may still read it");
        assert!(heap.give(side, 0b10));
        assert_eq!(take(&mut heap, Life::Passing), side);
        heap.switch(Lane::Main);
        assert!(heap.give(main, 0b01));
        assert_eq!(take(&mut heap, Life::Passing), main, "not what the side lane may read");
        assert_eq!(heap.join(), [both]);
        heap.recording = true;
        assert!(!heap.give(lasting, 0b01));
        assert_eq!(heap.take_kept(), [lasting]);
        heap.give_kept(&[lasting]);
        assert!(heap.give(main, 1) && heap.give(side, 2));
        assert_eq!((heap.passing(), heap.peak()), (0, 4 * 1024));
    }
}
