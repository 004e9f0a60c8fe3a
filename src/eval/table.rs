//! The canonical evaluation as text for a terminal.

use std::fmt::Write;

use super::bootstrap::Interval;
use super::canonical::{Canonical, MANY_TIES, System};
use super::pools::Protocol;
use super::scores::{Retrieval, Scores};

impl Canonical {
    /// The report for a terminal: what was drawn, a table with percentages and their intervals, and what to mind.
    pub fn table(&self) -> String {
        let systems: Vec<&System> = std::iter::once(&self.model).chain(&self.baselines).collect();
        let mut rows = vec![row("", systems.iter().map(|system| system.name.clone()), "chance".to_owned())];
        let mut push = |label: &str, figure: &dyn Fn(&System) -> Interval, chance: f64, unit: Unit| {
            let cells = systems.iter().map(|system| unit.interval(figure(system)));
            rows.push(row(label, cells, unit.value(chance)));
        };
        push("S (the smaller R@10)", &|system| system.canonical.s, self.chance.s, Unit::Percent);
        push("S, random pools", &|system| system.s_random, self.chance.s, Unit::Percent);
        for (direction, of) in DIRECTIONS {
            for (i, (label, unit)) in FIGURES.into_iter().enumerate() {
                let figure = |system: &System| of(&system.canonical).to_array()[i];
                push(&format!("{direction}  {label}"), &figure, self.chance.audio_to_midi.to_array()[i], unit);
            }
        }
        let mut text = self.heading();
        align(&rows, &mut text);
        systems.iter().filter(|system| system.tied > MANY_TIES).for_each(|system| {
            let share = Unit::Percent.value(system.tied);
            let _ = writeln!(
                text,
                "Beware: {share} % of the negatives tie with the match of {}: its embeddings have collapsed, and ties \
                 count for the match, so its figures mean nothing.",
                system.name
            );
        });
        text
    }

    pub(super) fn heading(&self) -> String {
        let Protocol { hard, semi_hard, seed, .. } = self.protocol;
        let mut text = format!(
            "Retrieval among {} segments of {} performances ({} pieces, {} composers).\n\
             {} queries (seed {seed}), pools of {}: the match, {hard} others of the piece, {semi_hard} of other pieces by \
             the composer, random ones.\n\
             Shares in per cent, with 95 % bootstrap intervals over queries.\n",
            self.segments, self.performances, self.pieces, self.composers, self.queries, self.pool
        );
        if !self.baselines.is_empty() {
            text.push_str("Pitch classes: nothing is learned; × 8: in eight time slices.\n");
        }
        if self.queries < self.protocol.queries || self.pool < self.protocol.pool {
            let _ = writeln!(
                text,
                "The split is small: {} queries and pools of {} were asked for.",
                self.protocol.queries, self.protocol.pool
            );
        }
        for (missing, wanted, kind) in
            [(self.shortage.hard, hard, "same-piece"), (self.shortage.semi_hard, semi_hard, "same-composer")]
        {
            if missing > 0 {
                let wanted = wanted * self.queries;
                let _ = writeln!(text, "{missing} of {wanted} {kind} negatives do not exist; random ones instead.");
            }
        }
        text.push('\n');
        text
    }
}

type Direction = (&'static str, fn(&Retrieval<Interval>) -> &Scores<Interval>);

const DIRECTIONS: [Direction; 2] =
    [("audio → MIDI", |figures| &figures.audio_to_midi), ("MIDI → audio", |figures| &figures.midi_to_audio)];

/// Labels of [`Scores::to_array`].
const FIGURES: [(&str, Unit); 7] = [
    ("R@1", Unit::Percent),
    ("R@5", Unit::Percent),
    ("R@10", Unit::Percent),
    ("MRR", Unit::Fraction),
    ("median rank", Unit::Rank),
    ("hard won", Unit::Percent),
    ("semi-hard won", Unit::Percent),
];

#[derive(Clone, Copy)]
pub(super) enum Unit {
    Percent,
    /// Of 1, as reciprocal ranks are usually given.
    Fraction,
    Rank,
}

impl Unit {
    pub(super) fn value(self, x: f64) -> String {
        match self {
            _ if x.is_nan() => "–".to_owned(),
            Unit::Percent => format!("{:.1}", 100.0 * x),
            Unit::Fraction => format!("{x:.3}"),
            Unit::Rank => format!("{x:.1}"),
        }
    }

    pub(super) fn interval(self, Interval { value, low, high }: Interval) -> String {
        if value.is_nan() {
            return self.value(value);
        }
        format!("{} [{}, {}]", self.value(value), self.value(low), self.value(high))
    }
}

fn row(label: &str, cells: impl Iterator<Item = String>, chance: String) -> Vec<String> {
    std::iter::once(label.to_owned()).chain(cells).chain([chance]).collect()
}

/// Writes rows as columns: the first flush left, the others flush right.
pub(super) fn align(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let _ = write!(text, "{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::canonical::tests::planted;
    use crate::eval::canonical::{evaluate, figures};
    use crate::eval::pools::Protocol;

    #[test]
    fn the_table_tells_of_shortages_small_splits_and_collapse() {
        let (pairs, items) = planted(1200, 0.0);
        let table = evaluate("a4r", pairs.embeddings(), &items, &[], &Protocol::default()).unwrap().table();
        assert!(table.contains("S (the smaller R@10)") && table.contains("100.0 [100.0, 100.0]"), "{table}");
        assert!(table.contains("\nMIDI → audio  median rank") && table.contains(" 128.5\n"), "{table}");
        assert!(!table.contains("is small") && !table.contains("do not exist") && !table.contains("Beware"), "{table}");

        let (mut pairs, items) = planted(90, 0.0);
        pairs.audio.fill(1.0);
        let report = evaluate("a4r", pairs.embeddings(), &items, &[], &Protocol::default()).unwrap();
        let table = report.table();
        assert_eq!(figures(pairs.embeddings(), &items, &Protocol::default()).unwrap().s_unless_collapsed(), 0.0);
        assert_eq!((report.queries, report.pool, report.chance.s), (90, 90, 10.0 / 90.0));
        assert!(report.model.canonical.audio_to_midi.semi_hard_negatives_won.value.is_nan());
        assert!(table.contains("The split is small: 500 queries and pools of 256 were asked for."), "{table}");
        assert!(table.contains("2880 of 2880 same-composer negatives do not exist"), "{table}");
        assert!(table.contains("Beware: 50.0 %"), "{table}");
        assert!(table.contains(" – "), "{table}");
    }
}
