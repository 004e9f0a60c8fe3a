//! Checkpoints: everything a run needs to go on, saved so that the newest complete one always loads.
//!
//! ```text
//! RUN/
//!   model.safetensors            the best model so far (the newest where none was evaluated): what users take
//!   checkpoints/
//!     step-00000812/             the best
//!     step-00001624/             the newest
//!       model.safetensors        parameters and BatchNorm buffers, f32, by name
//!       state.safetensors        optimizer moments `m/NAME`, `v/NAME`
//!     step-00002436.new/         being written, or left by a killed process
//! ```
//!
//! Metadata of both files: [`Meta`] and `checksum`; the state also has `model`, the checksum of its model. Nothing
//! depends on the clock, so that equal runs have equal bytes.
//!
//! *Complete* means: both files pass their checksum and belong together. Completeness never rests on a name, so a
//! process may be killed between any two system calls: a folder half written or half removed is passed over.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::{parent, sync_folder, write_atomic};
use crate::train::meta::Meta;
use crate::train::tensor_file::{self, NamedTensor, TensorFile};

const MODEL: &str = "model.safetensors";
const STATE: &str = "state.safetensors";
const FOLDER: &str = "checkpoints";
const BEING_WRITTEN: &str = ".new";
/// Metadata key in the state file: checksum of the model it belongs to.
const MODEL_KEY: &str = "model";

/// A model without the state of its training.
#[derive(Debug)]
pub struct ModelFile {
    /// `None` for weights some other program wrote.
    pub meta: Option<Meta>,
    /// Parameters and buffers by name.
    pub tensors: TensorFile,
}

impl ModelFile {
    /// What is needed to build the model the tensors belong to; an error where another program wrote the file.
    pub fn meta(&self) -> Result<&Meta> {
        self.meta.as_ref().ok_or_else(|| {
            Error::input(&self.tensors.path, "metadata", "arm, preset and config", "none")
                .hint("not saved by this program; as initial weights it goes after init=")
        })
    }
}

/// A complete checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    pub meta: Meta,
    pub model: TensorFile,
    pub state: TensorFile,
    /// For the user: newer checkpoints which are damaged and why.
    pub warnings: Vec<String>,
}

/// Saves a checkpoint of step `meta.step` in the run folder, publishes the model where it is the best (or nothing was
/// evaluated yet), then removes checkpoints no longer needed: the newest and the best stay, and never fewer than two.
///
/// Flush what is logged of this step before ([`crate::train::log::MetricsLog::sync`]); a resumed run drops the rest.
pub fn save(run: &Path, model: &[NamedTensor], state: &[NamedTensor], meta: &Meta) -> Result<()> {
    if meta.best.is_some_and(|best| !best.s.is_finite() || best.step > meta.step) {
        return Err(Error::op("save", "meta.best", "a finite S of a step reached", format!("{:?}", meta.best)));
    }
    let checkpoints = run.join(FOLDER);
    fs::create_dir_all(&checkpoints).map_err(|e| Error::io(&checkpoints, "create", e))?;
    sync_folder(run)?;
    sync_folder(parent(run))?;
    let folder = checkpoints.join(folder_name(meta.step));
    let fresh = being_written(&folder);
    remove_folder(&fresh)?;
    fs::create_dir(&fresh).map_err(|e| Error::io(&fresh, "create", e))?;
    let mut text = meta.to_text();
    let checksum = tensor_file::write(&fresh.join(MODEL), model, &text)?;
    text.insert(MODEL_KEY.into(), checksum);
    tensor_file::write(&fresh.join(STATE), state, &text)?;
    sync_folder(&fresh)?;
    settle(&folder)?;
    publish(run, meta)?;
    prune(run, meta)
}

