//! Tables as HTML and CSV: paper, ours, interval, null and verdict; of several runs one block of columns each, with what they share once.

use maud::{Markup, html};

use super::RunReport;
use super::aligned::Joint;
use super::frame::source;
use crate::validate::findings::{Judgement, Row, Unit};

/// What is said where there is nothing to say.
const NOTHING: &str = "–";

/// Which columns there are.
struct Columns {
    /// Published figures, and whether all runs have the same.
    paper: bool,
    shared_paper: bool,
    null: bool,
    shared_null: bool,
    interval: bool,
    verdict: bool,
}

impl Columns {
    fn of(table: &Joint) -> Self {
        let all = || table.rows.iter().flat_map(|(_, rows)| rows.iter().flatten());
        let shared = |of: fn(&Row) -> Option<f64>| {
            let same = |rows: &Vec<Option<&Row>>| {
                let mut values = rows.iter().flatten().map(|row| of(row));
                let first = values.next();
                values.all(|value| Some(value) == first)
            };
            table.rows.iter().all(|(_, rows)| same(rows))
        };
        Columns {
            paper: all().any(|row| row.paper.is_some()),
            shared_paper: shared(|row| row.paper),
            null: all().any(|row| row.null.is_some()),
            shared_null: shared(|row| row.null),
            interval: all().any(|row| row.interval.is_some()),
            verdict: all().any(|row| row.verdict.is_some()),
        }
    }

    /// Those of one run.
    fn own(&self) -> usize {
        let own = [self.paper && !self.shared_paper, self.interval, self.null && !self.shared_null, self.verdict];
        1 + own.into_iter().filter(|column| *column).count()
    }
}

/// The table with its caption and its file.
pub(super) fn markup(table: &Joint, runs: &[RunReport]) -> Markup {
    let columns = Columns::of(table);
    let (shared_paper, shared_null) = (columns.paper && columns.shared_paper, columns.null && columns.shared_null);
    let several = runs.len() > 1;
    let span = several.then_some("2");
    let caption = format!("caption-{}", table.id);
    html! {
        div.table id={ "table-" (table.id) } {
            div.scroll tabindex="0" role="region" aria-labelledby=(caption) {
                table {
                    caption id=(caption) {
                        (table.title) (source(table.source))
                        a.file href={ "tables/" (table.id) ".csv" } { "CSV" }
                    }
                    thead {
                        tr {
                            th scope="col" rowspan=[span] { "Quantity" }
                            @if shared_paper { th.number scope="col" rowspan=[span] { "Paper" } }
                            @if shared_null { th.number scope="col" rowspan=[span] { (null(table)) } }
                            @if several {
                                @for run in runs { th.run scope="colgroup" colspan=(columns.own()) { (run.name) } }
                            } @else {
                                (heads(&columns, table))
                            }
                        }
                        @if several { tr { @for _ in runs { (heads(&columns, table)) } } }
                    }
                    tbody {
                        @for (quantity, rows) in &table.rows {
                            tr {
                                th scope="row" { (quantity) }
                                @let first = rows.iter().flatten().next();
                                @if shared_paper { (number(table.unit, first.and_then(|row| row.paper))) }
                                @if shared_null { (number(table.unit, first.and_then(|row| row.null))) }
                                @for row in rows { (cells(&columns, table.unit, *row)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn null<'a>(table: &'a Joint) -> &'a str {
    if table.null.is_empty() { "null" } else { table.null }
}

fn heads(columns: &Columns, table: &Joint) -> Markup {
    html! {
        @if columns.paper && !columns.shared_paper { th.number scope="col" { "Paper" } }
        th.number.ours scope="col" { "Ours" }
        @if columns.interval { th.number scope="col" { "95 % interval" } }
        @if columns.null && !columns.shared_null { th.number scope="col" { (null(table)) } }
        @if columns.verdict { th scope="col" { "Verdict" } }
    }
}

fn cells(columns: &Columns, unit: Unit, row: Option<&Row>) -> Markup {
    html! {
        @if columns.paper && !columns.shared_paper { (number(unit, row.and_then(|row| row.paper))) }
        td.number.ours { (row.and_then(|row| row.ours).map_or(NOTHING.into(), |value| unit.text(value))) }
        @if columns.interval {
            td.number { (row.and_then(|row| row.interval).map_or(NOTHING.into(), |ends| range(unit, ends))) }
        }
        @if columns.null && !columns.shared_null { (number(unit, row.and_then(|row| row.null))) }
        @if columns.verdict {
            td { @if let Some(judgement) = row.and_then(|row| row.verdict.as_ref()) { (verdict(judgement)) } }
        }
    }
}

fn number(unit: Unit, value: Option<f64>) -> Markup {
    html! { td.number { (value.map_or(NOTHING.into(), |value| unit.text(value))) } }
}

/// "81.2 to 84.0 %": the unit once.
fn range(unit: Unit, (low, high): (f64, f64)) -> String {
    let low = unit.text(low);
    format!("{} to {}", low.trim_end_matches(" %").trim_end_matches(" pp"), unit.text(high))
}

/// A verdict as a word and its reason.
pub(super) fn verdict(judgement: &Judgement) -> Markup {
    let words = judgement.verdict.words();
    html! {
        span.verdict data-verdict=(words) { (words) }
        @if !judgement.because.is_empty() { " " span.because { (judgement.because) } }
    }
}

/// One line a run and quantity; shares are fractions of 1 and what there is not is empty.
pub(super) fn csv(table: &Joint, runs: &[RunReport]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let number =
        |value: Option<f64>| value.filter(|value| value.is_finite()).map(|value| value.to_string()).unwrap_or_default();
    // Into memory, and all of one length: no record is refused.
    let _ = writer.write_record(["run", "quantity", "paper", "ours", "low", "high", "null", "verdict", "because"]);
    for (i, run) in runs.iter().enumerate() {
        for row in table.rows.iter().filter_map(|(_, rows)| rows[i]) {
            let (low, high) = (row.interval.map(|ends| ends.0), row.interval.map(|ends| ends.1));
            let (words, because) = row.verdict.as_ref().map_or(("", ""), |j| (j.verdict.words(), &j.because));
            let numbers = [row.paper, row.ours, low, high, row.null].map(number);
            let cells = [&[run.name.clone(), row.quantity.clone()][..], &numbers, &[words.into(), because.into()]];
            let _ = writer.write_record(cells.concat());
        }
    }
    writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
