//! Trains the cells of a sweep as jobs of a SLURM cluster: arrays of at most [`MOST_TASKS`] tasks, one cell a task.
//!
//! [`submit`] gives SLURM the cells that are due and is done; [`refresh`] learns later how they fare. A job trains its cell in the
//! same folder a local sweep would use, so that cells can be left by one launcher and taken on by the other. A job that is told that
//! its time ends or that it has to make way saves and goes back to the queue (`task.sh`).

mod ask;
mod fate;
mod journal;
pub mod options;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

pub use ask::installed;
use ask::{Account, accounts, queue};
use fate::{Queue, fate, spoken};
use journal::Journal;
use options::Options;

use super::outcome::{last_line, reason, s_of};
use super::state::{Cell, State, Sweep};
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::progress::say;

/// Tasks of an array; clusters allow 1,001 unless they say otherwise (MaxArraySize).
pub const MOST_TASKS: usize = 1000;

/// The scripts that [`submit`] would submit.
///
/// # Errors
/// [`Error::Input`] for a path that is not UTF-8.
pub fn scripts(sweep: &Sweep, options: &Options, retry: bool) -> Result<Vec<String>> {
    let setting = script::Setting::here(options)?;
    let text = |chunk: &[usize]| {
        let cells: Vec<&Cell> = chunk.iter().map(|&index| &sweep.cells[index]).collect();
        setting.text(sweep, &cells)
    };
    sweep.due(retry).chunks(MOST_TASKS).map(text).collect()
}

/// Submits every cell that is due, and keeps the account of it after each array; cells that failed before only with `retry`.
///
/// # Errors
/// [`Error::Op`] with what `sbatch` said where it takes an array not; arrays before it stay submitted.
pub fn submit(sweep: &mut Sweep, options: &Options, retry: bool) -> Result<()> {
    let texts = scripts(sweep, options, retry)?;
    let folder = sweep.folder.join(script::FOLDER);
    fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "create", e))?;
    for (chunk, text) in sweep.due(retry).chunks(MOST_TASKS).zip(texts) {
        let free = (1..).map(|number| format!("{number}.sh")).find(|name| !folder.join(name).exists());
        let name = free.unwrap_or_default();
        write_atomic(&folder.join(&name), |file| file.write_all(text.as_bytes()))?;
        let array = ask::submit(&Path::new(script::FOLDER).join(&name), &sweep.folder)?;
        for (task, &index) in chunk.iter().enumerate() {
            let cell = &mut sweep.cells[index];
            (cell.state, cell.reason, cell.job) = (State::Queued, None, Some(format!("{array}_{task}")));
        }
        sweep.save()?;
        say(&format!("job array {array}: {} cells", chunk.len()));
    }
    Ok(())
}

/// Learns how the cells fare that SLURM was given. Writes nothing.
///
/// Where the queue does not answer, that is an error with `strict`; else what the cells' journals say has to do, and it is said.
/// A cluster need not keep accounts.
pub fn refresh(sweep: &mut Sweep, strict: bool) -> Result<()> {
    // Accounting tells the memory of a job a while after its end.
    let unknown = |cell: &Cell| cell.job.is_some() && (cell.state != State::Done || cell.peak_bytes.is_none());
    let open: Vec<usize> = (0..sweep.cells.len()).filter(|&index| unknown(&sweep.cells[index])).collect();
    if open.is_empty() {
        return Ok(());
    }
    let journals = |sweep: &Sweep| -> Result<Vec<Journal>> {
        open.iter().map(|&index| Journal::load(&sweep.journal(&sweep.cells[index]))).collect()
    };
    let current = || open.iter().filter_map(|&index| sweep.cells[index].job.as_deref());
    let queue = match queue(&arrays(current())) {
        Err(error) if strict => return Err(error),
        Err(error) => {
            say(&format!("the queue cannot be asked, states may be old: {error}"));
            None
        }
        Ok(queue) => Some(queue),
    };
    let earlier = journals(sweep)?;
    let all = arrays(earlier.iter().flat_map(Journal::jobs).chain(current()));
    let accounts = accounts(&all).unwrap_or_else(|error| {
        say(&format!("without accounts of the jobs: {error}"));
        BTreeMap::new()
    });
    // Read last: a job that ended in between has written so.
    for (&index, journal) in open.iter().zip(journals(sweep)?) {
        let cell = settled(sweep, &sweep.cells[index], queue.as_ref(), &accounts, &journal);
        sweep.cells[index] = cell;
    }
    Ok(())
}

/// The job arrays of jobs `ARRAY_TASK`.
fn arrays<'a>(jobs: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    jobs.filter_map(|job| Some(job.split_once('_')?.0.to_string())).collect()
}

/// `cell` as its job left it.
fn settled(
    sweep: &Sweep,
    cell: &Cell,
    queue: Option<&BTreeMap<String, ask::Queued>>,
    accounts: &BTreeMap<String, Account>,
    journal: &Journal,
) -> Cell {
    let mut cell = cell.clone();
    let Some(job) = cell.job.clone() else { return cell };
    let account = accounts.get(&job);
    let queue = queue.map_or(Queue::Silent, |queue| queue.get(&job).map_or(Queue::Gone, Queue::Has));
    let ended = matches!(cell.state, State::Failed | State::Stopped);
    if ended && account.is_none() && !matches!(queue, Queue::Has(_)) {
        // SLURM has forgotten the job; what it was known by stays.
        return cell;
    }
    let exit = |code: i32| {
        // So a shell tells of a signal.
        let how = if code > 128 { format!("killed by signal {}", code - 128) } else { format!("exit code {code}") };
        reason(&how, &last_line(&sweep.log(&cell), 0))
    };
    let broken = |word: &str| {
        let said = sweep.folder.join(script::FOLDER).join(format!("{job}.out"));
        reason(&format!("SLURM: {}", spoken(word)), &last_line(&said, 0))
    };
    let entry = journal.last(&job);
    (cell.state, cell.reason) = fate(queue, account, entry, exit, broken);
    cell.s = if cell.state == State::Done { s_of(sweep, &cell) } else { None };
    let jobs: BTreeSet<&str> = journal.jobs().into_iter().chain([job.as_str()]).collect();
    let seconds = |job: &str| accounts.get(job).map_or(0, |account| account.seconds).max(journal.seconds(job));
    cell.wall_seconds = jobs.iter().map(|job| seconds(job) as f64).sum::<f64>().max(cell.wall_seconds);
    cell.peak_bytes = jobs.iter().filter_map(|job| accounts.get(*job)?.peak_bytes).max().max(cell.peak_bytes);
    cell
}
