//! The kinds of tables, each a list of columns (paper, tables 2, 3, 4 and 12).

use clap::ValueEnum;

use super::arm;
use super::entry::Entry;
use super::group::Group;
use super::paper::{self, Figures};
use super::sheet::{Cell, Column, Shape};
use crate::config::setting::{Setting, json_text};
use crate::model::{Model, ModelSpec};
use crate::nn::Builder;

/// What a table sets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Descriptors and mechanisms after a few epochs (the paper's table 2, figure 2)
    Screening,
    /// Architecture families after a few epochs (the paper's table 3)
    Families,
    /// Long trainings with their schedules (the paper's table 4)
    Longrun,
    /// Several seeds of each arm (the paper's table 12)
    Replication,
}

/// A column and how its cell is made.
#[derive(Clone, Copy)]
pub struct Field {
    /// The column.
    pub column: Column,
    /// Its cell in the row of an entry.
    pub cell: fn(&Entry, Kind) -> Cell,
}

impl Kind {
    /// Name for files.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Screening => "screening",
            Kind::Families => "families",
            Kind::Longrun => "longrun",
            Kind::Replication => "replication",
        }
    }

    /// What the table is called.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Screening => "Screening of descriptors and mechanisms",
            Kind::Families => "Screening of architecture families",
            Kind::Longrun => "Long training runs",
            Kind::Replication => "Replication over seeds",
        }
    }

    /// The table of the paper that it stands beside.
    pub fn of_paper(self) -> usize {
        match self {
            Kind::Screening => 2,
            Kind::Families => 3,
            Kind::Longrun => 4,
            Kind::Replication => 12,
        }
    }

    /// Keys that its columns show.
    pub fn shown(self) -> &'static [&'static str] {
        if self == Kind::Longrun { &["epochs", "schedule", "schedule."] } else { &[] }
    }

    /// Its columns; those about seeds only where some arm has `several`, except in the table that is about them.
    pub fn fields(self, several: bool) -> Vec<Field> {
        let about: &[Field] = match self {
            Kind::Screening => &[RANK, ARM, DESCRIPTOR, MECHANISM],
            Kind::Families => &[RANK, ARM, FAMILY],
            Kind::Longrun => &[RANK, ARM, SCHEDULE, EPOCHS],
            Kind::Replication => &[ARM],
        };
        let more: &[Field] = match self {
            Kind::Screening | Kind::Families => &[HARD],
            Kind::Longrun => &[BEST_EPOCH, PARAMETERS],
            Kind::Replication => &[],
        };
        let seeds = several || self == Kind::Replication;
        let when = |shown: bool, fields: &[Field]| if shown { fields.to_vec() } else { Vec::new() };
        let paper: &[Field] =
            if self == Kind::Replication { &[PAPER_S, PAPER_SD, PAPER_DELTA] } else { &[PAPER_S, PAPER_DELTA] };
        let spread = when(seeds, &[SD, RANGE]);
        let tests = when(seeds, &[COHEN_D, WELCH_T, WELCH_DF, WELCH_P]);
        [about, &when(seeds, &[SEEDS]), &[S, S_INTERVAL], &spread, more, &[DELTA, DELTA_INTERVAL], &tests, paper]
            .concat()
    }
}

const fn field(key: &'static str, head: &'static str, shape: Shape, cell: fn(&Entry, Kind) -> Cell) -> Field {
    Field { column: Column { key, head, shape }, cell }
}

use Shape::{Number, Range, Text};

const RANK: Field = field("rank", "Rank", Number, |entry, _| entry.rank.map_or(Cell::Blank, Cell::Count));
const ARM: Field = field("arm", "Arm", Text, |entry, _| Cell::Text(entry.name.clone()));
const DESCRIPTOR: Field = field("descriptor", "Descriptor", Text, |entry, _| words(entry, arm::descriptors));
const MECHANISM: Field = field("mechanism", "Mechanism", Text, |entry, _| words(entry, arm::mechanisms));
const FAMILY: Field = field("family", "Family", Text, |entry, _| words(entry, arm::family));
const SCHEDULE: Field = field("schedule", "Schedule", Text, |entry, _| {
    entry.group.map_or(Cell::Blank, |group| Cell::Text(json_text(&group.runs[0].config.schedule.kind.json())))
});
const EPOCHS: Field = field("epochs", "Epochs", Number, |entry, _| {
    entry.group.map_or(Cell::Blank, |group| Cell::Count(group.runs[0].config.epochs))
});
const SEEDS: Field =
    field("seeds", "Seeds", Number, |entry, _| entry.group.map_or(Cell::Blank, |group| Cell::Count(group.runs.len())));
