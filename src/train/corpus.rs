//! Where a run's data comes from: a folder, or a corpus the engine composes itself the first time it is asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Source};
use crate::data::cache::default_dir;
use crate::data::prepare::PrepareOptions;
use crate::data::segments::Dataset;
use crate::data::synth;
use crate::error::Result;
use crate::progress::say;

/// Folder of the data that `config` names; composes the corpus first where it is not there yet.
pub fn folder(config: &Config) -> Result<PathBuf> {
    match &config.data.source {
        Source::Folder(folder) => Ok(folder.clone()),
        Source::Synth => {
            let out = synth_folder(config);
            let made =
                synth::compose_corpus(&synth::Options { size: config.data.synth, seed: config.data.seed }, &out)?;
            if !made.reused {
                let (pieces, minutes) = (made.performances, made.seconds / 60.0);
                say(&format!("composed {pieces} performances ({minutes:.0} minutes) in {}", out.display()));
            }
            Ok(out)
        }
    }
}

fn synth_folder(config: &Config) -> PathBuf {
    if config.data.synth_dir == Path::new("auto") {
        let size = match config.data.synth {
            synth::Size::Default => "default",
            synth::Size::Tiny => "tiny",
        };
        Path::new("data").join(format!("synth-{size}-{}", config.data.seed))
    } else {
        config.data.synth_dir.clone()
    }
}

/// The data set that `config` names, decoded; says on stderr what was left out or mended.
pub fn open(config: &Config) -> Result<Arc<Dataset>> {
    let root = folder(config)?;
    let cache = if config.data.cache == Path::new("auto") { default_dir(&root) } else { config.data.cache.clone() };
    let options = PrepareOptions { pedal: config.data.pedal, disjoint_pieces: config.data.disjoint_pieces };
    let dataset = Dataset::prepare(&root, &cache, &options)?;
    for quarantined in &dataset.quarantined {
        say(&format!("left out: {quarantined}"));
    }
    Ok(Arc::new(dataset))
}
