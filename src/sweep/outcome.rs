//! What a cell's process left behind: the last line of its log, and S of its evaluation.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::grid::resolved;
use super::state::{Cell, Sweep};
use crate::eval::canonical::Canonical;
use crate::report::run::evaluation_file;

/// Bytes at the end of a log within which its last line is.
const TAIL: u64 = 1 << 16;

/// "exit code 3: what it said last".
pub fn reason(how: &str, last: &str) -> String {
    if last.is_empty() { how.to_string() } else { format!("{how}: {last}") }
}

/// The last line of a log after its first `start` bytes that is not empty; nothing where it cannot be read.
pub fn last_line(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_string()
}

/// S of the evaluation that a cell's training ended with; `None` where it was under other conditions only.
pub fn s_of(sweep: &Sweep, cell: &Cell) -> Option<f64> {
    let split = resolved(&cell.settings()).ok()?.eval.split;
    let file = evaluation_file(&sweep.run(cell), split);
    let found: Canonical = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(found.model.canonical.s.value)
}
