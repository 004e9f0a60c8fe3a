//! Checkpoints that were cut short, altered, forged, or left by a killed process: a clear error or the right content,
//! never a panic, never much memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use descant::Error;
use descant::random::{Philox, Stream};
use descant::train::checkpoint::{load, load_model, resume, save};
use descant::train::log::{self, MetricsLog, Record, TrainRecord};
use descant::train::meta::{Best, Meta};
use descant::train::tensor_file::NamedTensor;

/// Refuses any allocation no honest small file can ask for, which aborts the test.
struct Frugal;
const MOST: usize = 64 << 20;

#[global_allocator]
static FRUGAL: Frugal = Frugal;

// SAFETY: hands everything on to the system's allocator or returns null, which is always allowed.
unsafe impl GlobalAlloc for Frugal {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

const FILES: [&str; 2] = ["model.safetensors", "state.safetensors"];

fn meta(step: u64) -> Meta {
    let config = serde_json::json!({"arm": "a4r", "lr": 1e-3});
    let best = (step >= 3).then(|| Best { s: 1.0 - 1.0 / step as f64, step: step - step % 3 });
    Meta { arm: "a4r".into(), preset: "tiny".into(), config, step, best }
}

/// Saves a checkpoint whose tensors all hold the step.
fn save_step(run: &Path, step: u64, size: usize) {
    let data = vec![step as f32; size];
    let shape = [2, size / 2];
    let tensor = |name| NamedTensor { name, shape: &shape, data: &data };
    let model = [tensor("audio.cnn.0.weight"), NamedTensor { name: "scale", shape: &[], data: &data[..1] }];
    save(run, &model, &[tensor("m/audio.cnn.0.weight"), tensor("v/audio.cnn.0.weight")], &meta(step)).unwrap();
}

/// A folder in memory where there is one: what a killed process leaves does not depend on the disk, and the many
/// flushes would wait for whatever else is writing to it.
fn temp_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A run folder with one small checkpoint, its folder, and the bytes of its two files.
fn small() -> (tempfile::TempDir, PathBuf, [Vec<u8>; 2]) {
    let run = temp_folder();
    save_step(run.path(), 7, 6);
    let folder = run.path().join("checkpoints/step-00000007");
    let bytes = FILES.map(|name| fs::read(folder.join(name)).unwrap());
    (run, folder, bytes)
}

#[test]
fn every_truncation_is_noticed() {
    let (run, folder, original) = small();
    for (name, bytes) in FILES.iter().zip(&original) {
        for length in 0..bytes.len() {
            fs::write(folder.join(name), &bytes[..length]).unwrap();
            let text = load(run.path()).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("expected"), "{length}: {text}");
        }
        fs::write(folder.join(name), bytes).unwrap();
        load(run.path()).unwrap();
    }
}

#[test]
fn ten_thousand_mutations_are_noticed_or_harmless() {
    let (run, folder, original) = small();
    let good = load(run.path()).unwrap();
    let mut harmless = 0;
    for case in 0..10_000 {
        let mut random = Philox::new(1, 1).stream(case);
        let which = case as usize % 2;
        let path = folder.join(FILES[which]);
        fs::write(&path, mutate(&original[which], &mut random)).unwrap();
        match load(run.path()) {
            Err(Error::Input { .. } | Error::Io { .. }) => {}
            Err(other) => panic!("case {case}: {other}"),
            // White space in the header, a byte written over by itself: then nothing may differ.
            Ok(back) => {
                harmless += 1;
                assert_eq!(back.meta, good.meta, "case {case}");
                assert_eq!(back.model, good.model, "case {case}");
                assert_eq!(back.state, good.state, "case {case}");
            }
        }
        // What a user may be handed by anybody.
        if let Ok(model) = load_model(&path)
            && let Some(meta) = model.meta
        {
            assert_eq!(meta, good.meta, "case {case}");
        }
        fs::write(&path, &original[which]).unwrap();
    }
    assert!(harmless < 500, "{harmless} mutations had no effect");
}

/// One to three random edits, half of them in the header.
fn mutate(bytes: &[u8], random: &mut Stream) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for _ in 0..=random.below(3) {
        let end = if random.below(2) == 0 { header.min(out.len()) } else { out.len() };
        let at = random.below(end as u64) as usize;
        let until = out.len().min(at + 1 + random.below(16) as usize);
        match random.below(8) {
            0 | 1 => out[at] ^= 1 << random.below(8),
            2 => out[at] = b"0123456789{}[]\",: \\\0\xff"[random.below(21) as usize],
            3 => out[at..until].fill(0),
            4 => drop(out.drain(at..until)),
            5 => out.splice(at..at, bytes[..until - at].to_vec()).for_each(drop),
            6 => out.copy_within(at..until, 0),
            _ => out[random.below(8) as usize] = random.below(256) as u8,
        }
        if out.len() < 8 {
            break;
        }
    }
    out
}

