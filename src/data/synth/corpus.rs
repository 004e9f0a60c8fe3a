//! The data set: which pieces there are, and their files in MAESTRO's layout.

use super::compose::compose;
use super::perform::perform;
use super::style::{COMPOSERS, Style};
use super::theory::Key;
use crate::data::maestro::{Entry, Split, write_csv};
use crate::data::midi_write::{midi_bytes, quantise};
use crate::data::render::wav::wav_bytes;
use crate::data::render::{Piano, SAMPLE_RATE, render_piano};
use crate::data::rng::Rng;
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::progress::Progress;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Metadata file, written last: a folder that has it is complete.
const METADATA: &str = "maestro-v3.0.0.csv";
/// Says what the folder was made from, so that it is made once.
const STAMP: &str = "synth.json";
/// Raised whenever the same options give other music or other sound.
const EDITION: u32 = 1;

/// How much to compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// 64 performances of some 90 s by 8 composers: 40 train, 8 validation, 16 test; every one of them has at least
    /// 80 segments.
    #[default]
    Default,
    /// 12 performances of some 14 s by 3 composers, for tests: 6 train, 3 validation, 3 test.
    Tiny,
}

/// What to compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Options {
    pub size: Size,
    pub seed: u64,
}

/// What has been composed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub performances: usize,
    pub composers: usize,
    pub notes: usize,
    /// Seconds of music, to the last note's end.
    pub seconds: f64,
    /// The folder already held this corpus.
    pub reused: bool,
}

/// One piece to be.
struct Plan {
    style: &'static Style,
    key: Key,
    title: String,
    split: Split,
    /// Index over the whole corpus; names its randomness.
    index: u64,
    seconds: f64,
    /// Path of its files without their extensions.
    stem: PathBuf,
    year: i32,
}

/// Composes, performs and renders a corpus into `out` (made if missing): `YEAR/NAME.midi`, `YEAR/NAME.wav` (24 kHz,
/// mono, 16 bit) and `maestro-v3.0.0.csv`. What the MIDI says and what sounds is the same to the sample. Performances
/// are rendered in parallel, about 10 MB of memory each; the bytes do not depend on the number of threads. A folder that
/// already holds this very corpus is left as it is.
///
/// # Errors
/// [`Error::Io`] where a file cannot be written; [`Error::Input`] where `out` holds something else.
pub fn compose_corpus(options: &Options, out: &Path) -> Result<Summary> {
    let stamp = Stamp { edition: EDITION, options: *options, summary: None };
    if let Some(summary) = finished(&stamp, out)? {
        return Ok(Summary { reused: true, ..summary });
    }
    let plans = plan(options);
    for plan in &plans {
        let folder = out.join(&plan.stem);
        let folder = crate::io::parent(&folder);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
    }
    let progress = Progress::new("composing", plans.len() as u64, "performances");
    let made: Vec<(Entry, usize)> = plans
        .par_iter()
        .map(|plan| {
            let made = make(plan, options.seed, out);
            progress.advance(1);
            made
        })
        .collect::<Result<_>>()?;

    let summary = Summary {
        performances: plans.len(),
        composers: plans.iter().map(|p| p.style.composer).collect::<std::collections::BTreeSet<_>>().len(),
        notes: made.iter().map(|(_, notes)| notes).sum(),
        seconds: made.iter().map(|(entry, _)| entry.duration).sum(),
        reused: false,
    };
    let entries: Vec<Entry> = made.into_iter().map(|(entry, _)| entry).collect();
    write_csv(&out.join(METADATA), &entries)?;
    let stamp = Stamp { summary: Some(summary), ..stamp };
    let json = serde_json::to_vec_pretty(&stamp).map_err(|e| Error::io(out.join(STAMP), "encode", e.into()))?;
    write_atomic(&out.join(STAMP), |w| w.write_all(&json))?;
    Ok(summary)
}

/// Content of `STAMP`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    edition: u32,
    options: Options,
    summary: Option<Summary>,
}

/// The summary of the corpus in `out` where it is complete and the one `wanted`. Otherwise whatever marks another
/// composed corpus as complete is taken away; a data set that was not composed here is an error.
fn finished(wanted: &Stamp, out: &Path) -> Result<Option<Summary>> {
    let (stamp, metadata) = (out.join(STAMP), out.join(METADATA));
    let found: Option<Stamp> = std::fs::read(&stamp).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(found) = found {
        let same = found.edition == wanted.edition && found.options == wanted.options;
        let files = plan(&wanted.options);
        let there = |p: &Plan, extension: &str| out.join(p.stem.with_extension(extension)).is_file();
        if same && metadata.is_file() && files.iter().all(|p| there(p, "midi") && there(p, "wav")) {
            return Ok(found.summary);
        }
    } else if metadata.exists() {
        return Err(Error::input(out, "folder", "an empty folder or a composed corpus", "another data set")
            .hint("choose another folder"));
    }
    for file in [stamp, metadata] {
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&file, "remove", e)),
            _ => {}
        }
    }
    Ok(None)
}

