//! Sweeps on a real SLURM of one node, this machine, which the test starts (`tools/slurm-node`) and stops; skipped where its programs
//! are absent.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use descant::train::checkpoint::load_model;
use serde_json::Value;

/// Long for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

/// The cluster; dropped, it ends with all its jobs.
struct Node {
    folder: PathBuf,
    configuration: String,
}

impl Node {
    const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/slurm-node");

    /// `None` where SLURM is not installed.
    fn start(folder: &Path) -> Option<Node> {
        fs::create_dir_all(folder).unwrap();
        let (said, log) = (folder.join("start.out"), folder.join("start.log"));
        let status = Command::new(Node::TOOL)
            .arg("start")
            .arg(folder)
            .stdin(Stdio::null())
            // Files: the daemons keep them open.
            .stdout(File::create(&said).unwrap())
            .stderr(File::create(&log).unwrap())
            .status()
            .unwrap();
        let [said, log] = [said, log].map(|path| fs::read_to_string(path).unwrap().trim().to_string());
        if status.code() == Some(77) {
            // Not by println!, which a test that passes keeps to itself.
            let told = format!("SKIPPED (visible): SLURM is not installed ({log})\n");
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return None;
        }
        assert!(status.success(), "{log}");
        Some(Node { folder: folder.to_path_buf(), configuration: said })
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("SLURM_CONF", &self.configuration)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// One of SLURM's programs, which must succeed.
    fn slurm(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", stderr(&output));
    }

    fn engine(&self, arguments: &[String]) -> Output {
        self.command(env!("CARGO_BIN_EXE_engine"), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `engine sweep launcher=slurm` over `grid` into `sweep`.
    fn submit(&self, sweep: &Path, grid: &[&str]) -> Output {
        let out = format!("out={}", sweep.display());
        let own = ["sweep", "launcher=slurm", "slurm.cpus=1", "slurm.time=60", "slurm.grace=20", &out];
        self.engine(&own.iter().chain(grid).map(|text| text.to_string()).collect::<Vec<_>>())
    }

    /// The cells as `engine sweep status` tells of them.
    fn status(&self, sweep: &Path) -> Vec<Value> {
        let told = self.engine(&["sweep", "status", &sweep.display().to_string(), "--json"].map(String::from));
        let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{}", stderr(&told)));
        told["cells"].as_array().unwrap().clone()
    }

    /// Asks for the status until the cells are as they should be.
    fn until(&self, sweep: &Path, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let cells = self.status(sweep);
            if holds(&cells) {
                return cells;
            }
            assert!(began.elapsed() < PATIENCE, "never {what}: {cells:#?}\n{}", logs(sweep));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.command(Node::TOOL, &["stop", &self.folder.display().to_string()]);
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All that the cells, their jobs and SLURM have said.
fn logs(sweep: &Path) -> String {
    let files = [sweep.to_path_buf(), sweep.join("slurm"), sweep.with_file_name("node")]
        .map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let said = |path: &Path| path.extension().is_some_and(|end| end == "log" || end == "out" || end == "journal");
    let paths = files.into_iter().flatten().map(|entry| entry.path()).filter(|path| said(path));
    paths.map(|path| format!("-- {}\n{}", path.display(), fs::read_to_string(&path).unwrap_or_default())).collect()
}

fn state(cell: &Value) -> &str {
    cell["state"].as_str().unwrap()
}

fn all(expected: &str) -> impl Fn(&[Value]) -> bool {
    move |cells| cells.iter().all(|cell| state(cell) == expected)
}

/// Names of the arrays' scripts.
fn scripts(sweep: &Path) -> usize {
    let names = fs::read_dir(sweep.join("slurm")).into_iter().flatten().flatten().map(|entry| entry.path());
    names.filter(|path| path.extension().is_some_and(|end| end == "sh")).count()
}

/// Cells of a few small steps, on a corpus in `folder`.
fn small(folder: &Path) -> Vec<String> {
    let mut settings: Vec<String> =
        ["preset=tiny", "data.synth=tiny", "batch=2", "eval.every=0", "device=cpu", "log.every=1", "arm=d0"]
            .map(String::from)
            .to_vec();
    settings.push(format!("data.synth_dir={}", folder.join("corpus").display()));
    settings.push(format!("data.cache={}", folder.join("cache").display()));
    settings
}

fn with<'a>(small: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    small.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn cells_are_trained_stopped_queued_again_and_accounted_for_by_a_real_cluster() {
    let temp = tempfile::tempdir().unwrap();
    let Some(node) = Node::start(&temp.path().join("node")) else { return };
    let small = small(temp.path());

    let steps = interrupted(&node, temp.path(), &small);
    several(&node, temp.path(), &small);

    // What was stopped twice has the same bytes as what never was.
    let plain = temp.path().join("plain");
    let settings = [format!("max_steps={steps}"), "epochs=100000".into(), "seed=1".into(), "threads=1".into()];
    let run = [vec!["train".into(), format!("out={}", plain.display())], small, settings.to_vec()].concat();
    let made = node.engine(&run);
    assert!(made.status.success(), "{}", stderr(&made));
    let [expected, got] =
        [plain, sweep_of(temp.path(), steps).join("d0-1")].map(|run| load_model(&run).unwrap().tensors.tensors);
    assert_eq!(expected.keys().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>());
    for (name, tensor) in &expected {
        let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&tensor.data) == bits(&got[name].data), "{name}");
    }
}

fn sweep_of(folder: &Path, steps: usize) -> PathBuf {
    folder.join(format!("long {steps}"))
}

/// A cell that is cancelled, submitted again, told to make way, queued again and done; with so many steps that it was not done before.
fn interrupted(node: &Node, folder: &Path, small: &[String]) -> usize {
    for steps in [20, 100, 500, 2500] {
        let sweep = sweep_of(folder, steps);
        let limit = format!("max_steps={steps}");
        let grid = with(small, &["seed=1", "epochs=100000", &limit]);
        let resume = format!("resume={}", sweep.display());
        let trained = |since: &str| {
            let log = fs::read_to_string(sweep.join("d0-1.log")).unwrap_or_default();
            let metrics = fs::read_to_string(sweep.join("d0-1/metrics.jsonl")).unwrap_or_default();
            log.contains(since) && metrics.contains("\"loss\"")
        };
        let submitted = node.submit(&sweep, &grid);
        assert!(submitted.status.success(), "{}", stderr(&submitted));
        assert!(stderr(&submitted).contains("the jobs stay with SLURM whatever becomes of this terminal"));

        // Cancelled: saved, and left alone until it is asked for.
        let cells = node.until(&sweep, "trained", |cells| trained("") || state(&cells[0]) == "done");
        node.command("scancel", &[cells[0]["job"].as_str().unwrap()]);
        let ended = node.until(&sweep, "ended", |cells| ["stopped", "done"].contains(&state(&cells[0])));
        if state(&ended[0]) == "done" {
            continue;
        }
        assert_eq!(ended[0]["reason"], "cancelled", "{}", logs(&sweep));
        assert!(sweep.join("d0-1/checkpoints").is_dir(), "{}", logs(&sweep));

        // Told to make way: saved, and back in the queue.
        assert!(node.submit(&sweep, &grid).status.success());
        assert_eq!(scripts(&sweep), 2);
        let cells =
            node.until(&sweep, "going on", |cells| trained("going on after step") || state(&cells[0]) == "done");
        let job = cells[0]["job"].as_str().unwrap();
        assert_ne!(job, ended[0]["job"].as_str().unwrap());
        node.command("scancel", &["--batch", "--signal=USR1", job]);
        let left = node.until(&sweep, "left", |cells| ["requeued", "done"].contains(&state(&cells[0])));
        if state(&left[0]) == "done" {
            continue;
        }

        // As long as SLURM has it nobody else takes it.
        node.until(&sweep, "back in the queue", |cells| cells[0]["reason"].is_string());
        let again = node.submit(&sweep, &grid);
        assert!(again.status.success() && stderr(&again).contains("nothing to submit"), "{}", stderr(&again));
        let local = node.engine(&["sweep".into(), resume]);
        assert!(local.status.code() == Some(1) && stderr(&local).contains("1 with SLURM"), "{}", stderr(&local));
        assert_eq!(scripts(&sweep), 2);

        // SLURM waits two minutes before it starts such a job again. In the second in which it was ended its credential counts as
        // revoked, and a new start would fail.
        node.slurm("scontrol", &["update", &format!("JobId={job}"), "StartTime=now+2"]);
        let done = node.until(&sweep, "done", all("done"));
        assert_eq!(done[0]["job"].as_str(), Some(job));
        let journal = fs::read_to_string(sweep.join("d0-1.journal")).unwrap();
        let words: Vec<&str> = journal.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(words, ["begun", "stopped", "begun", "stopped", "begun", "ended"], "{journal}");
        return steps;
    }
    panic!("2500 steps were over before a signal came");
}

/// Several cells side by side, some of which fail.
fn several(node: &Node, folder: &Path, small: &[String]) {
    let (sweep, start) = (folder.join("several"), folder.join("start.safetensors"));
    let init = format!("init={}", start.display());
    // Accounting samples memory every second: of a job that ends sooner it may know none.
    let lasting = "slurm.setup=sleep 3";
    let grid = with(small, &["max_steps=2", "init=none", &init, "seed=1,2", "slurm.max_parallel=2", lasting]);
    let names = ["d0-1-init=none", "d0-2-init=none", "d0-1-init=start.safetensors", "d0-2-init=start.safetensors"];

    let dry = node.submit(&sweep, &with(&grid.iter().map(|text| text.to_string()).collect::<Vec<_>>(), &["dry=true"]));
    let shown = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(dry.status.success() && !sweep.exists(), "{}", stderr(&dry));
    assert!(shown.contains("#SBATCH --array=0-3%2\n") && names.iter().all(|name| shown.contains(name)), "{shown}");
    let refused = node.submit(&sweep, &[grid.as_slice(), &["slurm.partition=nowhere"]].concat());
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("invalid partition specified: nowhere"), "{}", stderr(&refused));
    assert!(node.status(&sweep).iter().all(|cell| state(cell) == "pending" && cell["job"].is_null()));

    let submitted = node.submit(&sweep, &grid);
    assert!(submitted.status.success(), "{}", stderr(&submitted));
    let ended = |cells: &[Value]| cells.iter().all(|cell| ["done", "failed"].contains(&state(cell)));
    let cells = node.until(&sweep, "ended", ended);
    for (cell, name) in cells.iter().zip(names) {
        assert_eq!(cell["name"], name);
        if name.ends_with("none") {
            assert!(state(cell) == "done" && cell["s"].is_f64(), "{cell} {}", logs(&sweep));
        } else {
            let reason = cell["reason"].as_str().unwrap();
            assert!(reason.starts_with("exit code 3: error: ") && reason.contains("start.safetensors"), "{reason}");
        }
    }
    // Memory is known by accounting alone, and some time after a job ended.
    // It is waited for of all cells: below nothing may be left to learn of them.
    let known = |cells: &[Value]| cells.iter().all(|cell| cell["peak_bytes"].as_u64() > Some(1 << 20));
    let cells = node.until(&sweep, "accounted for", known);
    assert!(cells[..2].iter().all(|cell| cell["wall_seconds"].as_f64() > Some(0.0)));

    let account = fs::read(sweep.join("sweep.json")).unwrap();
    let again = node.submit(&sweep, &grid);
    assert!(again.status.code() == Some(1) && stderr(&again).contains("nothing to submit"), "{}", stderr(&again));
    assert_eq!(account, fs::read(sweep.join("sweep.json")).unwrap());
    assert_eq!(scripts(&sweep), 2, "that of the refused array, and one more");

    fs::copy(sweep.join("d0-1-init=none/model.safetensors"), &start).unwrap();
    let retried = node.submit(&sweep, &[grid.as_slice(), &["retry=true"]].concat());
    assert!(retried.status.success(), "{}", stderr(&retried));
    assert!(fs::read_to_string(sweep.join("slurm/3.sh")).unwrap().contains("--array=0-1%2\n"));
    node.until(&sweep, "done", all("done"));
    let table = node.engine(&["table".into(), "screening".into(), sweep.display().to_string()]);
    assert!(table.status.success(), "{}", stderr(&table));
}

#[test]
fn where_there_is_no_slurm_that_is_said_before_anything_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let out = format!("out={}", temp.path().join("grid").display());
    let mut engine = Command::new(env!("CARGO_BIN_EXE_engine"));
    let refused = engine.args(["sweep", "launcher=slurm", &out]).env("PATH", temp.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("SLURM: sbatch: expected its programs on the PATH"), "{}", stderr(&refused));
    assert!(!temp.path().join("grid").exists());
}
