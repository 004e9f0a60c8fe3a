//! Rows of a batch whose samples have different lengths, packed without padding.

use std::ops::Range;

/// Where each sample's rows lie in a packed [ΣT, features] tensor: sample `b` owns rows `offsets[b]..offsets[b+1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ragged {
    offsets: Vec<usize>,
}

impl Ragged {
    /// Samples of the given lengths, one after the other.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lengths.into_iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        }));
        Ragged { offsets }
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
        self.offsets[self.batch()]
    }

    /// Rows of sample `b`.
    pub fn range(&self, b: usize) -> Range<usize> {
        self.offsets[b]..self.offsets[b + 1]
    }

    /// Length of sample `b`.
    pub fn length(&self, b: usize) -> usize {
        self.range(b).len()
    }

    /// Longest sample.
    pub fn longest(&self) -> usize {
        (0..self.batch()).map(|b| self.length(b)).max().unwrap_or(0)
    }
}
