//! `engine validate RUN…`: the validation battery, and its report.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Settings;
use super::asking::Asking;
use super::eval::in_full;
use super::output::{print, print_json};
use crate::config::keys::{Keyed, keys, parse};
use crate::config::{Config, Preset, Source};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::progress::say;
use crate::report::page;
use crate::train::study::Study;
use crate::validate::battery::{self, Asked, Outcome};
use crate::validate::figure::Clip;
use crate::validate::report;
use crate::validate::subject::{Sizes, Subject};

keys! {
    /// Settings of `engine validate` beside those of the evaluation.
    Keys {
        /// Tests to run, by number or name; none = all. Their numbers are the paper's.
        tests: Vec<String> = Vec::new();
        /// Compute everything anew, whatever was found before.
        fresh: bool = false;
        /// Pairs for similarities of layers (test 06) and for perturbations (test 08).
        pairs: usize [4..=100_000] = 500;
        /// Pairs in maps of the embedding space (test 10).
        map_pairs: usize [10..=20_000] = 2000;
        /// The page holds notes and sounds of the maps' pairs; false: neither, for data whose licence forbids to pass them on.
        clips: bool = true;
    }
}

/// `engine validate`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders that `engine train` wrote, and settings; --keys lists them
    #[arg(value_name = "RUN | KEY=VALUE", required_unless_present = "keys")]
    arguments: Vec<String>,
    /// List every key with its default, meaning and type, and do nothing else
    #[arg(long)]
    keys: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Runs the battery on each run in turn.
pub fn run(args: &Args) -> Result<()> {
    if args.keys {
        let settings = Settings { settings: Vec::new(), keys: true, json: args.json };
        return settings.listed::<Keys>().map(drop);
    }
    let (settings, runs): (Vec<&String>, Vec<&String>) = args.arguments.iter().partition(|text| is_setting(text));
    let (own, adjusted): (Vec<String>, Vec<String>) =
        settings.into_iter().map(|setting| in_full(setting)).partition(|setting| is_own(setting));
    let keys: Keys = parse(&own)?;
    let tests = battery::chosen(&keys.tests)?;
    if runs.is_empty() {
        return Err(Error::Usage("validate: expected a run folder or more; found none".into()));
    }
    let sizes = Sizes { pairs: keys.pairs, map_pairs: keys.map_pairs };
    let mut asking = Asking { own, adjusted, sizes, fresh: keys.fresh, device: None };
    let mut answers = Vec::new();
    for run in runs.iter().map(|run| PathBuf::from(run.as_str())) {
        let (subject, asked) = asking.ask(&run, &tests)?;
        let head = format!("{}: {} on the {} split", run.display(), subject.arm(), subject.split);
        let answer = Answer { head, run: run.clone(), tests: asked.iter().map(found).collect(), text: text(&asked) };
        let mut report = report::of(&subject, asked, |test| command(&run, test, &asking.own, &asking.adjusted))?;
        if let Some(clips) = report.clips.as_mut().filter(|_| !keys.clips) {
            clips.clips.iter_mut().for_each(Clip::silence);
        }
        let folder = run.join(report::FOLDER);
        page::write(&folder, &[report])?;
        say(&format!("report: {}", folder.join(page::PAGE).display()));
        answers.push(answer);
    }
    if args.json {
        let each = answers.iter().map(|answer| json!({ "run": answer.run, "tests": answer.tests }));
        return print_json(&each.collect::<Vec<_>>());
    }
    answers.iter().try_for_each(|answer| print(&format!("{}\n{}", answer.head, answer.text)))
}

/// What is answered about one run.
struct Answer {
    head: String,
    run: PathBuf,
    tests: Vec<serde_json::Value>,
    text: String,
}

/// The subject of a run, with its model and data.
pub(super) fn open(run: &Path, config: Config, device: &Device, sizes: Sizes) -> Result<Subject> {
    if let Source::Folder(folder) = &config.data.source {
        say(&format!("{}: data of {}", run.display(), folder.display()));
    }
    let split = config.eval.split;
    Subject::new(run, Study::open(run, config, device)?, split, sizes)
}

/// Whether an argument is a setting and not a folder; a folder whose name has an equals sign can be written as `./a=b`.
pub(super) fn is_setting(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| !name.contains('/') && !name.is_empty())
}

fn is_own(setting: &str) -> bool {
    let (mut own, mut keys) = (false, Keys::defaults(Preset::Auto));
    keys.each("", &mut |key| own |= setting.split_once('=').is_some_and(|(name, _)| name == key.name));
    own
}

/// The command that asks a test again, or all of them.
pub(super) fn command(run: &Path, test: Option<&str>, own: &[String], adjusted: &[String]) -> String {
    let kept = own.iter().filter(|setting| !setting.starts_with("tests=") && !setting.starts_with("fresh="));
    let settings = kept.chain(adjusted).map(|setting| format!(" {setting}")).collect::<String>();
    let test = test.map_or_else(String::new, |number| format!(" tests={number}"));
    format!("engine validate {}{test}{settings}", run.display())
}

fn found(Asked { test, command, key, outcome }: &Asked) -> serde_json::Value {
    let (number, name) = (test.number(), test.name());
    match outcome {
        Outcome::Found(findings) => {
            json!({ "test": number, "name": name, "command": command, "key": key, "findings": findings })
        }
        Outcome::Skipped(reason) => json!({ "test": number, "name": name, "skipped": reason }),
    }
}

/// What was found, for a terminal.
fn text(asked: &[Asked]) -> String {
    let mut text = String::new();
    for Asked { test, outcome, .. } in asked {
        text += &format!("\n{} {}: {}\n", test.number(), test.name(), test.asks());
        match outcome {
            Outcome::Skipped(reason) => text += &format!("not asked: {reason}\n"),
            Outcome::Found(findings) => text += &findings.text(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_folders_are_told_apart() {
        assert!(is_setting("tests=01") && is_own("tests=01") && is_own("pairs=9"));
        assert!(!is_setting("runs/a4r-1-lr=2e-3") && !is_setting("runs/a4r-1") && !is_own("eval.split=test"));
        let command = command(Path::new("runs/a4r-1"), Some("06"), &["tests=01,06".into(), "pairs=9".into()], &[]);
        assert_eq!(command, "engine validate runs/a4r-1 tests=06 pairs=9");
    }
}
