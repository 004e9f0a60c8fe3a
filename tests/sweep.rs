//! Sweeps through the binary: cells in processes of their own, and what is left after a failure or a stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use descant::train::checkpoint::load_model;
use serde_json::Value;

/// Settings that train for two steps on a corpus that all tests share.
fn small() -> Vec<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut settings: Vec<String> =
        ["preset=tiny", "data.synth=tiny", "max_steps=2", "eval.every=0", "device=cpu"].map(String::from).to_vec();
    settings.push(format!("data.synth_dir={}", folder.join("sweep-corpus").display()));
    settings.push(format!("data.cache={}", folder.join("sweep-cache").display()));
    settings
}

fn engine(verb: &str, settings: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.arg(verb).args(settings).stdin(Stdio::null());
    command
}

/// A plain run of arm d0 with seed 1 in a folder of its own, made once.
fn plain() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let run = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sweep-plain");
        let _ = fs::remove_dir_all(&run);
        let out = format!("out={}", run.display());
        let done = engine("train", &[small(), vec!["arm=d0".into(), "seed=1".into(), out]].concat()).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        run
    })
}

fn sweep(settings: &[&str]) -> Output {
    engine("sweep", &settings.iter().map(|text| text.to_string()).collect::<Vec<_>>()).output().unwrap()
}

/// A sweep of small cells over `grid` into `folder`.
fn small_sweep(folder: &Path, grid: &[&str]) -> Output {
    plain();
    let out = format!("out={}", folder.display());
    engine("sweep", &[small(), grid.iter().map(|text| text.to_string()).collect(), vec![out]].concat())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn cells(folder: &Path) -> Vec<Value> {
    let account: Value = serde_json::from_slice(&fs::read(folder.join("sweep.json")).unwrap()).unwrap();
    account["cells"].as_array().unwrap().clone()
}

/// (name, state) of every cell.
fn states(folder: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    cells(folder).iter().map(|cell| (text(&cell["name"]), text(&cell["state"]))).collect()
}

fn written(folder: &Path, name: &str) -> SystemTime {
    fs::metadata(folder.join(name).join("model.safetensors")).unwrap().modified().unwrap()
}

#[test]
fn cells_equal_plain_runs_and_are_made_once() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("grid");
    let grid = ["arm=d0,a4r", "seed=1..2"];
    let names = ["d0-1", "d0-2", "a4r-1", "a4r-2"];

    let dry = small_sweep(&folder, &[grid.as_slice(), &["dry=true"]].concat());
    assert!(dry.status.success());
    let shown = String::from_utf8_lossy(&dry.stdout);
    assert!(shown.contains("GFLOP/step") && names.iter().all(|name| shown.contains(name)), "{shown}");
    assert!(!folder.exists(), "a dry sweep writes nothing");

    let made = small_sweep(&folder, &[grid.as_slice(), &["jobs=2"]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    assert_eq!(states(&folder), names.map(|name| (name.to_string(), "done".to_string())));
    for cell in cells(&folder) {
        let s = cell["s"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&s) && cell["wall_seconds"].as_f64().unwrap() > 0.0);
        assert!(
            fs::read_to_string(folder.join(format!("{}.log", cell["name"].as_str().unwrap()))).unwrap().len() > 100
        );
    }
    let [expected, got] = [plain(), &folder.join("d0-1")].map(|run| load_model(run).unwrap().tensors.tensors);
    assert_eq!(expected.keys().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>());
    for (name, tensor) in &expected {
        let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&tensor.data) == bits(&got[name].data), "{name}");
    }

    let before = names.map(|name| written(&folder, name));
    let account = fs::read(folder.join("sweep.json")).unwrap();
    let again = small_sweep(&folder, &[grid.as_slice(), &["--json"]].concat());
    assert!(again.status.success(), "{}", stderr(&again));
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(told["cells"].as_array().unwrap().len(), 4);
    assert!(sweep(&[&format!("resume={}", folder.display())]).status.success());
    let status = engine("sweep", &["status".into(), folder.display().to_string()]).output().unwrap();
    assert!(status.status.success() && String::from_utf8_lossy(&status.stdout).contains("a4r-2  done"));
    assert_eq!(before, names.map(|name| written(&folder, name)), "done cells are left alone");
    assert_eq!(account, fs::read(folder.join("sweep.json")).unwrap());

    let other = small_sweep(&folder, &["arm=d0,a4r", "seed=1..3"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("another grid"), "{}", stderr(&other));
    let table = engine("table", &["screening".into(), folder.display().to_string()]).output().unwrap();
    assert!(table.status.success(), "{}", stderr(&table));
}

