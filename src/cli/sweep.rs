//! `engine sweep`: trains a grid of settings, and goes on with what is left of one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Settings;
use super::output::{print, print_json};
use crate::config::keys::{Keyed, keys, split, table, table_json};
use crate::config::{Config, Preset};
use crate::error::{Error, Result};
use crate::progress::say;
use crate::sweep::grid::{expand, resolved};
use crate::sweep::local;
use crate::sweep::state::{Cell, State, Sweep};
use crate::train::corpus;

keys! {
    /// Settings of `engine sweep` itself.
    Keys {
        /// Folder for the sweep; where it holds one over the same grid, that goes on.
        out: Option<PathBuf> = None;
        /// Folder of a sweep to go on with; it brings its own grid.
        resume: Option<PathBuf> = None;
        /// Runs at a time: one, because a run uses all cores; where there are more, each gets its share of them unless `threads` says otherwise.
        jobs: usize [1..=1024] = 1;
        /// Train cells again that failed.
        retry: bool = false;
        /// Only say what the cells are.
        dry: bool = false;
    }
}

/// Trains the cells of the sweep that the settings name, and says how each fared.
pub fn run(args: &Settings) -> Result<()> {
    if args.keys {
        return list_keys(args.json);
    }
    let (keys, grid) = parse(&args.settings)?;
    let mut sweep = match (&keys.resume, &keys.out) {
        (Some(_), _) if !grid.is_empty() || keys.out.is_some() => {
            let text = "resume=… brings its own grid and folder; beside it only jobs, retry and dry can be set";
            return Err(Error::Usage(text.into()));
        }
        (Some(folder), _) => Sweep::load(folder)?,
        (None, Some(folder)) => Sweep::of(folder, expand(&grid)?)?,
        (None, None) => return Err(Error::Usage("out=… names the folder for the sweep".into())),
    };
    if !keys.dry {
        let lock = sweep.lock()?;
        // What another process did to it before the lock was had counts.
        if sweep.folder.join(crate::sweep::state::SWEEP_FILE).is_file() {
            sweep = match keys.resume {
                Some(folder) => Sweep::load(&folder)?,
                None => Sweep::of(&sweep.folder, expand(&grid)?)?,
            };
        }
        sweep.save()?;
        if keys.jobs > 1 {
            prepare_data(&sweep)?;
        }
        local::run(&mut sweep, keys.jobs, keys.retry, &lock)?;
    }
    match args.json {
        true => print_json(&json!({ "folder": sweep.folder, "cells": sweep.cells }))?,
        false => print(&text(&sweep, keys.dry))?,
    }
    if keys.dry { Ok(()) } else { verdict(&sweep) }
}

/// The sweep's own settings, and those that span the grid.
fn parse(settings: &[String]) -> Result<(Keys, Vec<String>)> {
    let mut keys = Keys::defaults(Preset::Auto);
    let own = keys.json();
    let mut grid = Vec::new();
    for setting in settings {
        let (name, value) = split(setting)?;
        match own.contains_key(name) {
            true => keys.set(name, value)?,
            false => grid.push(setting.clone()),
        }
    }
    Ok((keys, grid))
}

/// The keys of the sweep, then those of `engine train` that a grid can span.
fn list_keys(as_json: bool) -> Result<()> {
    let own = Keys::defaults(Preset::Auto).json();
    let spans = |name: &str| !own.contains_key(name);
    if !as_json {
        return print(&(table::<Keys>(|_| true) + &table::<Config>(spans)));
    }
    let lists = [table_json::<Keys>(|_| true), table_json::<Config>(spans)];
    let all = lists.into_iter().flat_map(|list| if let Value::Array(rows) = list { rows } else { Vec::new() });
    print_json(&Value::Array(all.collect()))
}

/// Composes and decodes the data of the cells, so that those trained at the same time do not do the same work. Data that cannot be
/// had fail the cells that want them, and no others.
fn prepare_data(sweep: &Sweep) -> Result<()> {
    let mut seen = BTreeSet::new();
    for cell in sweep.cells.iter().filter(|cell| cell.state != State::Done) {
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

/// A line for each cell: name, state, S and seconds, then why it failed; or, `dry`, its settings.
fn text(sweep: &Sweep, dry: bool) -> String {
    let width = sweep.cells.iter().map(|cell| cell.name.len()).max().unwrap_or(0).max("cell".len());
    let line = |cell: &Cell| {
        let s = cell.s.map_or("–".into(), |s| format!("{:.1}", 100.0 * s));
        let wall = if cell.wall_seconds > 0.0 { format!("{:.1}", cell.wall_seconds) } else { "–".into() };
        let settings = || cell.settings().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
        let more = if dry { settings().join(" ") } else { cell.reason.clone().unwrap_or_default() };
        let line = format!("{:width$}  {:8} {s:>6} {wall:>9}  {more}", cell.name, cell.state.name());
        line.trim_end().to_string() + "\n"
    };
    let head = format!("{:width$}  {:8} {:>6} {:>9}\n", "cell", "state", "S (%)", "wall (s)");
    head + &sweep.cells.iter().map(line).collect::<String>()
}

/// An error with exit code 1 unless all cells are done.
pub(super) fn verdict(sweep: &Sweep) -> Result<()> {
    let (cells, place) = (sweep.cells.len(), sweep.folder.display());
    let (done, failed) = (sweep.count(State::Done), sweep.count(State::Failed));
    if done + failed < cells {
        return Err(Error::Stopped(format!("{done} of {cells} cells done; engine sweep resume={place} goes on")));
    }
    if failed > 0 {
        let text = format!("{failed} of {cells} cells failed; engine sweep resume={place} retry=true tries them again");
        return Err(Error::Unwell(text));
    }
    Ok(())
}
