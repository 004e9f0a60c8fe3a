//! Does a data folder hold what its metadata says? Every file is read to its end; nothing is changed or cached.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::audio::{self, AudioInfo};
use super::maestro::{self, Entry, Split};
use super::midi::{self, MidiFile, PedalMode};
use super::pairing::Repairs;
use crate::progress::Progress;
use crate::{Error, Result};

/// How far the metadata's duration may be from the end of the last note, and how much earlier than that the recording
/// may end, in seconds.
pub const TOLERANCE: f64 = 1.0;
/// How much longer than the notes a recording may be before it is remarked upon, in seconds (applause, silence).
pub const LONG_TAIL: f64 = 30.0;
/// A recording whose peak stays below this (−60 dB of full scale) is silent.
const SILENCE: f32 = 1e-3;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A row of the metadata is not valid.
    Metadata,
    /// A file is not there.
    Missing,
    /// A file is there but cannot be read.
    Unreadable,
    /// Metadata, MIDI and audio disagree about the length.
    Duration,
    /// Nothing is played: no notes, or no sound.
    Silent,
    /// A piece stands in two splits.
    AcrossSplits,
}

/// One thing worth saying about one file or row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    /// Row of the metadata, counted from 1 (header not counted).
    pub row: u64,
    pub message: String,
}

/// The performances of one split, by the metadata's valid rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitSummary {
    pub split: Split,
    pub performances: usize,
    pub pieces: usize,
    pub composers: usize,
    /// Sum of the metadata's durations.
    pub hours: f64,
}

/// The result of [`check`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The metadata file.
    pub metadata: PathBuf,
    /// Rows of the metadata, valid or not.
    pub rows: usize,
    pub splits: Vec<SplitSummary>,
    /// Recordings decoded to their end, and their length together.
    pub audio_files: usize,
    pub audio_hours: f64,
    /// MIDI files parsed, their length together, and their notes.
    pub midi_files: usize,
    pub midi_hours: f64,
    pub notes: usize,
    /// MIDI files in which something was repaired, and what, all together.
    pub repaired_files: usize,
    pub repairs: Repairs,
    /// What is wrong, by row.
    pub problems: Vec<Finding>,
    /// What is odd but usable, by row.
    pub remarks: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong (remarks are no fault).
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Reads every file the metadata of `root` names, on all threads of the current rayon pool.
///
/// Errors: no metadata, or none that can be read. Everything else is a finding in the report.
pub fn check(root: &Path) -> Result<Report> {
    let metadata = maestro::read_metadata(root)?;
    let progress = Progress::new("checking files", metadata.entries.len() as u64, "performances");
    let looked: Vec<Looked> = metadata
        .entries
        .par_iter()
        .map(|(_, entry)| {
            let midi = midi::read_midi(&metadata.root.join(&entry.midi), PedalMode::Ignore);
            let audio = audio::inspect(&metadata.root.join(&entry.audio));
            progress.advance(1);
            // Only the counts are kept: the notes of 200 hours need not be in memory together.
            Looked { midi: midi.map(|m| MidiSummary::of(&m)), audio }
        })
        .collect();
    drop(progress);

    let mut report = Report {
        rows: metadata.entries.len() + metadata.rejected.len(),
        splits: Split::ALL.iter().map(|split| summarise(*split, &metadata.entries)).collect(),
        metadata: metadata.file,
        audio_files: 0,
        audio_hours: 0.0,
        midi_files: 0,
        midi_hours: 0.0,
        notes: 0,
        repaired_files: 0,
        repairs: Repairs::default(),
        problems: Vec::new(),
        remarks: Vec::new(),
    };
    for rejected in metadata.rejected {
        report.problems.push(Finding { kind: Kind::Metadata, row: rejected.row, message: rejected.reason });
    }
    let across = maestro::pieces_across_splits(metadata.entries.iter().map(|(_, e)| e));
    for ((row, entry), looked) in metadata.entries.iter().zip(looked) {
        if let Some(splits) = across.get(&(entry.composer.as_str(), entry.title.as_str())) {
            let splits = splits.iter().map(|s| s.name()).collect::<Vec<_>>().join(" and ");
            let message = format!("“{}” by {} is in {splits}", entry.title, entry.composer);
            report.remarks.push(Finding { kind: Kind::AcrossSplits, row: *row, message });
        }
        report.take(*row, entry, looked);
    }
    report.problems.sort_by_key(|f| f.row);
    Ok(report)
}

