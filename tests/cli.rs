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
    refused(here, &["arm"], 2, "'arms'");
    refused(here, &["data", "synth", "sead=3"], 2, "unknown key `sead`; the nearest is `seed`");
    refused(here, &["data", "synth", "size=huge"], 2, "size: expected default|tiny; found `huge`");
    refused(here, &["data", "check", "nowhere"], 3, "nowhere");
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "a refused command leaves nothing behind");
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
    let table = stdout(here, &["arms", "--keys"]);
    let list = json(here, &["arms", "--keys", "--json"]);
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
        .args(["arms", "--keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
