//! Which MIDI files of a folder are to be rendered, and what is known about them.

use crate::data::maestro::{self, COLUMNS, Entry, Split};
use crate::data::quarantine::{Quarantined, Stage};
use crate::error::{Error, Result};
use crate::random::site;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A table of the pieces of a folder whose audio does not exist yet: the MAESTRO columns without the last two.
const MANIFEST: &str = "manifest.csv";

/// Files to render (paths relative to the folder, `audio` where the WAV shall go, `duration` not yet known), each with
/// its row, and rows that are no use.
pub type Listing = (Vec<(u64, Entry)>, Vec<Quarantined>);

/// Lists `folder`: by its MAESTRO metadata, else by its `manifest.csv`, else every `.mid` and `.midi` below it (but not
/// below `except`), where composer is the name of the folder a file lies in, title the file's name, and the split that
/// of a hash of both, about 80:10:10.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] where metadata is damaged as a whole or there is nothing to render.
pub fn list(folder: &Path, except: &Path) -> Result<Listing> {
    let manifest = folder.join(MANIFEST);
    let (mut entries, mut rejected) = if has_metadata(folder)? {
        let metadata = maestro::read_metadata(folder)?;
        (metadata.entries, metadata.rejected)
    } else if manifest.is_file() {
        read_manifest(&manifest)?
    } else {
        walk(folder, except)?
    };
    let mut taken = BTreeSet::new();
    entries.retain_mut(|(row, entry)| {
        entry.audio.set_extension("wav");
        if taken.insert(entry.audio.clone()) {
            return true;
        }
        let reason = format!("{}: another file goes to the same {}", entry.midi.display(), entry.audio.display());
        rejected.push(Quarantined::new(*row, &entry.midi, Stage::Metadata, reason));
        false
    });
    if entries.is_empty() && rejected.is_empty() {
        return Err(Error::input(folder, "folder", "MIDI files (.mid, .midi)", "none"));
    }
    Ok((entries, rejected))
}

fn has_metadata(folder: &Path) -> Result<bool> {
    let listing = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "list", e))?;
    Ok(listing.filter_map(|e| e.ok()).any(|e| {
        let name = e.file_name().to_string_lossy().to_lowercase();
        name.starts_with("maestro") && (name.ends_with(".csv") || name.ends_with(".json")) && e.path().is_file()
    }))
}

