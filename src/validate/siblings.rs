//! Other runs beside a run: in the same folder, trained the same way, of other arms or with other seeds. Sweeps lay their runs so.

use std::path::{Path, PathBuf};

use super::subject::Subject;
use crate::arms;
use crate::config::{CONFIG_FILE, Config, ScheduleKind, Split};
use crate::error::{Error, Result};
use crate::report::run::evaluation_file;
use crate::report::table::group::{Group, settings};
use crate::report::table::runs::Run;

/// What may differ between runs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Arm and seed alone.
    Same,
    /// The schedule too, where each follows its arm's own; and the length, where each has that of its arm's long run (table 4).
    Own,
}

/// Runs that can be compared, the run itself among them.
#[derive(Debug, Clone, Default)]
pub struct Siblings {
    /// One for each arm; runs of a group differ in their seeds.
    pub groups: Vec<Group>,
    /// Runs of the arms asked for that are left out: folder and reason.
    pub left_out: Vec<String>,
}

impl Siblings {
    /// The runs of `arms` beside that of `subject` that were trained as it was and evaluated on the same split, by their folders' names.
    ///
    /// # Errors
    /// Where the folder or the run's own configuration cannot be read; what is wrong with another run is a reason to leave it out.
    pub fn of(subject: &Subject, arms: &[&str], plan: Plan) -> Result<Self> {
        let own = Config::load(&subject.run.join(CONFIG_FILE))?;
        let (mut runs, mut left_out) = (Vec::new(), Vec::new());
        for folder in beside(&subject.run)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match read(&folder, &own, arms, subject.split, plan) {
                Ok(Some(run)) => runs.push(run),
                Ok(None) => {}
                Err(reason) => left_out.push(format!("{name}: {reason}")),
            }
        }
        let mut groups: Vec<Group> = Vec::new();
        for group in Group::of(runs, &[]) {
            // Of two ways in which an arm was trained, the one with more seeds.
            match groups.iter_mut().find(|other| other.arm() == group.arm()) {
                None => groups.push(group),
                Some(other) => {
                    let fewer =
                        if other.runs.len() < group.runs.len() { std::mem::replace(other, group) } else { group };
                    let names = fewer.runs.iter().filter_map(|run| run.folder.file_name());
                    let names = names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join(", ");
                    left_out
                        .push(format!("{names}: of another length or schedule than others of {}", fewer.arm().name));
                }
            }
        }
        Ok(Siblings { groups, left_out })
    }

    /// The runs of an arm.
    pub fn arm(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.arm().name == name)
    }

    /// A line on what was left out, where anything was.
    pub fn note(&self) -> Option<String> {
        (!self.left_out.is_empty()).then(|| format!("Left out beside this run: {}.", self.left_out.join("; ")))
    }
}

/// Digits that change when the configuration or the evaluation of any run of the folder does: for the key of what is made of them.
pub fn fingerprint(subject: &Subject) -> String {
    let mut hasher = blake3::Hasher::new();
    for folder in beside(&subject.run).unwrap_or_default() {
        for file in [folder.join(CONFIG_FILE), evaluation_file(&folder, subject.split)] {
            hasher.update(file.as_os_str().as_encoded_bytes()).update(&std::fs::read(&file).unwrap_or_default());
        }
    }
    hasher.finalize().to_hex()[..16].to_string()
}

/// Every run folder beside `run`, itself included, by name.
fn beside(run: &Path) -> Result<Vec<PathBuf>> {
    let place = run.canonicalize().map_err(|e| Error::io(run, "read", e))?;
    let parent = crate::io::parent(&place);
    let entries = std::fs::read_dir(parent).map_err(|e| Error::io(parent, "list", e))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| folder.join(CONFIG_FILE).is_file());
    folders.sort();
    Ok(folders)
}

/// The run in `folder`; nothing where it is of none of `arms`, a reason where it cannot stand beside a run trained with `own`.
fn read(folder: &Path, own: &Config, arms: &[&str], split: Split, plan: Plan) -> Result<Option<Run>, String> {
    let config = Config::load(&folder.join(CONFIG_FILE)).map_err(|e| e.to_string())?;
    let arm = config.arm().map_err(|e| e.to_string())?;
    if !arms.contains(&arm.name.as_str()) {
        return Ok(None);
    }
    if let Some(differing) = differing(&config, own, plan) {
        return Err(differing);
    }
    if !evaluation_file(folder, split).is_file() {
        return Err(format!("no evaluation on the {split} split"));
    }
    Run::read(folder, split).map(Some).map_err(|e| e.to_string())
}

/// In what a run was trained otherwise than `own`, if in anything that `plan` does not allow.
fn differing(config: &Config, own: &Config, plan: Plan) -> Option<String> {
    let theirs = settings(own);
    let mut differing: Vec<(String, String)> =
        settings(config).into_iter().filter(|setting| !theirs.contains(setting)).collect();
    let both = |holds: fn(&Config) -> bool| plan == Plan::Own && holds(config) && holds(own);
    if shape(config) == shape(own) || both(has_own_schedule) {
        differing.retain(|(key, _)| key != "schedule");
    }
    if both(has_own_length) {
        differing.retain(|(key, _)| key != "epochs");
    }
    let words = differing.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The schedule, a cosine over the whole run by that name however it was asked for.
fn shape(config: &Config) -> ScheduleKind {
    match (config.schedule.kind, config.epochs) {
        (ScheduleKind::Cosine30, 30) | (ScheduleKind::Cosine60, 60) => ScheduleKind::Cosine,
        (kind, _) => kind,
    }
}

fn has_own_schedule(config: &Config) -> bool {
    let own = arms::find(&config.arm).ok().and_then(|entry| entry.schedule()).map_or(ScheduleKind::Cosine, Into::into);
    config.schedule.kind == own
}

fn has_own_length(config: &Config) -> bool {
    let long = arms::find(&config.arm).ok().and_then(|entry| entry.paper.long.first());
    has_own_schedule(config) && long.is_some_and(|long| long.epochs == config.epochs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &str) -> Config {
        let words: Vec<String> = words.split(' ').map(String::from).collect();
        Config::resolve(&words, false).unwrap()
    }

    #[test]
    fn runs_may_differ_in_arm_and_seed_and_where_asked_in_their_own_schedules() {
        let own = config("arm=d4a4 seed=1 epochs=5 schedule=cosine");
        let same = |words: &str, plan| differing(&config(words), &own, plan);
        assert_eq!(same("arm=d0 seed=7 epochs=5 schedule=cosine threads=3", Plan::Same), None);
        assert_eq!(same("arm=d0 epochs=6 lr=5e-4 schedule=cosine", Plan::Own).unwrap(), "epochs=6, lr=0.0005");
        assert_eq!(same("arm=d0 epochs=5", Plan::Same).unwrap(), "schedule=cosine-tail");
        // d4a4's own is a cosine over 60 epochs, which `own` does not follow.
        assert!(same("arm=d0 epochs=5", Plan::Own).is_some());

        let own = config("arm=d4a4 epochs=60");
        assert_eq!(differing(&config("arm=d4a4-zero epochs=60"), &own, Plan::Same), None, "cosine over the whole run");
        assert_eq!(differing(&config("arm=a4r epochs=30"), &own, Plan::Own), None, "both as in table 4");
        assert_eq!(differing(&config("arm=a4r epochs=20"), &own, Plan::Own).unwrap(), "epochs=20");
        assert!(differing(&config("arm=a4r epochs=30"), &own, Plan::Same).is_some());
    }
}
