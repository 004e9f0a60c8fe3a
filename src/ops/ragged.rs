//! Rows of a batch whose samples have different lengths, packed without padding.

use std::ops::Range;
use std::sync::Arc;

use crate::device::{Device, Memory, Mirrored, kernels};
use crate::error::Result;

/// Where each sample's rows lie in a packed [ΣT, features] tensor: sample `b` owns rows `offsets[b]..offsets[b+1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ragged {
    offsets: Mirrored<u32>,
}

impl Ragged {
    /// Samples of the given lengths, one after the other.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lengths.into_iter().scan(0usize, |end, n| {
            *end += n;
            Some(u32::try_from(*end).expect("a batch has fewer than 2³² rows"))
        }));
        Ragged { offsets: offsets.into() }
    }

    /// `batch` samples of `length` rows each.
    pub fn uniform(batch: usize, length: usize) -> Self {
        Self::from_lengths(std::iter::repeat_n(length, batch))
    }

    /// Number of samples.
    pub fn batch(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Rows of all samples together.
    pub fn total(&self) -> usize {
        self.offsets[self.batch()] as usize
    }

    /// Rows of sample `b`.
    pub fn range(&self, b: usize) -> Range<usize> {
        self.offsets[b] as usize..self.offsets[b + 1] as usize
    }

    /// Length of sample `b`.
    pub fn length(&self, b: usize) -> usize {
        self.range(b).len()
    }

    /// Longest sample.
    pub fn longest(&self) -> usize {
        (0..self.batch()).map(|b| self.length(b)).max().unwrap_or(0)
    }

    /// Offsets (`u32`, one more than there are samples) on `device`. Equal lengths are written by a kernel, without reading
    /// host memory: such a batch can be made within a recorded step.
    pub fn on(&self, device: &Device) -> Result<Arc<Memory>> {
        let length = self.offsets.get(1).map_or(0, |&end| end);
        if self.batch() == 0 || (0..self.batch()).any(|b| self.length(b) != length as usize) {
            return self.offsets.on(device);
        }
        self.offsets.on_by(device, || {
            let memory = Memory::uninit(device, size_of_val(&self.offsets[..]))?;
            let grid = device.launch(self.offsets.len().div_ceil(PER_BLOCK));
            kernels::positions::uniform(grid, memory.output(0), length, self.offsets.len() as i32)?;
            Ok(memory)
        })
    }
}

/// Threads of a block of `positions::uniform`.
const PER_BLOCK: usize = 256;
