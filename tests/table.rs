//! `engine table` and `engine schedule` from end to end, on run folders made up for the purpose.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn engine(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engine")).args(arguments).current_dir(folder).output().unwrap()
}

fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = engine(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &[&str], code: i32, part: &str) {
    let output = engine(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(message.contains(part) && output.stdout.is_empty(), "{arguments:?}: {message}");
}

/// Writes a run of `arm` with `settings` beside the defaults, of whose 500 queries `hits` find their match in the worse direction.
fn run(folder: &Path, arm: &str, settings: Value, hits: usize) {
    std::fs::create_dir_all(folder.join("report")).unwrap();
    let mut config = json!({ "preset": "small", "arm": arm, "seed": 1, "epochs": 5, "data": "/somewhere/corpus" });
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("report/test.json"), evaluation(arm, hits).to_string()).unwrap();
    let line = |epoch: usize, s: f64| {
        json!({ "kind": "eval", "split": "validation", "step": 100 * epoch, "epoch": epoch as f64, "s": s }).to_string()
    };
    std::fs::write(folder.join("metrics.jsonl"), [line(4, 0.8), line(5, 0.7)].join("\n") + "\n").unwrap();
}

fn evaluation(arm: &str, hits: usize) -> Value {
    let chance = |share: f64| {
        json!({ "recall_at_1": 0.004, "recall_at_5": 0.02, "recall_at_10": share, "mrr": 0.02, "median_rank": 128.5,
            "hard_negatives_won": 0.5, "semi_hard_negatives_won": 0.5 })
    };
    let system = |name: &str, hits: usize| {
        let (share, reach) = (hits as f64 / 500.0, 0.04);
        let interval = |x: f64| json!({ "value": x, "low": x - reach, "high": x + reach });
        let direction = json!({ "recall_at_1": interval(0.2), "recall_at_5": interval(0.4), "recall_at_10": interval(share),
            "mrr": interval(0.3), "median_rank": interval(4.0), "hard_negatives_won": interval(0.9),
            "semi_hard_negatives_won": { "value": null, "low": null, "high": null } });
        // Hits spread over the queries, so that two systems share most of theirs as trained models do.
        let ranks: Vec<&str> = (0..500).map(|query| if query * 197 % 500 < hits { "3" } else { "40" }).collect();
        json!({ "name": name, "s": interval(share), "audio_to_midi": direction, "midi_to_audio": direction,
            "s_random": interval(share), "tied": 0.0, "ranks": { "audio_to_midi": ranks.join(" "), "midi_to_audio": ranks.join(" ") } })
    };
    json!({
        "protocol": { "queries": 500, "pool": 256, "hard": 64, "semi_hard": 32, "seed": 42 },
        "segments": 1834, "performances": 16, "pieces": 11, "composers": 7, "queries": 500, "pool": 256,
        "shortage": { "hard": 0, "semi_hard": 0 }, "pools": "0123456789abcdef",
        "chance": { "s": 0.0390625, "audio_to_midi": chance(0.0390625), "midi_to_audio": chance(0.0390625) },
        "model": system(arm, hits), "baselines": [system("pitch classes", 445), system("pitch classes × 8", 500)],
    })
}

/// The row of `arm` in a JSON table.
fn row<'a>(table: &'a Value, arm: &str) -> &'a Value {
    table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["arm"] == arm)
        .unwrap_or_else(|| panic!("{arm} in {table:#}"))
}

fn warned(table: &Value, parts: &[&str]) -> bool {
    let warnings = table["warnings"].as_array().unwrap();
    warnings.iter().any(|warning| parts.iter().all(|part| warning.as_str().unwrap().contains(part)))
}

