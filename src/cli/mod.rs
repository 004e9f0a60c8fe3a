//! The command line: one file for each verb, and what they share.

pub mod arms;
mod asking;
pub mod compare;
pub mod data;
pub mod describe;
mod device;
pub mod doctor;
pub mod eval;
pub mod output;
pub mod reproduce;
pub mod schedule;
pub mod sweep;
pub mod table;
pub mod train;
pub mod validate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::keys::{Keyed, table, table_json};
use crate::error::{Error, Result};

/// Learn one embedding space for piano audio and MIDI, and find one by the other.
#[derive(Debug, Parser)]
#[command(name = "engine", version)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `engine` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Train an arm and evaluate it
    Train(Settings),
    /// Train every combination of the values of some settings
    Sweep(sweep::Args),
    /// Evaluate the retrieval of a run
    Eval(eval::Args),
    /// Ask a run what it does with its descriptors, how alike its encoders are, what it is sensitive to
    Validate(validate::Args),
    /// Lay what the battery found of several runs side by side
    Compare(compare::Args),
    /// Judge the paper's claims on the runs there are, and run what is missing
    Reproduce(reproduce::Args),
    /// Compare runs in one of the paper's tables
    Table(table::Args),
    /// Draw how the learning rate moves over a run
    Schedule(Settings),
    /// List the arms with their parameters, cost and the paper's figures, or explain one
    Arms(arms::Args),
    /// Compute and draw the descriptor of a recording or a MIDI file
    Describe(DescribeArgs),
    /// Say what this machine has and whether everything computes right on it
    Doctor(Settings),
    /// Make, render or check data
    #[command(subcommand)]
    Data(data::Verb),
}

/// The settings of a verb, and how it answers.
#[derive(Debug, Args)]
pub struct Settings {
    /// Settings, in any order; --keys lists them
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// List every key with its default, meaning and type, and do nothing else
    #[arg(long)]
    pub keys: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

impl Settings {
    /// Prints the keys of `K` where `--keys` asks for them; whether it did.
    pub fn listed<K: Keyed>(&self) -> Result<bool> {
        self.listed_where::<K>(|_| true)
    }

    /// As [`Settings::listed`], of the keys whose name `keep` accepts.
    fn listed_where<K: Keyed>(&self, keep: impl Fn(&str) -> bool) -> Result<bool> {
        match (self.keys, self.json) {
            (true, true) => output::print_json(&table_json::<K>(keep))?,
            (true, false) => output::print(&table::<K>(keep))?,
            (false, _) => {}
        }
        Ok(self.keys)
    }
}

/// `engine describe`
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Recording (WAV, FLAC, MP3, OGG) or MIDI file
    #[arg(required_unless_present = "keys")]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl DescribeArgs {
    /// Describes the file.
    pub fn run(&self) -> Result<()> {
        let Settings { settings, keys, json } = &self.settings;
        match &self.file {
            Some(file) if !keys => describe::run(file, settings, *json),
            _ => self.settings.listed::<describe::DescribeConfig>().map(drop),
        }
    }
}

/// Computes on `threads` threads, 0 = one per core. Called once, before anything is computed.
fn use_threads(threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| Error::Usage(format!("threads={threads}: {error}")))
}
