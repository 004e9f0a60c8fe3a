//! One arm in full.

use serde_json::json;

use super::super::output::{print, print_json};
use super::Subject;
use super::diagram::{self, Stage};
use super::notes::notes;
use super::text::{
    columns, cost_json, family, giga, injection_json, long_runs, paper_json, parameters_json, percent, replication,
    thousands,
};
use crate::arms::{Entry, Injection};
use crate::error::Result;
use crate::model::ModelSpec;
use crate::model::components::{Component, ParameterCount};
use crate::model::cost::{Cost, NOTES};

/// Prints everything about an arm at the sizes of `spec`.
pub(super) fn print_one(subject: &Subject, spec: &ModelSpec, as_json: bool) -> Result<()> {
    let Subject { arm, entry } = subject;
    let (parameters, cost) = (ParameterCount::of(arm, spec), Cost::of(arm, spec));
    let ways = [
        ("audio", diagram::audio(arm, spec)),
        ("midi", diagram::midi(arm, spec)),
        ("third_tower", diagram::tower(arm, spec)),
    ];
    let notes = notes(subject, spec);
    if as_json {
        let stages: serde_json::Map<_, _> = ways
            .iter()
            .filter(|(_, stages)| !stages.is_empty())
            .map(|(name, stages)| (name.to_string(), stages.iter().map(Stage::json).collect()))
            .collect();
        return print_json(&json!({
            "arm": arm.name,
            "about": entry.map(|entry| entry.about),
            "audio": injection_json(arm.audio),
            "midi": injection_json(arm.midi),
            "family": family(arm.family, arm.control),
            "schedule": entry.and_then(Entry::schedule).map(|schedule| schedule.word()),
            "stages": stages,
            "parameters": parameters_json(&parameters),
            "gflop": cost_json(&cost),
            "paper": entry.map(paper_json),
            "notes": notes,
        }));
    }
    let about = entry.map_or("an arm of your own", |entry| entry.about);
    let mut text = format!("{}: {about}\n", arm.name);
    for (side, injection) in [("audio", arm.audio), ("MIDI", arm.midi)] {
        text += &injected(side, injection);
    }
    for ((_, stages), title) in ways.iter().zip(["Audio", "MIDI", "Third tower, in training"]) {
        text += &way(title, stages);
    }
    text += &sizes(&parameters, &cost);
    text += &entry.map_or(String::new(), reported);
    if !notes.is_empty() {
        text += "\nNotes\n";
        text.extend(notes.iter().map(|note| format!("  - {note}.\n")));
    }
    print(&text)
}

fn injected(side: &str, injection: Option<Injection>) -> String {
    let Some(Injection { descriptor, mechanism }) = injection else {
        return format!("\nInto the {side} encoder: nothing\n");
    };
    format!(
        "\nInto the {side} encoder: {}, {}\n  {} = {}\n  {} ({})\n",
        descriptor.name(),
        mechanism.name(),
        descriptor.name(),
        descriptor.about(),
        mechanism.formula(),
        mechanism.source()
    )
}

fn way(title: &str, stages: &[Stage]) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let row = |(i, stage): (usize, &Stage)| {
        let arrow = if i == 0 { "  " } else { "→ " };
        vec![format!("  {arrow}{}", stage.what), stage.shape.clone(), stage.how.clone()]
    };
    format!("\n{title}\n{}", columns(&stages.iter().enumerate().map(row).collect::<Vec<_>>(), &[]))
}

/// Parameters and operations by component.
fn sizes(parameters: &ParameterCount, cost: &Cost) -> String {
    let mut rows = vec![vec!["Component".to_string(), "parameters".into(), "GFLOP forward".into()]];
    for component in Component::ALL {
        let count = parameters.components.iter().find(|(own, _)| *own == component).map(|(_, count)| *count);
        let operations = cost.components.iter().find(|(own, _)| *own == component).map(|(_, count)| *count);
        if count.is_some() || operations.is_some() {
            let name = format!("  {}", component.name());
            rows.push(vec![name, count.map_or(String::new(), thousands), operations.map_or(String::new(), giga)]);
        }
    }
    rows.push(vec!["  in all".into(), thousands(parameters.total), giga(cost.forward())]);
    let tower = parameters.components.iter().any(|(own, _)| *own == Component::Tower);
    let aside = if tower { ", the third tower aside" } else { "" };
    format!(
        "\n{}  forward {} GFLOP{aside}, training {} GFLOP a sample of four seconds and {NOTES} notes\n",
        columns(&rows, &[1, 2]),
        giga(cost.forward()),
        giga(cost.training())
    )
}

/// The paper's figures.
fn reported(entry: &Entry) -> String {
    let paper = &entry.paper;
    let mut rows = Vec::new();
    let mut add = |what: &str, found: String| rows.push(vec![format!("  {what}"), found]);
    if paper.screening.is_some() {
        add("S after 5 epochs", percent(paper.screening));
    }
    if paper.hard_won.is_some() {
        add("hard negatives won after 5 epochs", percent(paper.hard_won));
    }
    for run in paper.long {
        let best = format!("{}, best at epoch {}", long_runs(&[*run]), run.best_epoch);
        add("S of a long run", best);
    }
    if paper.replication.is_some() {
        add("S over five seeds", replication(paper.replication));
    }
    if paper.control.is_some() {
        add("S in test 02", percent(paper.control));
    }
    if rows.is_empty() {
        "\nThe paper does not have it.\n".into()
    } else {
        format!("\nThe paper, in per cent\n{}", columns(&rows, &[]))
    }
}
