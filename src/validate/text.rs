//! Findings for a terminal.

use std::fmt::Write;

use super::findings::{Findings, Judgement, Row, Table};

impl Findings {
    /// Summary, tables, claims and notes.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.summary);
        for table in &self.tables {
            text += "\n";
            text += &table.text();
        }
        if !self.claims.is_empty() {
            text += "\n";
        }
        for claim in &self.claims {
            let Judgement { verdict, because } = &claim.judgement;
            let _ = writeln!(text, "{} ({}): {}, {because}", claim.claim, claim.source, verdict.words());
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

impl Table {
    /// Columns that hold anything, aligned.
    pub fn text(&self) -> String {
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| self.unit.text(value));
        let interval =
            |row: &Row| row.interval.map(|(low, high)| format!("[{}, {}]", self.unit.text(low), self.unit.text(high)));
        let verdict = |row: &Row| {
            row.verdict.as_ref().map(|judgement| format!("{}: {}", judgement.verdict.words(), judgement.because))
        };
        let head = ["", "paper", "ours", "95 % interval", &self.null, "verdict"].map(String::from);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(|row| {
            let (interval, verdict) = (interval(row).unwrap_or_default(), verdict(row).unwrap_or_default());
            [row.quantity.clone(), number(row.paper), number(row.ours), interval, number(row.null), verdict]
        }));
        let filled = |column: usize| lines[1..].iter().any(|line| !line[column].is_empty());
        let columns: Vec<usize> = (0..6).filter(|&column| filled(column)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let source = if self.source.is_empty() { String::new() } else { format!(" (paper: {})", self.source) };
        let mut text = format!("{}{source}\n", self.title);
        for line in &lines {
            let cells = columns.iter().map(|&column| match column {
                0 | 5 => format!("{:<1$}", line[column], width(column)),
                _ => format!("{:>1$}", line[column], width(column)),
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }
}
