//! The runs of a folder with their evaluations, and what tests found of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{CONFIG_FILE, Config, Split};
use crate::error::{Error, Result};
use crate::report::run::evaluation_file;
use crate::report::table::group::Group;
use crate::report::table::runs::Run;
use crate::validate::findings::Findings;
use crate::validate::{ALL, cache};

/// How deep below a folder its runs may lie: `runs/sweep/cell`.
const DEPTH: usize = 3;

/// What claims are judged on.
pub struct Evidence {
    /// The folder it was collected from.
    pub place: PathBuf,
    /// Settings that a run must have to count, and that new ones are trained with, as `key=value`.
    pub settings: Vec<String>,
    /// Evaluated runs; those of a group differ in their seeds alone.
    pub groups: Vec<Group>,
    /// Runs that do not count: folder and reason.
    pub left_out: Vec<String>,
    /// By run folder and number of the test.
    findings: BTreeMap<PathBuf, BTreeMap<&'static str, Findings>>,
}

impl Evidence {
    /// What lies in `place`, which need not exist: runs, and sweeps of runs. Only those trained with `settings` count.
    ///
    /// # Errors
    /// Where the folder cannot be read; what is wrong with a run is a reason to leave it out.
    pub fn in_folder(place: &Path, settings: &[String], split: Split) -> Result<Self> {
        let mut folders = Vec::new();
        if place.exists() {
            find(place, DEPTH, &mut folders)?;
        }
        Ok(Self::of(place, &folders, settings, split))
    }

    /// The runs in `folders`.
    pub fn of(place: &Path, folders: &[PathBuf], settings: &[String], split: Split) -> Self {
        let (mut runs, mut left_out) = (Vec::new(), Vec::new());
        for folder in folders {
            match read(folder, settings, split) {
                Ok(run) => runs.push(run),
                Err(reason) => left_out.push(format!("{}: {reason}", folder.display())),
            }
        }
        let of_run = |run: &Run| {
            let kept =
                ALL.iter().filter_map(|test| Some((test.number(), cache::any(&run.folder, test.number())?.findings)));
            (run.folder.clone(), kept.collect())
        };
        let findings = runs.iter().map(of_run).collect();
        let (place, settings, groups) = (place.to_path_buf(), settings.to_vec(), Group::of(runs, &[]));
        Evidence { place, settings, groups, left_out, findings }
    }

    /// What test `number` found of a run.
    pub fn findings(&self, run: &Path, number: &str) -> Option<&Findings> {
        self.findings.get(run)?.get(number)
    }

    /// How many runs count.
    pub fn runs(&self) -> usize {
        self.groups.iter().map(|group| group.runs.len()).sum()
    }
}

/// Every folder of a run at or below `folder`, in the order of their names; what lies in a run is no other run.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if folder.join(CONFIG_FILE).is_file() {
        found.push(folder.to_path_buf());
        return Ok(());
    }
    if depth == 0 || !folder.is_dir() {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))?;
    let mut below = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|e| Error::io(folder, "read", e))?;
    below.sort();
    below.iter().filter(|path| path.is_dir()).try_for_each(|path| find(path, depth - 1, found))
}

/// The run, or why it does not count.
fn read(folder: &Path, settings: &[String], split: Split) -> std::result::Result<Run, String> {
    let config = Config::load(&folder.join(CONFIG_FILE)).map_err(|error| error.to_string())?;
    let mut wanted = config.clone();
    for setting in settings {
        let (key, value) = crate::config::keys::split(setting).map_err(|error| error.to_string())?;
        crate::config::keys::Keyed::set(&mut wanted, key, value).map_err(|error| error.to_string())?;
    }
    if wanted != config {
        return Err(format!("trained otherwise than with {}", settings.join(" ")));
    }
    if !evaluation_file(folder, split).is_file() {
        return Err(format!("not evaluated: engine eval {} split={split}", folder.display()));
    }
    Run::read(folder, split).map_err(|error| error.to_string())
}