/// All pieces of the corpus. A composer's keys differ from piece to piece; even composers have validation pieces.
fn plan(options: &Options) -> Vec<Plan> {
    use Split::{Test, Train, Validation};
    let (composers, splits, seconds): (usize, [&[Split]; 2], f64) = match options.size {
        Size::Default => (
            COMPOSERS.len(),
            [
                &[Train, Train, Train, Train, Validation, Validation, Test, Test],
                &[Train, Train, Train, Train, Train, Train, Test, Test],
            ],
            88.0,
        ),
        Size::Tiny => (3, [&[Train, Train, Validation, Test], &[Train, Train, Validation, Test]], 13.0),
    };
    let mut plans = Vec::new();
    for (c, style) in COMPOSERS.iter().take(composers).enumerate() {
        let mut rng = Rng::new(options.seed, "corpus.plan", c as u64);
        let mut tonics: Vec<i32> = (0..12).collect();
        rng.shuffle(&mut tonics);
        let first_mode = rng.below(style.harmony.len());
        for (i, (&split, &tonic)) in splits[c % 2].iter().zip(&tonics).enumerate() {
            let (mode, _) = style.harmony[(first_mode + i) % style.harmony.len()];
            let key = Key { tonic, mode };
            let genre = rng.pick(style.genres).copied().unwrap_or("Piece");
            let year = 2001 + c as i32;
            plans.push(Plan {
                style,
                key,
                title: format!("{genre} in {key}, Op. {} No. {}", 10 + c, i + 1),
                split,
                index: plans.len() as u64,
                seconds,
                stem: PathBuf::from(year.to_string()).join(format!("{}-{:02}", style.slug, i + 1)),
                year,
            });
        }
    }
    plans
}

/// Composes, performs, renders and writes one piece; its metadata and number of notes.
fn make(plan: &Plan, seed: u64, out: &Path) -> Result<(Entry, usize)> {
    let score = compose(plan.style, plan.key, plan.seconds, &mut Rng::new(seed, "corpus.compose", plan.index));
    let (notes, pedal) = perform(&score, &mut Rng::new(seed, "corpus.perform", plan.index));
    let (notes, pedal) = quantise(&notes, &pedal);
    let (midi, audio) = (plan.stem.with_extension("midi"), plan.stem.with_extension("wav"));
    let bytes = midi_bytes(&notes, &pedal)?;
    write_atomic(&out.join(&midi), |w| w.write_all(&bytes))?;
    // Drawn for each performance, not each composer: the sound shall not give the composer away.
    let piano = Piano::draw(&mut Rng::new(seed, "corpus.piano", plan.index));
    let wav = wav_bytes(&render_piano(&notes, &pedal, &piano), SAMPLE_RATE)?;
    write_atomic(&out.join(&audio), |w| w.write_all(&wav))?;
    let duration = notes.iter().map(|n| n.onset + n.duration).fold(0.0, f64::max);
    let (composer, title) = (plan.style.composer.to_string(), plan.title.clone());
    Ok((Entry { composer, title, split: plan.split, year: plan.year, midi, audio, duration }, notes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::maestro::{pieces_across_splits, read_metadata};
    use crate::data::midi::{PedalMode, read_midi};

    fn bytes_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn tiny_corpus_reads_back_and_is_the_same_on_any_number_of_threads() {
        let options = Options { size: Size::Tiny, seed: 5 };
        let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let summary = compose_corpus(&options, many.path()).unwrap();
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        single.install(|| compose_corpus(&options, one.path())).unwrap();
        assert!(bytes_below(one.path()) == bytes_below(many.path()), "bytes depend on the threads");
        assert!(compose_corpus(&options, many.path()).unwrap().reused);

        let metadata = read_metadata(many.path()).unwrap();
        assert!(metadata.rejected.is_empty());
        assert_eq!((summary.performances, metadata.entries.len(), summary.composers), (12, 12, 3));
        assert!(pieces_across_splits(metadata.entries.iter().map(|(_, e)| e)).is_empty());
        for (_, entry) in &metadata.entries {
            let midi = read_midi(&many.path().join(&entry.midi), PedalMode::Ignore).unwrap();
            let end = midi.notes.iter().map(|n| n.onset + n.duration).fold(0.0, f64::max);
            assert!((end - entry.duration).abs() < 1e-6 && (12.0..30.0).contains(&end), "{end}");
            assert!(midi.notes.len() > 40, "{}: {} notes", entry.title, midi.notes.len());
            assert_eq!(midi.repairs, Default::default(), "{}", entry.title);
        }
    }

    #[test]
    fn every_evaluation_piece_has_80_segments() {
        let plans = plan(&Options::default());
        let mut segments = [0; 3];
        for plan in &plans {
            let score = compose(plan.style, plan.key, plan.seconds, &mut Rng::new(0, "corpus.compose", plan.index));
            let (notes, _) = perform(&score, &mut Rng::new(0, "corpus.perform", plan.index));
            let end = notes.iter().map(|n| n.onset + n.duration).fold(0.0, f64::max);
            let sounding = (0..(end - 3.0) as usize)
                .filter(|&s| notes.iter().any(|n| (0.0..4.0).contains(&(n.onset - s as f64))))
                .count();
            assert!((80..130).contains(&sounding), "{}: {sounding} segments", plan.title);
            segments[plan.split as usize] += sounding;
        }
        assert!(segments[Split::Test as usize] > 1000, "{segments:?}");
        let mut titles: Vec<(&str, &str)> = plans.iter().map(|p| (p.style.composer, p.title.as_str())).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), plans.len());
    }

    #[test]
    fn another_data_set_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(METADATA), "theirs").unwrap();
        let refused = compose_corpus(&Options::default(), folder.path()).unwrap_err();
        assert_eq!(refused.exit_code(), 3);
        assert_eq!(std::fs::read(folder.path().join(METADATA)).unwrap(), b"theirs");
    }
}
