//! Rows of a batch whose samples have different lengths, packed without padding between them.

use std::ops::Range;
use std::sync::Arc;

use crate::device::{Device, Memory, Mirrored, kernels};
use crate::error::Result;

/// Where each group's rows lie in a packed [ΣT, features] tensor: group `b` owns rows `offsets[b]..offsets[b+1]`. Each sample is
/// a group; rows at the end that belong to none, and only fill a batch up to a size that recurs, are a last group of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ragged {
    offsets: Mirrored<u32>,
    samples: usize,
    longest: usize,
}

impl Ragged {
    /// Samples of the given lengths, one after the other.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let (mut offsets, mut longest) = (vec![0], 0);
        offsets.extend(lengths.into_iter().scan(0usize, |end, n| {
            *end += n;
            longest = longest.max(n);
            Some(u32::try_from(*end).expect("a batch has fewer than 2³² rows"))
        }));
        Ragged { samples: offsets.len() - 1, longest, offsets: offsets.into() }
    }

    /// `batch` samples of `length` rows each.
    pub fn uniform(batch: usize, length: usize) -> Self {
        Self::from_lengths(std::iter::repeat_n(length, batch))
    }

    /// Samples of the given lengths and rows that fill up to `total`.
    pub fn filled(lengths: &[usize], total: usize) -> Self {
        let rest = total - lengths.iter().sum::<usize>();
        let mut rows = Self::from_lengths(lengths.iter().copied().chain([rest]));
        rows.samples = lengths.len();
        rows
    }

    /// Any `samples` of at least one and at most `longest` rows, filled up to `total`: their offsets are what `offsets`, memory of
    /// a device, holds when a kernel reads it.
    pub fn placed(samples: usize, total: usize, longest: usize, offsets: Memory) -> Self {
        let lengths = std::iter::repeat_n(1, samples).chain([total - samples]);
        let host = Self::from_lengths(lengths).offsets.to_vec();
        Ragged { samples, longest, offsets: Mirrored::placed(host, offsets) }
    }

    /// Number of groups.
    pub fn batch(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of samples: the groups, but for that of rows which only fill up.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Rows of all groups together.
    pub fn total(&self) -> usize {
        self.offsets[self.batch()] as usize
    }

    /// First row of no sample.
    pub fn end(&self) -> usize {
        self.offsets[self.samples] as usize
    }

    /// Rows of group `b`.
    pub fn range(&self, b: usize) -> Range<usize> {
        self.offsets[b] as usize..self.offsets[b + 1] as usize
    }

    /// Length of group `b`.
    pub fn length(&self, b: usize) -> usize {
        self.range(b).len()
    }

    /// Longest group, or the most that one may have.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Offsets (`u32`, one more than there are groups) on `device`. Equal lengths are written by a kernel, without reading
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