#[test]
fn a_cell_that_fails_says_why_and_is_tried_again_on_request() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, file) = (temp.path().join("grid"), temp.path().join("start.safetensors"));
    let init = format!("init={}", file.display());
    let names = ["d0-1-init=start.safetensors", "d0-1-init=none"];
    let made = small_sweep(&folder, &["arm=d0", "seed=1", &init, "init=none"]);
    assert_eq!(made.status.code(), Some(1), "{}", stderr(&made));
    let expected =
        |first: &str| [(names[0].to_string(), first.to_string()), (names[1].to_string(), "done".to_string())];
    assert_eq!(states(&folder), expected("failed"));
    let reason = cells(&folder)[0]["reason"].as_str().unwrap().to_string();
    assert!(reason.starts_with("exit code 3: error: ") && reason.contains("start.safetensors"), "{reason}");
    assert!(String::from_utf8_lossy(&made.stdout).contains(&reason));

    let resume = format!("resume={}", folder.display());
    fs::copy(plain().join("model.safetensors"), &file).unwrap();
    assert_eq!(sweep(&[&resume]).status.code(), Some(1));
    assert_eq!(states(&folder), expected("failed"));
    let retried = sweep(&[&resume, "retry=true", "jobs=auto"]);
    assert!(retried.status.success(), "{}", stderr(&retried));
    assert!(stderr(&retried).contains("GiB is the most that a cell has held"), "{}", stderr(&retried));
    assert_eq!(states(&folder), expected("done"));
}

#[test]
fn a_signal_stops_the_cells_and_the_next_sweep_goes_on_with_them() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("grid");
    plain();
    let out = format!("out={}", folder.display());
    // Steps without end, so that it is the signal that ends them.
    let endless = ["arm=d0", "seed=1,2", "epochs=100000", "max_steps=0", "log.every=1"].map(String::from).to_vec();
    // A key named twice would add its values.
    let small: Vec<String> = small().into_iter().filter(|setting| !setting.starts_with("max_steps=")).collect();
    let begin = [small, endless, vec![out]].concat();
    let goes_on = vec![format!("resume={}", folder.display())];
    for (settings, until) in [(begin, folder.join("d0-1/metrics.jsonl")), (goes_on, folder.join("d0-1.log"))] {
        let mut child = engine("sweep", &settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        let ready = || {
            let text = fs::read_to_string(&until).unwrap_or_default();
            if until.ends_with("d0-1.log") { text.contains("going on after step") } else { text.contains("\"loss\"") }
        };
        while !ready() {
            assert!(began.elapsed() < Duration::from_secs(120), "the cell never got going");
            std::thread::sleep(Duration::from_millis(20));
        }
        let second = engine("sweep", &[format!("resume={}", folder.display())]).output().unwrap();
        assert_eq!(second.status.code(), Some(2), "two sweeps at once: {}", stderr(&second));
        let kill = format!("kill -TERM {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let expected = [("d0-1", "stopped"), ("d0-2", "pending")].map(|(name, state)| (name.into(), state.into()));
        assert_eq!(states(&folder), expected);
        assert!(folder.join("d0-1/checkpoints").is_dir() && !folder.join("d0-2").exists());
    }
}

#[test]
fn wrong_usage_is_refused_before_anything_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let out = format!("out={}", temp.path().join("grid").display());
    for (settings, said) in [
        (vec!["seed=1,2"], "out=…"),
        (vec!["seeds=1,2", &out], "the nearest is `seed`"),
        (vec!["seed=1,2", "resume=somewhere"], "brings its own grid"),
        (vec!["jobs=0", &out], "jobs: expected auto or integer"),
        (vec!["slurm.time=a b", &out], "slurm.time: expected one word"),
        (vec!["slurm.tim=1", &out], "the nearest is `slurm.time`"),
    ] {
        let refused = sweep(&settings);
        assert_eq!(refused.status.code(), Some(2));
        assert!(stderr(&refused).contains(said), "{}", stderr(&refused));
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}
