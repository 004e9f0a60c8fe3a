//! `engine sweep`: trains a grid of settings, here or on a cluster, and goes on with what is left of one; `engine sweep status` tells.

mod keys;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::Settings;
use super::output::{print, print_json};
use crate::config::keys::Keyed;
use crate::error::{Error, Result};
use crate::progress::say;
use crate::sweep::grid::{expand, resolved};
use crate::sweep::jobs::Jobs;
use crate::sweep::state::{SWEEP_FILE, State, Sweep};
use crate::sweep::{local, slurm};
use crate::train::corpus;
use keys::{Keys, Launcher};

/// `engine sweep`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    settings: Settings,
}

/// What else can be done with a sweep.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Show how the cells of a sweep fare, those on a cluster too, and enter it in sweep.json
    Status {
        /// Folder of the sweep
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// Does what the command line asks for.
pub fn run(args: &Args) -> Result<()> {
    match &args.verb {
        Some(Verb::Status { folder, json }) => status(folder, *json),
        None if args.settings.keys => keys::list(args.settings.json),
        None => sweep(&args.settings.settings, args.settings.json),
    }
}

/// Trains or submits the cells of the sweep that the settings name, and says how each fares.
fn sweep(settings: &[String], json: bool) -> Result<()> {
    let (keys, grid) = keys::parse(settings)?;
    let on_slurm = keys.launcher == Launcher::Slurm;
    let mut sweep = named(&keys, &grid)?;
    if keys.dry {
        slurm::refresh(&mut sweep, false)?;
        let scripts = if on_slurm { slurm::scripts(&sweep, &keys.slurm, keys.retry)? } else { Vec::new() };
        return match json {
            true => {
                print_json(&json!({ "folder": sweep.folder, "cells": text::planned_json(&sweep)?, "scripts": scripts }))
            }
            false => {
                print(&(text::planned(&sweep)? + &scripts.iter().map(|text| format!("\n{text}")).collect::<String>()))
            }
        };
    }
    if on_slurm {
        slurm::installed()?;
    }
    let lock = sweep.lock()?;
    // What another process did to it before the lock was had counts.
    if sweep.folder.join(SWEEP_FILE).is_file() {
        sweep = named(&keys, &grid)?;
    }
    slurm::refresh(&mut sweep, on_slurm)?;
    sweep.save()?;
    let due = sweep.due(keys.retry);
    if !due.is_empty() && (on_slurm || keys.jobs != Jobs::Count(1)) {
        prepare_data(&sweep, &due)?;
    }
    match keys.launcher {
        Launcher::Local => local::run(&mut sweep, keys.jobs, keys.retry, &lock)?,
        Launcher::Slurm if due.is_empty() => say("there is nothing to submit"),
        Launcher::Slurm => {
            slurm::submit(&mut sweep, &keys.slurm, keys.retry)?;
            let place = sweep.folder.display();
            say(&format!(
                "the jobs stay with SLURM whatever becomes of this terminal; engine sweep status {place} shows how they fare, \
                 scancel ends them"
            ));
        }
    }
    told(&sweep, json)?;
    let with_slurm = sweep.cells.iter().filter(|cell| cell.with_slurm()).count();
    match on_slurm && with_slurm + sweep.count(State::Done) == sweep.cells.len() {
        true => Ok(()),
        false => verdict(&sweep),
    }
}

/// Shows how the cells fare, and keeps what is new; while another process has the sweep, what that one keeps.
fn status(folder: &Path, json: bool) -> Result<()> {
    let mut sweep = Sweep::load(folder)?;
    if let Ok(_lock) = sweep.lock() {
        sweep = Sweep::load(folder)?;
        let before = sweep.clone();
        slurm::refresh(&mut sweep, false)?;
        if sweep != before {
            sweep.save()?;
        }
    }
    told(&sweep, json)?;
    verdict(&sweep)
}

/// The sweep that the keys name: one that is there, or a new one over the grid.
fn named(keys: &Keys, grid: &[String]) -> Result<Sweep> {
    match (&keys.resume, &keys.out) {
        (Some(_), _) if !grid.is_empty() || keys.out.is_some() => {
            let text = "resume=… brings its own grid and folder; beside it only the sweep's other keys can be set";
            Err(Error::Usage(text.into()))
        }
        (Some(folder), _) => Sweep::load(folder),
        (None, Some(folder)) => Sweep::of(folder, expand(grid)?),
        (None, None) => Err(Error::Usage("out=… names the folder for the sweep".into())),
    }
}

fn told(sweep: &Sweep, json: bool) -> Result<()> {
    match json {
        true => print_json(&json!({ "folder": sweep.folder, "cells": sweep.cells })),
        false => print(&text::fares(sweep)),
    }
}

/// Composes and decodes the data of the cells that are due, so that those trained at the same time do not do the same work. Data that
/// cannot be had fail the cells that want them, and no others.
fn prepare_data(sweep: &Sweep, due: &[usize]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for cell in due.iter().map(|&index| &sweep.cells[index]) {
        let config = resolved(&cell.settings())?;
        let pairs = config.pairs().into_iter().filter(|(key, _)| key.starts_with("data") || key.starts_with("midi"));
        if seen.insert(pairs.collect::<Vec<_>>())
            && let Err(error) = corpus::open(&config)
        {
            say(&format!("{}: its data cannot be prepared: {error}", cell.name));
        }
    }
    Ok(())
}

/// An error with exit code 1 unless all cells are done.
pub(super) fn verdict(sweep: &Sweep) -> Result<()> {
    let (cells, place) = (sweep.cells.len(), sweep.folder.display());
    let (done, failed) = (sweep.count(State::Done), sweep.count(State::Failed));
    let with_slurm = sweep.cells.iter().filter(|cell| cell.with_slurm()).count();
    let mut told = format!("{done} of {cells} cells done");
    if with_slurm > 0 {
        told += &format!(", {with_slurm} with SLURM");
    }
    if failed > 0 {
        told += &format!(", {failed} failed: engine sweep resume={place} retry=true tries them again");
    }
    match done + failed + with_slurm < cells {
        true => Err(Error::Stopped(format!("{told}; engine sweep resume={place} goes on"))),
        false if failed > 0 => Err(Error::Unwell(told)),
        false if with_slurm > 0 => Err(Error::Stopped(told)),
        false => Ok(()),
    }
}
