//! The keys of `engine sweep` itself; all others are those of `engine train`, which the grid spans.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::output::{print, print_json};
use crate::config::keys::{Keyed, keys, split, table, table_json};
use crate::config::setting::choices;
use crate::config::{Config, Preset};
use crate::error::Result;
use crate::sweep::jobs::Jobs;
use crate::sweep::slurm::options::Options;

/// Who trains the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// Processes on this machine.
    Local,
    /// Jobs of a SLURM cluster.
    Slurm,
}
choices!(Launcher { Local = "local", Slurm = "slurm" });

keys! {
    /// Settings of `engine sweep` itself.
    Keys {
        /// Folder for the sweep; where it holds one over the same grid, that goes on.
        out: Option<PathBuf> = None;
        /// Folder of a sweep to go on with; it brings its own grid.
        resume: Option<PathBuf> = None;
        /// Who trains the cells: local = processes on this machine; slurm = a job array, a cell a task.
        launcher: Launcher = Launcher::Local;
        /// local: runs at a time: one, because a run uses all cores; where there are more, each gets its share of them unless `threads` says otherwise; auto = as many as memory and cores allow, by what the cells before have held.
        jobs: Jobs [1..=1024] = Jobs::Count(1);
        /// Train cells again that failed.
        retry: bool = false;
        /// Only say what the cells are and cost, and for slurm the script of the job array.
        dry: bool = false;
    }
    sections {
        /// `slurm.…`
        slurm: Options,
    }
}

/// The sweep's own settings, and those that span the grid.
pub fn parse(settings: &[String]) -> Result<(Keys, Vec<String>)> {
    let mut keys = Keys::defaults(Preset::Auto);
    let own = keys.json();
    let mut grid = Vec::new();
    for setting in settings {
        let (name, value) = split(setting)?;
        match own.contains_key(name) || name.starts_with("slurm.") {
            true => keys.set(name, value)?,
            false => grid.push(setting.clone()),
        }
    }
    keys.slurm.check()?;
    Ok((keys, grid))
}

/// Prints the keys of the sweep, then those of `engine train` that a grid can span.
pub fn list(as_json: bool) -> Result<()> {
    let own = Keys::defaults(Preset::Auto).json();
    let spans = |name: &str| !own.contains_key(name);
    if !as_json {
        return print(&(table::<Keys>(|_| true) + &table::<Config>(spans)));
    }
    let lists = [table_json::<Keys>(|_| true), table_json::<Config>(spans)];
    let all = lists.into_iter().flat_map(|list| if let Value::Array(rows) = list { rows } else { Vec::new() });
    print_json(&Value::Array(all.collect()))
}
