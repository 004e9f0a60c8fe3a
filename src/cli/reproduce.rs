//! `engine reproduce paper`: the paper's claims on the runs there are, and what is missing for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Settings;
use super::compare::asking;
use super::output::{print, print_json};
use super::sweep::verdict;
use crate::config::keys::{Keyed, keys, split, table, table_json};
use crate::config::{Config, Preset, Split};
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::progress::say;
use crate::sweep::grid::{Point, expand, resolved};
use crate::sweep::jobs::Jobs;
use crate::sweep::local;
use crate::sweep::state::Sweep;
use crate::validate::battery::chosen;
use crate::validate::claims::evidence::Evidence;
use crate::validate::claims::{self, Judged};
use crate::validate::findings::Judgement;

/// What can be reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The paper's claims (abstract, sections 4 to 6)
    Paper,
}

keys! {
    /// Settings of `engine reproduce` itself.
    Keys {
        /// Folder of the runs and sweeps that are looked at; new runs go there.
        runs: PathBuf = "runs".into();
        /// Only claims that rest on this table of the paper; 0 = all.
        table: usize [0..=12] = 0;
        /// Train and ask what is missing.
        run: bool = false;
        /// Runs that are trained at a time.
        jobs: Jobs [1..=1024] = Jobs::Count(1);
        /// Evaluations and tests on this split count.
        split: Split = Split::Test;
        /// Folder for reproduction.json and reproduction.md.
        out: PathBuf = "reproduction".into();
    }
}

/// `engine reproduce`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is reproduced
    #[arg(required_unless_present = "keys")]
    what: Option<What>,
    /// Only claims that rest on this table of the paper
    #[arg(long, value_name = "N")]
    table: Option<usize>,
    /// Settings; those of `engine train` say which runs count, and how missing ones are trained
    #[command(flatten)]
    settings: Settings,
}

/// Judges the claims, runs what is missing where that is asked for, and writes the verdicts.
pub fn run(args: &Args) -> Result<()> {
    let Settings { settings, keys, json } = &args.settings;
    if *keys {
        return list_keys(*json);
    }
    let (mut keys, training) = parse(settings)?;
    if let Some(table) = args.table {
        keys.set("table", &table.to_string())?;
    }
    let table = (keys.table > 0).then_some(keys.table);
    if claims::all().all(|(_, claim)| table.is_some_and(|table| !claim.tables.contains(&table))) {
        return Err(Error::Usage(format!("table: expected one that a claim rests on; found {}", keys.table)));
    }
    let mut evidence = Evidence::in_folder(&keys.runs, &training, keys.split)?;
    if keys.run {
        train(&keys, &claims::judge(&evidence, table))?;
        evidence = Evidence::in_folder(&keys.runs, &training, keys.split)?;
        ask_missing(&keys, &claims::judge(&evidence, table))?;
        evidence = Evidence::in_folder(&keys.runs, &training, keys.split)?;
    }
    let judged = claims::judge(&evidence, table);
    let [held, not_held, open] = claims::tally(&judged);
    let answer = json!({
        "runs": evidence.place, "counted": evidence.runs(), "left_out": evidence.left_out, "settings": evidence.settings,
        "held": held, "not_held": not_held, "not_comparable": open, "claims": judged,
    });
    let pretty = serde_json::to_string_pretty(&answer).map_err(|e| Error::io(&keys.out, "encode", e.into()))? + "\n";
    save(&keys.out, "reproduction.json", &pretty)?;
    save(&keys.out, "reproduction.md", &markdown(&evidence, &judged))?;
    if *json { print_json(&answer) } else { print(&text(&evidence, &judged)) }
}

/// The verb's own settings, and those of trainings.
fn parse(settings: &[String]) -> Result<(Keys, Vec<String>)> {
    let mut keys = Keys::defaults(Preset::Auto);
    let own = keys.json();
    let mut training = Vec::new();
    for setting in settings {
        let (name, value) = split(setting)?;
        match name {
            "arm" | "seed" | "audio" | "midi" | "family" => {
                return Err(Error::Usage(format!("{name}: a claim names its arms, and the paper's seed is 42")));
            }
            name if own.contains_key(name) => keys.set(name, value)?,
            _ => training.push(setting.clone()),
        }
    }
    resolved(&training.iter().map(|s| split(s).map(|(k, v)| (k.into(), v.into()))).collect::<Result<Vec<_>>>()?)?;
    Ok((keys, training))
}