#[test]
fn a_screening_ranks_arms_beside_d0_and_the_paper_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (arm, hits) in [("d0", 301), ("d4a4", 349), ("a4r", 343), ("d4", 303)] {
        run(&here.join(arm), arm, json!({}), hits);
    }
    let table: Value =
        serde_json::from_str(&stdout(here, &["table", "screening", "d0", "d4a4", "a4r", "d4", "--json"])).unwrap();
    let ranked: Vec<&str> = table["rows"].as_array().unwrap().iter().map(|row| row["arm"].as_str().unwrap()).collect();
    assert_eq!(ranked, ["d4a4", "a4r", "d4", "d0", "pitch classes", "pitch classes × 8", "chance"]);
    let best = row(&table, "d4a4");
    assert_eq!((&best["rank"], &best["s"], &best["delta"]), (&json!(1), &json!(0.698), &json!(0.096)));
    assert_eq!((&best["paper_s"], &best["paper_delta"]), (&json!(0.698), &json!(0.096)));
    let ends = |row: &Value| (row["delta_low"].as_f64().unwrap(), row["delta_high"].as_f64().unwrap());
    let (low, high) = ends(best);
    assert!(0.06 < low && low < 0.096 && 0.096 < high && high < 0.13, "query by query: {low} to {high}");
    assert!(ends(row(&table, "d4")).0 <= 0.0);
    assert_eq!((&row(&table, "d0")["delta"], &row(&table, "chance")["rank"]), (&Value::Null, &Value::Null));
    assert!(warned(&table, &["not separated from d0", ": d4."]), "{:#}", table["warnings"]);
    assert!(warned(&table, &["not separated from the next in rank", "d4 and d0"]), "{:#}", table["warnings"]);
    assert!(!warned(&table, &["more than the descriptor"]) && !warned(&table, &["seeds"]));

    let text = stdout(here, &["table", "screening", "d0", "d4a4", "a4r", "d4", "out=made"]);
    assert!(text.contains("+9.6") && text.contains("data=corpus") && !text.contains("/somewhere"), "{text}");
    let files: Vec<PathBuf> =
        ["txt", "csv", "tex", "json", "png", "svg"].map(|e| here.join(format!("made/screening.{e}"))).into();
    assert!(files.iter().all(|file| std::fs::metadata(file).unwrap().len() > 500));
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), text);
    let svg = std::fs::read_to_string(&files[5]).unwrap();
    assert!(svg.contains(">d0 60.2</text>") && svg.contains(">chance 3.9</text>") && svg.contains(">S (%)</text>"));

    let output = engine(here, &["table", "screening", "d0", "d4", "format=csv"]);
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    let names = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((&names[0], rows.len()), ("part", 5));
    let s = names.iter().position(|name| name == "s").unwrap();
    assert_eq!(&rows[0][s], "0.606");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("not separated"),
        "warnings go to stderr where stdout is data"
    );

    let latex = stdout(here, &["table", "screening", "d0", "d4a4", "format=latex"]);
    for (open, close) in [("{", "}"), ("\\begin{", "\\end{")] {
        assert_eq!(latex.matches(open).count(), latex.matches(close).count(), "{latex}");
    }
    let cells = |line: &str| line.replace("\\&", "").matches('&').count();
    let lines: Vec<&str> = latex.lines().filter(|line| line.ends_with("\\\\")).collect();
    assert!(lines.len() == 6 && lines.iter().all(|line| cells(line) == cells(lines[0])), "{latex}");
    assert!(
        latex.contains("\\toprule") && latex.contains("$\\Delta$ D0 (pp)") && latex.contains("$\\times$ 8"),
        "{latex}"
    );
    assert!(latex.is_ascii(), "{latex}");
}

#[test]
fn seeds_give_spread_effect_size_and_a_test() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut folders = Vec::new();
    for (arm, found) in [("d4a4", [407, 412, 419, 424, 438]), ("d0", [359, 367, 377, 384, 387])] {
        for (seed, hits) in found.into_iter().enumerate() {
            let name = format!("{arm}-{seed}");
            run(&here.join(&name), arm, json!({ "seed": seed }), hits);
            folders.push(name);
        }
    }
    let arguments = |kind: &'static str, folders: &[String]| -> Value {
        let mut all = vec!["table", kind, "--json"];
        all.extend(folders.iter().map(String::as_str));
        serde_json::from_str(&stdout(here, &all)).unwrap()
    };
    let table = arguments("replication", &folders);
    let (best, base) = (row(&table, "d4a4"), row(&table, "d0"));
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 5e-5;
    assert_eq!((&best["seeds"], &best["range_low"], &best["range_high"]), (&json!(5), &json!(0.814), &json!(0.876)));
    assert!(near(&best["s"], 0.84) && near(&base["s"], 0.7496) && near(&best["delta"], 0.0904), "{best}");
    assert!(near(&best["sd"], 0.02396) && near(&base["sd"], 0.02343), "{best} {base}");
    let (d, t) = (best["cohen_d"].as_f64().unwrap(), best["welch_t"].as_f64().unwrap());
    // With five seeds each, t = d·√(5/2).
    assert!((d - 3.8153).abs() < 1e-3 && (t - d * 2.5f64.sqrt()).abs() < 1e-6, "{d} {t}");
    assert!(best["welch_p"].as_f64().unwrap() < 0.001 && near(&best["welch_df"], 7.99597), "{best}");
    assert_eq!(
        (&best["paper_s"], &best["paper_sd"], &best["paper_delta"]),
        (&json!(0.84), &json!(0.027), &json!(0.088))
    );
    assert!(table["warnings"].as_array().unwrap().is_empty(), "{:#}", table["warnings"]);

    // A single run on one side: queries, not seeds, and a word about it.
    let mixed = arguments("replication", &folders[..6]);
    assert!(row(&mixed, "d4a4")["welch_t"].is_null() && row(&mixed, "d4a4")["delta_low"].as_f64().unwrap() > 0.05);
    assert!(warned(&mixed, &["arms differ in their seeds", "0 (d0)"]), "{:#}", mixed["warnings"]);
    let best_epochs = arguments("longrun", &folders);
    assert_eq!(
        (&row(&best_epochs, "d4a4")["best_epoch"], &row(&best_epochs, "d4a4")["epochs"]),
        (&json!("4"), &json!(5))
    );
}

