//! Reuse of large buffers, so that a training step touches no fresh pages after the first.
//!
//! A step allocates the same few hundred megabytes every time; handing pages back to the system and faulting them in again
//! costs more than the arithmetic on them.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use super::Real;

/// Buffers shorter than this come straight from the allocator.
const POOLED_FROM: usize = 4096;
/// Where the others start, in bytes: a vector that lies in two lines of the cache costs two accesses.
const ALIGNMENT: usize = 64;

/// Free lists by size class.
pub struct Pool<F> {
    free: Mutex<BTreeMap<usize, Vec<Vec<F>>>>,
}

impl<F: Real> Pool<F> {
    pub(super) const fn new() -> Self {
        Pool { free: Mutex::new(BTreeMap::new()) }
    }

    fn take(&self, len: usize) -> Vec<F> {
        if len < POOLED_FROM {
            return vec![F::ZERO; len];
        }
        let class = size_class(len) + ALIGNMENT / size_of::<F>();
        let reused = self.free.lock().unwrap_or_else(|e| e.into_inner()).get_mut(&class).and_then(Vec::pop);
        reused.unwrap_or_else(|| vec![F::ZERO; class])
    }

    fn give(&self, buffer: Vec<F>) {
        if buffer.len() >= POOLED_FROM {
            let mut free = self.free.lock().unwrap_or_else(|e| e.into_inner());
            free.entry(buffer.len()).or_default().push(buffer);
        }
    }
}

/// Rounds up to one of eight classes per octave, so that batches of varying length share buffers at ≤ 12.5 % waste.
fn size_class(len: usize) -> usize {
    let step = (len.next_power_of_two() / 16).max(1);
    len.div_ceil(step) * step
}

/// A buffer of `len` elements that returns to its pool when dropped. A new one holds unspecified (initialised) values.
pub struct PoolVec<F: Real> {
    storage: Vec<F>,
    start: usize,
    len: usize,
}

impl<F: Real> PoolVec<F> {
    /// `len` elements of unspecified value: the caller writes every one of them.
    pub fn uninit(len: usize) -> Self {
        let storage = F::pool().take(len);
        let start = storage.as_ptr().align_offset(ALIGNMENT).min(storage.len() - len);
        PoolVec { storage, start, len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut v = Self::uninit(len);
        v.fill(F::ZERO);
        v
    }

    /// A copy of `data`.
    pub fn copy_of(data: &[F]) -> Self {
        let mut v = Self::uninit(data.len());
        v.copy_from_slice(data);
        v
    }
}

impl<F: Real> Deref for PoolVec<F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        &self.storage[self.start..][..self.len]
    }
}

impl<F: Real> DerefMut for PoolVec<F> {
    fn deref_mut(&mut self) -> &mut [F] {
        &mut self.storage[self.start..][..self.len]
    }
}

impl<F: Real> Drop for PoolVec<F> {
    fn drop(&mut self) {
        F::pool().give(std::mem::take(&mut self.storage));
    }
}
