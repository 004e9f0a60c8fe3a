//! SLURM's programs: `sbatch`, which takes a job array; `squeue` and `sacct`, which tell how its jobs fare.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use crate::error::{Error, Result};

/// What `squeue` says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// SLURM's word: `PENDING`, `RUNNING`, …
    pub state: String,
    /// What it waits for.
    pub reason: String,
}

/// What `sacct` says of a job, all its attempts together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// SLURM's word for the last attempt, without who cancelled it.
    pub state: String,
    /// `exit code:signal` of the last attempt.
    pub exit: String,
    /// Seconds that it held its node.
    pub seconds: u64,
    /// Most memory that it was seen to hold, in bytes.
    pub peak_bytes: Option<u64>,
}

/// Runs a program of SLURM's; an error with what it said where it fails.
fn run(program: &'static str, command: &mut Command) -> Result<Output> {
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::op("SLURM", program, "its programs on the PATH", "no such program"),
        _ => Error::io(program, "start", error),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
        let said = if said.is_empty() { output.status.to_string() } else { said };
        return Err(Error::op("SLURM", program, "an answer", said));
    }
    Ok(output)
}

/// An error unless there is an `sbatch`.
pub fn installed() -> Result<()> {
    run("sbatch", Command::new("sbatch").arg("--version")).map(drop)
}

/// Submits `script` from `folder`; the number of the job array.
pub fn submit(script: &Path, folder: &Path) -> Result<String> {
    let output = run("sbatch", Command::new("sbatch").arg("--parsable").arg(script).current_dir(folder))?;
    // With several clusters: `NUMBER;CLUSTER`.
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.trim().split(';').next().unwrap_or_default().to_string();
    match number.parse::<u64>() {
        Ok(_) => Ok(number),
        Err(_) => Err(Error::op("SLURM", "sbatch", "the number of a job", text.trim())),
    }
}

/// The queue's tasks of some job arrays, by `ARRAY_TASK`: those that wait or run, and for some minutes those that have ended.
pub fn queue(arrays: &BTreeSet<String>) -> Result<BTreeMap<String, Queued>> {
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--states=all", "--format=%i|%T|%r", &format!("--jobs={}", joined(arrays))]);
    match run("squeue", &mut command) {
        Ok(output) => Ok(parse_queue(&String::from_utf8_lossy(&output.stdout))),
        // So it answers where all of them have ended long ago.
        Err(Error::Op { got, .. }) if got.contains("Invalid job id") => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// The accounts of the tasks of some job arrays, by `ARRAY_TASK`; of those that began.
pub fn accounts(arrays: &BTreeSet<String>) -> Result<BTreeMap<String, Account>> {
    let mut command = Command::new("sacct");
    // One line an attempt (-D), and one for the memory of each (JOB.batch).
    command.args(["-n", "-P", "-D", "-o", "JobID,State,ExitCode,ElapsedRaw,MaxRSS", "-j", &joined(arrays)]);
    let output = run("sacct", &mut command)?;
    Ok(parse_accounts(&String::from_utf8_lossy(&output.stdout)))
}

fn joined(arrays: &BTreeSet<String>) -> String {
    arrays.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

fn parse_queue(text: &str) -> BTreeMap<String, Queued> {
    let line = |line: &str| {
        let mut fields = line.trim().splitn(3, '|').map(str::to_string);
        let (job, state, reason) = (fields.next()?, fields.next()?, fields.next()?);
        Some((job, Queued { state, reason }))
    };
    text.lines().filter_map(line).collect()
}

fn parse_accounts(text: &str) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for line in text.lines() {
        let [job, state, exit, seconds, peak] = line.trim().split('|').collect::<Vec<_>>()[..] else { continue };
        let (job, step) = job.split_once('.').map_or((job, None), |(job, step)| (job, Some(step)));
        let account = accounts.entry(job.to_string()).or_default();
        account.peak_bytes = account.peak_bytes.max(bytes(peak));
        if step.is_none() {
            // `CANCELLED by 1000`
            account.state = state.split(' ').next().unwrap_or_default().to_string();
            account.exit = exit.to_string();
            account.seconds += seconds.parse::<u64>().unwrap_or(0);
        }
    }
    accounts
}

/// `6872K`, `1.5G` or `0` in bytes.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match &text[digits.len()..] {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    let bytes = digits.parse::<f64>().ok()? * 1024_f64.powi(power);
    (bytes > 0.0).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_has_a_line_for_each_task() {
        let queue = parse_queue(
            "812_0|PENDING|BeginTime\n812_1|RUNNING|None\n812_2|PENDING|(Nodes required for job are DOWN, DRAINED | more)\nrubbish\n",
        );
        assert_eq!(queue.len(), 3);
        assert_eq!(queue["812_0"], Queued { state: "PENDING".into(), reason: "BeginTime".into() });
        assert!(queue["812_2"].reason.ends_with("| more)"));
    }

    #[test]
    fn attempts_of_a_job_are_summed_and_the_last_one_counts() {
        let accounts = parse_accounts(
            "1_0|REQUEUED|0:0|2|\n1_0.batch|FAILED|1:0|2|6872K\n1_1|CANCELLED by 0|0:0|18|\n1_1.batch|FAILED|1:0|18|\n\
             1_0|COMPLETED|0:0|5|\n1_0.batch|COMPLETED|0:0|5|1.5M\n1_0.extern|COMPLETED|0:0|5|0\n1_[2-5]|PENDING|0:0|0|\n",
        );
        let first =
            Account { state: "COMPLETED".into(), exit: "0:0".into(), seconds: 7, peak_bytes: Some(6872 * 1024) };
        assert_eq!(accounts["1_0"], first);
        assert_eq!((accounts["1_1"].state.as_str(), accounts["1_1"].peak_bytes), ("CANCELLED", None));
        assert_eq!(bytes("1.5M"), Some(3 << 19));
        assert_eq!((bytes(""), bytes("0"), bytes("12Q")), (None, None, None));
    }

    #[test]
    fn a_program_that_is_absent_or_refuses_is_named_with_what_it_said() {
        let absent = run("sbatch", &mut Command::new("/nonexistent/sbatch")).unwrap_err();
        assert_eq!(absent.to_string(), "SLURM: sbatch: expected its programs on the PATH, got no such program");
        let refused = run("sbatch", Command::new("sh").args(["-c", "echo no such partition >&2; exit 1"])).unwrap_err();
        assert_eq!(refused.to_string(), "SLURM: sbatch: expected an answer, got no such partition");
        assert_eq!((absent.exit_code(), refused.exit_code()), (3, 3));
    }
}
