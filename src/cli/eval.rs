//! `engine eval RUN`: the canonical evaluation of a trained model beside chance and the learning-free baselines, under changed
//! conditions too where asked for.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::{print, print_json};
use super::{Settings, device, use_threads};
use crate::config::{CONFIG_FILE, Config, Source, among};
use crate::device::Device;
use crate::error::Result;
use crate::eval::baselines::Baseline;
use crate::eval::canonical::{self, Canonical};
use crate::eval::condition::Condition;
use crate::eval::under::Under;
use crate::progress::say;
use crate::train::study::Study;

/// Keys that may differ from the run's own: what is evaluated, on what, and where.
pub(super) const ADJUSTABLE: &[&str] = &["eval.", "data", "data.", "device", "precision", "threads"];

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
    let own = config.data.source.clone();
    config.adjust(&settings.settings.iter().map(|setting| in_full(setting)).collect::<Vec<_>>(), ADJUSTABLE)?;
    let chosen = device::open(config.device)?;
    use_threads(config.threads)?;
    if let Some(note) = chosen.note {
        say(&note);
    }
    let elsewhere = (config.data.source != own).then(|| name_of(&config.data.source));
    report(run, config, &chosen.device, elsewhere.as_deref(), settings.json)
}

/// `split=…` stands for `eval.split=…`, `condition=…` and `conditions=…` for `eval.condition=…`.
pub(super) fn in_full(setting: &str) -> String {
    match setting.split_once('=') {
        Some(("split", value)) => format!("eval.split={value}"),
        Some(("condition" | "conditions", value)) => format!("eval.condition={value}"),
        _ => setting.to_string(),
    }
}

/// The last part of a data folder's name.
fn name_of(source: &Source) -> String {
    match source {
        Source::Synth => "synth".into(),
        Source::Folder(folder) => {
            let name =
                folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            name.unwrap_or_else(|| "other".into())
        }
    }
}

/// Evaluates the best model in `run`, saves what is found in its report folder and prints it. `elsewhere` names the data where they
/// are not those the run was trained on.
pub(super) fn report(
    run: &Path,
    config: Config,
    device: &Device,
    elsewhere: Option<&str>,
    as_json: bool,
) -> Result<()> {
    let (arm, split, conditions) = (config.arm.clone(), config.eval.split, config.eval.condition.list());
    let found = evaluate(run, config, device, &conditions)?;
    for (condition, found) in &found.0 {
        match (elsewhere, condition) {
            (None, Condition::Clean) => crate::report::run::save(run, split, found)?,
            _ => crate::report::run::save_changed(run, split, elsewhere, *condition, found)?,
        }
    }
    let (run_name, on) = (run.display(), elsewhere.map_or(String::new(), |data| format!(" of {data}")));
    if as_json {
        let mut object = json!({ "run": run.to_string_lossy(), "arm": arm, "split": split });
        let Value::Object(fields) = &mut object else { return print_json(&object) };
        if let Some(data) = elsewhere {
            fields.insert("data".into(), data.into());
        }
        match found.0.as_slice() {
            [(condition, only)] => {
                if *condition != Condition::Clean {
                    fields.insert("condition".into(), condition.name().into());
                }
                if let Ok(Value::Object(only)) = serde_json::to_value(only) {
                    fields.extend(only);
                }
            }
            all => {
                let each = all.iter().map(|(condition, found)| (condition.name().to_string(), json!(found)));
                fields.insert("conditions".into(), Value::Object(each.collect()));
            }
        }
        return print_json(&object);
    }
    match found.0.as_slice() {
        [(condition, only)] => {
            let s = 100.0 * only.model.canonical.s.value;
            let under = match condition {
                Condition::Clean => String::new(),
                changed => format!(", {}: {}", changed.name(), changed.about()),
            };
            print(&format!("{}\nS = {s:.1} % on the {split} split{on} ({run_name}){under}\n", only.table()))
        }
        _ => print(&format!("{}\non the {split} split{on} ({run_name})\n", found.table())),
    }
}

fn evaluate(run: &Path, config: Config, device: &Device, conditions: &[Condition]) -> Result<Under> {
    let (protocol, split) = (config.protocol(), config.eval.split);
    let study = Study::open(run, config, device)?;
    study.segments_to_tell_apart(run, split)?;
    let under = |&condition: &Condition| -> Result<(Condition, Canonical)> {
        let embedded = study.embed_under(split, condition)?;
        let baselines = Baseline::both(study.assembler.dataset(), &embedded.segments, &condition);
        let (name, pairs) = (&study.arm.name, embedded.embeddings());
        Ok((condition, canonical::evaluate(name, pairs, &embedded.items, &baselines, &protocol)?))
    };
    Ok(Under(conditions.iter().map(under).collect::<Result<_>>()?))
}
