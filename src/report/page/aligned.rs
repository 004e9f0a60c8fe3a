//! Tests, tables and figures of several runs laid together: what has the same number, id or quantity is one thing with a part of each run.

use super::{RunReport, TestReport};
use crate::validate::figure::{BarSeries, Curve, Figure, Picture};
use crate::validate::findings::{Findings, Row, Table, Unit};

/// Most series of a figure that several runs share.
const SERIES: usize = 6;

/// A test.
pub(super) struct Chapter<'a> {
    pub number: &'a str,
    pub name: &'a str,
    pub asks: &'a str,
    /// One for each run.
    pub tests: Vec<Option<&'a TestReport>>,
    pub tables: Vec<Joint<'a>>,
    pub plates: Vec<Plate<'a>>,
}

/// A table.
pub(super) struct Joint<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub source: &'a str,
    pub null: &'a str,
    pub unit: Unit,
    /// A quantity and its row of each run.
    pub rows: Vec<(&'a str, Vec<Option<&'a Row>>)>,
}

/// A figure.
pub(super) struct Plate<'a> {
    pub id: &'a str,
    /// One for each run.
    pub parts: Vec<Option<&'a Figure>>,
    /// All parts as one, where their axes allow it.
    pub merged: Option<Figure>,
}

/// Every test of the runs, those of the first in its order, then what others have beside.
pub(super) fn chapters(runs: &[RunReport]) -> Vec<Chapter<'_>> {
    let numbers = union(runs.iter().map(|run| run.tests.iter().map(|test| test.number.as_str()).collect()));
    numbers.into_iter().filter_map(|number| chapter_of(runs, number)).collect()
}

fn chapter_of<'a>(runs: &'a [RunReport], number: &'a str) -> Option<Chapter<'a>> {
    let tests: Vec<_> = runs.iter().map(|run| run.tests.iter().find(|test| test.number == number)).collect();
    let first = tests.iter().flatten().next()?;
    let found: Vec<_> = tests.iter().map(|test| test.and_then(TestReport::findings)).collect();
    let ids = |of: fn(&'a Findings) -> Vec<&'a str>| {
        union(found.iter().map(move |findings| findings.map(of).unwrap_or_default()))
    };
    let tables = ids(|findings| findings.tables.iter().map(|table| table.id.as_str()).collect());
    let plates = ids(|findings| findings.figures.iter().map(|figure| figure.id.as_str()).collect());
    let table =
        |id| joint(found.iter().map(|f| f.and_then(|f| f.tables.iter().find(|table| table.id == id))).collect());
    let plate = |id| {
        let part = |f: &Option<&'a Findings>| f.and_then(|f| f.figures.iter().find(|figure| figure.id == id));
        let parts: Vec<_> = found.iter().map(part).collect();
        Plate { id, merged: merged(runs, &parts), parts }
    };
    Some(Chapter {
        number,
        name: &first.name,
        asks: &first.asks,
        tables: tables.into_iter().filter_map(table).collect(),
        plates: plates.into_iter().map(plate).collect(),
        tests,
    })
}

/// Parts of one table.
fn joint(parts: Vec<Option<&Table>>) -> Option<Joint<'_>> {
    let first = parts.iter().flatten().next()?;
    let quantities = union(parts.iter().map(|part| part.map(quantities).unwrap_or_default()));
    let row = |quantity: &str| -> Vec<_> {
        parts.iter().map(|part| part.and_then(|table| table.rows.iter().find(|row| row.quantity == quantity))).collect()
    };
    Some(Joint {
        id: &first.id,
        title: &first.title,
        source: &first.source,
        null: parts.iter().flatten().map(|table| table.null.as_str()).find(|null| !null.is_empty()).unwrap_or(""),
        unit: first.unit,
        rows: quantities.into_iter().map(|quantity| (quantity, row(quantity))).collect(),
    })
}

fn quantities(table: &Table) -> Vec<&str> {
    table.rows.iter().map(|row| row.quantity.as_str()).collect()
}

/// Every name once: those of the first list, each other list's own after what precedes them there.
fn union<'a>(lists: impl Iterator<Item = Vec<&'a str>>) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for list in lists {
        let mut after = 0;
        for name in list {
            after = match all.iter().position(|known| *known == name) {
                Some(place) => place + 1,
                None => {
                    all.insert(after, name);
                    after + 1
                }
            };
        }
    }
    all
}

/// The parts as one figure with a series for each run, or for each run and series.
fn merged(runs: &[RunReport], parts: &[Option<&Figure>]) -> Option<Figure> {
    let shown: Vec<(&str, &Figure)> =
        runs.iter().zip(parts).filter_map(|(run, part)| part.map(|figure| (run.name.as_str(), figure))).collect();
    let (_, first) = shown.first().copied()?;
    if shown.len() == 1 {
        return (runs.len() == 1).then(|| first.clone());
    }
    let mut figure = first.clone();
    match &mut figure.picture {
        Picture::Bars { groups, series, lines, unit, .. } => {
            let mut all = Vec::new();
            for (run, other) in &shown {
                let Picture::Bars { groups: g, series: s, lines: l, unit: u, .. } = &other.picture else { return None };
                if g != groups || u != unit || l != lines {
                    return None;
                }
                all.extend(s.iter().map(|bars| BarSeries { label: name(run, &bars.label, s.len()), ..bars.clone() }));
            }
            *series = with_marks_once(all);
            (series.len() <= SERIES).then_some(figure)
        }
        Picture::Lines { series, lines, unit, x_labels, .. } => {
            let mut all: Vec<Curve> = Vec::new();
            for (run, other) in &shown {
                let Picture::Lines { series: s, lines: l, unit: u, x_labels: x, .. } = &other.picture else {
                    return None;
                };
                if x != x_labels || u != unit || l != lines {
                    return None;
                }
                let own = s.iter().filter(|curve| !curve.published).count();
                for curve in s {
                    let label = if curve.published { curve.label.clone() } else { name(run, &curve.label, own) };
                    let curve = Curve { label, ..curve.clone() };
                    // What the paper has for all is drawn once.
                    if !all.contains(&curve) {
                        all.push(curve);
                    }
                }
            }
            *series = all;
            (series.len() <= SERIES).then_some(figure)
        }
        _ => None,
    }
}

/// Published values that several series share stay on the first of them.
pub(super) fn with_marks_once(mut series: Vec<BarSeries>) -> Vec<BarSeries> {
    for i in 1..series.len() {
        if series[..i].iter().any(|bars| bars.marks == series[i].marks) {
            series[i].marks.clear();
        }
    }
    series
}

fn name(run: &str, label: &str, series: usize) -> String {
    if series == 1 || label.is_empty() { run.to_owned() } else { format!("{run}, {label}") }
}

#[cfg(test)]
mod tests {
    use super::union;

    #[test]
    fn names_keep_their_order() {
        let lists = [vec!["a", "c", "d"], vec!["a", "b", "c", "e"], vec!["z"]];
        assert_eq!(union(lists.into_iter()), ["z", "a", "b", "c", "e", "d"]);
    }
}
