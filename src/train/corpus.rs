//! Where a run's data comes from: a folder, or a corpus the engine composes itself the first time it is asked for.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Source};
use crate::data::segments::Dataset;
use crate::data::synth;
use crate::error::Result;
use crate::progress::say;

/// Folder of the data that `config` names; composes the corpus first where it is not there yet.
pub fn folder(config: &Config) -> Result<PathBuf> {
    match &config.data.source {
        Source::Folder(folder) => Ok(folder.clone()),
        Source::Synth => {
            let out = config.data.corpus_dir();
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

/// The data set that `config` names, decoded; says on stderr what was left out or mended.
pub fn open(config: &Config) -> Result<Arc<Dataset>> {
    let root = folder(config)?;
    let dataset = Dataset::prepare(&root, &config.data.cache_dir(&root), &config.data.prepare_options())?;
    for quarantined in &dataset.quarantined {
        say(&format!("left out: {quarantined}"));
    }
    Ok(Arc::new(dataset))
}