/// What reading the files of one row gave.
struct Looked {
    midi: Result<MidiSummary>,
    audio: Result<AudioInfo>,
}

struct MidiSummary {
    notes: usize,
    length: f64,
    repairs: Repairs,
}

impl MidiSummary {
    fn of(midi: &MidiFile) -> Self {
        MidiSummary { notes: midi.notes.len(), length: midi.length, repairs: midi.repairs }
    }
}

impl Report {
    fn take(&mut self, row: u64, entry: &Entry, looked: Looked) {
        let mut problem = |kind, message: String| self.problems.push(Finding { kind, row, message });
        if let Ok(midi) = &looked.midi {
            self.midi_files += 1;
            self.midi_hours += midi.length / 3600.0;
            self.notes += midi.notes;
            self.repaired_files += usize::from(midi.repairs.total() > 0);
            self.repairs.add(&midi.repairs);
            let name = entry.midi.display();
            if midi.notes == 0 {
                problem(Kind::Silent, format!("{name}: no notes"));
            } else if (midi.length - entry.duration).abs() > TOLERANCE {
                let stated = entry.duration;
                problem(
                    Kind::Duration,
                    format!("{name}: the last note ends at {:.2} s, the metadata says {stated:.2} s", midi.length),
                );
            }
        }
        if let Ok(audio) = &looked.audio {
            self.audio_files += 1;
            self.audio_hours += audio.seconds() / 3600.0;
            let (name, seconds) = (entry.audio.display(), audio.seconds());
            if audio.peak < SILENCE {
                problem(Kind::Silent, format!("{name}: silent (peak {:.0e} of full scale)", audio.peak));
            }
            // The notes are the better witness of how long the recording should be.
            let (end, witness) = match &looked.midi {
                Ok(midi) => (midi.length, "the last note ends"),
                Err(_) => (entry.duration, "the metadata ends"),
            };
            if seconds < end - TOLERANCE {
                problem(Kind::Duration, format!("{name}: the audio ends at {seconds:.2} s, {witness} at {end:.2} s"));
            } else if seconds > end + LONG_TAIL {
                let message = format!("{name}: the audio runs to {seconds:.2} s, {witness} at {end:.2} s");
                self.remarks.push(Finding { kind: Kind::Duration, row, message });
            }
        }
        for error in [looked.midi.err(), looked.audio.err()].into_iter().flatten() {
            let missing = matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound);
            let kind = if missing { Kind::Missing } else { Kind::Unreadable };
            self.problems.push(Finding { kind, row, message: error.to_string() });
        }
    }
}

fn summarise(split: Split, entries: &[(u64, Entry)]) -> SplitSummary {
    let of_split = || entries.iter().map(|(_, e)| e).filter(move |e| e.split == split);
    SplitSummary {
        split,
        performances: of_split().count(),
        pieces: of_split().map(|e| (&e.composer, &e.title)).collect::<BTreeSet<_>>().len(),
        composers: of_split().map(|e| &e.composer).collect::<BTreeSet<_>>().len(),
        hours: of_split().fold(0.0, |sum, e| sum + e.duration) / 3600.0,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} rows", self.metadata.display(), self.rows)?;
        writeln!(f, "{:<12}{:>14}{:>8}{:>11}{:>9}", "split", "performances", "pieces", "composers", "hours")?;
        for s in &self.splits {
            let (name, hours) = (s.split.name(), s.hours);
            writeln!(f, "{name:<12}{:>14}{:>8}{:>11}{hours:>9.2}", s.performances, s.pieces, s.composers)?;
        }
        writeln!(f, "audio: {} files, {:.2} h", self.audio_files, self.audio_hours)?;
        writeln!(f, "MIDI: {} files, {:.2} h, {} notes", self.midi_files, self.midi_hours, self.notes)?;
        writeln!(f, "repairs in {} MIDI files: {}", self.repaired_files, self.repairs)?;
        for (name, findings) in [("remarks", &self.remarks), ("problems", &self.problems)] {
            writeln!(f, "{name}: {}", findings.len())?;
            for finding in findings {
                writeln!(f, "  row {}: {}", finding.row, finding.message)?;
            }
        }
        Ok(())
    }
}
