//! From a data folder to a [`Dataset`]: metadata, audio into the cache, MIDI, and a list of what did not work out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::cache::{AudioCache, CachedAudio};
use super::maestro::{self, Entry, Split};
use super::midi::{self, MidiFile, PedalMode};
use super::quarantine::{Quarantined, Stage};
use super::segments::{Dataset, Performance};
use crate::progress::Progress;
use crate::{Error, Result};

/// How a data folder is read.
#[derive(Debug, Clone, Copy)]
pub struct PrepareOptions {
    /// What the sustain pedal does to durations.
    pub pedal: PedalMode,
    /// Leave out performances whose piece (composer, title) also stands in a split that is evaluated later: test
    /// outranks validation outranks train, so that no piece is ever heard on both sides. MAESTRO v3.0.0 as published
    /// has five such pieces.
    pub disjoint_pieces: bool,
    /// Read further recordings of the training performances too: those at the same path below a folder in `renderings/`.
    pub renderings: bool,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        PrepareOptions { pedal: PedalMode::Ignore, disjoint_pieces: true, renderings: false }
    }
}

impl Dataset {
    /// Reads the data folder `root`, decoding audio that is not in the cache folder `cache_dir` yet, on all threads of
    /// the current rayon pool. The result does not depend on their number.
    ///
    /// Files that cannot be used are in [`Dataset::quarantined`]. Errors: no usable metadata, the cache cannot be
    /// written, or not one usable performance.
    pub fn prepare(root: &Path, cache_dir: &Path, options: &PrepareOptions) -> Result<Dataset> {
        let metadata = maestro::read_metadata(root)?;
        let cache = AudioCache::open(cache_dir)?;
        let (entries, across) = drop_across_splits(metadata.entries, options.disjoint_pieces);
        // Numbers come from all valid rows, so that a file that cannot be read today does not renumber the pieces.
        let composers: Vec<&str> = sorted(entries.iter().map(|(_, e)| e.composer.as_str()));
        let pieces: Vec<(&str, &str)> = sorted(entries.iter().map(|(_, e)| (e.composer.as_str(), e.title.as_str())));

        let folders = if options.renderings { renderings(&metadata.root)? } else { Vec::new() };
        let progress = Progress::new("reading audio and MIDI", entries.len() as u64, "performances");
        let read: Vec<Result<Loaded>> = entries
            .par_iter()
            .map(|(row, entry)| {
                let loaded = load(*row, entry, (&metadata.root, &folders), &cache, options.pedal);
                progress.advance(1);
                loaded
            })
            .collect();
        drop(progress);

        let mut dataset = Dataset { quarantined: metadata.rejected, ..Dataset::default() };
        dataset.quarantined.extend(across);
        for ((_, entry), loaded) in entries.iter().zip(read) {
            match loaded? {
                Ok(Found { audio, renderings, midi, mut unread }) => {
                    dataset.quarantined.append(&mut unread);
                    dataset.repairs.add(&midi.repairs);
                    dataset.performances.push(Performance {
                        composer: entry.composer.clone(),
                        title: entry.title.clone(),
                        piece: number(&pieces, &(entry.composer.as_str(), entry.title.as_str())),
                        composer_id: number(&composers, &entry.composer.as_str()),
                        split: entry.split,
                        audio,
                        renderings,
                        notes: midi.notes,
                    });
                }
                Err(quarantined) => dataset.quarantined.push(quarantined),
            }
        }
        dataset.quarantined.sort_by_key(|q| (q.row, q.stage));
        if dataset.performances.is_empty() {
            let first = dataset.quarantined.first().map_or("no rows".to_string(), |q| format!("none; {q}"));
            return Err(Error::input(&metadata.file, "performances", "at least one that can be read", first));
        }
        Ok(dataset)
    }
}

/// What there is of one performance, or why it is left out.
type Loaded = std::result::Result<Found, Quarantined>;

struct Found {
    audio: CachedAudio,
    renderings: Vec<CachedAudio>,
    midi: MidiFile,
    /// Further recordings that could not be read.
    unread: Vec<Quarantined>,
}

/// Folder of a data folder whose folders hold further recordings, each at the path the metadata gives the first.
pub const RENDERINGS: &str = "renderings";

/// The folders in `root/renderings`, by name, relative to `root`; none where there is no such folder.
fn renderings(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(RENDERINGS);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listing = std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, "list", e))?;
    let names = listing.filter_map(|entry| entry.ok()).filter(|entry| entry.path().is_dir()).map(|e| e.file_name());
    Ok(sorted(names).iter().map(|name| Path::new(RENDERINGS).join(name)).collect())
}

/// The outer error ends the run (the cache cannot be written), the inner one leaves this performance out.
fn load(
    row: u64,
    entry: &Entry,
    (root, folders): (&Path, &[PathBuf]),
    cache: &AudioCache,
    pedal: PedalMode,
) -> Result<Loaded> {
    // MIDI first: it is read in milliseconds, and without it the audio need not be decoded.
    let midi = match midi::read_midi(&root.join(&entry.midi), pedal) {
        Ok(midi) => midi,
        Err(e) => return Ok(Err(Quarantined::new(row, &entry.midi, Stage::Midi, e))),
    };
    let get = |path: &Path| match cache.get(&root.join(path)) {
        Ok(audio) => Ok(Ok(audio)),
        Err(Error::Io { path, action, source }) if path.starts_with(cache.dir()) => {
            Err(Error::Io { path, action, source })
        }
        Err(e) => Ok(Err(Quarantined::new(row, path, Stage::Audio, e))),
    };
    let audio = match get(&entry.audio)? {
        Ok(audio) => audio,
        Err(quarantined) => return Ok(Err(quarantined)),
    };
    let mut found = Found { audio, renderings: Vec::new(), midi, unread: Vec::new() };
    if entry.split == Split::Train {
        for path in folders.iter().map(|folder| folder.join(&entry.audio)).filter(|path| root.join(path).is_file()) {
            match get(&path)? {
                Ok(audio) => found.renderings.push(audio),
                Err(quarantined) => found.unread.push(quarantined),
            }
        }
    }
    Ok(Ok(found))
}

/// Splits `entries` into those to use and those whose piece stands in a higher split too.
fn drop_across_splits(entries: Vec<(u64, Entry)>, drop: bool) -> (Vec<(u64, Entry)>, Vec<Quarantined>) {
    if !drop {
        return (entries, Vec::new());
    }
    let across = maestro::pieces_across_splits(entries.iter().map(|(_, e)| e));
    let outranked = |e: &Entry| -> Option<Split> {
        let highest = across.get(&(e.composer.as_str(), e.title.as_str()))?.last()?;
        (e.split < *highest).then_some(*highest)
    };
    let higher: Vec<Option<Split>> = entries.iter().map(|(_, e)| outranked(e)).collect();
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for ((row, entry), higher) in entries.into_iter().zip(higher) {
        match higher {
            None => kept.push((row, entry)),
            Some(split) => {
                let Entry { composer, title, .. } = &entry;
                let reason = format!("“{title}” by {composer} is left out of {}: it is in {split} too", entry.split);
                dropped.push(Quarantined::new(row, &entry.midi, Stage::Split, reason));
            }
        }
    }
    (kept, dropped)
}

/// The distinct values in order.
fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<BTreeSet<T>>().into_iter().collect()
}

/// The place of `value` among the sorted `values`, which hold it.
fn number<T: Ord>(values: &[T], value: &T) -> u32 {
    values.partition_point(|v| v < value) as u32
}
