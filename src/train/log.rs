//! `metrics.jsonl`, the truth about a run, and the TensorBoard event file beside it, which only mirrors it.
//!
//! One JSON object a line: `kind` ("train", "eval" or "event"), the record's own fields, and `time` (seconds since
//! 1970). A number in field `loss` of a train record is TensorBoard's scalar `train/loss`; nested objects nest tags.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::train::tensorboard;

/// The file's name in the run's folder.
pub const METRICS: &str = "metrics.jsonl";
/// Longest line read, in bytes; ours have a few hundred.
const MAX_LINE: u64 = 1 << 20;
const EVENTS_PREFIX: &str = "events.out.tfevents.";
const EVENTS_SUFFIX: &str = ".descant";

/// One line of the log.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    Train(TrainRecord),
    Eval(EvalRecord),
    /// Something that happened: stopped, resumed, a batch that diverged.
    Event {
        step: u64,
        message: String,
    },
}

/// One optimizer step.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrainRecord {
    /// Optimizer steps made, this one counted: the first record has 1.
    pub step: u64,
    /// Epochs passed, with their fraction.
    pub epoch: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// What is minimised: the weighted sum of the terms.
    pub loss: f64,
    /// Invariance term between audio and MIDI, unweighted.
    pub inv: f64,
    /// Variance term of both, unweighted.
    pub var: f64,
    /// Covariance term of both, unweighted.
    pub cov: f64,
    /// Terms that the arm's family adds, unweighted, by name; absent where it adds none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub terms: BTreeMap<&'static str, f64>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Mean over dimensions of the audio embeddings' standard deviation over the batch.
    pub std_audio: f64,
    /// The same of the MIDI embeddings.
    pub std_midi: f64,
    /// Recent throughput.
    pub samples_per_second: f64,
    /// Expected seconds to the end of training.
    pub eta_seconds: f64,
    /// Most bytes of the device's memory in use at once so far; absent on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_bytes: Option<u64>,
}

/// One evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct EvalRecord {
    /// Optimizer steps made.
    pub step: u64,
    /// Epochs passed.
    pub epoch: f64,
    /// "validation" or "test".
    pub split: String,
    /// min of the two R@10, 0–1.
    pub s: f64,
    /// Best validation S up to here.
    pub best_s: f64,
    /// Whatever else the evaluation reports, under its own names.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The open log of a run.
#[derive(Debug)]
pub struct MetricsLog {
    metrics: (PathBuf, File),
    events: (PathBuf, File),
}

impl MetricsLog {
    /// An empty log in the run's folder; a log already there is replaced.
    pub fn create(run: &Path) -> Result<Self> {
        Self::start(run, None)
    }

    /// The log as it was when the checkpoint of `step` was saved: later records and a torn last line are dropped.
    pub fn resume(run: &Path, step: u64) -> Result<Self> {
        Self::start(run, Some(step))
    }

    fn start(run: &Path, resume_at: Option<u64>) -> Result<Self> {
        let metrics = run.join(METRICS);
        let events_name = format!("{EVENTS_PREFIX}{:010}{EVENTS_SUFFIX}", resume_at.unwrap_or(0));
        let events = run.join(&events_name);
        let mut kept = Vec::new();
        let mut mirror = tensorboard::file_version(now());
        if let Some(last) = resume_at {
            scan(&metrics, |line, record| {
                if number(record, "step").is_some_and(|step| step > last as f64) {
                    return false;
                }
                kept.extend(line);
                kept.push(b'\n');
                mirror.extend(mirrored(record));
                true
            })?;
        }
        write_atomic(&metrics, |out| out.write_all(&kept))?;
        // A new name, later in the alphabet, lets a TensorBoard that is watching notice the new file.
        write_atomic(&events, |out| out.write_all(&mirror))?;
        for entry in fs::read_dir(run).map_err(|e| Error::io(run, "read", e))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(EVENTS_PREFIX) && name.ends_with(EVENTS_SUFFIX) && name != events_name {
                fs::remove_file(entry.path()).map_err(|e| Error::io(entry.path(), "remove", e))?;
            }
        }
        let open = |path: PathBuf| match OpenOptions::new().append(true).open(&path) {
            Ok(file) => Ok((path, file)),
            Err(e) => Err(Error::io(path, "open", e)),
        };
        Ok(MetricsLog { metrics: open(metrics)?, events: open(events)? })
    }

    /// Appends one record; a reader sees it at once.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let unwritable = |e: serde_json::Error| Error::op("log", "record", "a JSON object", e.to_string());
        let mut fields = serde_json::to_value(record).map_err(unwritable)?;
        fields["time"] = now().into();
        let line = format!("{fields}\n");
        append(&mut self.metrics, line.as_bytes())?;
        append(&mut self.events, &fields.as_object().map(mirrored).unwrap_or_default())
    }

    /// Makes what was written survive a power failure: to be called before the checkpoint of the same step is saved.
    pub fn sync(&self) -> Result<()> {
        let (path, file) = &self.metrics;
        file.sync_data().map_err(|e| Error::io(path, "flush", e))
    }
}

/// All records of a `metrics.jsonl`, oldest first; a torn last line is left out.
pub fn read(path: &Path) -> Result<Vec<Map<String, Value>>> {
    let mut records = Vec::new();
    scan(path, |_, record| {
        records.push(record.clone());
        true
    })?;
    Ok(records)
}

