//! A sweep's cells as a table: how they fare, or what they would be.

use serde_json::{Map, Value};

use crate::error::Result;
use crate::model::ModelSpec;
use crate::model::cost::Cost;
use crate::sweep::grid::resolved;
use crate::sweep::state::{Cell, Sweep};

/// A line for each cell: name, state, S, seconds, the most memory it held and SLURM's job where there is one, then why it failed or
/// what it waits for.
pub fn fares(sweep: &Sweep) -> String {
    let (names, jobs) = (width(sweep, "cell", |cell| &cell.name), width(sweep, "", |cell| job(cell)));
    let line = |cell: &Cell| {
        let s = cell.s.map_or("–".into(), |s| format!("{:.1}", 100.0 * s));
        let wall = if cell.wall_seconds > 0.0 { format!("{:.1}", cell.wall_seconds) } else { "–".into() };
        let peak = cell.peak_bytes.map_or("–".into(), |bytes| (bytes >> 20).to_string());
        let (name, state, job) = (&cell.name, cell.state.name(), job(cell));
        let reason = cell.reason.as_deref().unwrap_or_default();
        format!("{name:names$}  {state:8} {s:>6} {wall:>9} {peak:>9}  {job:jobs$}  {reason}")
    };
    let job = if jobs > 0 { "job" } else { "" };
    let head = format!("{:names$}  {:8} {:>6} {:>9} {:>9}  {job}", "cell", "state", "S (%)", "wall (s)", "peak MiB");
    lines(std::iter::once(head).chain(sweep.cells.iter().map(line)))
}

/// A line for each cell: name, state, GFLOP of a training step, settings.
pub fn planned(sweep: &Sweep) -> Result<String> {
    let names = width(sweep, "cell", |cell| &cell.name);
    let line = |cell: &Cell| {
        let settings: Vec<String> = cell.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (name, state, cost) = (&cell.name, cell.state.name(), step_gflop(cell)?);
        Ok(format!("{name:names$}  {state:8} {cost:>11.1}  {}", settings.join(" ")))
    };
    let head = format!("{:names$}  {:8} {:>11}  settings", "cell", "state", "GFLOP/step");
    Ok(lines(std::iter::once(head).chain(sweep.cells.iter().map(line).collect::<Result<Vec<_>>>()?)))
}

/// The cells with `step_gflop`.
pub fn planned_json(sweep: &Sweep) -> Result<Vec<Value>> {
    let object = |cell: &Cell| {
        let mut object = match serde_json::to_value(cell) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        };
        object.insert("step_gflop".into(), step_gflop(cell)?.into());
        Ok(object.into())
    };
    sweep.cells.iter().map(object).collect()
}

/// What a training step costs: operations of a sample times the batch.
fn step_gflop(cell: &Cell) -> Result<f64> {
    let config = resolved(&cell.settings())?;
    let sample = Cost::of(&config.arm()?, &ModelSpec::from_config(&config)).training();
    Ok(config.batch as f64 * sample / 1e9)
}

fn job(cell: &Cell) -> &str {
    cell.job.as_deref().unwrap_or_default()
}

/// Characters of the longest of a column and its `head`.
fn width(sweep: &Sweep, head: &str, text: impl Fn(&Cell) -> &str) -> usize {
    sweep.cells.iter().map(|cell| text(cell).len()).max().unwrap_or(0).max(head.len())
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line.trim_end().to_string() + "\n").collect()
}
