//! Which stretches of reserved memory are taken: best fit, neighbours merged.
//!
//! Where a request lands depends on nothing but what is taken at that moment. So a step that begins with the same memory taken
//! and asks for the same sizes in the same order gets the same addresses, which is what a recorded step needs, and every step
//! after the first finds its memory reserved already.

use std::collections::BTreeMap;

/// Addresses are multiples of this, as those of cudaMalloc are.
pub(super) const ALIGNMENT: usize = 256;

/// The bookkeeping; it touches no memory itself.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// Bytes by start; no two touch within a segment.
    free: BTreeMap<u64, usize>,
    taken: BTreeMap<u64, usize>,
    /// Starts of what was reserved: stretches are not merged across them.
    segments: BTreeMap<u64, usize>,
    used: usize,
    peak: usize,
}

impl Arena {
    /// Bytes that a request of `bytes` takes.
    pub fn rounded(bytes: usize) -> usize {
        bytes.max(1).next_multiple_of(ALIGNMENT)
    }

    /// Memory for `bytes`, or `None` where a further segment has to be [`Arena::add`]ed first. Of the smallest stretches that
    /// fit, the one at the lowest address.
    pub fn take(&mut self, bytes: usize) -> Option<u64> {
        let bytes = Self::rounded(bytes);
        let fits = self.free.iter().filter(|&(_, &size)| size >= bytes);
        let (&start, &size) = fits.min_by_key(|&(&start, &size)| (size, start))?;
        self.free.remove(&start);
        if size > bytes {
            self.free.insert(start + bytes as u64, size - bytes);
        }
        self.taken.insert(start, bytes);
        self.used += bytes;
        self.peak = self.peak.max(self.used);
        Some(start)
    }

    /// Gives back what [`Arena::take`] gave; whether it was this arena's.
    pub fn give(&mut self, start: u64) -> bool {
        let Some(bytes) = self.taken.remove(&start) else { return false };
        self.used -= bytes;
        let (mut first, mut size) = (start, bytes);
        let end = start + bytes as u64;
        if !self.segments.contains_key(&end)
            && let Some(next) = self.free.remove(&end)
        {
            size += next;
        }
        if !self.segments.contains_key(&start)
            && let Some((&before, &length)) = self.free.range(..start).next_back()
            && before + length as u64 == start
        {
            self.free.remove(&before);
            (first, size) = (before, size + length);
        }
        self.free.insert(first, size);
        true
    }

    /// Whether it gave what starts here.
    pub fn holds(&self, start: u64) -> bool {
        self.taken.contains_key(&start)
    }

    /// More memory to give.
    pub fn add(&mut self, start: u64, bytes: usize) {
        self.segments.insert(start, bytes);
        self.free.insert(start, bytes);
    }

    /// Bytes taken now.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Most bytes ever taken at once.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Everything reserved, as starts.
    pub fn segments(&self) -> impl Iterator<Item = (u64, usize)> {
        self.segments.iter().map(|(&start, &bytes)| (start, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Philox, site};

    /// Takes and gives at random like a step does; the addresses it got.
    fn step(arena: &mut Arena, seed: u64) -> Vec<u64> {
        let mut random = Philox::new(seed, site("arena test")).stream(0);
        let (mut held, mut seen) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            if held.is_empty() || random.uniform_f32() < 0.6 {
                let bytes = (random.uniform_f32() * 5000.0) as usize;
                let start = arena.take(bytes).unwrap_or_else(|| {
                    // Neighbours on purpose: they must not merge.
                    let end = arena.segments().last().map_or(4096, |(start, bytes)| start + bytes as u64);
                    arena.add(end, 16 * 1024);
                    arena.take(bytes).unwrap()
                });
                assert!(start.is_multiple_of(ALIGNMENT as u64));
                held.push((start, Arena::rounded(bytes)));
                seen.push(start);
            } else {
                let at = (random.uniform_f32() * held.len() as f32) as usize;
                assert!(arena.give(held.swap_remove(at.min(held.len() - 1)).0));
            }
            let mut sorted = held.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|w| w[0].0 + w[0].1 as u64 <= w[1].0), "no two overlap");
            let segments: Vec<_> = arena.segments().collect();
            let within = |&(start, bytes): &(u64, usize)| {
                segments.iter().any(|&(s, n)| s <= start && start + bytes as u64 <= s + n as u64)
            };
            assert!(held.iter().all(within), "none crosses segments");
        }
        held.into_iter().for_each(|(start, _)| assert!(arena.give(start)));
        seen
    }

    #[test]
    fn equal_steps_get_equal_addresses_and_everything_comes_back() {
        let mut arena = Arena::default();
        step(&mut arena, 1);
        let kept = arena.take(700).unwrap();
        step(&mut arena, 2);
        step(&mut arena, 1);
        let (first, second) = (step(&mut arena, 1), step(&mut arena, 1));
        assert_eq!(first, second);
        assert_eq!(step(&mut arena, 2), step(&mut arena, 2));
        assert!(arena.give(kept) && !arena.give(kept));
        assert_eq!(arena.used(), 0);
        let reserved: Vec<_> = arena.segments().collect();
        assert_eq!(arena.free.iter().map(|(&s, &n)| (s, n)).collect::<Vec<_>>(), reserved, "all merged again");
    }
}
