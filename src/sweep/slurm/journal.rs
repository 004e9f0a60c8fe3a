//! What a cell's jobs wrote about themselves: `CELL.journal`, a line when one begins and one when it ends.
//!
//! ```text
//! 812_3 begun
//! 812_3 stopped 3541      asked to stop, and saved, after so many seconds
//! 812_3 begun
//! 812_3 ended 0 1207      exit code of the training, seconds
//! ```
//!
//! The job holds a lock on the file while it trains, so that two jobs never train one cell. It knows what the queue has forgotten and
//! accounting, where a cluster has any, tells late.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// What a job last wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It trains, or was killed.
    Begun,
    /// It was asked to stop, and its training did.
    Stopped,
    /// Its training ended with this exit code.
    Ended(i32),
}

/// The lines of a cell's journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// Job, what it wrote, and how many seconds it had run.
    lines: Vec<(String, Entry, u64)>,
}

impl Journal {
    /// The journal at `path`; empty where no job has begun yet.
    pub fn load(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => Ok(Journal::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Journal::default()),
            Err(error) => Err(Error::io(path, "read", error)),
        }
    }

    /// Leaves out lines that a crash cut off.
    fn parse(text: &str) -> Self {
        Journal { lines: text.lines().filter_map(line).collect() }
    }

    /// What `job` wrote last.
    pub fn last(&self, job: &str) -> Option<Entry> {
        self.lines.iter().rev().find(|(own, ..)| own == job).map(|&(_, entry, _)| entry)
    }

    /// The jobs that began, each once, in the order they did.
    pub fn jobs(&self) -> Vec<&str> {
        let mut jobs: Vec<&str> = Vec::new();
        for (job, ..) in &self.lines {
            if !jobs.contains(&job.as_str()) {
                jobs.push(job);
            }
        }
        jobs
    }

    /// Seconds that `job` ran, as far as it lived to write them.
    pub fn seconds(&self, job: &str) -> u64 {
        self.lines.iter().filter(|(own, ..)| own == job).map(|(_, _, seconds)| seconds).sum()
    }
}

fn line(text: &str) -> Option<(String, Entry, u64)> {
    let words: Vec<&str> = text.split(' ').collect();
    let (job, entry, seconds) = match words[..] {
        [job, "begun"] => (job, Entry::Begun, 0),
        [job, "stopped", seconds] => (job, Entry::Stopped, seconds.parse().ok()?),
        [job, "ended", code, seconds] => (job, Entry::Ended(code.parse().ok()?), seconds.parse().ok()?),
        _ => return None,
    };
    Some((job.to_string(), entry, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_each_job_and_its_seconds() {
        let text =
            "8_3 begun\n8_3 stopped 3541\n8_3 begun\n8_3 ended 0 1207\n9_0 begun\n9_0 ended 3 5\n10_1 begun\n10_1 end";
        let journal = Journal::parse(text);
        assert_eq!(journal.jobs(), ["8_3", "9_0", "10_1"]);
        assert_eq!((journal.last("8_3"), journal.seconds("8_3")), (Some(Entry::Ended(0)), 4748));
        assert_eq!((journal.last("9_0"), journal.seconds("9_0")), (Some(Entry::Ended(3)), 5));
        assert_eq!((journal.last("10_1"), journal.seconds("10_1")), (Some(Entry::Begun), 0));
        assert_eq!(journal.last("8_4"), None);
        assert_eq!(Journal::load(Path::new("/nonexistent/a.journal")).unwrap(), Journal::default());
    }
}
