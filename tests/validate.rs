//! `engine validate` from end to end: a small model is trained, questioned, questioned again, and what cannot be questioned is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use descant::train::tensor_file::{self, NamedTensor};
use serde_json::Value;

fn engine(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engine")).args(arguments).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn answer(folder: &Path, arguments: &[&str]) -> Value {
    let output = engine(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let output = engine(folder, arguments);
    let message = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(parts.iter().all(|part| message.contains(part)), "{arguments:?}: {message}");
}

fn trained(folder: &Path, arm: &str, out: &str) {
    let (arm, out) = (format!("arm={arm}"), format!("out={out}"));
    let rest = ["preset=tiny", "seed=1", "data.synth=tiny", "data.synth_dir=corpus", "max_steps=3", "device=cpu"];
    let output = engine(folder, &[&["train", &arm, &out], &rest[..]].concat());
    assert!(output.status.success(), "{}", said(&output));
}

/// Row `quantity` of table `id` in what test `number` found.
fn ours(answer: &Value, number: &str, id: &str, quantity: &str) -> f64 {
    let named = |list: &Value, key: &str, name: &str| {
        let found = list.as_array().unwrap().iter().find(|entry| entry[key] == name);
        found.unwrap_or_else(|| panic!("{name} in {list:#}")).clone()
    };
    let test = named(&answer[0]["tests"], "test", number);
    let table = named(&test["findings"]["tables"], "id", id);
    named(&table["rows"], "quantity", quantity)["ours"].as_f64().unwrap()
}

#[test]
fn a_run_is_questioned_once_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "d4-a4r", "runs/d4-a4r-1");
    let ask = ["validate", "runs/d4-a4r-1", "device=cpu", "pairs=24", "map_pairs=24", "--json"];
    let first = answer(folder, &ask);
    let tests = first[0]["tests"].as_array().unwrap();
    assert!(tests.iter().all(|test| test["findings"].is_object() || test["skipped"].is_string()), "{first:#}");

    let s = ours(&first, "12", "scoreboard", "S");
    let evaluated = answer(folder, &["eval", "runs/d4-a4r-1", "device=cpu", "--json"]);
    assert_eq!(s, evaluated["model"]["s"]["value"].as_f64().unwrap());
    assert_eq!(s, ours(&first, "04", "transposition", "0"), "nothing is shifted by 0 semitones");
    for quantity in ["A4, zero", "A4, noise", "A4, shuffle", "D4, zero", "D4, noise", "D4, shuffle"] {
        assert!(ours(&first, "01", "causal", quantity).abs() <= s.max(1.0 - s), "{quantity}");
    }
    let cka = ours(&first, "06", "alignment", "CKA, mean");
    assert!((0.0..=1.0).contains(&cka), "{cka}");
    assert!(ours(&first, "08", "bands", "band 0 (47–94 Hz)") > 0.0);

    let report = folder.join("runs/d4-a4r-1/report");
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    // Namespaces are names, and nothing is loaded from them.
    let addresses = page.replace("http://www.w3.org/", "");
    assert!(page.contains("d4-a4r") && !addresses.contains("http://") && !addresses.contains("https://"));
    assert!(page.len() < 5 << 20, "{} bytes", page.len());
    for file in ["tables/causal.csv", "figures/transposition.svg", "figures/transposition.png", "validation/01.json"] {
        assert!(report.join(file).is_file(), "{file}");
    }

    // The same question is answered from what is kept; a changed model is asked anew.
    let again = engine(folder, &ask);
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), first);
    assert!(said(&again).contains("as found before"), "{}", said(&again));
    let more = engine(folder, &[&ask[..], &["tests=12", "eval.pool=32"]].concat());
    assert!(!said(&more).contains("as found before"), "{}", said(&more));
}

#[test]
fn what_cannot_be_questioned_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "a4r", "runs/a4r-1");
    let ask = |run: &str, more: &[&str], code: i32, parts: &[&str]| {
        refused(folder, &[&["validate", run, "device=cpu"], more].concat(), code, parts);
    };
    ask("runs/a4r-1", &["tests=99"], 2, &["expected numbers of", "99"]);
    ask("runs/none", &[], 3, &["runs/none/config.json"]);
    ask("runs/a4r-1", &["seed=4"], 2, &["settled when the run began"]);

    // A configuration of another arm than the model's.
    let config = folder.join("runs/a4r-1/config.json");
    let own = fs::read_to_string(&config).unwrap();
    fs::write(&config, own.replace("\"arm\": \"a4r\"", "\"arm\": \"d4a4\"")).unwrap();
    ask("runs/a4r-1", &[], 3, &["model.safetensors", "metadata arm", "expected d4a4", "a4r"]);
    fs::write(&config, &own).unwrap();

    // A model without one of its tensors.
    let model = folder.join("runs/a4r-1/model.safetensors");
    let file = tensor_file::read(&model).unwrap();
    let kept = file.tensors.iter().filter(|(name, _)| *name != "audio.inj.inp.weight");
    let tensors: Vec<NamedTensor> =
        kept.map(|(name, tensor)| NamedTensor { name, shape: &tensor.shape, data: &tensor.data }).collect();
    let metadata: BTreeMap<String, String> = file.metadata.clone().into_iter().collect();
    fs::remove_file(&model).unwrap();
    tensor_file::write(&model, &tensors, &metadata).unwrap();
    ask("runs/a4r-1", &[], 3, &["model.safetensors", "audio.inj.inp.weight"]);
}

#[test]
fn a_split_without_segments_is_refused_and_one_piece_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "a4r", "runs/a4r-1");
    let table = folder.join("corpus/maestro-v3.0.0.csv");
    let all = fs::read_to_string(&table).unwrap();

    let without_test: Vec<&str> = all.lines().filter(|line| !line.contains(",test,")).collect();
    fs::write(&table, without_test.join("\n") + "\n").unwrap();
    refused(folder, &["validate", "runs/a4r-1", "device=cpu", "data=corpus"], 3, &["0 in the test split", "split="]);

    // One piece of one composer: retrieval works, what must split by piece says why it cannot.
    let mut tests = 0;
    let one: Vec<&str> = all
        .lines()
        .filter(|line| {
            !line.contains(",test,") || {
                tests += 1;
                tests == 1
            }
        })
        .collect();
    fs::write(&table, one.join("\n") + "\n").unwrap();
    let found =
        answer(folder, &["validate", "runs/a4r-1", "device=cpu", "data=corpus", "tests=03,12", "pairs=24", "--json"]);
    let probes = found[0]["tests"].as_array().unwrap().iter().find(|test| test["test"] == "03").unwrap().to_string();
    assert!(probes.contains("piece"), "{probes}");
}
