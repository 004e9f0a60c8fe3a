//! The training loop on a device, from composed recordings to checkpoints, against the CPU.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use descant::config::Config;
use descant::device::Device;
use descant::train::run::{Outcome, resume, start};
use descant::train::{checkpoint, log};

/// An emulated step of whole segments takes its time.
const STEPS: usize = 2;

/// A model small enough for whole segments of 96,000 samples.
fn config(folder: &Path, run: &str) -> Config {
    let at = |name: &str| folder.join(name).display().to_string();
    let settings = [
        "arm=a4r".to_string(),
        "preset=tiny".into(),
        "model.audio.cnn=4,4,4,8".into(),
        "model.audio.d=8".into(),
        "precision=f32".into(),
        "dropout=0.1".into(),
        "batch=2".into(),
        format!("max_steps={STEPS}"),
        "midi.max_notes=24".into(),
        "eval.every=0".into(),
        "checkpoint.every=1".into(),
        "log.every=1".into(),
        "data.synth=tiny".into(),
        format!("data.synth_dir={}", at("corpus")),
        format!("data.cache={}", at("cache")),
        format!("out={}", at(run)),
    ];
    Config::resolve(&settings, false).unwrap()
}

/// The numbers of every step's line in the log.
fn logged(run: &Path, field: &str) -> Vec<f64> {
    let records = log::read(&run.join(log::METRICS)).unwrap();
    records.iter().filter(|r| r["kind"] == "train").map(|r| r[field].as_f64().unwrap()).collect()
}

/// Bytes of the newest checkpoint's files.
fn saved(run: &Path) -> Vec<Vec<u8>> {
    let folder = checkpoint::resume(run).unwrap().folder;
    ["model.safetensors", "state.safetensors"].iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect()
}

fn follows_the_cpu_and_resumes_to_the_same_bytes(device: impl Fn() -> Device) {
    let folder = tempfile::tempdir().unwrap();
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
    let [host, run] = ["host", "run"].map(|run| config(folder.path(), run));
    assert_eq!(start(host.clone(), &Device::Cpu, &go).unwrap(), Outcome::Finished);
    assert_eq!(start(run.clone(), &device(), &go).unwrap(), Outcome::Finished);
    for field in ["loss", "grad_norm", "std_audio", "std_midi", "lr"] {
        let (expected, got) = (logged(&host.out, field), logged(&run.out, field));
        assert_eq!((expected.len(), got.len()), (STEPS, STEPS));
        let near = |(e, g): (&f64, &f64)| (e - g).abs() < 2e-3 * e.abs().max(1e-6);
        assert!(expected.iter().zip(&got).all(near), "{field}: {got:?}, on the CPU {expected:?}");
    }
    assert!(logged(&run.out, "device_bytes").iter().all(|&bytes| bytes > 1e6));

    let whole = saved(&run.out);
    std::fs::remove_dir_all(&run.out).unwrap();
    // Asked to stop after the first step, then killed while saving the second.
    assert_eq!(start(run.clone(), &device(), &stop).unwrap(), Outcome::Stopped(1));
    std::fs::create_dir(run.out.join("checkpoints/step-00000002.new")).unwrap();
    assert_eq!(resume(&run.out, run.clone(), &device(), &go).unwrap(), Outcome::Finished);
    assert!(whole == saved(&run.out), "a run that was stopped ends with the bytes of one that was not");
}

#[test]
fn emulated_training_follows_the_cpu_and_resumes_to_the_same_bytes() {
    follows_the_cpu_and_resumes_to_the_same_bytes(|| Device::emulated(1).unwrap());
}

#[test]
fn cuda_training_follows_the_cpu_and_resumes_to_the_same_bytes() {
    match Device::cuda() {
        Err(e) => println!("SKIPPED (visible): {e}"),
        Ok(gpu) => follows_the_cpu_and_resumes_to_the_same_bytes(|| gpu.clone()),
    }
}
