//! What a reader must know before any other number.

use super::RunReport;
use crate::validate::findings::Row;

/// In words, of one run; those of several name theirs.
pub(super) fn of(run: &RunReport) -> Vec<String> {
    let said = run.about.iter().filter(|(name, _)| is_warning(name)).map(|(_, text)| text.clone());
    said.chain(beaten(run)).chain(by_chance(run)).collect()
}

/// Whether a fact is one.
pub(super) fn is_warning(name: &str) -> bool {
    name.eq_ignore_ascii_case("warning")
}

/// What learned nothing and is better.
fn beaten(run: &RunReport) -> Option<String> {
    let table = run.table("scoreboard")?;
    let ours = run.row("scoreboard", "S")?.ours?;
    let name = |row: &Row| {
        let name = row.quantity.strip_prefix("S of ")?.strip_suffix(", nothing learned")?;
        row.ours.filter(|s| *s > ours).map(|s| format!("{name} ({})", table.unit.text(s)))
    };
    let better: Vec<String> = table.rows.iter().filter_map(name).collect();
    (!better.is_empty()).then(|| {
        let (ours, better) = (table.unit.text(ours), better.join(", "));
        format!("What needs no learning finds more matches than this model (S = {ours}): {better}.")
    })
}

/// No better than guessing.
fn by_chance(run: &RunReport) -> Option<String> {
    let unit = run.table("scoreboard")?.unit;
    let row = run.row("scoreboard", "S")?;
    let ((low, _), chance) = (row.interval?, row.null?);
    (low <= chance)
        .then(|| format!("The interval of S reaches down to {}, and chance is {}.", unit.text(low), unit.text(chance)))
}
