//! Whether a SoundFont's structure holds, before it is trusted: every chunk inside its parent, every index inside its
//! table (SoundFont Technical Specification 2.04, §7). The synthesizer's own reader takes both for granted.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Largest preset, instrument and sample tables read, in bytes; a large General MIDI font has 2 MB.
const MAX_TABLES: u64 = 64 << 20;

/// Tables that point into others: (table, bytes a record, offset of the index, table pointed to, its bytes a record).
/// The last record of each is a terminator, so an index may be as large as the number of records less one.
const POINTERS: [(&str, usize, usize, &str, usize); 4] =
    [("phdr", 38, 24, "pbag", 4), ("pbag", 4, 0, "pgen", 4), ("inst", 22, 20, "ibag", 4), ("ibag", 4, 0, "igen", 4)];

/// Checks the whole file and rewinds it. `path` is only for messages.
///
/// # Errors
/// [`Error::Input`] naming the chunk or table that does not fit; [`Error::Io`].
pub fn check(file: &mut (impl Read + Seek), path: &Path) -> Result<()> {
    let io = |e| Error::io(path, "read", e);
    let length = file.seek(SeekFrom::End(0)).map_err(io)?;
    let mut riff = [0; 12];
    file.rewind().map_err(io)?;
    let wrong = |field: &str, expected: &str, found: String| Error::input(path, field, expected, found);
    if file.read_exact(&mut riff).is_err() || &riff[..4] != b"RIFF" || &riff[8..] != b"sfbk" {
        let found = String::from_utf8_lossy(&riff[..4]).into_owned();
        return Err(wrong("header", "RIFF … sfbk", found).hint("a SoundFont 2 file (.sf2) is needed"));
    }
    let mut tables = BTreeMap::new();
    let mut at = 12;
    while at + 8 <= length {
        let (id, size) = chunk(file, at, length, path)?;
        if &id == b"LIST" {
            let end = at + 8 + size;
            let mut kind = [0; 4];
            file.read_exact(&mut kind).map_err(io)?;
            let mut inner = at + 12;
            while inner < end {
                let (id, size) = chunk(file, inner, end, path)?;
                if &kind == b"pdta" {
                    if size > MAX_TABLES {
                        return Err(wrong(&name(id), &format!("at most {MAX_TABLES} bytes"), format!("{size} bytes")));
                    }
                    let mut table = vec![0; size as usize];
                    file.read_exact(&mut table).map_err(io)?;
                    tables.insert(name(id), table);
                }
                inner += 8 + size;
            }
        }
        at += 8 + size + size % 2;
    }
    for (table, record, offset, target, target_record) in POINTERS {
        let bytes = tables.get(table).ok_or_else(|| wrong(table, "a table", "none".into()))?;
        let records = tables.get(target).map_or(0, |t| t.len() / target_record);
        for index in bytes.chunks_exact(record).map(|r| usize::from(r[offset]) | usize::from(r[offset + 1]) << 8) {
            if index >= records {
                return Err(wrong(table, &format!("indices below {records}, the size of {target}"), index.to_string()));
            }
        }
    }
    file.rewind().map_err(io)
}

/// Identifier and size of the chunk at byte `at`, which must end by `end`; leaves the file after its header.
fn chunk(file: &mut (impl Read + Seek), at: u64, end: u64, path: &Path) -> Result<([u8; 4], u64)> {
    let mut header = [0; 8];
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.read_exact(&mut header))
        .map_err(|e| Error::io(path, "read", e))?;
    let [a, b, c, d, size @ ..] = header;
    let size = u64::from(u32::from_le_bytes(size));
    let left = end.saturating_sub(at + 8);
    if size > left {
        let field = format!("chunk {} at byte {at}", name([a, b, c, d]));
        return Err(Error::input(path, field, format!("{size} bytes"), format!("{left}"))
            .hint("the file is truncated or damaged"));
    }
    Ok(([a, b, c, d], size))
}

fn name(id: [u8; 4]) -> String {
    id.iter().map(|b| if b.is_ascii_alphanumeric() { char::from(*b) } else { '?' }).collect()
}
