//! Runs compilers side by side, and only where the last result is out of date.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use super::source::hash_of;

/// One compilation.
pub struct Job {
    pub command: Vec<String>,
    pub output: PathBuf,
    /// Hash of everything read; the command line is added to it.
    pub hash: u64,
}

impl Job {
    fn stamp(&self) -> (PathBuf, String) {
        let name = format!("{}.stamp", self.output.display());
        (PathBuf::from(name), format!("{:016x}", self.hash ^ hash_of(&self.command)))
    }

    fn is_current(&self) -> bool {
        let (path, hash) = self.stamp();
        self.output.exists() && fs::read_to_string(path).is_ok_and(|old| old == hash)
    }

    fn run(&self) -> Result<(), String> {
        let result = Command::new(&self.command[0]).args(&self.command[1..]).output();
        let line = self.command.join(" ");
        let result = result.map_err(|e| format!("cannot run `{line}`: {e}"))?;
        let said = [result.stdout, result.stderr].concat();
        if !result.status.success() {
            return Err(format!("{line}\n{}", String::from_utf8_lossy(&said)));
        }
        let (path, hash) = self.stamp();
        let log = PathBuf::from(format!("{}.log", self.output.display()));
        fs::write(&log, said).map_err(|e| format!("{}: {e}", log.display()))?;
        fs::write(&path, hash).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// Runs what is out of date on as many threads as cargo grants; returns whether anything ran. The first error wins.
pub fn run_all(jobs: Vec<Job>) -> Result<bool, String> {
    let due: Vec<Job> = jobs.into_iter().filter(|j| !j.is_current()).collect();
    let any = !due.is_empty();
    let workers = std::env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1usize);
    let (queue, failure) = (Mutex::new(due.into_iter()), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(job) = queue.lock().expect("no worker panics").next() else { return };
                    if let Err(message) = job.run() {
                        failure.lock().expect("no worker panics").get_or_insert(message);
                        return;
                    }
                }
            });
        }
    });
    match failure.into_inner().expect("no worker panics") {
        Some(message) => Err(message),
        None => Ok(any),
    }
}
