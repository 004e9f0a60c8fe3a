//! Rows of a batch whose samples have different lengths, packed without padding.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::device::{Device, Memory};
use crate::error::{Error, Result};

/// Where each sample's rows lie in a packed [ΣT, features] tensor: sample `b` owns rows `offsets[b]..offsets[b+1]`.
#[derive(Clone)]
pub struct Ragged {
    offsets: Arc<Offsets>,
}

struct Offsets {
    rows: Vec<usize>,
    /// The copy on the device that asked last: clones share it, so that a batch uploads it once.
    uploaded: Mutex<Option<Arc<Memory>>>,
}

impl Ragged {
    /// Samples of the given lengths, one after the other.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lengths.into_iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        }));
        Ragged { offsets: Arc::new(Offsets { rows: offsets, uploaded: Mutex::default() }) }
    }

    /// `batch` samples of `length` rows each.
    pub fn uniform(batch: usize, length: usize) -> Self {
        Self::from_lengths(std::iter::repeat_n(length, batch))
    }

    /// Number of samples.
    pub fn batch(&self) -> usize {
        self.offsets.rows.len() - 1
    }

    /// Rows of all samples together.
    pub fn total(&self) -> usize {
        self.offsets.rows[self.batch()]
    }

    /// Rows of sample `b`.
    pub fn range(&self, b: usize) -> Range<usize> {
        self.offsets.rows[b]..self.offsets.rows[b + 1]
    }

    /// Length of sample `b`.
    pub fn length(&self, b: usize) -> usize {
        self.range(b).len()
    }

    /// Longest sample.
    pub fn longest(&self) -> usize {
        (0..self.batch()).map(|b| self.length(b)).max().unwrap_or(0)
    }

    /// The batch + 1 offsets as `i32` on a device.
    pub(crate) fn on(&self, device: &Device) -> Result<Arc<Memory>> {
        let mut uploaded = self.offsets.uploaded.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(memory) = uploaded.as_ref().filter(|m| m.device() == device) {
            return Ok(memory.clone());
        }
        let narrow = |&row: &usize| {
            i32::try_from(row).map_err(|_| Error::op("ragged", "rows", format!("≤ {}", i32::MAX), row.to_string()))
        };
        let rows = self.offsets.rows.iter().map(narrow).collect::<Result<Vec<_>>>()?;
        let memory = Arc::new(Memory::upload(device, &rows)?);
        *uploaded = Some(memory.clone());
        Ok(memory)
    }
}

impl PartialEq for Ragged {
    fn eq(&self, other: &Ragged) -> bool {
        self.offsets.rows == other.offsets.rows
    }
}

impl Eq for Ragged {}

impl fmt::Debug for Ragged {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Ragged").field(&self.offsets.rows).finish()
    }
}
