//! Runs side by side, for a terminal: every table with a column for each run.

use std::fmt::Write;

use super::RunReport;
use super::aligned::{Joint, chapters};
use crate::validate::battery::Outcome;
use crate::validate::findings::Row;

impl RunReport {
    /// The tables of several runs, each a column.
    pub fn beside(runs: &[RunReport]) -> String {
        let mut text = String::new();
        for chapter in chapters(runs) {
            let _ = writeln!(text, "\n{} {}: {}", chapter.number, chapter.name, chapter.asks);
            for (run, test) in runs.iter().zip(&chapter.tests) {
                let missing = match test.map(|test| &test.outcome) {
                    None => "not asked yet",
                    Some(Outcome::Skipped(reason)) => reason,
                    Some(Outcome::Found(_)) => continue,
                };
                let _ = writeln!(text, "{}: {missing}", run.name);
            }
            for table in &chapter.tables {
                text.push('\n');
                text += &lines(table, runs);
            }
        }
        text
    }
}

/// A table: quantity, ours of each run with its interval, and the null of the first that has one.
fn lines(table: &Joint, runs: &[RunReport]) -> String {
    let number = |value: f64| table.unit.text(value);
    let cell = |row: &Option<&Row>| {
        let Some((row, ours)) = row.and_then(|row| Some((row, row.ours?))) else { return "–".to_owned() };
        let interval = row.interval.map(|(low, high)| format!(" [{}, {}]", number(low), number(high)));
        number(ours) + &interval.unwrap_or_default()
    };
    let names = runs.iter().map(|run| run.name.clone());
    let mut rows: Vec<Vec<String>> =
        vec![std::iter::once(String::new()).chain(names).chain([table.null.to_owned()]).collect()];
    for (quantity, parts) in &table.rows {
        let null = parts.iter().flatten().find_map(|row| row.null).map_or_else(String::new, number);
        rows.push(std::iter::once((*quantity).to_owned()).chain(parts.iter().map(cell)).chain([null]).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..runs.len() + 2).map(width).collect();
    let source = if table.source.is_empty() { String::new() } else { format!(" (paper: {})", table.source) };
    let mut text = format!("{}{source}\n", table.title);
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