#[test]
fn unequal_runs_are_told_apart_and_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    run(&here.join("base"), "d0", json!({ "epochs": 6 }), 301);
    run(&here.join("a"), "a4r", json!({}), 343);
    run(&here.join("own"), "a4r", json!({ "midi": "a7:concat" }), 310);
    run(&here.join("b"), "a4r", json!({ "lr": 5e-4 }), 330);
    let mut other = evaluation("a4r", 330);
    other["pools"] = json!("fedcba9876543210");
    std::fs::write(here.join("b/report/test.json"), other.to_string()).unwrap();
    let table: Value =
        serde_json::from_str(&stdout(here, &["table", "screening", "base", "a", "b", "--json"])).unwrap();
    assert!(row(&table, "a4r lr=0.001")["delta"] == json!(0.084) && row(&table, "a4r lr=0.0005")["rank"] == json!(2));
    assert!(
        warned(&table, &["more than the descriptor", "epochs = 6 (d0); 5 (a4r lr=0.001, a4r lr=0.0005)"]),
        "{table:#}"
    );
    assert!(
        warned(&table, &["more than the descriptor", "lr = "]) && warned(&table, &["evaluations differ"]),
        "{table:#}"
    );
    let own: Value = serde_json::from_str(&stdout(here, &["table", "screening", "base", "own", "--json"])).unwrap();
    let own = &own["rows"][0];
    assert!(own["descriptor"] == "A7 + A4" && own["paper_s"].is_null() && own["delta"] == json!(0.018), "{own:#}");
    let without: Value = serde_json::from_str(&stdout(here, &["table", "families", "a", "--json"])).unwrap();
    assert!(warned(&without, &["no run of d0"]) && row(&without, "a4r")["delta"].is_null());
}

#[test]
fn sweeps_stand_for_their_cells_and_bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    run(&here.join("sweep/arm=d0"), "d0", json!({}), 301);
    run(&here.join("sweep/arm=a4r"), "a4r", json!({}), 343);
    let cell = |arm: &str, state: &str| json!({ "name": format!("arm={arm}"), "settings": { "arm": arm }, "folder": format!("arm={arm}"), "state": state });
    let sweep = json!({ "cells": [cell("d0", "done"), cell("a4r", "done"), cell("d4", "failed")] });
    std::fs::write(here.join("sweep/sweep.json"), sweep.to_string()).unwrap();
    // A cell named once more counts once, though its name looks like a setting.
    let table = stdout(here, &["table", "screening", "sweep", "sweep/arm=d0"]);
    assert!(
        table.contains("1 of 3 cells of the sweep are left out: arm=d4 (failed).") && !table.contains("Seeds"),
        "{table}"
    );

    refused(here, &["table", "screening"], 2, "expected run folders");
    refused(here, &["table", "screening", "nowhere"], 3, "nowhere: folder: expected a run (config.json)");
    refused(
        here,
        &["table", "screening", "sweep", "split=validation"],
        3,
        "expected one or more with an evaluation on validation",
    );
    refused(here, &["table", "screening", "sweep", "formt=csv"], 2, "the nearest is `format`");
    std::fs::remove_file(here.join("sweep/arm=d0/report/test.json")).unwrap();
    refused(here, &["table", "screening", "sweep/arm=d0"], 3, "engine eval sweep/arm=d0 split=test makes it");
    std::fs::write(here.join("sweep/arm=d0/report/test.json"), "{}").unwrap();
    refused(here, &["table", "screening", "sweep/arm=d0"], 3, "expected a canonical evaluation");
}

#[test]
fn schedules_are_drawn_on_the_terminal_and_into_files() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = stdout(here, &["schedule", "schedule=cosine-30,cosine-tail,trapezoid", "out=curves.svg"]);
    assert!(
        text.contains("cosine-tail: 60 epochs, 48720 steps") && text.contains("tail begins at epoch 59 (step 47908)"),
        "{text}"
    );
    assert!(text.matches('│').count() == 18 && text.contains("reference period ends at epoch 30"), "{text}");
    let svg = std::fs::read_to_string(here.join("curves.svg")).unwrap();
    assert!(
        svg.contains(">floor 10 %</text>")
            && svg.contains(">fall begins</text>")
            && svg.contains(">learning rate</text>")
    );
    stdout(here, &["schedule", "epochs=2", "steps_per_epoch=10", "warmup=0", "lr=1", "out=rates.csv"]);
    let csv = std::fs::read_to_string(here.join("rates.csv")).unwrap();
    assert!(csv.starts_with("step,epoch,cosine\n1,0.1,1\n") && csv.lines().count() == 21, "{csv}");
    stdout(here, &["schedule", "schedule=trapezoid", "out=curve.png"]);
    refused(
        here,
        &["schedule", "schedule=cosin"],
        2,
        "expected cosine|cosine-tail|trapezoid|cosine-N, with commas; found `cosin`",
    );
    let arms = stdout(here, &["schedule", "arm=A4r,t3-wt"]);
    for title in ["a4r cosine-30: 30 epochs", "a4r cosine-tail: 60 epochs", "t3-wt trapezoid: 50 epochs"] {
        assert!(arms.contains(title), "{arms}");
    }
    refused(here, &["schedule", "arm=a7"], 2, "d4a4, d4-a4r, t3-wt; found `a7`");
    refused(here, &["schedule", "out=x.pdf"], 2, ".png, .svg or .csv");
}
