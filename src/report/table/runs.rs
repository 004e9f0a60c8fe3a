//! Runs as their folders tell of them: what was trained (`config.json`), how it fared (`report/SPLIT.json`), and which epoch was
//! kept (`metrics.jsonl`). A sweep's folder stands for the runs in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::arms::Arm;
use crate::config::{CONFIG_FILE, Config, Split};
use crate::error::{Error, Result};
use crate::eval::canonical::Canonical;
use crate::report::run::{evaluation_file, validation};
use crate::sweep::state::SWEEP_FILE;
use crate::train::log;

/// One trained and evaluated run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What it was trained with.
    pub config: Config,
    /// Its arm.
    pub arm: Arm,
    /// How its best model fared.
    pub found: Canonical,
    /// The epoch of that model; `None` where the run was never evaluated while training.
    pub best_epoch: Option<f64>,
}

/// The runs of some folders, and what was left out of sweeps that are not done.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// In the order they were named.
    pub runs: Vec<Run>,
    /// For the reader of a table.
    pub warnings: Vec<String>,
}

/// What is read of a `sweep.json`.
#[derive(Deserialize)]
struct Sweep {
    cells: Vec<SweepCell>,
}

#[derive(Deserialize)]
struct SweepCell {
    name: String,
    folder: PathBuf,
    state: String,
}

/// Reads the evaluations on `split` of every run in `folders`, each a run's or a sweep's; a run named twice counts once.
///
/// # Errors
/// [`Error::Input`] where a folder is neither, or a run was not evaluated on `split`. A cell of a sweep without evaluation is left
/// out with a warning, unless none is left.
pub fn collect(folders: &[PathBuf], split: Split) -> Result<Collected> {
    let mut collected = Collected::default();
    let mut seen = BTreeSet::new();
    for folder in folders {
        if folder.join(CONFIG_FILE).is_file() {
            collected.add(folder, split, &mut seen)?;
        } else if folder.join(SWEEP_FILE).is_file() {
            collected.add_sweep(folder, split, &mut seen)?;
        } else {
            let found = if folder.is_dir() { "neither" } else { "no such folder" };
            let expected = format!("a run ({CONFIG_FILE}) or a sweep ({SWEEP_FILE})");
            return Err(Error::input(folder, "folder", expected, found));
        }
    }
    Ok(collected)
}

impl Collected {
    fn add(&mut self, folder: &Path, split: Split, seen: &mut BTreeSet<PathBuf>) -> Result<()> {
        let place = folder.canonicalize().map_err(|e| Error::io(folder, "read", e))?;
        if seen.insert(place) {
            self.runs.push(Run::read(folder, split)?);
        }
        Ok(())
    }

    fn add_sweep(&mut self, folder: &Path, split: Split, seen: &mut BTreeSet<PathBuf>) -> Result<()> {
        let path = folder.join(SWEEP_FILE);
        let sweep: Sweep = read_json(&path, "the cells of a sweep with name, folder and state")?;
        let mut missing = Vec::new();
        let before = seen.len();
        for cell in &sweep.cells {
            let run = folder.join(&cell.folder);
            if evaluation_file(&run, split).is_file() {
                self.add(&run, split, seen)?;
            } else {
                missing.push(format!("{} ({})", cell.name, cell.state));
            }
        }
        if seen.len() == before && self.runs.is_empty() {
            let found = format!("{} without one", missing.len());
            return Err(Error::input(&path, "cells", format!("one or more with an evaluation on {split}"), found));
        }
        if !missing.is_empty() {
            let (of, list) = (sweep.cells.len(), missing.join(", "));
            self.warnings.push(format!("{} of {of} cells of the sweep are left out: {list}.", missing.len()));
        }
        Ok(())
    }
}

impl Run {
    /// The run in `folder`, as it was evaluated on `split`.
    ///
    /// # Errors
    /// Where a file cannot be read, or the run was not evaluated on `split`.
    pub fn read(folder: &Path, split: Split) -> Result<Self> {
        let config = Config::load(&folder.join(CONFIG_FILE))?;
        let path = evaluation_file(folder, split);
        if !path.is_file() {
            let hint = format!("engine eval {} split={split} makes it", folder.display());
            return Err(Error::input(&path, "evaluation", "the file that training ends with", "none").hint(hint));
        }
        let found = read_json(&path, "a canonical evaluation")?;
        let metrics = folder.join(log::METRICS);
        let validated = if metrics.is_file() { validation(&log::read(&metrics)?) } else { Vec::new() };
        // As training does: of equal epochs the first.
        let best = validated.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let arm = config.arm()?;
        Ok(Run { folder: folder.to_path_buf(), arm, config, found, best_epoch: best.map(|(epoch, _)| epoch) })
    }
}

fn read_json<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::input(path, "file", expected, e.to_string()))
}
