//! Claims judged on folders of runs that were made up.

use std::fs;
use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::{Judged, all, judge};
use crate::arms::ARMS;
use crate::config::{CONFIG_FILE, Config, Split};
use crate::eval::bootstrap::Interval;
use crate::eval::canonical::evaluate;
use crate::eval::pools::{Item, Protocol};
use crate::eval::retrieval::Embeddings;
use crate::random::Philox;
use crate::report::run::evaluation_file;
use crate::validate::cache::{self, Kept};
use crate::validate::findings::{Claim, Findings, Row, Table, Unit, Verdict};

/// A run of `arm` that retrieves the worse the more `noise` there is.
fn run(place: &Path, arm: &str, seed: u64, noise: f64) -> PathBuf {
    let folder = place.join(format!("{arm}-{seed}"));
    fs::create_dir_all(folder.join("report")).unwrap();
    let settings = [format!("arm={arm}"), format!("seed={seed}"), "preset=tiny".into(), "epochs=5".into()];
    let config = Config::resolve(&settings, false).unwrap();
    fs::write(folder.join(CONFIG_FILE), config.to_json()).unwrap();
    let mut stream = Philox::new(seed, 0).stream(0);
    let audio: Vec<f32> = (0..600 * 8).map(|_| stream.normal() as f32).collect();
    let midi: Vec<f32> = audio.iter().map(|&x| x + (noise * stream.normal()) as f32).collect();
    let items: Vec<Item> = (0..600).map(|i| Item { piece: i / 60, composer: i / 120, performance: i / 30 }).collect();
    let pairs = Embeddings { audio: &audio, midi: &midi, dim: 8 };
    let found = evaluate(arm, pairs, &items, &[], &Protocol::default()).unwrap();
    fs::write(evaluation_file(&folder, Split::Test), serde_json::to_vec(&found).unwrap()).unwrap();
    folder
}

/// What test 04 would find of a run that retains so much at ±3 semitones.
fn transposed(folder: &Path, retained: f64, verdict: Verdict) {
    let interval = Interval { value: retained, low: retained - 0.03, high: retained + 0.03 };
    let table = Table {
        id: "transposition".into(),
        title: "T".into(),
        source: String::new(),
        unit: Unit::Share,
        null: String::new(),
        rows: vec![Row::measured("retention ±3", interval)],
    };
    let claim = Claim {
        claim: "The further the MIDI is transposed, the less of S is left".into(),
        source: String::new(),
        judgement: verdict.because("so it was"),
    };
    let findings = Findings { tables: vec![table], claims: vec![claim], ..Findings::default() };
    let (test, key, command) = ("04".into(), "k".into(), "engine validate".into());
    cache::save(folder, &Kept { test, key, command, seconds: 1.0, findings }).unwrap();
}

fn judged(place: &Path, settings: &[&str], table: Option<usize>) -> Vec<Judged> {
    let settings: Vec<String> = settings.iter().map(|text| text.to_string()).collect();
    judge(&Evidence::in_folder(place, &settings, Split::Test).unwrap(), table)
}

fn about<'a>(judged: &'a [Judged], words: &str) -> &'a Judged {
    judged.iter().find(|judged| judged.claim.contains(words)).unwrap()
}

