//! The paper's figure 8 as small multiples, made of what the tests found: what they did not find is left out.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use super::{RunReport, aligned};
use crate::error::Result;
use crate::report::figures;
use crate::validate::figure::{BarSeries, Figure, Level, Picture};
use crate::validate::findings::{Row, Unit};

/// Name of the files.
const NAME: &str = "dashboard";
/// Panels in a row of the figure for print.
const COLUMNS: usize = 3;

/// A row of a table and what it is called in a panel.
type Pick = (String, String);

/// One panel for each measure that any run has.
pub(super) fn panels(runs: &[RunReport]) -> Vec<Figure> {
    let pick = |rows: &[(&str, &str)]| -> Vec<Pick> {
        rows.iter().map(|&(quantity, label)| (quantity.to_owned(), label.to_owned())).collect()
    };
    let panels = [
        panel(runs, "Retrieval S", "scoreboard", &pick(&[("S", "S")])),
        panel(
            runs,
            "Recall@1 in both directions",
            "scoreboard",
            &pick(&[("R@1 audio→MIDI", "audio→MIDI"), ("R@1 MIDI→audio", "MIDI→audio")]),
        ),
        panel(
            runs,
            "Change under A4 ablation",
            "causal",
            &named(runs, "causal", |quantity| quantity.strip_prefix("A4, ").map(str::to_owned)),
        ),
        panel(
            runs,
            "Alignment of the encoders",
            "alignment",
            &pick(&[("CKA, mean", "CKA"), ("CKA debiased, mean", "CKA debiased"), ("RSA, mean", "RSA")]),
        ),
        panel(
            runs,
            "Retention under transposition",
            "transposition",
            &pick(&[("retention −3", "−3"), ("retention ±3", "±3"), ("retention +3", "+3")]),
        ),
        panel(
            runs,
            "Sensitivity to perturbed bands",
            "bands",
            &named(runs, "bands", |quantity| {
                let band = quantity.strip_prefix("band ")?;
                Some(band.split(' ').next().unwrap_or(band).to_owned())
            }),
        ),
    ];
    panels.into_iter().flatten().collect()
}

/// The rows whose quantity has a short name.
fn named(runs: &[RunReport], table: &str, short: impl Fn(&str) -> Option<String>) -> Vec<Pick> {
    let mut picks: Vec<Pick> = Vec::new();
    for row in runs.iter().filter_map(|run| run.table(table)).flat_map(|table| &table.rows) {
        let known = picks.iter().any(|(quantity, _)| *quantity == row.quantity);
        if let Some(label) = short(&row.quantity).filter(|_| !known) {
            picks.push((row.quantity.clone(), label));
        }
    }
    picks
}

fn panel(runs: &[RunReport], title: &str, table: &str, picks: &[Pick]) -> Option<Figure> {
    let unit = runs.iter().find_map(|run| run.table(table))?.unit;
    let found = |pick: &&Pick| runs.iter().any(|run| run.row(table, &pick.0).is_some_and(|row| row.ours.is_some()));
    let picks: Vec<&Pick> = picks.iter().filter(found).collect();
    if picks.is_empty() {
        return None;
    }
    let rows = |run: &RunReport| -> Vec<Option<Row>> {
        picks.iter().map(|(quantity, _)| run.row(table, quantity).cloned()).collect()
    };
    let each = |rows: &[Option<Row>], of: fn(&Row) -> Option<f64>| -> Vec<Option<f64>> {
        rows.iter().map(|row| row.as_ref().and_then(of)).collect()
    };
    let mut series: Vec<BarSeries> = Vec::new();
    for run in runs {
        let rows = rows(run);
        series.push(BarSeries {
            label: run.name.clone(),
            values: each(&rows, |row| row.ours),
            intervals: rows.iter().map(|row| row.as_ref().and_then(|row| row.interval)).collect(),
            marks: each(&rows, |row| row.paper),
        });
    }
    let (groups, series) = if let [(_, only)] = picks[..] { turned(only, series) } else { (labels(&picks), series) };
    let series = aligned::with_marks_once(series);
    Some(Figure {
        id: format!("{NAME}-{table}"),
        title: title.to_owned(),
        source: "figure 8".to_owned(),
        caption: String::new(),
        picture: Picture::Bars { axis: axis(unit), unit, groups, series, lines: null(runs, table, &picks) },
    })
}

fn labels(picks: &[&Pick]) -> Vec<String> {
    picks.iter().map(|(_, label)| label.clone()).collect()
}

/// One measure: runs become the groups.
fn turned(label: &str, series: Vec<BarSeries>) -> (Vec<String>, Vec<BarSeries>) {
    let groups = series.iter().map(|bars| bars.label.clone()).collect();
    let first = |of: fn(&BarSeries) -> Option<f64>| series.iter().map(of).collect();
    let bars = BarSeries {
        label: label.to_owned(),
        values: first(|bars| bars.values.first().copied().flatten()),
        intervals: series.iter().map(|bars| bars.intervals.first().copied().flatten()).collect(),
        marks: first(|bars| bars.marks.first().copied().flatten()),
    };
    (groups, vec![bars])
}

/// What chance gives, where that is one number.
fn null(runs: &[RunReport], table: &str, picks: &[&Pick]) -> Vec<Level> {
    let rows = runs.iter().flat_map(|run| picks.iter().filter_map(|(quantity, _)| run.row(table, quantity)));
    let mut nulls: Vec<f64> = rows.filter_map(|row| row.null).collect();
    nulls.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    let label = runs.iter().filter_map(|run| run.table(table)).map(|table| &table.null).find(|null| !null.is_empty());
    match (&nulls[..], label) {
        (&[value], Some(label)) => vec![Level { label: label.clone(), value }],
        _ => Vec::new(),
    }
}

fn axis(unit: Unit) -> String {
    match unit {
        Unit::Share => "%".to_owned(),
        Unit::Points => "percentage points".to_owned(),
        Unit::Number(_) => String::new(),
    }
}

/// Draws all panels on one sheet.
pub(super) fn save(panels: &[Figure], folder: &Path) -> Result<()> {
    if panels.is_empty() {
        return Ok(());
    }
    figures::sheet(panels, COLUMNS, &folder.join(format!("{NAME}.png")))?;
    figures::sheet(panels, COLUMNS, &folder.join(format!("{NAME}.svg")))
}

/// The panels of the page; nothing where there are none.
pub(super) fn markup(panels: &[Figure]) -> Result<Markup> {
    if panels.is_empty() {
        return Ok(html! {});
    }
    let drawn = panels.iter().map(|panel| Ok((panel, figures::svg(panel, true)?))).collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section id="dashboard" aria-labelledby="dashboard-head" {
            h2 id="dashboard-head" { "Dashboard " span.source { "paper: figure 8" } }
            div.panels {
                @for (panel, svg) in &drawn {
                    figure {
                        figcaption { (panel.title) }
                        div.sheet role="img" aria-label=(panel.title) { (PreEscaped(svg)) }
                    }
                }
            }
            p.files {
                a href={ "figures/" (NAME) ".png" } { "PNG" } " "
                a href={ "figures/" (NAME) ".svg" } { "SVG" }
            }
        }
    })
}
