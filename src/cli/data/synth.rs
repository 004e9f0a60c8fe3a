//! `engine data synth`: composes and renders a corpus.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::output::{print, print_json};
use crate::cli::{Settings, use_threads};
use crate::config::corpus_dir;
use crate::config::keys::{keys, parse};
use crate::data::synth::corpus::{Options, Size, Summary, compose_corpus};
use crate::error::Result;

keys! {
    /// Settings of `engine data synth`.
    Keys {
        /// Folder to write; auto = the one that `engine train` looks for, data/synth-SIZE-SEED.
        out: PathBuf = "auto".into();
        /// How much to compose.
        size: Size = Size::Default;
        /// Another seed, another corpus.
        seed: u64 = 42;
        /// CPU threads; 0 = one per core.
        threads: usize [0..=4096] = 0;
    }
}

/// Composes the corpus and says what is in it.
pub fn run(args: &Settings) -> Result<()> {
    if args.listed::<Keys>()? {
        return Ok(());
    }
    let keys: Keys = parse(&args.settings)?;
    use_threads(keys.threads)?;
    let out = if keys.out == Path::new("auto") { corpus_dir(keys.size, keys.seed) } else { keys.out };
    let made = compose_corpus(&Options { size: keys.size, seed: keys.seed }, &out)?;
    if args.json {
        return print_json(&json!({ "out": out.to_string_lossy(), "corpus": made }));
    }
    let Summary { performances, composers, notes, seconds, reused } = made;
    let state = if reused { "already there" } else { "composed and rendered" };
    print(&format!(
        "{}: {performances} performances by {composers} composers, {:.2} hours, {notes} notes; {state}\n",
        out.display(),
        seconds / 3600.0
    ))
}
