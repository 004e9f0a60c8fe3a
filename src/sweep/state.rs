//! A sweep's account of its cells: `sweep.json` in its folder, whole at every moment.
//!
//! ```text
//! DIR/
//!   sweep.json       the cells and how each fares
//!   sweep.lock       locked while the sweep or one of its cells runs
//!   a4r-1/           a cell: the folder of a run
//!   a4r-1.log        what it said on stderr
//!   a4r-1.journal    when SLURM's jobs began and ended it (launcher=slurm)
//!   slurm/           the scripts of the job arrays, and what they said
//! ```

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::grid::Point;
use crate::config::CONFIG_FILE;
use crate::error::{Error, Result};
use crate::io::write_atomic;

/// Name of the account in a sweep's folder.
pub const SWEEP_FILE: &str = "sweep.json";
const LOCK_FILE: &str = "sweep.lock";

/// How a cell fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its turn has not come.
    Pending,
    /// Its job waits in SLURM's queue.
    Queued,
    /// A process trains it, or did when the sweep was killed.
    Running,
    /// Its job was asked to stop, saved, and waits in SLURM's queue to go on.
    Requeued,
    /// Trained and evaluated.
    Done,
    /// Its process ended with an error.
    Failed,
    /// Stopped on request, to go on where it was.
    Stopped,
}

impl State {
    /// The word of `sweep.json`.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Queued => "queued",
            State::Running => "running",
            State::Requeued => "requeued",
            State::Done => "done",
            State::Failed => "failed",
            State::Stopped => "stopped",
        }
    }
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Unlike that of all other cells.
    pub name: String,
    /// The settings that were named, as texts by key.
    pub settings: Map<String, Value>,
    /// The run's folder, from the sweep's.
    pub folder: PathBuf,
    /// How it fares.
    pub state: State,
    /// Why it failed or stopped, or what it waits for.
    pub reason: Option<String>,
    /// SLURM's job that it was submitted as last: `ARRAY_TASK`.
    pub job: Option<String>,
    /// S of the evaluation after training, a fraction of 1.
    pub s: Option<f64>,
    /// Seconds that its processes ran, all attempts together.
    pub wall_seconds: f64,
    /// Most main memory that it held at a time, where that was seen.
    pub peak_bytes: Option<u64>,
}

impl Cell {
    fn new(point: Point) -> Self {
        let settings = point.settings.into_iter().map(|(key, value)| (key, value.into())).collect();
        let folder = PathBuf::from(&point.name);
        Cell {
            name: point.name,
            settings,
            folder,
            state: State::Pending,
            reason: None,
            job: None,
            s: None,
            wall_seconds: 0.0,
            peak_bytes: None,
        }
    }

    /// Whether SLURM has a job for it that has not ended.
    pub fn with_slurm(&self) -> bool {
        self.job.is_some() && matches!(self.state, State::Queued | State::Running | State::Requeued)
    }

    /// Whether it is to be trained by who holds the sweep's lock: not done, not with SLURM, and failed only with `retry`.
    pub fn due(&self, retry: bool) -> bool {
        match self.state {
            State::Done => false,
            State::Failed => retry,
            _ => !self.with_slurm(),
        }
    }

    /// The settings as pairs of key and text.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.settings.iter().map(|(key, value)| (key.clone(), crate::config::setting::json_text(value))).collect()
    }
}

/// The cells of a sweep and where they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The sweep's folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// In the order they are trained in.
    pub cells: Vec<Cell>,
}

impl Sweep {
    /// The sweep over `points` in `folder`: the one that is there, or a new one. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] where the folder holds a sweep over another grid, or something in the way of a new one.
    pub fn of(folder: &Path, points: Vec<Point>) -> Result<Self> {
        let fresh = Sweep { folder: folder.to_path_buf(), cells: points.into_iter().map(Cell::new).collect() };
        if folder.join(SWEEP_FILE).is_file() {
            let found = Sweep::load(folder)?;
            if found.same_grid(&fresh) {
                return Ok(found);
            }
            let (place, there, asked) = (folder.display(), found.cells.len(), fresh.cells.len());
            return Err(Error::Usage(format!(
                "{place} holds a sweep over another grid ({there} cells; asked for: {asked}): out=… names another folder, \
                 resume={place} goes on with what is there"
            )));
        }
        let run = Some(folder.join(CONFIG_FILE)).filter(|file| file.exists());
        let in_the_way = run.or_else(|| fresh.cells.iter().map(|cell| fresh.run(cell)).find(|run| run.exists()));
        match in_the_way {
            Some(path) => {
                let path = path.display();
                Err(Error::Usage(format!("{path} is of no sweep and in the way: out=… names another folder")))
            }
            None => Ok(fresh),
        }
    }

