//! `engine table`: the paper's tables of arms made from runs.

use std::path::{Path, PathBuf};

use super::Settings;
use super::output::{print, print_json};
use crate::config::Split;
use crate::config::keys::{keys, parse};
use crate::config::setting::choices;
use crate::error::Result;
use crate::progress::say;
use crate::report::table::Table;
use crate::report::table::kind::Kind;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For a spreadsheet.
    Csv,
    /// For a paper, with booktabs.
    Latex,
    /// For a program.
    Json,
}
choices!(Format { Text = "text", Csv = "csv", Latex = "latex", Json = "json" });

keys! {
    /// Settings of `engine table`.
    Keys {
        /// Evaluations that are compared: those on this split.
        split: Split = Split::Test;
        /// How the table is written to stdout.
        format: Format = Format::Text;
        /// Folder for the table in every format and the figure as PNG and SVG.
        out: Option<PathBuf> = None;
    }
}

/// `engine table`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which table
    #[arg(required_unless_present = "keys")]
    kind: Option<Kind>,
    /// Run folders, or folders of sweeps; and settings, which --keys lists
    #[command(flatten)]
    settings: Settings,
}

/// Makes the table and writes it where it is wanted.
pub fn run(args: &Args) -> Result<()> {
    let Settings { settings, json, .. } = &args.settings;
    let Some(kind) = args.kind.filter(|_| !args.settings.keys) else {
        return args.settings.listed::<Keys>().map(drop);
    };
    // A folder may have `=` in its name, as cells of a sweep do.
    let is_setting = |argument: &&String| argument.contains('=') && !Path::new(argument).exists();
    let (settings, folders): (Vec<&String>, Vec<&String>) = settings.iter().partition(is_setting);
    let keys: Keys = parse(&settings.into_iter().cloned().collect::<Vec<_>>())?;
    let table = Table::of(kind, &folders.into_iter().map(PathBuf::from).collect::<Vec<_>>(), keys.split)?;
    if let Some(folder) = &keys.out {
        for file in table.save(folder)? {
            say(&format!("wrote {}", file.display()));
        }
    }
    let sheet = &table.sheet;
    match if *json { Format::Json } else { keys.format } {
        Format::Text => print(&sheet.text()),
        Format::Csv => {
            sheet.warnings.iter().for_each(|warning| say(&format!("Warning: {warning}")));
            print(&sheet.csv())
        }
        Format::Latex => print(&sheet.latex()),
        Format::Json => print_json(&sheet.json()),
    }
}
