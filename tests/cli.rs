//! The binary from end to end: exit codes, messages, JSON, and where output goes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs `engine` with `arguments` in `folder`.
fn engine(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engine")).args(arguments).current_dir(folder).output().unwrap()
}

/// What `arguments` print; they must succeed.
fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = engine(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, arguments)).unwrap()
}

/// `arguments` must fail with `code`, an `error: …` on stderr that contains `part`, and nothing on stdout.
fn refused(folder: &Path, arguments: &[&str], code: i32, part: &str) {
    let output = engine(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(message.contains("error: ") && message.contains(part), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_usage_is_2_and_bad_input_is_3() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    refused(here, &["tarin"], 2, "'train'");
    refused(here, &["data", "synth", "sead=3"], 2, "unknown key `sead`; the nearest is `seed`");
    refused(here, &["data", "synth", "size=huge"], 2, "size: expected default|tiny; found `huge`");
    refused(here, &["train", "epoch=3"], 2, "unknown key `epoch`; the nearest is `epochs`");
    refused(here, &["train", "arm=a4rr"], 2, "the nearest is `a4r`");
    if let Err(error) = descant::device::Device::cuda() {
        refused(here, &["train", "device=cuda"], 3, &error.to_string());
    }
    refused(here, &["train", "device=cpu", "precision=bf16"], 2, "precision=bf16: the CPU computes in f32");
    refused(here, &["train", "data=nowhere"], 3, "nowhere");
    refused(here, &["train", "resume=nowhere"], 3, "nowhere");
    refused(here, &["eval", "nowhere"], 3, "nowhere");
    refused(here, &["data", "check", "nowhere"], 3, "nowhere");
    refused(here, &["data", "render", "midi=nowhere"], 2, "out=FOLDER");
    refused(here, &["data", "render", "midi=nowhere", "out=out"], 3, "nowhere");
    let left: Vec<_> = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "refused commands leave nothing behind: {left:?}");
}

#[test]
fn a_composed_corpus_passes_the_check_until_a_file_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let made = json(here, &["data", "synth", "size=tiny", "out=corpus", "--json"]);
    assert_eq!(made["corpus"]["reused"], false);
    assert!(stdout(here, &["data", "synth", "size=tiny", "out=corpus"]).contains("already there"));
    let report = json(here, &["data", "check", "corpus", "--json"]);
    assert_eq!(report["rows"], made["corpus"]["performances"]);
    assert_eq!(report["problems"], Value::Array(vec![]));

    let wav = walk(&here.join("corpus")).into_iter().find(|path| path.extension().is_some_and(|e| e == "wav")).unwrap();
    std::fs::write(&wav, b"RIFF").unwrap();
    let output = engine(here, &["data", "check", "corpus"]);
    assert_eq!(output.status.code(), Some(3));
    let name = wav.file_name().unwrap().to_str().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(name), "the report names the broken file");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[test]
fn keys_are_listed_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let table = stdout(here, &["train", "--keys"]);
    let list = json(here, &["train", "--keys", "--json"]);
    let keys = list.as_array().unwrap();
    assert!(keys.len() > 50);
    for key in keys {
        let name = key["key"].as_str().unwrap();
        assert!(table.contains(&format!("{name}=")), "{name}");
        assert!(key["meaning"].as_str().unwrap().ends_with('.'), "{name} has no meaning");
        assert!(key["type"].is_string() && key["default"]["small"] != key["type"], "{name}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(["train", "--keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A run of some twenty steps on the tiny corpus in `folder`, with a checkpoint every other step and samples changed at random.
const RUN: &[&str] = &[
    "train",
    "preset=tiny",
    "data.synth=tiny",
    "epochs=4",
    "checkpoint.every=2",
    "out=run",
    "threads=2",
    "eval.every=2",
    "augment.chance=0.5",
    "augment.transpose=1",
    "augment.stretch=0.1",
    "augment.noise=10..30",
];

#[test]
fn a_run_that_is_killed_and_resumed_ends_with_the_bytes_of_one_that_never_was() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = stdout(whole.path(), RUN);
    assert!(text.contains("pitch classes") && text.contains("chance"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("S = ") && last.contains("on the test split"), "{last}");

    for signal in ["TERM", "KILL"] {
        stop_early(broken.path(), signal);
        let resumed = engine(broken.path(), &["train", "resume=run"]);
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        assert_eq!(String::from_utf8(resumed.stdout).unwrap().lines().last().unwrap(), last);
        let files = |folder: &Path| {
            walk(&folder.join("run")).into_iter().filter(|f| f.extension().is_some_and(|e| e == "safetensors"))
        };
        for (a, b) in files(whole.path()).zip(files(broken.path())) {
            assert_eq!(a.strip_prefix(&whole).unwrap(), b.strip_prefix(&broken).unwrap());
            assert!(std::fs::read(&a).unwrap() == std::fs::read(&b).unwrap(), "SIG{signal}: {} differs", a.display());
        }
        std::fs::remove_dir_all(broken.path().join("run")).unwrap();
    }

    let found = json(whole.path(), &["eval", "run", "split=validation", "eval.queries=20", "--json"]);
    assert_eq!((&found["arm"], &found["split"], &found["queries"]), (&"a4r".into(), &"validation".into(), &20.into()));
    assert_eq!(found["baselines"].as_array().unwrap().len(), 2);
    let found = json(whole.path(), &["eval", "run", "conditions=all", "eval.queries=20", "--json"]);
    let [clean, transposed] = ["clean", "transposed"].map(|name| &found["conditions"][name]);
    assert_eq!(found["conditions"].as_object().unwrap().len(), 4);
    assert_ne!(clean["baselines"][1]["s"], transposed["baselines"][1]["s"], "a semitone is too much for pitch classes");
    assert!(whole.path().join("run/report/test.clips.json").is_file());
    let text = stdout(whole.path(), &["eval", "run", "condition=clips", "eval.queries=20"]);
    assert!(text.lines().last().unwrap().contains(", clips: one second of either side"), "{text}");
    refused(whole.path(), &["eval", "run", "condition=loud"], 2, "clean|transposed|misaligned|clips|all");
    refused(whole.path(), &["eval", "run", "lr=2"], 2, "settled when the run began");
    refused(whole.path(), RUN, 2, "already holds a run");
}

/// Starts [`RUN`] in `folder` and sends it `signal` once there is a checkpoint.
fn stop_early(folder: &Path, signal: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(RUN)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let checkpoints = folder.join("run/checkpoints");
    let started =
        || std::fs::read_dir(&checkpoints).is_ok_and(|mut list| list.any(|e| e.is_ok_and(|e| e.path().is_dir())));
    while child.try_wait().unwrap().is_none() && !started() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // On a busy machine the run may be over before the signal; then there is nothing to stop.
    if child.try_wait().unwrap().is_none() {
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    if signal == "TERM" && !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("engine train resume=run goes on"), "{message}");
    }
}

#[test]
fn the_doctor_finds_the_machine_and_tests_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let found = json(here, &["doctor", "--json", "device=cpu", "threads=1"]);
    assert_eq!((&found["self_test"]["device"], &found["threads"]), (&"cpu".into(), &1.into()));
    let families = found["self_test"]["families"].as_array().unwrap();
    assert!(families.iter().any(|f| f["family"] == "attention"));
    for family in families {
        assert!(family["fault"].is_null() && family["error"].as_f64().unwrap() <= 1.0, "{family}");
    }
    assert!(found["disks"].as_array().unwrap().iter().all(|disk| disk["free"].is_u64() != cfg!(not(unix))));
    if found["gpu"].is_null() {
        let why = found["no_gpu"].as_str().unwrap();
        let text = stdout(here, &["doctor"]);
        assert!(text.contains(why) && text.contains("self-test on cpu, single against double precision"), "{text}");
        refused(here, &["doctor", "device=cuda"], 3, "device=cuda");
    } else {
        assert!(stdout(here, &["doctor", "device=cuda"]).contains("self-test on cuda, against the CPU"));
    }
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "it writes nothing");
}