/// The manifest's rows, checked like those of MAESTRO: the two columns it lacks are filled in before.
fn read_manifest(path: &Path) -> Result<Listing> {
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, "read", e))?.len();
    if size > maestro::MAX_BYTES {
        let most = format!("at most {} bytes", maestro::MAX_BYTES);
        return Err(Error::input(path, "size", most, format!("{size} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    let bad = |e: csv::Error| Error::input(path, "content", "CSV", e.to_string());
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let header = reader.byte_headers().map_err(bad)?.clone();
    let header: Vec<&[u8]> = header.iter().map(|h| h.strip_prefix(b"\xef\xbb\xbf").unwrap_or(h).trim_ascii()).collect();
    let mut at = Vec::new();
    for column in &COLUMNS[..5] {
        at.push(header.iter().position(|h| *h == column.as_bytes()).ok_or_else(|| {
            Error::input(path, "header", format!("a column {column}"), "none").hint(COLUMNS[..5].join(","))
        })?);
    }
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(COLUMNS).map_err(bad)?;
    for record in reader.byte_records() {
        let record = record.map_err(bad)?;
        let mut row: Vec<&[u8]> = at.iter().map(|&i| record.get(i).unwrap_or_default()).collect();
        let midi = Path::new(std::str::from_utf8(row[4]).unwrap_or_default()).with_extension("wav");
        let audio = midi.to_string_lossy();
        row.extend([audio.as_bytes(), b"1"]);
        table.write_record(row).map_err(bad)?;
    }
    let table = table.into_inner().map_err(|e| Error::io(path, "read", e.into_error()))?;
    maestro::parse_csv(&table, path)
}

/// Every MIDI file below `folder`, in the order of their paths. Links to folders are not followed.
fn walk(folder: &Path, except: &Path) -> Result<Listing> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        if next == except {
            continue;
        }
        for entry in std::fs::read_dir(&next).map_err(|e| Error::io(&next, "list", e))? {
            let entry = entry.map_err(|e| Error::io(&next, "list", e))?;
            let path = entry.path();
            let midi =
                path.extension().is_some_and(|e| e.eq_ignore_ascii_case("mid") || e.eq_ignore_ascii_case("midi"));
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                folders.push(path);
            } else if midi && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    let (mut entries, mut rejected) = (Vec::new(), Vec::new());
    for (i, path) in found.iter().enumerate() {
        let row = i as u64 + 1;
        let relative = path.strip_prefix(folder).unwrap_or(path);
        let text = relative.to_str().filter(|t| !t.chars().any(char::is_control));
        let (Some(_), Some(title)) = (text, relative.file_stem().and_then(|s| s.to_str())) else {
            let error = Error::input(path, "file name", "UTF-8 without control characters", "another");
            rejected.push(Quarantined::new(row, path, Stage::Metadata, error));
            continue;
        };
        let parent = relative.parent().and_then(|p| p.file_name()).and_then(|p| p.to_str());
        let entry = Entry {
            composer: parent.unwrap_or("Unknown").to_string(),
            title: title.to_string(),
            split: Split::Train,
            year: 0,
            midi: relative.to_path_buf(),
            audio: relative.to_path_buf(),
            duration: 0.0,
        };
        entries.push((row, entry));
    }
    split_by_hash(&mut entries);
    Ok((entries, rejected))
}

/// A piece's split hangs on its composer and title alone, so that adding files moves none of the others; only where
/// the test or validation part would stay empty, the piece nearest to it goes there.
fn split_by_hash(entries: &mut [(u64, Entry)]) {
    let share = |e: &Entry| site(&format!("{}\n{}", e.composer, e.title)) as f64 / u64::MAX as f64;
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| share(&entries[b].1).total_cmp(&share(&entries[a].1)));
    for (_, entry) in entries.iter_mut() {
        entry.split = match share(entry) {
            s if s < 0.8 => Split::Train,
            s if s < 0.9 => Split::Validation,
            _ => Split::Test,
        };
    }
    if let [first, second, _, ..] = order[..] {
        entries[first].1.split = Split::Test;
        if entries.iter().all(|(_, e)| e.split != Split::Validation) {
            entries[second].1.split = Split::Validation;
        }
    }
}

/// At most `limit` entries, in their order: every split in proportion to its size and at least once where there is
/// room, and within a split the composers in turn.
pub fn choose(entries: Vec<(u64, Entry)>, limit: usize) -> Vec<(u64, Entry)> {
    let mut sizes: BTreeMap<Split, usize> = BTreeMap::new();
    let mut of_composer: BTreeMap<(Split, &str), usize> = BTreeMap::new();
    // How often the entry's composer came before in its split: all firsts are taken before all seconds.
    let turns: Vec<usize> = entries
        .iter()
        .map(|(_, e)| {
            *sizes.entry(e.split).or_default() += 1;
            let turn = of_composer.entry((e.split, &e.composer)).or_default();
            *turn += 1;
            *turn
        })
        .collect();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&i| (entries[i].1.split, turns[i], i));
    let mut place: BTreeMap<Split, usize> = BTreeMap::new();
    let mut ranked: Vec<(f64, usize)> = order
        .into_iter()
        .map(|i| {
            let split = entries[i].1.split;
            let before = place.entry(split).or_default();
            *before += 1;
            ((*before - 1) as f64 / sizes[&split] as f64, i)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let taken: BTreeSet<usize> = ranked.into_iter().take(limit).map(|(_, i)| i).collect();
    entries.into_iter().enumerate().filter(|(i, _)| taken.contains(i)).map(|(_, e)| e).collect()
}
