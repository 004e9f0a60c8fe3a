//! What is said under a table: how to read it, and what forbids to read it naively.

use std::collections::BTreeMap;

use super::entry::{Entry, baseline_among};
use super::group::{By, Group};
use super::kind::Kind;
use super::sheet::Part;
use crate::config::Split;
use crate::eval::bootstrap::Interval;
use crate::eval::canonical::MANY_TIES;

/// How the figures came about.
pub fn notes(entries: &[Entry], groups: &[Group], kind: Kind, split: Split) -> Vec<String> {
    let Some(first) = groups.first() else { return Vec::new() };
    let found = &first.runs[0].found;
    let mut notes = vec![format!(
        "S: the smaller R@10 of the two directions on the {split} split, {} queries, pools of {}. Hard neg: same-piece negatives \
         that the match wins.",
        found.queries, found.pool
    )];
    notes.push(format!("Every run: {}.", shared_settings(groups)));
    let seeds = groups.iter().any(|group| group.runs.len() > 1);
    let single = groups.iter().any(|group| group.runs.len() == 1);
    let by = |by: By| entries.iter().filter_map(|entry| entry.versus).any(|versus| versus.by == by);
    let kinds = [
        (single, "S of one seed: bootstrap over queries, which knows nothing of how much training varies"),
        (seeds, "S of several seeds: their mean, Student's t over seeds"),
        (by(By::Seeds), "Δ of several seeds: Welch's t, d is Cohen's with pooled SD"),
        (by(By::Queries), "Δ otherwise: bootstrap over the same queries of both"),
        (by(By::Intervals), "Δ without common queries or ranks: from the intervals of both"),
    ];
    let said: Vec<&str> = kinds.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).collect();
    notes.push(format!("95 % intervals. {}.", said.join(". ")));
    notes.push(format!(
        "Paper: table {}, on MAESTRO at the sizes of preset=paper; its data, sizes and epochs need not be those of these runs.",
        kind.of_paper()
    ));
    notes
}

/// What forbids to read the table naively.
pub fn warnings(entries: &[Entry], groups: &[Group]) -> Vec<String> {
    let mut warnings = Vec::new();
    let baseline = baseline_among(groups);
    if baseline.is_none() {
        warnings.push("no run of d0 is among these: there is no Δ.".to_owned());
    }
    warnings.extend(settings_that_differ(groups));
    warnings.extend(seeds_that_differ(groups));
    warnings.extend(evaluations_that_differ(groups));
    for group in groups {
        let collapsed = group.runs.iter().filter(|run| run.found.model.tied > MANY_TIES);
        warnings.extend(collapsed.map(|run| {
            let (label, folder) = (&group.label, run.folder.display());
            format!("the embeddings of {label} ({folder}) have collapsed, its figures mean nothing.")
        }));
    }
    if let Some(baseline) = baseline {
        let close = entries.iter().filter(|entry| entry.part != Part::Unlearned);
        let close = close.filter(|entry| entry.versus.is_some_and(|versus| !apart(&versus.delta)));
        let names: Vec<&str> = close.map(|entry| entry.name.as_str()).collect();
        if !names.is_empty() {
            let label = &baseline.label;
            warnings.push(format!("not separated from {label} (the interval of Δ holds 0): {}.", names.join(", ")));
        }
    }
    let arms: Vec<&Group> = entries.iter().filter_map(|entry| entry.group).collect();
    let ties = arms.windows(2).filter(|pair| !apart(&pair[0].versus(pair[1]).delta));
    let ties: Vec<String> = ties.map(|pair| format!("{} and {}", pair[0].label, pair[1].label)).collect();
    if !ties.is_empty() {
        warnings.push(format!("not separated from the next in rank: {}.", ties.join(", ")));
    }
    warnings
}

/// Whether a difference is surely not 0.
fn apart(delta: &Interval) -> bool {
    delta.low > 0.0 || delta.high < 0.0
}

/// Settings worth a word that all runs share.
fn shared_settings(groups: &[Group]) -> String {
    const TOLD: [&str; 7] = ["preset", "epochs", "schedule", "batch", "lr", "data", "data.train_per_performance"];
    let all: Vec<_> = groups.iter().map(Group::settings).collect();
    let shared = all[0].iter().filter(|setting| TOLD.contains(&setting.0.as_str()));
    let shared = shared.filter(|setting| all.iter().all(|settings| settings.contains(setting)));
    let words = shared.map(|(key, value)| match key.as_str() {
        // Where the data lies is of no interest to a reader of the table.
        "data" => format!("data={}", value.rsplit('/').next().unwrap_or(value)),
        _ => format!("{key}={value}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The values of a setting, and which groups have each.
type Values<'a> = Vec<(String, Vec<&'a str>)>;

/// One warning for each setting that is not the arm's and not the same everywhere.
fn settings_that_differ(groups: &[Group]) -> Vec<String> {
    let mut values: Vec<(String, Values)> = Vec::new();
    for group in groups {
        for (key, value) in group.settings() {
            let at = values.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                values.push((key, Vec::new()));
                values.len() - 1
            });
            add(&mut values[at].1, value, &group.label);
        }
    }
    let differing = values.into_iter().filter(|(_, values)| values.len() > 1);
    differing
        .map(|(key, values)| format!("arms differ in more than the descriptor: {key} = {}.", listed(values)))
        .collect()
}

fn seeds_that_differ(groups: &[Group]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut values = Vec::new();
    for group in groups {
        let seeds: Vec<u64> = group.runs.iter().map(|run| run.config.seed).collect();
        let words: Vec<String> = seeds.iter().map(u64::to_string).collect();
        add(&mut values, words.join(", "), &group.label);
        if let Some(pair) = seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            warnings.push(format!("{} holds seed {} more than once.", group.label, pair[0]));
        }
    }
    if values.len() > 1 {
        warnings.push(format!("arms differ in their seeds: {}.", listed(values)));
    }
    warnings
}

fn evaluations_that_differ(groups: &[Group]) -> Option<String> {
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for group in groups {
        for run in &group.runs {
            let found = &run.found;
            let pools = found.pools.as_deref().unwrap_or("unknown");
            let what =
                format!("{} segments, {} queries, pools of {} ({pools})", found.segments, found.queries, found.pool);
            let labels = kinds.entry(what).or_default();
            if labels.last() != Some(&group.label.as_str()) {
                labels.push(&group.label);
            }
        }
    }
    let kinds: Vec<_> = kinds.into_iter().collect();
    (kinds.len() > 1).then(|| format!("evaluations differ in their queries or candidates: {}.", listed(kinds)))
}

fn add<'a>(values: &mut Vec<(String, Vec<&'a str>)>, value: String, label: &'a str) {
    match values.iter_mut().find(|(known, _)| *known == value) {
        Some((_, labels)) => labels.push(label),
        None => values.push((value, vec![label])),
    }
}

/// "6 (d0), 5 (all others)": the value that most have comes last.
fn listed(mut values: Vec<(String, Vec<&str>)>) -> String {
    const MANY: usize = 3;
    values.sort_by_key(|(_, labels)| labels.len());
    let last = values.len() - 1;
    let words = values.iter().enumerate().map(|(i, (value, labels))| match labels.len() {
        many if i == last && many > MANY => format!("{value} (all others)"),
        _ => format!("{value} ({})", labels.join(", ")),
    });
    words.collect::<Vec<_>>().join("; ")
}
