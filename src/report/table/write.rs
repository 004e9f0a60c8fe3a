//! A table as text for a terminal, as CSV, as LaTeX and as JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::sheet::{Row, Shape, Sheet};

impl Sheet {
    /// For a terminal: aligned columns, a rule between groups, notes and warnings below.
    pub fn text(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.cells.iter().map(|cell| cell.text()).collect()).collect();
        let length = |text: &str| text.chars().count();
        let width = |i: usize| {
            let cells = rows.iter().map(|row| length(&row[i]));
            cells.chain([length(self.columns[i].head)]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let columns = cells.zip(&self.columns).zip(&widths);
            let padded = columns.map(|((cell, column), &width)| match column.shape {
                Shape::Text => format!("{cell:<width$}"),
                Shape::Number | Shape::Range => format!("{cell:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)) + "\n";
        let mut text = format!("{}\n\n{}", self.caption, line(&mut self.columns.iter().map(|column| column.head)));
        for (i, cells) in rows.iter().enumerate() {
            if i == 0 || self.rule_above(i) {
                text += &rule;
            }
            text += &line(&mut cells.iter().map(String::as_str));
        }
        text += "\n";
        self.notes.iter().for_each(|note| text += &format!("{note}\n"));
        self.warnings.iter().for_each(|warning| text += &format!("Warning: {warning}\n"));
        text
    }

    /// For programs: one line of names, one line a row; shares are fractions of 1 and what there is not is empty.
    pub fn csv(&self) -> String {
        let names = std::iter::once("part".to_owned()).chain(self.columns.iter().flat_map(|column| column.keys()));
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Into memory, and all of one length: no record is refused.
        let _ = writer.write_record(names);
        for row in &self.rows {
            let _ = writer.write_record(self.fields(row).into_iter().map(|(_, value)| match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                other => other.to_string(),
            }));
        }
        writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// For programs: rows as objects with the names of the CSV, notes and warnings.
    pub fn json(&self) -> Value {
        let rows: Vec<Map<String, Value>> =
            self.rows.iter().map(|row| self.fields(row).into_iter().collect()).collect();
        json!({
            "table": self.name, "caption": self.caption, "rows": rows, "notes": self.notes, "warnings": self.warnings,
        })
    }

    /// A floating table with the rules of the `booktabs` package.
    pub fn latex(&self) -> String {
        let aligned = self.columns.iter().map(|column| if column.shape == Shape::Text { 'l' } else { 'r' });
        let line = |cells: &mut dyn Iterator<Item = String>| cells.collect::<Vec<_>>().join(" & ") + r" \\" + "\n";
        let mut text = format!(
            "% Needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}, and UTF-8 input.\n\\begin{{table}}[ht]\n\\centering\n\
             \\caption{{{}}}\n\\label{{tab:{}}}\n\\resizebox{{\\textwidth}}{{!}}{{%\n\\begin{{tabular}}{{{}}}\n\\toprule\n{}",
            escaped(&self.caption),
            self.name,
            aligned.collect::<String>(),
            line(&mut self.columns.iter().map(|column| escaped(column.head)))
        );
        for (i, row) in self.rows.iter().enumerate() {
            if i == 0 || self.rule_above(i) {
                text += "\\midrule\n";
            }
            text += &line(&mut row.cells.iter().map(|cell| escaped(&cell.text())));
        }
        text += "\\bottomrule\n\\end{tabular}}\n\n\\smallskip\n\\begin{minipage}{\\textwidth}\\footnotesize\n";
        for note in &self.notes {
            let _ = writeln!(text, "{}\\par", escaped(note));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "\\emph{{Warning:}} {}\\par", escaped(warning));
        }
        text + "\\end{minipage}\n\\end{table}\n"
    }

    fn rule_above(&self, i: usize) -> bool {
        i > 0 && self.rows[i].part != self.rows[i - 1].part
    }

    /// Names and values of a row, for programs.
    fn fields(&self, row: &Row) -> Vec<(String, Value)> {
        let cells = self.columns.iter().zip(&row.cells);
        let values = cells.flat_map(|(column, cell)| column.keys().into_iter().zip(cell.values(column.shape)));
        std::iter::once(("part".to_owned(), Value::from(row.part.name()))).chain(values).collect()
    }
}

/// Text in LaTeX: its special characters, and the few signs beyond Latin letters that tables use.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out += r"\textbackslash{}",
            '~' => out += r"\textasciitilde{}",
            '^' => out += r"\textasciicircum{}",
            '<' => out += "$<$",
            '>' => out += "$>$",
            '−' => out += "$-$",
            '±' => out += r"$\pm$",
            '×' => out += r"$\times$",
            '√' => out += r"$\surd$",
            'Δ' => out += r"$\Delta$",
            '→' => out += r"$\to$",
            '—' => out += "---",
            '–' => out += "--",
            // A bracket after \\ or \midrule would be taken for its argument.
            '[' => out += "{[}",
            ']' => out += "{]}",
            other => out.push(other),
        }
    }
    out
}
