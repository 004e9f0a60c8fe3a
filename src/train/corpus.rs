//! Where a run's data comes from: a folder, or a corpus the engine composes itself the first time it is asked for.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Source};
use crate::data::segments::Dataset;
use crate::data::synth;
use crate::error::Result;
use crate::progress::say;

/// Folder of the data that `config` names, whether it is there or not.
pub fn location(config: &Config) -> PathBuf {
    match &config.data.source {
        Source::Folder(folder) => folder.clone(),
        Source::Synth => config.data.corpus_dir(),
    }
}

/// Folder of the data that `config` names; composes the corpus first where it is not there yet.
pub fn folder(config: &Config) -> Result<PathBuf> {
    let folder = location(config);
    if config.data.source == Source::Synth {
        let options = synth::Options { size: config.data.synth, seed: config.data.seed };
        let made = synth::compose_corpus(&options, &folder)?;
        if !made.reused {
            let (pieces, minutes) = (made.performances, made.seconds / 60.0);
            say(&format!("composed {pieces} performances ({minutes:.0} minutes) in {}", folder.display()));
        }
    }
    Ok(folder)
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
