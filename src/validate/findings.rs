//! What a test finds, as plain data: the report, the comparison of runs and the list of the paper's claims are made of these alone, so
//! that nothing is computed twice and every number of the page is in a file.

use serde::{Deserialize, Serialize};

use super::figure::Figure;
use crate::eval::bootstrap::Interval;

/// What one test found of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// What there is to say in a sentence or two, with the figures that matter.
    pub summary: String,
    /// Numbers.
    pub tables: Vec<Table>,
    /// Pictures.
    pub figures: Vec<Figure>,
    /// What the paper says of such a run, and whether it holds here.
    pub claims: Vec<Claim>,
    /// What a reader must know to read the numbers right: traps of the measure, what was left out and why.
    pub notes: Vec<String>,
}

/// Numbers beside the paper's and beside what chance gives; rows of two runs with the same quantity belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Name for files: lower case, digits and hyphens.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The paper's table of these numbers, as "table 6"; empty where it has none.
    pub source: String,
    /// What the numbers are.
    pub unit: Unit,
    /// What the column beside the intervals holds: "chance", "shuffled pairs", …; empty where no row has such a figure.
    pub null: String,
    /// From above.
    pub rows: Vec<Row>,
}

/// What the numbers of a table or the values of a figure are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Shares of 1, shown in per cent with one decimal.
    Share,
    /// Differences of shares, shown in percentage points with their sign.
    Points,
    /// Any other number, shown with so many decimals.
    Number(u8),
}

/// One number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is measured; unique in its table.
    pub quantity: String,
    /// The paper's figure for this arm.
    pub paper: Option<f64>,
    /// Ours; nothing where it cannot be measured (the reason is in the verdict or the notes).
    pub ours: Option<f64>,
    /// 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// What chance or a null gives.
    pub null: Option<f64>,
    /// How ours stands to the paper's.
    pub verdict: Option<Judgement>,
}

/// Whether something the paper says holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Held,
    /// It does not.
    NotHeld,
    /// What was run cannot tell.
    NotComparable,
}

/// A verdict with its reason, in a few words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    pub because: String,
}

/// Something the paper claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// In one sentence, with the paper's figures.
    pub claim: String,
    /// Where: "section 5.2", "table 6".
    pub source: String,
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Verdict {
    /// As reports write it.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::NotHeld => "not held",
            Verdict::NotComparable => "not comparable",
        }
    }

    /// Whether a quantity exceeds `least`: held where its whole interval does, not held where none of it does; in between what was
    /// run cannot tell.
    pub fn above(least: f64, (low, high): (f64, f64)) -> Self {
        match (low > least, high > least) {
            (true, true) => Verdict::Held,
            (false, false) => Verdict::NotHeld,
            _ => Verdict::NotComparable,
        }
    }

    /// With a reason.
    pub fn because(self, reason: impl Into<String>) -> Judgement {
        Judgement { verdict: self, because: reason.into() }
    }

    /// Held or not, by what was found.
    pub fn of(held: bool) -> Self {
        if held { Verdict::Held } else { Verdict::NotHeld }
    }
}

impl Row {
    /// A number with nothing beside it.
    pub fn new(quantity: impl Into<String>, ours: f64) -> Self {
        Row { quantity: quantity.into(), ours: Some(ours), ..Row::default() }
    }

    /// A number with its interval.
    pub fn measured(quantity: impl Into<String>, found: Interval) -> Self {
        let interval = (found.low.is_finite() && found.high.is_finite()).then_some((found.low, found.high));
        Row { interval, ..Row::new(quantity, found.value) }
    }

    /// A quantity that could not be measured.
    pub fn missing(quantity: impl Into<String>, because: impl Into<String>) -> Self {
        let verdict = Some(Verdict::NotComparable.because(because));
        Row { quantity: quantity.into(), verdict, ..Row::default() }
    }

    /// The same beside the paper's figure, if it has one.
    pub fn paper(self, paper: Option<f64>) -> Self {
        Row { paper, ..self }
    }

    /// The same beside what chance or a null gives.
    pub fn null(self, null: f64) -> Self {
        Row { null: Some(null), ..self }
    }

    /// The same, judged.
    pub fn judged(self, judgement: Judgement) -> Self {
        Row { verdict: Some(judgement), ..self }
    }
}

impl Unit {
    /// A number as tables show it.
    pub fn text(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "–".into(),
            Unit::Share => format!("{:.1} %", 100.0 * value),
            Unit::Points => format!("{:+.1} pp", 100.0 * value).replace('-', "−"),
            Unit::Number(decimals) => format!("{value:.*}", decimals.into()).replace('-', "−"),
        }
    }
}