const S: Field = field("s", "S (%)", Number, |entry, _| Cell::Share(entry.s.value));
const S_INTERVAL: Field = field("s", "95 %", Range, |entry, _| Cell::Shares(entry.s.low, entry.s.high));
const SD: Field = field("sd", "SD", Number, |entry, _| several(entry, |group| Cell::Deviation(group.sample.sd)));
const RANGE: Field = field("range", "Range", Range, |entry, _| {
    several(entry, |group| {
        let (low, high) = group.range();
        Cell::Shares(low, high)
    })
});
const HARD: Field = field("hard_negatives_won", "Hard neg (%)", Number, |entry, _| Cell::Share(entry.hard));
const BEST_EPOCH: Field =
    field("best_epoch", "Best epoch", Text, |entry, _| entry.group.map_or(Cell::Blank, best_epochs));
const PARAMETERS: Field = field("parameters_m", "Params (M)", Number, |entry, _| {
    entry.group.map_or(Cell::Blank, |group| Cell::Number(parameters(group) as f64 / 1e6, 2))
});
const DELTA: Field = field("delta", "Δ D0 (pp)", Number, |entry, _| {
    entry.versus.map_or(Cell::Blank, |versus| Cell::Points(versus.delta.value))
});
const DELTA_INTERVAL: Field = field("delta", "95 %", Range, |entry, _| {
    entry.versus.map_or(Cell::Blank, |versus| Cell::Interval(versus.delta.low, versus.delta.high))
});
const COHEN_D: Field = field("cohen_d", "d", Number, |entry, _| number(entry.versus.and_then(|versus| versus.cohen_d)));
const WELCH_T: Field =
    field("welch_t", "t", Number, |entry, _| number(entry.versus.and_then(|versus| versus.welch).map(|test| test.t)));
const WELCH_DF: Field = field("welch_df", "df", Number, |entry, _| {
    number(entry.versus.and_then(|versus| versus.welch).map(|test| test.df))
});
const WELCH_P: Field = field("welch_p", "p", Number, |entry, _| {
    entry.versus.and_then(|versus| versus.welch).map_or(Cell::Blank, |test| Cell::Probability(test.p))
});
const PAPER_S: Field = field("paper_s", "Paper S", Number, |entry, kind| {
    paper(entry, kind).map_or(Cell::Blank, |figures| Cell::Share(figures.s))
});
const PAPER_SD: Field = field("paper_sd", "Paper SD", Number, |entry, kind| {
    paper(entry, kind).and_then(|figures| figures.sd).map_or(Cell::Blank, Cell::Deviation)
});
const PAPER_DELTA: Field = field("paper_delta", "Paper Δ", Number, |entry, kind| {
    paper(entry, kind).and_then(|figures| figures.delta).map_or(Cell::Blank, Cell::Points)
});

fn words(entry: &Entry, of: fn(&crate::arms::Arm) -> Option<String>) -> Cell {
    entry.group.and_then(|group| of(group.arm())).map_or(Cell::Blank, Cell::Text)
}

fn several(entry: &Entry, cell: impl Fn(&Group) -> Cell) -> Cell {
    entry.group.filter(|group| group.runs.len() > 1).map_or(Cell::Blank, cell)
}

fn number(value: Option<f64>) -> Cell {
    value.map_or(Cell::Blank, |value| Cell::Number(value, 2))
}

/// The paper's figures of the entry's arm in the table of this kind.
pub fn paper(entry: &Entry, kind: Kind) -> Option<Figures> {
    entry.group.and_then(|group| paper::figures(&group.arm().name, &group.runs[0].config, kind))
}

/// "29", or "27–30" where seeds differ.
fn best_epochs(group: &Group) -> Cell {
    let epochs: Vec<f64> = group.runs.iter().filter_map(|run| run.best_epoch).collect();
    let ends = epochs.iter().copied().reduce(f64::min).zip(epochs.iter().copied().reduce(f64::max));
    match ends {
        None => Cell::Blank,
        Some((first, last)) if first == last => Cell::Text(format!("{first}")),
        Some((first, last)) => Cell::Text(format!("{first}–{last}")),
    }
}

fn parameters(group: &Group) -> usize {
    let mut builder = Builder::default();
    Model::declare(&mut builder, group.arm(), &ModelSpec::from_config(&group.runs[0].config));
    builder.len()
}