#[test]
fn trainings_are_compared_and_those_that_lack_are_named() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    for (arm, noise) in [("d0", 1.6), ("d4", 0.9), ("a4", 0.9), ("a7", 1.6), ("a8", 2.5), ("a9", 2.5), ("film-a4", 0.9)]
    {
        run(place, arm, 42, noise);
    }
    let all = judged(place, &[], None);
    let excel = about(&all, "The simple A4 and D4 excel");
    assert_eq!(excel.judgement.verdict, Verdict::Held, "{}", excel.judgement.because);
    assert!(excel.judgement.because.ends_with("against +0.0 pp, the closest of 2") && excel.commands.is_empty());
    assert_eq!(excel.runs.len(), 3);
    let dual = about(&all, "Dual injection is best");
    assert_eq!(dual.judgement.verdict, Verdict::NotComparable);
    assert_eq!(dual.judgement.because, "missing: runs of d4x, a4x, a7x, d4r, a4r, d4a4, d4a4cm");
    let command = &dual.commands[0];
    assert!(
        command.starts_with("engine sweep arm=d4x,a4x,a7x,d4r,a4r,d4a4,d4a4cm seed=42 preset=tiny epochs=5 out="),
        "{command}"
    );
    // Long trainings have lengths of their own.
    let long = about(&all, "Long training confirms");
    assert!(
        long.commands.iter().any(|c| c.contains("arm=d4a4,d0 seed=42") && c.contains("epochs=60 schedule=arm")),
        "{:?}",
        long.commands
    );
    // Counted, with no run at all.
    assert_eq!(about(&all, "163 times fewer").judgement.verdict, Verdict::Held);
    // Runs that were trained otherwise do not count.
    let other = judged(place, &["epochs=7"], Some(2));
    assert!(other.iter().all(|judged| judged.runs.is_empty() && judged.tables.contains(&2)));
    assert!(about(&other, "The simple A4").commands[0].contains("arm=d0,d4,a4 seed=42 epochs=7 out="));
}

#[test]
fn seeds_give_welchs_test_and_ranges() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    for seed in 42..45 {
        run(place, "d0", seed, 1.6);
        run(&place.join("sweep"), "d4a4", seed, 0.8);
    }
    let all = judged(place, &[], Some(12));
    let mean = about(&all, "Over seeds d4a4 exceeds D0");
    assert_eq!(mean.judgement.verdict, Verdict::Held, "{}", mean.judgement.because);
    assert!(mean.judgement.because.contains("Welch t = ") && mean.runs.len() == 6);
    assert_eq!(about(&all, "ranges over seeds").judgement.verdict, Verdict::Held);
    let order = about(&all, "order of means");
    assert_eq!(order.judgement.because, "missing: runs of a4r, d4-a4r (2 seeds)");
}

#[test]
fn tests_are_read_where_they_were_asked_and_named_where_not() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let runs = [("d0", 0.37), ("d4a4", 0.51), ("a4r", 0.59), ("d4-a4r", 0.60)];
    let folders = runs.map(|(arm, retained)| (run(place, arm, 42, 0.8), retained));
    for (folder, retained) in &folders[..3] {
        transposed(folder, *retained, Verdict::Held);
    }
    let reverse = about(&judged(place, &[], Some(7)), "Reverse cross-attention retains most").clone();
    let last = folders[3].0.display();
    assert_eq!(reverse.judgement.because, format!("missing: test 04 of {last}"));
    assert_eq!(reverse.commands, [format!("engine validate {last} tests=04")]);
    transposed(&folders[3].0, 0.60, Verdict::NotHeld);
    let all = judged(place, &[], Some(7));
    assert_eq!(about(&all, "Reverse cross-attention retains most").judgement.verdict, Verdict::Held);
    let degrade = &about(&all, "All models degrade").judgement;
    assert_eq!(degrade.verdict, Verdict::NotHeld);
    assert!(degrade.because.contains("d0 held: so it was") && degrade.because.contains("d4-a4r not held"));
    // A figure that the findings lack leaves the claim open.
    assert_eq!(about(&all, "a4r is above D0 in S").judgement.verdict, Verdict::NotComparable);
}

#[test]
fn claims_name_arms_of_the_catalogue_and_ask_tests_of_their_own_arms() {
    for (number, claim) in all() {
        assert!(claim.arms.iter().all(|arm| ARMS.iter().any(|entry| entry.name == *arm)), "{number}");
        for (_, arms) in claim.tests {
            assert!(arms.iter().all(|arm| claim.arms.contains(arm)), "{number}");
        }
        assert!(claim.seeds > 0 && !claim.source.is_empty() && claim.text.len() > 20, "{number}");
    }
}
