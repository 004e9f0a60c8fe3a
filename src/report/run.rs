//! What a run leaves for its readers: `report/SPLIT.json`, the canonical evaluation (`SPLIT.DATA.CONDITION.json` on other data or under
//! a changed condition), and `report/curve.png`, validation S
//! over the epochs beside chance and the learning-free baselines.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::draw::{HLine, Series, line_chart};
use crate::data::maestro::Split;
use crate::error::{Error, Result};
use crate::eval::canonical::Canonical;
use crate::eval::condition::Condition;
use crate::io::write_atomic;
use crate::train::log;

/// Folder of a run that holds its report.
const FOLDER: &str = "report";

/// Where the evaluation of the run in folder `run` on `split` is kept.
pub fn evaluation_file(run: &Path, split: Split) -> PathBuf {
    run.join(FOLDER).join(format!("{split}.json"))
}

/// Saves the evaluation `found` on `split`, and draws the curve with the baselines' S on that split.
pub fn save(run: &Path, split: Split, found: &Canonical) -> Result<()> {
    let folder = write(run, &format!("{split}.json"), found)?;
    let metrics = run.join(log::METRICS);
    let points = if metrics.is_file() { validation(&log::read(&metrics)?) } else { Vec::new() };
    if points.is_empty() {
        return Ok(());
    }
    let s = found.model.canonical.s.value;
    let curve = Series { label: format!("{}, validation", found.model.name), points, spread: Vec::new() };
    let line = |label: String, s: f64| HLine { label, y: 100.0 * s };
    let mut lines = vec![line("chance".into(), found.chance.s), line(format!("{}, {split}", found.model.name), s)];
    lines.extend(found.baselines.iter().map(|b| line(format!("{}, {split}", b.name), b.canonical.s.value)));
    line_chart(&folder.join("curve.png"), "Retrieval while training", "epoch", "S (%)", &[curve], &lines)
}

/// Saves an evaluation of other data than the run's own (`elsewhere`, their name) or under a changed condition.
pub fn save_changed(
    run: &Path,
    split: Split,
    elsewhere: Option<&str>,
    condition: Condition,
    found: &Canonical,
) -> Result<()> {
    let changed = (condition != Condition::Clean).then(|| condition.name());
    let parts: Vec<&str> = [Some(split.name()), elsewhere, changed, Some("json")].into_iter().flatten().collect();
    write(run, &parts.join("."), found).map(drop)
}

/// Writes `found` as `name` into the report folder, and returns the folder.
fn write(run: &Path, name: &str, found: &Canonical) -> Result<PathBuf> {
    let folder = run.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "create", e))?;
    let path = folder.join(name);
    let json = serde_json::to_vec_pretty(found).map_err(|e| Error::io(&path, "encode", e.into()))?;
    write_atomic(&path, |file| file.write_all(&json))?;
    Ok(folder)
}

/// (epoch, S in per cent) of every validation in the log.
pub(super) fn validation(records: &[Map<String, Value>]) -> Vec<(f64, f64)> {
    let point = |record: &Map<String, Value>| {
        let evaluated = record.get("kind")? == "eval" && record.get("split")? == "validation";
        evaluated.then_some((record.get("epoch")?.as_f64()?, 100.0 * record.get("s")?.as_f64()?))
    };
    records.iter().filter_map(point).collect()
}
