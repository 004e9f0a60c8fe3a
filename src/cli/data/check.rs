//! `engine data check DIR`: what is in a data folder; exit code 3 where something is wrong with it.

use std::path::PathBuf;

use crate::cli::output::{print, print_json};
use crate::data::check::check;
use crate::error::{Error, Result};

/// `engine data check`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder in MAESTRO's layout
    dir: PathBuf,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Reads every file and prints the report.
pub fn run(args: &Args) -> Result<()> {
    let report = check(&args.dir)?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&report.to_string())?;
    }
    if report.ok() {
        return Ok(());
    }
    let count = report.problems.len();
    Err(Error::input(
        &report.metadata,
        "files",
        "none that is missing, unreadable or at odds",
        format!("{count}, listed above"),
    ))
}
