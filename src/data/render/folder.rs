//! Any folder of MIDI files to a data set in MAESTRO's layout.

use super::SAMPLE_RATE;
use super::listing::{choose, list};
use super::voicing::{Instrument, Voicing};
use super::wav::wav_bytes;
use crate::data::maestro::{self, Entry, Split, write_csv};
use crate::data::midi::{PedalMode, read_midi};
use crate::data::midi_write::{midi_bytes, quantise};
use crate::data::note::{Note, PedalEvent};
use crate::data::prepare::RENDERINGS;
use crate::data::quarantine::{Quarantined, Stage};
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::progress::Progress;
use rayon::prelude::*;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Longest performance rendered, in seconds: its samples are held in memory, 350 MB an hour.
const MAX_SECONDS: f64 = 3_600.0;

/// Metadata of the result, written when everything else is there.
const METADATA: &str = "maestro-v3.0.0.csv";
/// The summary of the result; also says that the metadata beside it is ours to replace.
const RECORD: &str = "render.json";

/// How to render a folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FolderOptions {
    /// What is played on.
    pub voicing: Voicing,
    /// Recordings of each performance beyond the first, in `renderings/2`, `renderings/3` ….
    pub more: usize,
    /// Cuts every performance, MIDI and audio, after so many seconds.
    pub max_seconds: Option<f64>,
    /// Renders at most so many files, all splits and composers represented.
    pub limit: Option<usize>,
}

/// What has been rendered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderSummary {
    pub performances: usize,
    /// Seconds of music, to the last note's end.
    pub seconds: f64,
    /// Performances in train, validation and test.
    pub splits: [usize; 3],
    /// Files left out, each with its reason.
    pub skipped: Vec<Quarantined>,
}

/// Renders the MIDI files of `midi_dir` into `out`: every file as it is (or cut), a 24 kHz mono 16-bit WAV beside it,
/// further recordings below `renderings/`, and, last of all, `render.json` (the summary) and `maestro-v3.0.0.csv`. Which files, and how they are split: see [`super::listing::list`]. A file that
/// cannot be read or holds no notes is skipped with its reason. The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Usage`] where both folders are one; [`Error::Input`] where there is nothing to render, the SoundFont is
/// damaged, every file was bad or `out` holds a data set from elsewhere; [`Error::Io`] where something cannot be written.
pub fn render_folder(midi_dir: &Path, out: &Path, options: &FolderOptions) -> Result<FolderSummary> {
    if options.max_seconds.is_some_and(|s| !(s > 0.0 && s <= MAX_SECONDS)) {
        return Err(Error::Usage(format!("max_seconds: expected more than 0 and at most {MAX_SECONDS} seconds")));
    }
    let midi_dir = &midi_dir.canonicalize().map_err(|e| Error::io(midi_dir, "read", e))?;
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, "create", e))?;
    let out = &out.canonicalize().map_err(|e| Error::io(out, "read", e))?;
    if midi_dir == out {
        return Err(Error::Usage(format!("{}: out must be another folder than midi", out.display())));
    }
    make_room(out)?;
    let instrument = Instrument::new(&options.voicing)?;
    let (entries, mut skipped) = list(midi_dir, out)?;
    let entries = choose(entries, options.limit.unwrap_or(usize::MAX));
    let recordings = std::iter::once(None).chain((0..options.more).map(|i| Some((i + 2).to_string()))).collect();
    let studio = Studio { midi_dir, out, instrument, recordings, max_seconds: options.max_seconds };
    let done = studio.render_all(entries, &mut skipped)?;
    let summary = FolderSummary::of(&done, skipped);
    let record = out.join(RECORD);
    let json = serde_json::to_vec_pretty(&summary).map_err(|e| Error::io(&record, "encode", e.into()))?;
    write_atomic(&record, |w| w.write_all(&json))?;
    write_csv(&out.join(METADATA), &done)?;
    Ok(summary)
}

/// Adds to the data folder `out` a further recording of every performance in it, below `renderings/NAME`; what it holds stays as
/// it is. A MIDI file that cannot be read is skipped with its reason.
///
/// # Errors
/// [`Error::Usage`] where `name` is not the plain name of a folder; otherwise as [`render_folder`].
pub fn add_rendering(out: &Path, name: &str, voicing: &Voicing) -> Result<FolderSummary> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    if !plain || name.chars().any(char::is_control) {
        return Err(Error::Usage(format!("rendering: expected the name of a folder; found `{name}`")));
    }
    let out = &out.canonicalize().map_err(|e| Error::io(out, "read", e))?;
    let metadata = maestro::read_metadata(out)?;
    let mut skipped = metadata.rejected;
    let (instrument, recordings) = (Instrument::new(voicing)?, vec![Some(name.to_string())]);
    let studio = Studio { midi_dir: out, out, instrument, recordings, max_seconds: None };
    let done = studio.render_all(metadata.entries, &mut skipped)?;
    Ok(FolderSummary::of(&done, skipped))
}

