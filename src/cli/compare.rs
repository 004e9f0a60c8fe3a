//! `engine compare RUN RUN…`: what the battery found of several runs, side by side, and what the paper says of their differences.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Settings;
use super::asking::Asking;
use super::output::{print, print_json};
use super::reproduce::claim_lines;
use super::validate::{command, is_setting};
use crate::config::Split;
use crate::config::keys::{keys, parse};
use crate::config::setting::choices;
use crate::error::{Error, Result};
use crate::progress::say;
use crate::report::page::{self, RunReport};
use crate::validate::battery::{Outcome, chosen};
use crate::validate::cache;
use crate::validate::claims::evidence::Evidence;
use crate::validate::claims::{self, Judged};
use crate::validate::report;
use crate::validate::subject::Sizes;
use crate::validate::test::Test;

/// What becomes of tests that a run was not asked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// They are listed with their commands.
    List,
    /// They are asked.
    Run,
}
choices!(Unasked { List = "list", Run = "run" });

keys! {
    /// Settings of `engine compare`.
    Keys {
        /// Tests to compare, by number or name; none = all.
        tests: Vec<String> = Vec::new();
        /// What becomes of tests that a run was not asked yet.
        missing: Unasked = Unasked::List;
        /// The split whose evaluations the claims between runs are judged on.
        split: Split = Split::Test;
        /// Folder for the page, its tables and its figures.
        out: PathBuf = "comparison".into();
    }
}

/// `engine compare`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders, and settings; --keys lists them
    #[command(flatten)]
    settings: Settings,
}

/// Lays the runs side by side, on stdout and in a page.
pub fn run(args: &Args) -> Result<()> {
    let Settings { settings, json, .. } = &args.settings;
    if args.settings.listed::<Keys>()? {
        return Ok(());
    }
    let (settings, folders): (Vec<&String>, Vec<&String>) = settings.iter().partition(|text| is_setting(text));
    let keys: Keys = parse(&settings.into_iter().cloned().collect::<Vec<_>>())?;
    let tests = chosen(&keys.tests)?;
    let folders: Vec<PathBuf> = folders.into_iter().map(PathBuf::from).collect();
    if folders.len() < 2 {
        return Err(Error::Usage(format!("compare: expected two run folders or more; found {}", folders.len())));
    }
    let mut asking = asking(keys.split);
    let mut reports = Vec::new();
    for (folder, name) in folders.iter().zip(names(&folders)) {
        let lacking: Vec<_> = unasked(folder, &tests).collect();
        let mut report = if keys.missing == Unasked::Run && !lacking.is_empty() {
            let (subject, asked) = asking.ask(folder, &lacking)?;
            report::of(&subject, asked, |test| command(folder, test, &asking.own, &asking.adjusted))?
        } else {
            report::kept(folder)?
        };
        report.name = name;
        report.tests.retain(|report| tests.iter().any(|test| test.number() == report.number));
        reports.push(report);
    }
    let evidence = Evidence::of(Path::new("runs"), &folders, &[], keys.split);
    let whole = |judged: &Judged| judged.missing.words().is_none() && judged.runs.len() > 1;
    let between: Vec<Judged> = claims::judge(&evidence, None).into_iter().filter(whole).collect();
    let commands: Vec<String> = folders
        .iter()
        .filter(|_| keys.missing == Unasked::List)
        .filter_map(|folder| {
            let numbers: Vec<_> = unasked(folder, &tests).map(|test| test.number()).collect();
            (!numbers.is_empty()).then(|| command(folder, Some(&numbers.join(",")), &[], &[]))
        })
        .collect();
    page::write(&keys.out, &reports)?;
    say(&format!("wrote {}", keys.out.join(page::PAGE).display()));
    if *json {
        return print_json(&json!({
            "runs": reports.iter().map(in_json).collect::<Vec<_>>(),
            "claims": between, "left_out": evidence.left_out, "missing": commands,
        }));
    }
    let mut text = format!("{} runs: {}\n", reports.len(), reports.iter().map(told).collect::<Vec<_>>().join("; "));
    text += &RunReport::beside(&reports);
    if !between.is_empty() {
        text += "\nWhat the paper says of their differences\n";
        between.iter().for_each(|judged| text += &claim_lines(judged));
    }
    for (heading, lines) in [("Left out of these claims", &evidence.left_out), ("Not asked yet", &commands)] {
        if !lines.is_empty() {
            text += &format!("\n{heading}:\n");
            lines.iter().for_each(|line| text += &format!("  {line}\n"));
        }
    }
    print(&text)
}

/// The battery with its usual sizes, on `split`.
pub(super) fn asking(split: Split) -> Asking {
    let sizes = Sizes { pairs: 500, map_pairs: 2000 };
    Asking { own: Vec::new(), adjusted: vec![format!("eval.split={split}")], sizes, fresh: false, device: None }
}

/// Tests of which nothing is kept.
fn unasked<'a>(run: &'a Path, tests: &'a [&'static dyn Test]) -> impl Iterator<Item = &'static dyn Test> + 'a {
    tests.iter().copied().filter(|test| cache::any(run, test.number()).is_none())
}

/// The last part of each folder's name; the whole where two are alike.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let last = |folder: &PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = |folder: &PathBuf| {
        let alike = folders.iter().filter(|other| last(other) == last(folder)).count() > 1;
        last(folder).filter(|_| !alike).unwrap_or_else(|| folder.display().to_string())
    };
    folders.iter().map(name).collect()
}

fn told(report: &RunReport) -> String {
    format!("{} ({})", report.name, report.arm)
}

fn in_json(report: &RunReport) -> Value {
    let tests = report.tests.iter().map(|test| match &test.outcome {
        Outcome::Found(findings) => json!({ "test": test.number, "name": test.name, "findings": findings }),
        Outcome::Skipped(reason) => json!({ "test": test.number, "name": test.name, "skipped": reason }),
    });
    json!({ "name": report.name, "arm": report.arm, "tests": tests.collect::<Vec<_>>() })
}
