//! `engine eval RUN`: the canonical evaluation of a trained model beside chance and the learning-free baselines.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::{print, print_json};
use super::{Settings, device, use_threads};
use crate::config::{CONFIG_FILE, Config, among};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::eval::baselines::Baseline;
use crate::eval::canonical::{self, Canonical};
use crate::progress::say;
use crate::train::study::Study;

/// Keys that may differ from the run's own: what is evaluated, on what, and where.
const ADJUSTABLE: &[&str] = &["eval.", "data", "data.", "device", "precision", "threads"];

/// `engine eval`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder that `engine train` wrote
    #[arg(required_unless_present = "keys")]
    run: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Evaluates the best model of a run.
pub fn run(args: &Args) -> Result<()> {
    let settings = &args.settings;
    let Some(run) = args.run.as_ref().filter(|_| !settings.keys) else {
        return settings.listed_where::<Config>(|name| among(ADJUSTABLE, name)).map(drop);
    };
    let mut config = Config::load(&run.join(CONFIG_FILE))?;
    config.adjust(&settings.settings.iter().map(|setting| in_full(setting)).collect::<Vec<_>>(), ADJUSTABLE)?;
    let chosen = device::open(config.device)?;
    use_threads(config.threads)?;
    if let Some(note) = chosen.note {
        say(&note);
    }
    report(run, config, &chosen.device, settings.json)
}

/// `split=…` stands for `eval.split=…`.
fn in_full(setting: &str) -> String {
    if setting.starts_with("split=") { format!("eval.{setting}") } else { setting.to_string() }
}

/// Evaluates the best model in `run` and prints the result.
pub(super) fn report(run: &Path, config: Config, device: &Device, as_json: bool) -> Result<()> {
    let (arm, split) = (config.arm.clone(), config.eval.split);
    let found = evaluate(run, config, device)?;
    crate::report::run::save(run, split, &found)?;
    if as_json {
        let mut object = json!({ "run": run.to_string_lossy(), "arm": arm, "split": split });
        if let (Value::Object(object), Ok(Value::Object(found))) = (&mut object, serde_json::to_value(&found)) {
            object.extend(found);
        }
        return print_json(&object);
    }
    let name = run.display();
    let s = 100.0 * found.model.canonical.s.value;
    print(&format!("{}\nS = {s:.1} % on the {split} split ({name})\n", found.table()))
}

fn evaluate(run: &Path, config: Config, device: &Device) -> Result<Canonical> {
    let (protocol, split) = (config.protocol(), config.eval.split);
    let study = Study::open(run, config, device)?;
    let embedded = study.embed(split)?;
    if embedded.items.len() < 2 {
        let found = format!("{} in the {split} split", embedded.items.len());
        return Err(
            Error::input(run, "data", "two segments or more to tell apart", found).hint("eval.split=… names another")
        );
    }
    let baselines = Baseline::both(study.assembler.dataset(), &embedded.segments);
    canonical::evaluate(&study.arm.name, embedded.embeddings(), &embedded.items, &baselines, &protocol)
}
