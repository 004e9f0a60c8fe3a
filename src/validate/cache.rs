//! What was found is kept in `RUN/report/validation/NN.json`, with a key of everything it depends on: the same question to the same
//! model about the same data is answered from there.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::findings::Findings;
use super::report;
use super::subject::Subject;
use super::test::Test;
use crate::error::{Error, Result};
use crate::io::write_atomic;

/// Findings with where they are from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Number of the test.
    pub test: String,
    /// What the findings depend on: 16 hexadecimal digits.
    pub key: String,
    /// The command that makes them.
    pub command: String,
    /// How long it took.
    pub seconds: f64,
    /// What was found.
    pub findings: Findings,
}

/// Folder of what is kept of a run.
pub fn folder(run: &Path) -> PathBuf {
    run.join(report::FOLDER).join("validation")
}

/// Where the findings of test `number` are kept.
fn file(run: &Path, number: &str) -> PathBuf {
    folder(run).join(format!("{number}.json"))
}

/// The key of a test's findings: of the model's values, the split's recordings and notes, the configuration that shapes inputs and
/// pools, how much is computed, and the test's version.
pub fn key(test: &dyn Test, subject: &Subject) -> Result<String> {
    let config = &subject.study.config;
    let mut hasher = blake3::Hasher::new();
    for part in [
        env!("CARGO_PKG_VERSION").to_string(),
        format!("{} {}", test.number(), test.version()),
        test.depends(subject),
        subject.fingerprint()?.to_string(),
        format!("{:?} {:?}", subject.protocol(), subject.sizes),
        format!("{:?} {} {:?}", config.stft.padding, config.midi.max_notes, subject.study.parameters.dtype()),
    ] {
        hasher.update(part.as_bytes()).update(&[0]);
    }
    Ok(hasher.finalize().to_hex()[..16].to_string())
}

/// What is kept of test `number`, if it has this key. A file that cannot be read counts as none: it is written anew.
pub fn load(run: &Path, number: &str, key: &str) -> Option<Kept> {
    any(run, number).filter(|kept| kept.key == key)
}

/// What is kept of test `number`, whatever it was found of.
pub fn any(run: &Path, number: &str) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(file(run, number)).ok()?).ok()
}

/// Keeps findings; atomically, so that a battery that is stopped loses at most the test it was at.
pub fn save(run: &Path, kept: &Kept) -> Result<()> {
    write_json(&file(run, &kept.test), kept)
}

/// Writes `value` as JSON, with its folder.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let folder = crate::io::parent(path);
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
    let json = serde_json::to_vec(value).map_err(|e| Error::io(path, "encode", e.into()))?;
    write_atomic(path, |file| file.write_all(&json))
}
