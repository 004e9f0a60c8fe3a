//! From what was asked of a run to its page, and from what is kept of a run to a page of several.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ALL;
use super::battery::{Asked, Outcome};
use super::cache::{self, folder, write_json};
use super::scoreboard::Scoreboard;
use super::subject::Subject;
use super::test::Test;
use crate::config::Source;
use crate::error::{Error, Result};
use crate::report::page::{RunReport, TestReport};
use crate::train::log;

/// Folder of a run that holds its report.
pub const FOLDER: &str = "report";
/// Facts of a run for those who read its findings later.
const FACTS: &str = "run.json";
/// Written by test 10.
const CLIPS: &str = "clips.json";

/// What a reader must know of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    /// Of the scoreboard, which they are made of.
    #[serde(default)]
    key: String,
    arm: String,
    about: Vec<(String, String)>,
    command: String,
}

/// The report of a battery: what was `asked` now, and of the other tests what is kept of the same question. `command` makes the command
/// for a test's number, and without one for all.
pub fn of(subject: &Subject, asked: Vec<Asked>, command: impl Fn(Option<&str>) -> String) -> Result<RunReport> {
    let path = folder(&subject.run).join(FACTS);
    let key = cache::key(&Scoreboard, subject)?;
    // Made anew they would cost an embedding of the whole split, even where every test is answered from what is kept.
    let about = match facts(&path) {
        Ok(kept) if kept.key == key => kept.about,
        _ => about(subject)?,
    };
    let facts = Facts { key, arm: subject.arm().into(), about, command: command(None) };
    write_json(&path, &facts)?;
    let mut asked = asked;
    let mut tests = Vec::new();
    for &test in ALL {
        let number = test.number();
        if let Some(i) = asked.iter().position(|asked| asked.test.number() == number) {
            let Asked { command, key, outcome, .. } = asked.swap_remove(i);
            tests.push(report(test, command, key, outcome));
            continue;
        }
        let (key, command) = (cache::key(test, subject)?, command(Some(number)));
        let outcome = match cache::load(&subject.run, number, &key) {
            Some(kept) => Outcome::Found(kept.findings),
            None => Outcome::Skipped(format!("not asked yet: {command}")),
        };
        tests.push(report(test, command, key, outcome));
    }
    Ok(assembled(&subject.run, facts, tests))
}

/// The report of what is kept of the run in folder `run`, whatever it was asked about.
///
/// # Errors
/// Where nothing is kept.
pub fn kept(run: &Path) -> Result<RunReport> {
    let path = folder(run).join(FACTS);
    let facts = facts(&path).map_err(|found| {
        let error = Error::input(&path, "file", "facts of a run that was validated", found);
        error.hint(format!("engine validate {} makes them", run.display()))
    })?;
    let test = |test: &&dyn Test| match cache::any(run, test.number()) {
        Some(kept) => report(*test, kept.command, kept.key, Outcome::Found(kept.findings)),
        None => report(*test, String::new(), String::new(), Outcome::Skipped("not asked".into())),
    };
    Ok(assembled(run, facts, ALL.iter().map(test).collect()))
}

/// The facts in a file, or why there are none.
fn facts(path: &Path) -> Result<Facts, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

fn report(test: &dyn Test, command: String, hash: String, outcome: Outcome) -> TestReport {
    let [number, name, asks] = [test.number(), test.name(), test.asks()].map(String::from);
    TestReport { number, name, asks, command, hash, outcome }
}

fn assembled(run: &Path, facts: Facts, tests: Vec<TestReport>) -> RunReport {
    let clips = std::fs::read(folder(run).join(CLIPS)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let name = run.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned());
    RunReport { name, arm: facts.arm, about: facts.about, command: facts.command, tests, clips }
}

fn about(subject: &Subject) -> Result<Vec<(String, String)>> {
    let config = &subject.study.config;
    let found = subject.canonical()?;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let interval = |s: crate::eval::bootstrap::Interval| {
        format!("{:.1} % [{:.1}, {:.1}]", 100.0 * s.value, 100.0 * s.low, 100.0 * s.high)
    };
    let data = match &config.data.source {
        Source::Synth => "composed".to_string(),
        Source::Folder(folder) => {
            folder.file_name().map_or_else(|| "a folder".into(), |name| name.to_string_lossy().into_owned())
        }
    };
    let counts = format!("{} segments of {} performances, {} pieces", found.segments, found.performances, found.pieces);
    let mut facts: Vec<(String, String)> = [
        ("arm", subject.arm().to_string()),
        ("preset", config.preset.name()),
        ("parameters", format!("{:.2} M", subject.study.parameters.len() as f64 / 1e6)),
        ("seed", config.seed.to_string()),
        ("trained", trained(&subject.run).unwrap_or_else(|| format!("{} epochs", config.epochs))),
        ("data", data),
        ("split", format!("{}: {counts}", subject.split)),
        ("S", interval(found.model.canonical.s)),
        ("chance", percent(found.chance.s)),
    ]
    .map(|(name, text)| (name.to_string(), text))
    .into();
    for baseline in &found.baselines {
        facts.push((format!("{}, nothing learned", baseline.name), interval(baseline.canonical.s)));
    }
    facts.push(("model and data".into(), subject.fingerprint()?.to_string()));
    facts.push(("version".into(), format!("descant {}", env!("CARGO_PKG_VERSION"))));
    Ok(facts)
}

/// How long a run was trained, by its log.
fn trained(run: &Path) -> Option<String> {
    let records = log::read(&run.join(log::METRICS)).ok()?;
    let last = records.iter().rev().find(|record| record.get("kind").is_some_and(|kind| kind == "train"))?;
    Some(format!("{} steps, {:.1} epochs", last.get("step")?, last.get("epoch")?.as_f64()?))
}
