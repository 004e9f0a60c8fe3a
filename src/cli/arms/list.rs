//! Arms in a table: what enters where, the paper's figures, exact parameters, cost.

use serde_json::json;

use super::super::output::{print, print_json};
use super::text::{
    columns, cost_json, family, giga, injection, injection_json, long_runs, paper_json, parameters_json, percent,
    replication, thousands,
};
use crate::arms::Entry;
use crate::error::Result;
use crate::model::ModelSpec;
use crate::model::components::ParameterCount;
use crate::model::cost::{Cost, NOTES};

const HEADINGS: [&str; 10] = [
    "arm",
    "audio",
    "MIDI",
    "family",
    "S, 5 epochs",
    "hard neg.",
    "five seeds",
    "parameters",
    "GFLOP",
    "S of long runs",
];
/// Columns of figures.
const RIGHT: [usize; 5] = [4, 5, 6, 7, 8];

/// Prints `entries` at the sizes of `spec`.
pub(super) fn print_all(entries: &[&'static Entry], spec: &ModelSpec, as_json: bool) -> Result<()> {
    let counted = entries.iter().map(|entry| {
        let arm = entry.arm();
        (*entry, ParameterCount::of(&arm, spec), Cost::of(&arm, spec))
    });
    if as_json {
        let each = counted.map(|(entry, parameters, cost)| {
            json!({
                "arm": entry.name,
                "about": entry.about,
                "audio": injection_json(entry.audio),
                "midi": injection_json(entry.midi),
                "family": family(entry.family, entry.control),
                "paper": paper_json(entry),
                "parameters": parameters_json(&parameters),
                "gflop": cost_json(&cost),
            })
        });
        return print_json(&each.collect::<Vec<_>>());
    }
    let mut rows = vec![HEADINGS.map(String::from).to_vec()];
    rows.extend(counted.map(|(entry, parameters, cost)| {
        let paper = &entry.paper;
        let long = match paper.control {
            Some(s) => format!("{s:.1} (test 02)"),
            None => long_runs(paper.long),
        };
        vec![
            entry.name.into(),
            injection(entry.audio),
            injection(entry.midi),
            family(entry.family, entry.control),
            percent(paper.screening),
            percent(paper.hard_won),
            replication(paper.replication),
            thousands(parameters.total),
            giga(cost.training()),
            long,
        ]
    }));
    print(&format!(
        "{}\nS and the share of hard negatives won are the paper's, in per cent (tables 2, 3, 4 and 12). Parameters are trainable ones.\n\
         GFLOP: a sample of four seconds and {NOTES} notes in training. engine arms NAME explains one.\n",
        columns(&rows, &RIGHT)
    ))
}
