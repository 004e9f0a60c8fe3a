//! What was left out of a data set, and why: a bad file never stops a run, and is never dropped silently.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where a performance was found wanting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its row of the metadata is not valid.
    Metadata,
    /// Its piece also stands in a split that outranks its own.
    Split,
    /// Its MIDI file cannot be read.
    Midi,
    /// Its audio file cannot be decoded.
    Audio,
}

/// One performance left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Row of the metadata, counted from 1 (headers not counted).
    pub row: u64,
    /// What was looked at: the file as the metadata names it, or the metadata file itself.
    pub item: String,
    pub stage: Stage,
    /// The whole message: file, field, expected, found.
    pub reason: String,
}

impl Quarantined {
    pub fn new(row: u64, item: impl AsRef<Path>, stage: Stage, reason: impl ToString) -> Self {
        Quarantined { row, item: item.as_ref().display().to_string(), stage, reason: reason.to_string() }
    }
}

impl std::fmt::Display for Quarantined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {}: {}", self.row, self.reason)
    }
}

/// Saves the list as a JSON array, atomically.
pub fn save(list: &[Quarantined], path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(list).map_err(|e| Error::io(path, "write", e.into()))?;
    crate::io::write_atomic(path, |out| std::io::Write::write_all(out, text.as_bytes()))
}
