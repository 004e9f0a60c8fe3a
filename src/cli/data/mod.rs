//! `engine data …`

pub mod check;
pub mod render;
pub mod synth;

use clap::Subcommand;

/// What can be done with data.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Compose performances and render them, as a data folder
    Synth(super::Settings),
    /// Turn a folder of MIDIs into a data folder
    Render(super::Settings),
    /// Say what is in a data folder and what is wrong with it
    Check(check::Args),
}