#[test]
fn arms_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let arms = json(folder.path(), &["arms", "--json"]);
    let a4r = arms.as_array().unwrap().iter().find(|arm| arm["arm"] == "a4r").unwrap();
    assert_eq!(a4r["parameters"]["total"], 78_596_608);
    assert!((a4r["gflop"]["training"].as_f64().unwrap() / 198.0 - 1.0).abs() < 0.15, "{a4r}");
    let all = stdout(folder.path(), &["arms"]);
    assert!(
        all.contains("78,596,608") && all.contains("82.0 (cosine-30, 30 ep.)") && all.contains("80.7 ± 1.9"),
        "{all}"
    );
    for (group, size) in [("all13", 13), ("ALL24", 24)] {
        assert_eq!(json(folder.path(), &["arms", group, "--json"]).as_array().unwrap().len(), size);
    }
    refused(folder.path(), &["arms", "a4rr"], 2, "the nearest is `a4r`");
    refused(folder.path(), &["arms", "a4r", "epoch=3"], 2, "the nearest is `epochs`");
}

#[test]
fn an_arm_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = stdout(here, &["arms", "A4R"]);
    for part in [
        "[96000]",
        "[2400, 1024]",
        "inject A4 [188, 8]",
        "[188, 1024]",
        "[256]",
        "LayerNorm(Q + attention(Q, F)) (section 3.5, eq. 9)",
        "78,596,608",
        "best at epoch 29",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let small = json(here, &["arms", "a4r", "preset=small", "--json"]);
    assert_eq!(small["stages"]["audio"][3]["shape"], "[188, 128]");
    let own = json(here, &["arms", "audio=a7:reverse", "midi=d4:concat", "--json"]);
    assert!(
        own["arm"] == "a7-reverse+d4-concat" && own["paper"].is_null() && own["midi"]["descriptor"] == "D4",
        "{own}"
    );
    for (arm, note) in [
        ("film-a4", "γ and β learn constants"),
        ("a8", "cancels the onset gate"),
        ("d4a4cm", "both sides of a pair are needed"),
        ("t3-anc", "no term between audio and MIDI"),
        ("d4a4-shuffled", "those of another sample"),
    ] {
        let text = stdout(here, &["arms", arm]);
        assert!(text.contains(note), "{arm}: {text}");
    }
}

#[test]
fn a_recording_and_its_midi_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    stdout(here, &["data", "synth", "size=tiny", "out=corpus"]);
    for (extension, descriptor) in [("wav", "a4"), ("midi", "d4")] {
        let file = walk(&here.join("corpus")).into_iter().find(|path| path.extension().is_some_and(|e| e == extension));
        let file = file.unwrap().to_str().unwrap().to_string();
        let found = json(here, &["describe", &file, "out=pictures", "--json"]);
        assert_eq!(found["descriptor"], descriptor);
        for end in ["npy", "png"] {
            assert!(here.join("pictures").join(format!("{descriptor}.{end}")).is_file());
        }
    }
    refused(here, &["describe", "corpus/maestro-v3.0.0.csv"], 3, "maestro-v3.0.0.csv");
}