/// Visits the lines in order until `visit` returns false. A bad line is an error naming it, unless it is the last.
fn scan(path: &Path, mut visit: impl FnMut(&[u8], &Map<String, Value>) -> bool) -> Result<()> {
    let unreadable = |e| Error::io(path, "read", e);
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        let torn = line.pop_if(|last| *last == b'\n').is_none();
        match serde_json::from_slice(&line) {
            Ok(record) => {
                if !visit(&line, &record) {
                    break;
                }
            }
            Err(_) if torn && reader.fill_buf().map_err(unreadable)?.is_empty() => break,
            Err(e) => {
                return Err(Error::input(path, format!("line {number}"), "one JSON object", e.to_string())
                    .hint("remove the line to go on without it"));
            }
        }
    }
    Ok(())
}

/// The record's numbers as TensorBoard's scalars; nothing for a record without.
fn mirrored(record: &Map<String, Value>) -> Vec<u8> {
    let mut values = Vec::new();
    let kind = record.get("kind").and_then(Value::as_str).unwrap_or("other");
    for (name, value) in record.iter().filter(|(name, _)| !matches!(name.as_str(), "step" | "time")) {
        collect(format!("{kind}/{name}"), value, &mut values);
    }
    if values.is_empty() {
        return Vec::new();
    }
    let step = record.get("step").and_then(Value::as_u64).unwrap_or(0);
    tensorboard::scalars(number(record, "time").unwrap_or(0.0), step, values.iter().map(|(tag, x)| (tag.as_str(), *x)))
}

fn collect(tag: String, value: &Value, out: &mut Vec<(String, f64)>) {
    if let Some(x) = value.as_f64() {
        out.push((tag, x));
    } else if let Some(inner) = value.as_object() {
        for (name, value) in inner {
            collect(format!("{tag}/{name}"), value, out);
        }
    }
}

fn number(record: &Map<String, Value>, field: &str) -> Option<f64> {
    record.get(field).and_then(Value::as_f64)
}

fn append((path, file): &mut (PathBuf, File), bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|e| Error::io(path, "write", e))
}

/// Seconds since 1970, 0 where the clock stands before.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(step: u64) -> Record {
        Record::Train(TrainRecord { step, epoch: 0.5, lr: 1e-3, loss: 12.5, ..Default::default() })
    }

    fn eval(step: u64) -> Record {
        let more = [("a2m".to_string(), serde_json::json!({"r1": 0.5, "r10": 0.75}))].into_iter().collect();
        Record::Eval(EvalRecord { step, epoch: 1.0, split: "validation".into(), s: 0.75, best_s: 0.75, more })
    }

    fn events(run: &Path) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(run).unwrap().map(|e| e.unwrap().path());
        let events = files.filter(|p| p.to_string_lossy().contains(EVENTS_PREFIX));
        events.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&p).unwrap())).collect()
    }

    #[test]
    fn resume_restores_the_log_of_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let (run, path) = (dir.path(), dir.path().join(METRICS));
        let mut log = MetricsLog::create(run).unwrap();
        for record in [train(1), train(2), eval(2), Record::Event { step: 2, message: "saved".into() }] {
            log.write(&record).unwrap();
        }
        log.sync().unwrap();
        let (at_two, mirror) = (fs::read(&path).unwrap(), events(run));
        let records = read(&path).unwrap();
        assert_eq!(records.len(), 4);
        assert_eq!((&records[0]["kind"], &records[0]["loss"]), (&"train".into(), &12.5.into()));
        assert_eq!(records[2]["a2m"]["r10"], 0.75);
        log.write(&train(3)).unwrap();
        log.write(&train(4)).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"kind\":\"tra").unwrap();
        assert_eq!(read(&path).unwrap().len(), 6);

        let mut log = MetricsLog::resume(run, 2).unwrap();
        assert_eq!(fs::read(&path).unwrap(), at_two);
        let resumed = events(run);
        assert_eq!(resumed.len(), 1);
        assert_eq!(resumed[0].0, "events.out.tfevents.0000000002.descant");
        // All but the first record (file version and the time of opening) is as it was.
        let skip = tensorboard::file_version(0.0).len();
        assert_eq!(resumed[0].1[skip..], mirror[0].1[skip..]);
        let text = String::from_utf8_lossy(&resumed[0].1).into_owned();
        assert!(text.contains("train/loss") && text.contains("eval/a2m/r10") && !text.contains("saved"));
        log.write(&train(3)).unwrap();
        assert_eq!(read(&path).unwrap().len(), 5);
        MetricsLog::create(run).unwrap();
        assert_eq!((read(&path).unwrap().len(), events(run).len()), (0, 1));
    }

    #[test]
    fn a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(METRICS);
        fs::write(&path, b"{\"step\":1}\nnonsense\n{\"step\":2}\n").unwrap();
        let text = MetricsLog::resume(dir.path(), 5).unwrap_err().to_string();
        assert!(text.contains("metrics.jsonl: line 2: expected one JSON object"), "{text}");
        // Not reached where the records after it are dropped anyway.
        MetricsLog::resume(dir.path(), 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let long = [b"{\"step\":1}\n".as_slice(), &vec![b' '; 3 << 20], b"{}\n"].concat();
        fs::write(&path, long).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 2"));
    }
}
