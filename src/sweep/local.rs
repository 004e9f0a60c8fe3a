//! Trains the cells of a sweep on this machine, each in a process of its own, so that a crash of one leaves the others alone.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::jobs::{Jobs, Slots, peak_memory};
use super::outcome::{last_line, reason, s_of};
use super::state::{Cell, State, Sweep};
use crate::config::CONFIG_FILE;
use crate::error::{Error, Result};
use crate::progress::say;
use crate::train::signal::INTERRUPTED;

/// Between looks at the processes.
const PAUSE: Duration = Duration::from_millis(20);

/// Signals that asked this process to stop; each is passed on to the cells.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// A cell's process. One that is dropped while it runs is asked to stop, and waited for.
struct Process {
    /// Index of its cell.
    cell: usize,
    child: Child,
    began: Instant,
    /// Length of its log before.
    log_start: u64,
    /// Most memory that it was seen to hold, in bytes.
    peak: Option<u64>,
    /// Signals it was sent.
    sent: usize,
}

impl Process {
    /// Asks it to save and stop; the second time, to leave at once.
    fn ask_to_stop(&mut self) {
        self.sent += 1;
        // One that has just ended needs no asking.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.ask_to_stop();
            let _ = self.child.wait();
        }
    }
}

/// Trains every cell that is not done, `jobs` at a time, and keeps the account of them; cells that failed before only with `retry`,
/// and none that SLURM has. A cell that was stopped goes on where it was. `lock` is the sweep's: the processes hold it too, so that
/// no second sweep trains the same cells where this one is killed and they are not.
///
/// Ctrl-C and SIGTERM are passed on to the cells and waited for. A cell that fails is no error; the account says so.
pub fn run(sweep: &mut Sweep, jobs: Jobs, retry: bool, lock: &File) -> Result<()> {
    match ctrlc::set_handler(on_signal) {
        // Of an earlier sweep of this process.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
        Err(e) => return Err(Error::op("signals", "handler", "a process without one", e.to_string())),
    }
    let cores = available_parallelism().map_or(1, |cores| cores.get());
    let mut slots = Slots::new(jobs, cores, sweep)?;
    let mut waiting = sweep.due(retry).into_iter().peekable();
    let mut running: Vec<Process> = Vec::new();
    loop {
        let asked = ASKED.load(Ordering::SeqCst);
        while asked == 0 && waiting.peek().is_some() {
            let at_a_time = slots.count(sweep);
            if running.len() >= at_a_time {
                break;
            }
            let Some(index) = waiting.next() else { break };
            // 0: all cores, as in a plain run.
            let threads = if at_a_time == 1 { 0 } else { (cores / at_a_time).max(1) };
            running.extend(start(sweep, index, threads, lock)?);
        }
        if running.is_empty() {
            return Ok(());
        }
        for process in &mut running {
            while process.sent < asked {
                process.ask_to_stop();
            }
        }
        let mut at = 0;
        while at < running.len() {
            let process = &mut running[at];
            process.peak = peak_memory(process.child.id()).max(process.peak);
            let ended = process.child.try_wait();
            match ended.map_err(|e| Error::io(sweep.run(&sweep.cells[process.cell]), "wait for", e))? {
                Some(status) => {
                    let process = running.swap_remove(at);
                    settle(sweep, &process, status)?;
                }
                None => at += 1,
            }
        }
        sleep(PAUSE);
    }
}

fn on_signal() {
    match ASKED.fetch_add(1, Ordering::SeqCst) {
        0 => say("\nstopping the cells that run, which save; once more ends them at once"),
        _ => say("\nending the cells at once"),
    }
}

/// Starts the process of a cell; `None` where there cannot be one, and the cell has failed.
fn start(sweep: &mut Sweep, index: usize, threads: usize, lock: &File) -> Result<Option<Process>> {
    let cell = &sweep.cells[index];
    let (name, log) = (cell.name.clone(), sweep.log(cell));
    let arguments = arguments(sweep, cell, threads);
    let cell = &mut sweep.cells[index];
    (cell.state, cell.reason, cell.job) = (State::Running, None, None);
    sweep.save()?;
    let started = spawn(&arguments, &log, lock);
    let cells = sweep.cells.len();
    match started {
        Ok((child, log_start)) => {
            say(&format!("{name} ({} of {cells}): training, log {}", index + 1, log.display()));
            Ok(Some(Process { cell: index, child, began: Instant::now(), log_start, peak: None, sent: 0 }))
        }
        Err(error) => {
            let reason = format!("could not be started: {error}");
            say(&format!("{name} ({} of {cells}): {reason}", index + 1));
            let cell = &mut sweep.cells[index];
            (cell.state, cell.reason) = (State::Failed, Some(reason));
            sweep.save()?;
            Ok(None)
        }
    }
}

/// What `engine` is called with for a cell: to go on with its run, or to begin it, on so many `threads`.
fn arguments(sweep: &Sweep, cell: &Cell, threads: usize) -> Vec<String> {
    let run = sweep.run(cell);
    let mut arguments = vec!["train".to_string()];
    if run.join(CONFIG_FILE).is_file() {
        arguments.push(format!("resume={}", run.display()));
    } else {
        arguments.extend(cell.settings().iter().map(|(key, value)| format!("{key}={value}")));
        arguments.push(format!("out={}", run.display()));
    }
    if !cell.settings.contains_key("threads") {
        arguments.push(format!("threads={threads}"));
    }
    arguments
}

/// The process, and how long its log was before.
fn spawn(arguments: &[String], log: &Path, lock: &File) -> std::io::Result<(Child, u64)> {
    let log = File::options().create(true).append(true).open(log)?;
    let log_start = log.metadata()?.len();
    let child = Command::new(std::env::current_exe()?)
        .args(arguments)
        // Never read; as long as the child lives, the lock is held.
        .stdin(lock.try_clone()?)
        .stdout(Stdio::null())
        .stderr(log)
        // Out of reach of the terminal's Ctrl-C, which would come on top of the signal that is passed on.
        .process_group(0)
        .spawn()?;
    Ok((child, log_start))
}

/// Enters how a cell's process ended.
fn settle(sweep: &mut Sweep, process: &Process, status: ExitStatus) -> Result<()> {
    let cell = &sweep.cells[process.cell];
    let log = sweep.log(cell);
    let was_stopped = status.code() == Some(INTERRUPTED)
        || process.sent > 0 && (status.code() == Some(1) || status.signal() == Some(Signal::TERM.as_raw()));
    let (state, reason) = match status.success() {
        true => (State::Done, None),
        false if was_stopped => (State::Stopped, None),
        false => (State::Failed, Some(reason(&how(status), &last_line(&log, process.log_start)))),
    };
    let s = if state == State::Done { s_of(sweep, cell) } else { None };
    let cell = &mut sweep.cells[process.cell];
    cell.wall_seconds += process.began.elapsed().as_secs_f64();
    cell.peak_bytes = cell.peak_bytes.max(process.peak);
    (cell.state, cell.reason, cell.s) = (state, reason, s);
    let mut told = format!("{}: {}", cell.name, state.name());
    if let Some(s) = s {
        told += &format!(", S = {:.1} %", 100.0 * s);
    }
    if let Some(reason) = &cell.reason {
        told += &format!(", {reason}");
    }
    say(&told);
    sweep.save()
}

/// "exit code 3".
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
