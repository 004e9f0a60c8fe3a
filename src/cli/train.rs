//! `engine train`: trains a model, from the start or from where a run stopped, and evaluates it.

use std::path::{Path, PathBuf};

use super::device::Chosen;
use super::eval::report;
use super::{Settings, device, use_threads};
use crate::config::keys::parse;
use crate::config::{CONFIG_FILE, Config, Preset};
use crate::error::{Error, Result};
use crate::progress::say;
use crate::train::run::{Outcome, resume, start};
use crate::train::signal;

/// Keys that may change when a run goes on: where things are and how often they are told; a change of device or precision rounds
/// otherwise, nothing else changes the result.
const ADJUSTABLE: &[&str] = &[
    "checkpoint.every",
    "cuda.graph",
    "data",
    "data.cache",
    "data.synth_dir",
    "data.workers",
    "device",
    "log.every",
    "precision",
    "threads",
];

/// Trains as the settings say, then evaluates the best model on `eval.split`.
pub fn run(args: &Settings) -> Result<()> {
    if args.listed::<Config>()? {
        return Ok(());
    }
    let asked: Config = parse(&args.settings)?;
    let (config, chosen) = match &asked.resume {
        Some(run) => {
            let config = resumed(run, &args.settings)?;
            let chosen = device::open(config.device)?;
            (config, chosen)
        }
        None => {
            let chosen = device::open(asked.device)?;
            (Config::resolve(&args.settings, !chosen.device.is_cpu())?, chosen)
        }
    };
    let Chosen { device, note } = chosen;
    use_threads(config.threads)?;
    if let Some(note) = note {
        say(&note);
    }
    if asked.preset == Preset::Auto && asked.resume.is_none() {
        match device.is_cpu() {
            true => say("preset=auto: small, because this runs on the CPU"),
            false => say("preset=auto: paper, because this runs on a GPU"),
        }
    }
    say(config.summary().trim_end());

    let stop = signal::install()?;
    let run: PathBuf = asked.resume.clone().unwrap_or_else(|| config.out.clone());
    let outcome = match asked.resume {
        Some(_) => resume(&run, config.clone(), &device, stop)?,
        None => start(config.clone(), &device, stop)?,
    };
    match outcome {
        Outcome::Finished => report(&run, config, &device, None, args.json),
        Outcome::Stopped(step) => {
            let run = run.display();
            Err(Error::Stopped(format!("stopped after step {step}, all saved; engine train resume={run} goes on")))
        }
    }
}

/// The configuration of the run in folder `run`, with what may change changed.
fn resumed(run: &Path, settings: &[String]) -> Result<Config> {
    let mut config = Config::load(&run.join(CONFIG_FILE))?;
    let others: Vec<String> = settings.iter().filter(|setting| !setting.starts_with("resume=")).cloned().collect();
    config.adjust(&others, ADJUSTABLE)?;
    Ok(config)
}
