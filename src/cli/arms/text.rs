//! Words and figures as both answers print them.

use serde_json::{Value, json};

use crate::arms::{Control, Entry, Family, Injection, LongRun, TowerLoss};
use crate::model::components::ParameterCount;
use crate::model::cost::Cost;

/// What stands for a figure the paper does not give.
const NONE: &str = "–";

/// 78596608 → 78,596,608
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// Operations in 10⁹, to four digits or so.
pub(super) fn giga(operations: f64) -> String {
    let giga = operations / 1e9;
    let decimals = match giga {
        100.0.. => 1,
        1.0.. => 2,
        0.01.. => 4,
        _ => 6,
    };
    format!("{giga:.decimals$}")
}

/// `A4 concat`
pub(super) fn injection(injection: Option<Injection>) -> String {
    injection.map_or(NONE.into(), |i| format!("{} {}", i.descriptor.name(), i.mechanism.word()))
}

/// What stands around the encoders, and what replaces the descriptors.
pub(super) fn family(family: Family, control: Option<Control>) -> String {
    let family = match family {
        Family::Plain => control.map_or(NONE.to_string(), |_| String::new()),
        Family::Moe(moe) => {
            let sides = match (moe.audio, moe.midi) {
                (true, true) => "audio and MIDI",
                (false, true) => "MIDI",
                _ => "audio",
            };
            let weights = if moe.renormalise { ", renormalised" } else { "" };
            format!("{} of {} experts, {sides}{weights}", moe.top_k, moe.experts)
        }
        Family::ThirdTower(TowerLoss::Weighted) => "third tower, weighted".into(),
        Family::ThirdTower(TowerLoss::Triplet) => "third tower, triplets".into(),
        Family::ThirdTower(TowerLoss::Anchor) => "third tower, anchor".into(),
    };
    match control {
        None => family,
        Some(control) => format!("{family}control: {}", control_word(control)),
    }
}

fn control_word(control: Control) -> &'static str {
    match control {
        Control::Zero => "zeros",
        Control::Random => "random",
        Control::Shuffled => "shuffled",
    }
}

/// A percentage of the paper.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or(NONE.into(), |share| format!("{share:.1}"))
}

/// `82.0 (cosine-30, 30 ep.)` for each of table 4.
pub(super) fn long_runs(runs: &[LongRun]) -> String {
    let run = |run: &LongRun| format!("{:.1} ({}, {} ep.)", run.s, run.schedule.word(), run.epochs);
    if runs.is_empty() { NONE.into() } else { runs.iter().map(run).collect::<Vec<_>>().join(", ") }
}

/// `80.7 ± 1.9`
pub(super) fn replication(found: Option<(f64, f64)>) -> String {
    found.map_or(NONE.into(), |(mean, sd)| format!("{mean:.1} ± {sd:.1}"))
}

/// What the paper reports of an entry, in per cent.
pub(super) fn paper_json(entry: &Entry) -> Value {
    let paper = &entry.paper;
    let run = |run: &LongRun| json!({ "schedule": run.schedule.word(), "epochs": run.epochs, "s": run.s, "best_epoch": run.best_epoch });
    json!({
        "s_after_5_epochs": paper.screening,
        "hard_negatives_won": paper.hard_won,
        "s_of_the_control": paper.control,
        "long_runs": paper.long.iter().map(run).collect::<Vec<_>>(),
        "five_seeds": paper.replication.map(|(mean, sd)| json!({ "mean": mean, "sd": sd })),
    })
}

/// An injection with the formula of its mechanism.
pub(super) fn injection_json(injection: Option<Injection>) -> Option<Value> {
    injection.map(|Injection { descriptor, mechanism }| {
        json!({
            "descriptor": descriptor.name(), "mechanism": mechanism.name(), "formula": mechanism.formula(),
            "source": mechanism.source(),
        })
    })
}

/// Parameters in all and by component.
pub(super) fn parameters_json(count: &ParameterCount) -> Value {
    let components: serde_json::Map<_, _> =
        count.components.iter().map(|(component, count)| (component.name().into(), json!(count))).collect();
    json!({ "total": count.total, "components": components })
}

/// Operations of a sample, forward and in training, and forward by component.
pub(super) fn cost_json(cost: &Cost) -> Value {
    let components: serde_json::Map<_, _> =
        cost.components.iter().map(|(component, count)| (component.name().into(), json!(count / 1e9))).collect();
    json!({ "forward": cost.forward() / 1e9, "training": cost.training() / 1e9, "components": components })
}

/// Rows as columns two spaces apart, the columns in `right` flush right; nothing trails.
pub(super) fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_columns_are_set() {
        assert_eq!((thousands(78_596_608), thousands(12)), ("78,596,608".into(), "12".into()));
        assert_eq!([1.109e12, 6.6e10, 2.5e7, 1e5].map(giga), ["1109.0", "66.00", "0.0250", "0.000100"]);
        let rows = [vec!["a".to_string(), "10".into(), "x".into()], vec!["±±".into(), "1".into(), String::new()]];
        assert_eq!(columns(&rows, &[1]), "a   10  x\n±±   1\n");
    }
}