#[test]
fn forged_headers_are_refused_cheaply() {
    let folder = temp_folder();
    let path = folder.path().join("x.safetensors");
    let tensor = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let many = (0..40_000).map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#));
    let many = format!("{{{}}}", many.collect::<Vec<_>>().join(","));
    let cases = [
        (String::new(), "header"),
        ("[".repeat(1 << 20), "header"),
        (r#"{"a":"#.repeat(1 << 18), "header"),
        ("{\"\u{0}\":1}".into(), "header"),
        (tensor("F32", "[1]", "[0,8]"), "header"),
        (tensor("F32", "[1]", "[4,0]"), "header"),
        (tensor("F32", "[1]", "[4,8]"), "header"),
        (tensor("F32", "[-1]", "[0,4]"), "header"),
        (tensor("F32", "[1e400]", "[0,4]"), "header"),
        (tensor("F99", "[1]", "[0,4]"), "header"),
        (tensor("F32", "[4611686018427387905,4]", "[0,16]"), "header"),
        (tensor("F32", "[9223372036854775807,9223372036854775807]", "[0,4]"), "header"),
        (tensor("F32", "[1099511627776]", "[0,4398046511104]"), "tensor data: expected 4398046511104 bytes"),
        (tensor("F32", &format!("[{}0]", "9,".repeat(100_000)), "[0,0]"), "header"),
        (tensor("F64", "[1]", "[0,8]"), "tensor data: expected 8 bytes, found 4 bytes"),
        (tensor("BF16", "[2]", "[0,4]"), "tensor w: expected dtype F32, found dtype BF16"),
        (r#"{"__metadata__":{"step":7},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), "header"),
        (
            r#"{"__metadata__":{"descant":"1"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(),
            "a checksum",
        ),
        (r#"{"__metadata__":{"checksum":"1"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), "damaged"),
        (many, "tensor data: expected 0 bytes, found 4 bytes"),
        (" ".repeat(5 << 20), "header length: expected at most 4194304 bytes"),
    ];
    for (header, say) in cases {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
        fs::write(&path, bytes).unwrap();
        let text = load_model(&path).unwrap_err().to_string();
        assert!(text.contains("x.safetensors: ") && text.contains(say), "{say}: {text:.300}");
    }
    for length in [5, 1 << 20, u64::MAX - 7, u64::MAX] {
        fs::write(&path, [length.to_le_bytes(), [0; 8]].concat()).unwrap();
        load_model(&path).unwrap_err();
    }
    // A plain file of another program is welcome, but cannot stand in for a checkpoint.
    let header = tensor("F32", "[1]", "[0,4]");
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &1f32.to_le_bytes()].concat()).unwrap();
    let mut foreign = load_model(&path).unwrap();
    assert!(foreign.meta().unwrap_err().to_string().contains("not saved by this program"));
    assert_eq!(foreign.tensors.take("w", &[1]).unwrap(), [1.0]);
    // A folder where the file should be.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(load_model(&path), Err(Error::Io { .. })));
}

const RUN_VARIABLE: &str = "DESCANT_TEST_RUN";

fn train(step: u64) -> Record {
    Record::Train(TrainRecord { step, ..Default::default() })
}

/// As a child: resumes and then logs and saves without end, each step twice, until it is killed.
#[test]
#[ignore = "started by the test below"]
fn child_that_saves() {
    let Some(run) = std::env::var_os(RUN_VARIABLE).map(PathBuf::from) else { return };
    let mut step = resume(&run).unwrap().meta.step;
    let mut log = MetricsLog::resume(&run, step).unwrap();
    loop {
        step += 1;
        log.write(&train(step)).unwrap();
        log.sync().unwrap();
        save_step(&run, step, 20_000);
        save_step(&run, step, 20_000);
    }
}

#[test]
fn a_run_killed_anywhere_resumes() {
    let folder = temp_folder();
    let run = folder.path();
    let mut random = Philox::new(2, 2).stream(0);
    let (mut before, mut killed_in_save) = (1, 0);
    MetricsLog::create(run).unwrap().write(&train(before)).unwrap();
    save_step(run, before, 20_000);
    for _ in 0..25 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_saves", "--exact", "--ignored"])
            .env(RUN_VARIABLE, run)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(20_000 + random.below(80_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let leftover = fs::read_dir(run.join("checkpoints")).unwrap();
        killed_in_save += leftover.filter(|e| e.as_ref().unwrap().path().extension().is_some()).count();
        let mut back = resume(run).unwrap();
        assert_eq!(back.warnings, [""; 0]);
        let step = back.meta.step;
        assert!(step >= before, "step {step} after {before}");
        before = step;
        assert_eq!(back.meta, meta(step));
        assert!(back.model.take("audio.cnn.0.weight", &[2, 10_000]).unwrap().iter().all(|x| *x == step as f32));
        assert!(back.state.take("v/audio.cnn.0.weight", &[2, 10_000]).unwrap().iter().all(|x| *x == step as f32));
        assert_eq!(load_model(run).unwrap().meta.unwrap().step, meta(step).best.map_or(step, |best| best.step));
        MetricsLog::resume(run, step).unwrap();
        let steps: Vec<u64> =
            log::read(&run.join("metrics.jsonl")).unwrap().iter().map(|r| r["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=step).collect::<Vec<_>>());
    }
    eprintln!("reached step {before}, killed {killed_in_save} times within a save");
}
