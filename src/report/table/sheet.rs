//! A table before it is written: columns, rows of typed cells, and what is said under it.

use serde_json::Value;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Name for programs.
    pub key: &'static str,
    /// Heading for people.
    pub head: &'static str,
    /// What its cells are.
    pub shape: Shape,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Words, flush left.
    Text,
    /// A number, flush right.
    Number,
    /// Two numbers: for programs the columns `KEY_low` and `KEY_high`.
    Range,
}

/// One cell. Shares are fractions of 1, shown in per cent; their differences are shown in percentage points.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing to say.
    Blank,
    /// Words.
    Text(String),
    /// A whole number.
    Count(usize),
    /// A share.
    Share(f64),
    /// A difference of shares, with its sign.
    Points(f64),
    /// A standard deviation of shares.
    Deviation(f64),
    /// From one share to another.
    Shares(f64, f64),
    /// From one difference of shares to another.
    Interval(f64, f64),
    /// Any other number, with so many decimals.
    Number(f64, usize),
    /// A probability; below a thousandth it is said to be that.
    Probability(f64),
}

/// Where a row belongs; a rule stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// An arm above the baseline.
    Above,
    /// The baseline.
    Baseline,
    /// An arm that is not above the baseline.
    Below,
    /// An arm where there is no baseline.
    Alone,
    /// What nothing was learned for: chance and the pitch-class baselines.
    Unlearned,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where it belongs.
    pub part: Part,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Name for files and LaTeX labels.
    pub name: &'static str,
    /// What it shows.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, from above.
    pub rows: Vec<Row>,
    /// How to read it.
    pub notes: Vec<String>,
    /// What forbids to read it naively.
    pub warnings: Vec<String>,
}

impl Cell {
    /// For people, with typographic minus and dashes; what is not a number becomes a dash.
    pub fn text(&self) -> String {
        let number = |x: f64, decimals: usize| {
            if x.is_finite() { format!("{x:.decimals$}").replace('-', "−") } else { DASH.to_owned() }
        };
        let signed = |x: f64| match number(100.0 * x, 1) {
            zero if zero == "0.0" || zero == "−0.0" => "±0.0".to_owned(),
            positive if x > 0.0 && x.is_finite() => format!("+{positive}"),
            other => other,
        };
        match self {
            Cell::Blank => DASH.to_owned(),
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => count.to_string(),
            Cell::Share(x) | Cell::Deviation(x) => number(100.0 * x, 1),
            Cell::Points(x) => signed(*x),
            Cell::Shares(low, high) | Cell::Interval(low, high) if !low.is_finite() || !high.is_finite() => {
                Cell::Blank.text()
            }
            Cell::Shares(low, high) => format!("{}–{}", number(100.0 * low, 1), number(100.0 * high, 1)),
            Cell::Interval(low, high) => format!("[{}, {}]", signed(*low), signed(*high)),
            Cell::Number(x, decimals) => number(*x, *decimals),
            Cell::Probability(p) if *p < 1e-3 => "< 0.001".to_owned(),
            Cell::Probability(p) => number(*p, 3),
        }
    }

    /// For programs: one value, or two in a [`Shape::Range`]. What is not a number is null.
    pub fn values(&self, shape: Shape) -> Vec<Value> {
        let number = |x: f64| Value::from(if x.is_finite() { Some((x * 1e9).round() / 1e9) } else { None });
        match (self, shape) {
            (Cell::Shares(low, high) | Cell::Interval(low, high), _) => vec![number(*low), number(*high)],
            (Cell::Blank, Shape::Range) => vec![Value::Null; 2],
            (Cell::Blank, _) => vec![Value::Null],
            (Cell::Text(text), _) => vec![Value::from(text.as_str())],
            (Cell::Count(count), _) => vec![Value::from(*count)],
            (Cell::Share(x) | Cell::Points(x) | Cell::Deviation(x) | Cell::Number(x, _), _) => vec![number(*x)],
            // Not rounded: a probability may be smaller than any fixed step.
            (Cell::Probability(p), _) => vec![Value::from(if p.is_finite() { Some(*p) } else { None })],
        }
    }
}

/// In place of what there is not.
const DASH: &str = "—";

impl Part {
    /// Name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Part::Above | Part::Below | Part::Alone => "arm",
            Part::Baseline => "baseline",
            Part::Unlearned => "unlearned",
        }
    }
}

impl Column {
    /// Its names for programs, as many as its cells have values.
    pub fn keys(&self) -> Vec<String> {
        match self.shape {
            Shape::Range => vec![format!("{}_low", self.key), format!("{}_high", self.key)],
            Shape::Text | Shape::Number => vec![self.key.to_owned()],
        }
    }
}