fn list_keys(as_json: bool) -> Result<()> {
    let own = Keys::defaults(Preset::Auto).json();
    let trains = |name: &str| !own.contains_key(name);
    if as_json {
        let lists = [table_json::<Keys>(|_| true), table_json::<Config>(trains)];
        let all = lists.into_iter().flat_map(|list| if let Value::Array(rows) = list { rows } else { Vec::new() });
        return print_json(&Value::Array(all.collect()));
    }
    print(&(table::<Keys>(|_| true) + &table::<Config>(trains)))
}

/// Trains every run that a claim lacks, one sweep for each way of training.
fn train(keys: &Keys, judged: &[Judged]) -> Result<()> {
    let mut ways: BTreeMap<Vec<String>, Vec<Point>> = BTreeMap::new();
    for training in judged.iter().flat_map(|judged| &judged.missing.trainings) {
        let points = ways.entry(training.settings.clone()).or_default();
        for point in expand(&training.grid())? {
            if points.iter().all(|known| known.name != point.name) {
                points.push(point);
            }
        }
    }
    for (settings, mut points) in ways {
        // The name of the folder is that of what is in it, whatever order the claims came in.
        points.sort_by(|a, b| a.name.cmp(&b.name));
        let names = points.iter().map(|point| point.name.as_str()).chain(settings.iter().map(String::as_str));
        let hash = blake3::hash(names.collect::<Vec<_>>().join("\n").as_bytes());
        let mut sweep = Sweep::of(&keys.runs.join(format!("sweep-{}", &hash.to_hex()[..8])), points)?;
        say(&format!("{} runs in {} ({})", sweep.cells.len(), sweep.folder.display(), settings.join(" ")));
        let lock = sweep.lock()?;
        sweep.save()?;
        local::run(&mut sweep, keys.jobs, false, &lock)?;
        verdict(&sweep)?;
    }
    Ok(())
}

/// Asks every test that a claim lacks.
fn ask_missing(keys: &Keys, judged: &[Judged]) -> Result<()> {
    let mut tests: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for (run, number) in judged.iter().flat_map(|judged| &judged.missing.tests) {
        let numbers = tests.entry(run.clone()).or_default();
        if !numbers.iter().any(|known| known == number) {
            numbers.push((*number).into());
        }
    }
    let mut asking = asking(keys.split);
    tests.into_iter().try_for_each(|(run, numbers)| asking.ask(&run, &chosen(&numbers)?).map(drop))
}

fn save(folder: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
    let path = folder.join(name);
    write_atomic(&path, |file| file.write_all(text.as_bytes()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// "12 runs in runs; 3 claims hold, …", each claim, and what does not count.
fn text(evidence: &Evidence, judged: &[Judged]) -> String {
    let mut text = summary(evidence, judged) + "\n";
    judged.iter().for_each(|judged| text += &claim_lines(judged));
    if !evidence.left_out.is_empty() {
        text += "\nRuns that do not count:\n";
        evidence.left_out.iter().for_each(|line| text += &format!("  {line}\n"));
    }
    text
}

fn summary(evidence: &Evidence, judged: &[Judged]) -> String {
    let [held, not_held, open] = claims::tally(judged);
    let runs = match evidence.runs() {
        0 => format!("No evaluated run in {}", evidence.place.display()),
        1 => format!("One evaluated run in {}", evidence.place.display()),
        runs => format!("{runs} evaluated runs in {}", evidence.place.display()),
    };
    format!("{runs}. Of {} claims {held} held, {not_held} did not, {open} are not comparable.\n", judged.len())
}

/// A claim with its verdict, reason and commands, for a terminal.
pub(super) fn claim_lines(judged: &Judged) -> String {
    let Judged { number, claim, source, judgement: Judgement { verdict, because }, commands, .. } = judged;
    let mut text = format!("\n{number:>2}  {}: {claim} ({source})\n    {because}\n", verdict.words());
    commands.iter().for_each(|command| text += &format!("    $ {command}\n"));
    text
}

/// The same as a document.
fn markdown(evidence: &Evidence, judged: &[Judged]) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text = format!("# The paper's claims\n\n{}\n", summary(evidence, judged));
    text += "| | claim | source | verdict | why |\n|---|---|---|---|---|\n";
    for Judged { number, claim, source, judgement, .. } in judged {
        let (verdict, because) = (judgement.verdict.words(), cell(&judgement.because));
        text += &format!("| {number} | {} | {source} | {verdict} | {because} |\n", cell(claim));
    }
    let commands: BTreeSet<&String> = judged.iter().flat_map(|judged| &judged.commands).collect();
    if !commands.is_empty() {
        text += "\n## What is missing\n\n```sh\n";
        commands.iter().for_each(|command| text += &format!("{command}\n"));
        text += "```\n";
    }
    text
}