/// Takes away the metadata of an earlier rendering, so that a folder half rendered is not taken for a whole one.
fn make_room(out: &Path) -> Result<()> {
    let metadata = out.join(METADATA);
    if !metadata.exists() {
        return Ok(());
    }
    if !out.join(RECORD).is_file() {
        return Err(Error::input(out, "folder", "an empty folder or an earlier rendering", "another data set")
            .hint("choose another folder"));
    }
    std::fs::remove_file(&metadata).map_err(|e| Error::io(&metadata, "remove", e))
}

/// Where files come from, how they sound and where they go.
struct Studio<'a> {
    midi_dir: &'a Path,
    out: &'a Path,
    instrument: Instrument,
    /// Names of the recordings made; the first of a performance, which has none, comes with its MIDI.
    recordings: Vec<Option<String>>,
    max_seconds: Option<f64>,
}

impl FolderSummary {
    fn of(done: &[Entry], skipped: Vec<Quarantined>) -> Self {
        FolderSummary {
            performances: done.len(),
            seconds: done.iter().map(|e| e.duration).sum(),
            splits: Split::ALL.map(|split| done.iter().filter(|e| e.split == split).count()),
            skipped,
        }
    }
}

impl Studio<'_> {
    /// Renders all `entries`; those that cannot be read go to `skipped`, which ends in the order of rows.
    fn render_all(&self, entries: Vec<(u64, Entry)>, skipped: &mut Vec<Quarantined>) -> Result<Vec<Entry>> {
        let progress = Progress::new("rendering", entries.len() as u64, "files");
        let rendered: Vec<std::result::Result<Entry, Quarantined>> = entries
            .into_par_iter()
            .map(|(row, entry)| {
                let rendered = self.render(row, entry);
                progress.advance(1);
                rendered
            })
            .collect::<Result<_>>()?;
        let mut done = Vec::new();
        for result in rendered {
            match result {
                Ok(entry) => done.push(entry),
                Err(reason) => skipped.push(reason),
            }
        }
        skipped.sort_by_key(|q| q.row);
        if done.is_empty() {
            let reason = skipped.first().map_or(String::new(), |q| q.reason.clone());
            return Err(Error::input(self.midi_dir, "folder", "a MIDI file that can be rendered", reason));
        }
        Ok(done)
    }

    /// Renders one file. The outer error ends everything (the disk is full, the SoundFont unplayable), the inner one
    /// is this file's.
    fn render(&self, row: u64, mut entry: Entry) -> Result<std::result::Result<Entry, Quarantined>> {
        let read = self.read(&entry.midi);
        let (bytes, notes, pedal) = match read {
            Ok(read) => read,
            Err(reason) => return Ok(Err(Quarantined::new(row, &entry.midi, Stage::Midi, reason))),
        };
        for recording in &self.recordings {
            let audio = self.instrument.record(&entry.midi, recording.as_deref(), &notes, &pedal)?;
            let wav = wav_bytes(&audio, SAMPLE_RATE)?;
            match recording {
                Some(name) => self.write(&Path::new(RENDERINGS).join(name).join(&entry.audio), &wav)?,
                None => {
                    self.write(&entry.midi, &bytes)?;
                    self.write(&entry.audio, &wav)?;
                }
            }
        }
        entry.duration = end_of(&notes);
        Ok(Ok(entry))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let path = self.out.join(path);
        let folder = crate::io::parent(&path);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        write_atomic(&path, |w| w.write_all(bytes))
    }

    /// The file's bytes, and the notes and pedal a reader finds in them; cut where asked for.
    fn read(&self, midi: &Path) -> Result<(Vec<u8>, Vec<Note>, Vec<PedalEvent>)> {
        let path = self.midi_dir.join(midi);
        let file = read_midi(&path, PedalMode::Ignore)?;
        let cut = self.max_seconds.filter(|&max| end_of(&file.notes) > max);
        let (bytes, notes, pedal) = match cut {
            None => (std::fs::read(&path).map_err(|e| Error::io(&path, "read", e))?, file.notes, file.pedal),
            Some(max) => {
                let (notes, pedal) = cut_at(max, &file.notes, &file.pedal);
                (midi_bytes(&notes, &pedal)?, notes, pedal)
            }
        };
        let end = end_of(&notes);
        if notes.is_empty() || end > MAX_SECONDS {
            let (expected, found) = if notes.is_empty() {
                ("at least one".to_string(), "none".to_string())
            } else {
                (format!("an end within {MAX_SECONDS} s"), format!("{end:.0} s"))
            };
            return Err(Error::input(&path, "notes", expected, found).hint("max_seconds cuts long performances"));
        }
        Ok((bytes, notes, pedal))
    }
}

