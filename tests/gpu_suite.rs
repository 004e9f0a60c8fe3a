//! `tools/gpu-suite` keeps its promises whatever its programs do: it goes on after one that fails or never ends, stays within its time,
//! and writes down what happened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether there is Python to run the tools with; says so where there is none.
fn python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED (visible): no python3");
    }
    found
}

#[test]
fn the_benchmarks_page_says_what_the_results_say() {
    if python() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/benchmarks-table");
        let checked = Command::new(table).arg("--check").output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn a_program_that_fails_or_never_ends_spoils_nothing_else() {
    if !python() {
        return;
    }
    let (programs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of = programs.path();
    program(of, "engine", "echo healthy");
    program(of, "test-lib", "echo 'test a::cuda_b ... ok'");
    // The child outlives its parent unless the whole family is stopped.
    program(of, "test-ops", "echo 'test cuda_c ... ok'; sleep 60");
    program(of, "test-cuda", "echo 'test cuda_d ... FAILED'; exit 101");
    program(of, "bench-step", r#"while [ "$1" != --json ]; do shift; done; echo '{"rows": []}' > "$2""#);
    program(of, "bench-kernels", "echo broken >&2; exit 1");
    let began = Instant::now();
    let run = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gpu-suite"))
        .args(["--dry", "--seconds", "6", "kernels", "doctor", "step", "tests", "--programs"])
        .arg(of)
        .env("OUT", out.path())
        .output()
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(1), "{said}");
    let written: Vec<_> = fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(written.len(), 1);
    let result: Value = serde_json::from_slice(&fs::read(&written[0]).unwrap()).unwrap();
    let parts = result["parts"].as_object().unwrap();
    let outcomes: Vec<_> = parts.iter().map(|(name, part)| (name.as_str(), part["status"].as_str().unwrap())).collect();
    assert_eq!(outcomes, [("doctor", "passed"), ("tests", "failed"), ("step", "passed"), ("kernels", "failed")]);
    assert_eq!(parts["tests"]["of"]["test-ops"]["status"], "overran");
    assert_eq!(parts["tests"]["of"]["test-ops"]["tests"]["cuda_c"], "ok");
    assert_eq!(parts["tests"]["of"]["test-cuda"]["tests"]["cuda_d"], "FAILED");
    assert_eq!(parts["step"]["data"]["rows"], Value::Array(Vec::new()));
    assert!(parts["kernels"]["output"].as_str().unwrap().contains("broken"));
    assert!(result["commit"].is_string() && result["dry"] == true);
}