/// The newest complete checkpoint of a run. Changes nothing on the disk.
pub fn load(run: &Path) -> Result<Checkpoint> {
    let mut warnings = Vec::new();
    let mut first_error = None;
    for (step, is_new, folder) in list(run)?.into_iter().rev() {
        match read_pair(&folder, step) {
            Ok((meta, model, state)) => return Ok(Checkpoint { folder, meta, model, state, warnings }),
            // Left by a process killed while writing it: nothing is lost, nothing to warn of.
            Err(_) if is_new => {}
            Err(error) => {
                warnings.push(format!("checkpoint passed over for an older one: {error}"));
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| {
        Error::input(run.join(FOLDER), "checkpoints", "at least one complete checkpoint", "none")
            .hint("is this the folder of a run that has saved?")
    }))
}

/// [`load`], then finishes what a killed process left half done, so that the run goes on as if never stopped.
pub fn resume(run: &Path) -> Result<Checkpoint> {
    let mut checkpoint = load(run)?;
    let settled = run.join(FOLDER).join(folder_name(checkpoint.meta.step));
    if checkpoint.folder != settled {
        settle(&settled)?;
        checkpoint.folder = settled;
        checkpoint.model.path = checkpoint.folder.join(MODEL);
        checkpoint.state.path = checkpoint.folder.join(STATE);
    }
    let best = run.join(FOLDER).join(folder_name(published_step(&checkpoint.meta))).join(MODEL);
    let stated = tensor_file::stated_checksum(&best);
    if stated.is_none() || stated != tensor_file::stated_checksum(&run.join(MODEL)) {
        match tensor_file::read(&best) {
            Ok(_) => copy(&best, &run.join(MODEL))?,
            Err(error) => checkpoint.warnings.push(format!("the best model so far cannot be published: {error}")),
        }
    }
    Ok(checkpoint)
}

/// A model file, or the published model of a run's folder.
pub fn load_model(path: &Path) -> Result<ModelFile> {
    let file = if path.is_dir() { path.join(MODEL) } else { path.to_path_buf() };
    let tensors = tensor_file::read(&file)?;
    Ok(ModelFile { meta: Meta::from_file(&tensors)?, tensors })
}

/// Whether anything was ever saved in `run`, complete or not.
pub fn exists(run: &Path) -> bool {
    list(run).is_ok_and(|found| !found.is_empty())
}

/// Whether a run got as far as its first complete checkpoint, whatever has become of it since.
pub fn reached(run: &Path) -> Result<bool> {
    // Under its temporary name a checkpoint may be complete: killed between writing and renaming.
    Ok(list(run)?.iter().any(|(step, is_new, folder)| !is_new || read_pair(folder, *step).is_ok()))
}

fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

fn being_written(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(BEING_WRITTEN);
    name.into()
}

/// (step, still under its temporary name, folder) of all there is, oldest first; of two of one step the fresh one last.
fn list(run: &Path) -> Result<Vec<(u64, bool, PathBuf)>> {
    let checkpoints = run.join(FOLDER);
    let entries = match fs::read_dir(&checkpoints) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Error::io(&checkpoints, "read", e))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(&checkpoints, "read", e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let settled = name.strip_suffix(BEING_WRITTEN);
        let Some(step) = settled.unwrap_or(name).strip_prefix("step-").and_then(|s| s.parse().ok()) else { continue };
        if folder_name(step) == settled.unwrap_or(name) {
            found.push((step, settled.is_some(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Both files of a checkpoint, verified to belong to each other and to `step`.
fn read_pair(folder: &Path, step: u64) -> Result<(Meta, TensorFile, TensorFile)> {
    let model = load_model(&folder.join(MODEL))?;
    let meta = model.meta()?.clone();
    if meta.step != step {
        return Err(Error::input(&model.tensors.path, "metadata step", step.to_string(), meta.step.to_string()));
    }
    let state = tensor_file::read(&folder.join(STATE))?;
    let (expected, found) = (model.tensors.checksum(), state.metadata.get(MODEL_KEY).map(String::as_str));
    if expected != found || state.checksum().is_none() {
        let show = |sum: Option<&str>| sum.unwrap_or("none").to_string();
        return Err(Error::input(&state.path, "metadata model", show(expected), show(found))
            .hint("the two files are not of one checkpoint"));
    }
    Ok((meta, model.tensors, state))
}

/// Gives a complete folder its name. Until then it counts under its temporary one, so an older folder of the same
/// step can go first.
fn settle(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    fs::rename(being_written(folder), folder).map_err(|e| Error::io(folder, "rename", e))?;
    sync_folder(parent(folder))
}

fn published_step(meta: &Meta) -> u64 {
    meta.best.map_or(meta.step, |best| best.step)
}

/// Makes the model just saved the run's published one where it should be.
fn publish(run: &Path, meta: &Meta) -> Result<()> {
    if published_step(meta) != meta.step {
        return Ok(());
    }
    copy(&run.join(FOLDER).join(folder_name(meta.step)).join(MODEL), &run.join(MODEL))
}

/// A copy and no link: a user who writes into the published file must not damage the checkpoint.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = fs::File::open(from).map_err(|e| Error::io(from, "read", e))?;
    write_atomic(to, |out| std::io::copy(&mut source, out).map(drop))
}

/// Removes what is neither the newest, nor the best, nor (where these are one) the one before.
fn prune(run: &Path, meta: &Meta) -> Result<()> {
    let all = list(run)?;
    let mut keep = vec![meta.step, published_step(meta)];
    if keep[0] == keep[1] {
        keep.extend(all.iter().map(|(step, ..)| *step).filter(|step| *step < meta.step).max());
    }
    for (step, is_new, folder) in all {
        if is_new || !keep.contains(&step) {
            remove_folder(&folder)?;
        }
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, "remove", e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::meta::Best;

    fn meta(step: u64, best: Option<(f64, u64)>) -> Meta {
        let config = serde_json::json!({"lr": 1e-3, "arm": "a4r"});
        let best = best.map(|(s, step)| Best { s, step });
        Meta { arm: "a4r".into(), preset: "tiny".into(), config, step, best }
    }

    /// Saves a checkpoint whose one parameter holds the step.
    fn save_step(run: &Path, meta: &Meta) -> Result<()> {
        let (value, moment) = ([meta.step as f32; 4], [0.5; 4]);
        let model = [NamedTensor { name: "w", shape: &[2, 2], data: &value }];
        save(run, &model, &[NamedTensor { name: "m/w", shape: &[2, 2], data: &moment }], meta)
    }

    fn steps(run: &Path) -> Vec<u64> {
        list(run).unwrap().into_iter().map(|(step, ..)| step).collect()
    }

    fn published(run: &Path) -> u64 {
        load_model(run).unwrap().meta.unwrap().step
    }

    #[test]
    fn keeps_newest_and_best_and_publishes_the_best() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        assert!(!exists(run));
        assert!(load(run).unwrap_err().to_string().contains("found none (is this the folder of a run"));
        let history = [
            (meta(10, None), vec![10], 10),
            (meta(20, Some((0.5, 20))), vec![10, 20], 20),
            (meta(30, Some((0.5, 20))), vec![20, 30], 20),
            (meta(40, Some((0.5, 20))), vec![20, 40], 20),
            (meta(50, Some((1.0 / 3.0 + 0.5, 50))), vec![40, 50], 50),
        ];
        for (meta, kept, best) in history {
            save_step(run, &meta).unwrap();
            let back = load(run).unwrap();
            assert_eq!((back.meta, back.warnings.len()), (meta.clone(), 0));
            assert_eq!((steps(run), published(run)), (kept, best));
        }
        assert!(exists(run));
        let mut back = load(run).unwrap();
        assert_eq!(back.model.take("w", &[2, 2]).unwrap(), [50.0; 4]);
        assert_eq!(back.state.take("m/w", &[2, 2]).unwrap(), [0.5; 4]);
        assert!(save_step(run, &meta(60, Some((f64::NAN, 50)))).is_err());
    }

    #[test]
    fn damage_falls_back_with_a_warning_and_resume_mends() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        save_step(run, &meta(10, Some((0.1, 10)))).unwrap();
        save_step(run, &meta(20, Some((0.2, 20)))).unwrap();
        let newest = run.join(FOLDER).join(folder_name(20));
        let state = newest.join(STATE);
        let mut bytes = fs::read(&state).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&state, &bytes).unwrap();
        assert_eq!(published(run), 20);
        let back = resume(run).unwrap();
        assert_eq!((back.meta.step, published(run)), (10, 10));
        assert!(back.warnings[0].contains("step-00000020/state.safetensors: checksum: expected blake3:"));
        // A state of another step beside the model.
        fs::copy(run.join(FOLDER).join(folder_name(10)).join(STATE), &state).unwrap();
        assert!(load(run).unwrap().warnings[0].contains("not of one checkpoint"));
        // Saved over.
        save_step(run, &meta(20, Some((0.2, 20)))).unwrap();
        assert_eq!((load(run).unwrap().meta.step, published(run)), (20, 20));
    }

    #[test]
    fn folders_a_killed_process_left_are_finished_or_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        save_step(run, &meta(10, Some((0.1, 10)))).unwrap();
        save_step(run, &meta(20, Some((0.2, 20)))).unwrap();
        // Killed after writing the files, before the rename and the publication.
        let folder = run.join(FOLDER).join(folder_name(20));
        fs::rename(&folder, being_written(&folder)).unwrap();
        fs::copy(run.join(FOLDER).join(folder_name(10)).join(MODEL), run.join(MODEL)).unwrap();
        assert_eq!(load(run).unwrap().folder, being_written(&folder));
        assert_eq!(resume(run).unwrap().folder, folder);
        assert_eq!((steps(run), published(run)), (vec![10, 20], 20));
        // Killed while writing, or while removing.
        let next = being_written(&run.join(FOLDER).join(folder_name(30)));
        fs::create_dir(&next).unwrap();
        fs::write(next.join(MODEL), b"half").unwrap();
        fs::create_dir(run.join(FOLDER).join("step-00000005")).unwrap();
        let back = resume(run).unwrap();
        assert_eq!((back.meta.step, back.warnings), (20, vec![]));
        save_step(run, &meta(30, Some((0.2, 20)))).unwrap();
        assert_eq!(steps(run), [20, 30]);
    }
}
