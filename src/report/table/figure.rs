//! S of every arm as bars (the paper's figure 2).

use super::entry::Entry;
use super::kind::{Kind, paper};
use super::sheet::Part;
use crate::report::bars::{Bar, BarChart, Line, Tone};

/// The figure of a table's rows.
pub fn of(entries: &[Entry], kind: Kind) -> BarChart {
    let bar = |entry: &Entry| Bar {
        label: entry.name.clone(),
        value: 100.0 * entry.s.value,
        interval: (100.0 * entry.s.low, 100.0 * entry.s.high),
        mark: paper(entry, kind).map(|figures| 100.0 * figures.s),
        tone: match entry.part {
            Part::Above => Tone::Above,
            Part::Baseline => Tone::Baseline,
            Part::Below => Tone::Below,
            Part::Alone => Tone::Alone,
            Part::Unlearned => Tone::Unlearned,
        },
    };
    // Chance has no interval and no bar: it is a line.
    let (chance, bars): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.name == "chance");
    let baseline = entries.iter().find(|entry| entry.part == Part::Baseline);
    let line = |entry: &Entry| Line { label: entry.name.clone(), value: 100.0 * entry.s.value };
    BarChart {
        title: kind.title().to_owned(),
        axis: "S (%)".to_owned(),
        bars: bars.into_iter().map(bar).collect(),
        lines: baseline.into_iter().chain(chance).map(line).collect(),
    }
}
