//! `engine arms`: the catalogue, or one arm in full: what enters where, shapes, parameters, cost, and the paper's figures.

mod diagram;
mod explain;
mod list;
mod notes;
mod text;

use super::Settings;
use crate::arms::{Arm, Entry, find, group};
use crate::config::Config;
use crate::error::Result;
use crate::model::ModelSpec;

/// `engine arms`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An arm to explain, or a group to list: all13, families, all24, controls, canonical, all
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

/// An arm, and its entry where it is one of the catalogue.
struct Subject {
    arm: Arm,
    entry: Option<&'static Entry>,
}

/// Lists or explains, at the sizes of `preset=paper` unless the settings say otherwise.
pub fn run(args: &Args) -> Result<()> {
    if args.settings.listed::<Config>()? {
        return Ok(());
    }
    // The first word is a setting where no name is given.
    let (name, first) = match args.name.as_deref() {
        Some(word) if word.contains('=') => (None, Some(word)),
        name => (name, None),
    };
    let given: Vec<&str> = first.into_iter().chain(args.settings.settings.iter().map(String::as_str)).collect();
    let listed = match name {
        Some(name) => group(name),
        None if given.iter().any(|setting| names_an_arm(setting)) => None,
        None => group("all"),
    };
    let mut settings = vec!["preset=paper".to_string()];
    settings.extend(given.into_iter().map(String::from));
    if let (Some(name), None) = (name, &listed) {
        settings.push(format!("arm={}", find(name)?.name));
    }
    let config = Config::resolve(&settings, false)?;
    let spec = ModelSpec::from_config(&config);
    match listed {
        Some(entries) => list::print_all(&entries, &spec, args.settings.json),
        None => {
            let (arm, entry) = (config.arm()?, find(&config.arm)?);
            let entry = (entry.arm() == arm).then_some(entry);
            explain::print_one(&Subject { arm, entry }, &spec, args.settings.json)
        }
    }
}

/// Whether a setting says which arm is meant.
fn names_an_arm(setting: &str) -> bool {
    ["arm=", "audio=", "midi=", "family="].iter().any(|key| setting.starts_with(key))
}