    /// The sweep in `folder`.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(SWEEP_FILE);
        let text = fs::read(&path).map_err(|e| Error::io(&path, "read", e))?;
        let sweep: Sweep = serde_json::from_slice(&text)
            .map_err(|e| Error::input(&path, "file", "the cells of a sweep", e.to_string()))?;
        Ok(Sweep { folder: folder.to_path_buf(), ..sweep })
    }

    /// Saves the account.
    pub fn save(&self) -> Result<()> {
        let path = self.folder.join(SWEEP_FILE);
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::io(&path, "encode", e.into()))? + "\n";
        write_atomic(&path, |file| file.write_all(text.as_bytes()))
    }

    /// Makes the sweep's folder and takes its lock, which lasts as long as any copy of the file is open.
    ///
    /// # Errors
    /// [`Error::Usage`] where another process has it.
    pub fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, "create", e))?;
        let path = self.folder.join(LOCK_FILE);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|e| Error::io(&path, "create", e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let place = self.folder.display();
                Err(Error::Usage(format!("{place}: this sweep, or a cell that it left behind, is running")))
            }
            Err(TryLockError::Error(e)) => Err(Error::io(&path, "lock", e)),
        }
    }

    /// The run folder of a cell.
    pub fn run(&self, cell: &Cell) -> PathBuf {
        self.folder.join(&cell.folder)
    }

    /// Where a cell's stderr goes.
    pub fn log(&self, cell: &Cell) -> PathBuf {
        self.folder.join(format!("{}.log", cell.name))
    }

    /// Where the jobs' record of a cell goes.
    pub fn journal(&self, cell: &Cell) -> PathBuf {
        self.folder.join(format!("{}.journal", cell.name))
    }

    /// Indices of the cells that are [due](Cell::due).
    pub fn due(&self, retry: bool) -> Vec<usize> {
        (0..self.cells.len()).filter(|&index| self.cells[index].due(retry)).collect()
    }

    /// How many cells are in `state`.
    pub fn count(&self, state: State) -> usize {
        self.cells.iter().filter(|cell| cell.state == state).count()
    }

    /// Whether both have the same cells, in whatever order.
    fn same_grid(&self, other: &Sweep) -> bool {
        let has = |cell: &Cell| self.cells.iter().any(|own| own.name == cell.name && own.settings == cell.settings);
        self.cells.len() == other.cells.len() && other.cells.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grid::expand;
    use super::*;

    fn points(arguments: &[&str]) -> Vec<Point> {
        expand(&arguments.iter().map(|text| text.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn an_account_comes_back_and_takes_no_other_grid() {
        let dir = tempfile::tempdir().unwrap();
        let mut sweep = Sweep::of(dir.path(), points(&["arm=d0,a4", "seed=1,2"])).unwrap();
        sweep.cells[1].state = State::Done;
        sweep.cells[1].s = Some(1.0 / 3.0);
        sweep.save().unwrap();
        assert_eq!(Sweep::load(dir.path()).unwrap(), sweep);
        // The same cells in another order.
        assert_eq!(Sweep::of(dir.path(), points(&["seed=1,2", "arm=d0,a4"])).unwrap(), sweep);
        for other in [["arm=d0,a4", "seed=1,3"], ["arm=d0,a4", "seed=1..3"]] {
            assert_eq!(Sweep::of(dir.path(), points(&other)).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn what_is_of_no_sweep_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d0-2")).unwrap();
        let error = Sweep::of(dir.path(), points(&["arm=d0", "seed=1,2"])).unwrap_err();
        assert!(error.to_string().contains("d0-2 is of no sweep"), "{error}");
    }

    #[test]
    fn the_lock_lasts_as_long_as_any_copy_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let sweep = Sweep::of(dir.path(), points(&[])).unwrap();
        let lock = sweep.lock().unwrap();
        let copy = lock.try_clone().unwrap();
        drop(lock);
        assert_eq!(sweep.lock().unwrap_err().exit_code(), 2);
        drop(copy);
        sweep.lock().unwrap();
    }
}