fn end_of(notes: &[Note]) -> f64 {
    notes.iter().map(|n| n.onset + n.duration).fold(0.0, f64::max)
}

/// The first `max` seconds, in whole ticks; notes that would go on end there.
fn cut_at(max: f64, notes: &[Note], pedal: &[PedalEvent]) -> (Vec<Note>, Vec<PedalEvent>) {
    let notes: Vec<Note> = notes
        .iter()
        .filter(|n| n.onset < max)
        .map(|n| Note { duration: n.duration.min(max - n.onset), ..*n })
        .collect();
    let pedal: Vec<PedalEvent> = pedal.iter().filter(|p| p.time < max).copied().collect();
    quantise(&notes, &pedal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;
    use crate::data::maestro::read_metadata;
    use crate::data::prepare::PrepareOptions;
    use crate::data::segments::Dataset;
    use std::path::PathBuf;

    fn tune(from: u8) -> Vec<u8> {
        let note = |i: u8| Note { pitch: from + i, velocity: 64, onset: 0.5 * f64::from(i), duration: 0.4 };
        midi_bytes(&(0..8).map(note).collect::<Vec<_>>(), &[]).unwrap()
    }

    #[test]
    fn any_folder_becomes_a_data_set_and_bad_files_are_named() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |name: &str, bytes: &[u8]| {
            let path = from.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        for (i, name) in ["Bach/a.mid", "Bach/b, \"c\".MIDI", "Liszt/deep/d.midi", "e.mid"].iter().enumerate() {
            put(name, &tune(50 + i as u8));
        }
        put("Bach/broken.mid", &tune(50)[..60]);
        put("Bach/empty.mid", &midi_bytes(&[], &[]).unwrap());
        put("Bach/notes.txt", b"no music");
        let options = FolderOptions { max_seconds: Some(2.2), ..FolderOptions::default() };
        let summary = render_folder(from.path(), to.path(), &options).unwrap();
        assert_eq!((summary.performances, summary.splits.iter().sum::<usize>()), (4, 4));
        assert!(summary.splits.iter().all(|&n| n > 0), "{:?}", summary.splits);
        let reasons: Vec<&str> = summary.skipped.iter().map(|q| q.reason.as_str()).collect();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons[0].contains("broken.mid") && reasons[1].contains("notes: expected at least one, found none"));

        let metadata = read_metadata(to.path()).unwrap();
        assert_eq!((metadata.entries.len(), metadata.rejected.len()), (4, 0));
        let composers: Vec<&str> = metadata.entries.iter().map(|(_, e)| e.composer.as_str()).collect();
        assert_eq!(composers, ["Bach", "Bach", "deep", "Unknown"]);
        for (_, entry) in metadata.entries {
            let file = read_midi(&to.path().join(&entry.midi), PedalMode::Ignore).unwrap();
            assert_eq!((file.notes.len(), file.length), (5, 2.2), "cut at max_seconds");
            let wav = hound::WavReader::open(to.path().join(&entry.audio)).unwrap();
            assert!((f64::from(wav.duration()) / 24_000.0 - 3.7).abs() < 0.01);
        }
        assert_eq!(render_folder(from.path(), from.path(), &options).unwrap_err().exit_code(), 2);
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(render_folder(nothing.path(), to.path(), &options).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn a_manifest_is_followed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let table = "split,canonical_title,year,midi_filename,canonical_composer,more\n\
            test,\"Étude, lent\",1999,x/one.mid,A. B.,z\n\
            train,Two,2000,x/two.mid,A. B.,z\n\
            train,Gone,2000,x/gone.mid,C,z\n\
            sometimes,Three,2000,x/two.mid,C,z\n";
        std::fs::write(from.path().join("manifest.csv"), table).unwrap();
        std::fs::create_dir(from.path().join("x")).unwrap();
        std::fs::write(from.path().join("x/one.mid"), tune(40)).unwrap();
        std::fs::write(from.path().join("x/two.mid"), tune(60)).unwrap();
        std::fs::write(from.path().join("x/not-listed.mid"), tune(60)).unwrap();
        let summary = render_folder(from.path(), to.path(), &FolderOptions::default()).unwrap();
        assert_eq!((summary.performances, summary.splits), (2, [1, 0, 1]));
        assert_eq!(summary.skipped.iter().map(|q| q.row).collect::<Vec<_>>(), [3, 4]);
        let entries = read_metadata(to.path()).unwrap().entries;
        assert_eq!((entries[0].1.title.as_str(), entries[0].1.year), ("Étude, lent", 1999));
        render_folder(from.path(), to.path(), &FolderOptions::default()).unwrap();
        std::fs::remove_file(to.path().join(RECORD)).unwrap();
        let theirs = render_folder(from.path(), to.path(), &FolderOptions::default()).unwrap_err();
        assert!(theirs.to_string().contains("another data set") && to.path().join(METADATA).is_file());
        let copied = std::fs::read(to.path().join("x/one.mid")).unwrap();
        assert_eq!(copied, tune(40), "an uncut file stays as it is");
    }

    #[test]
    fn further_renderings_stand_beside_the_first() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (i, name) in ["a.mid", "b.mid", "c.mid"].iter().enumerate() {
            std::fs::write(from.path().join(name), tune(40 + i as u8)).unwrap();
        }
        render_folder(from.path(), to.path(), &FolderOptions::default()).unwrap();
        let wav = |path: &str| std::fs::read(to.path().join(path)).unwrap();
        let (first, table) = (wav("a.wav"), wav(METADATA));
        render_folder(from.path(), to.path(), &FolderOptions { more: 1, ..FolderOptions::default() }).unwrap();
        assert_eq!(
            (wav("a.wav"), wav(METADATA)),
            (first.clone(), table.clone()),
            "the first does not hang on the others"
        );
        let hall = Voicing { room: Some(Span { low: 2.0, high: 2.0 }), ..Voicing::default() };
        assert_eq!(add_rendering(to.path(), "hall", &hall).unwrap().performances, 3);
        let (second, third) = (wav("renderings/2/a.wav"), wav("renderings/hall/a.wav"));
        assert!(first != second && second != third && second.len() == third.len());
        assert_eq!(wav(METADATA), table);
        for bad in ["", "..", "a/b"] {
            assert_eq!(add_rendering(to.path(), bad, &hall).unwrap_err().exit_code(), 2);
        }

        // They are read where asked for, of what is trained on.
        let cache = tempfile::tempdir().unwrap();
        std::fs::write(to.path().join("renderings/hall/b.wav"), b"RIFF").unwrap();
        let read = |renderings| {
            let options = PrepareOptions { renderings, ..PrepareOptions::default() };
            Dataset::prepare(to.path(), cache.path(), &options).unwrap()
        };
        assert!(read(false).performances.iter().all(|p| p.renderings.is_empty()));
        let dataset = read(true);
        assert_eq!(dataset.performances.len(), 3, "a rendering that cannot be read costs only itself");
        for performance in &dataset.performances {
            let broken = usize::from(performance.title == "b");
            let expected = if performance.split == Split::Train { 2 - broken } else { 0 };
            assert_eq!(performance.renderings.len(), expected, "{}", performance.title);
            for rendering in &performance.renderings {
                assert_ne!(rendering.samples(), performance.audio.samples());
            }
        }
    }

    #[test]
    fn a_limit_keeps_splits_and_composers() {
        let entry = |composer: &str, split, i: usize| {
            let file = PathBuf::from(format!("{i}.mid"));
            let (composer, title) = (composer.to_string(), i.to_string());
            let (midi, audio) = (file.clone(), file);
            (i as u64, Entry { composer, title, split, year: 0, midi, audio, duration: 0.0 })
        };
        let mut all: Vec<_> = (0..8).map(|i| entry(if i < 6 { "A" } else { "B" }, Split::Train, i)).collect();
        all.extend([entry("A", Split::Test, 8), entry("B", Split::Test, 9), entry("A", Split::Validation, 10)]);
        let taken: Vec<u64> = choose(all, 5).iter().map(|(row, _)| *row).collect();
        assert_eq!(taken, [0, 1, 6, 8, 10].map(|x: u64| x));
    }
}
