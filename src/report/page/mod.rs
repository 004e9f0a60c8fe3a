//! The page of the validation battery: one self-contained `index.html` (no network, everything inline) of one run, or of several side
//! by side, with its tables and figures as files beside it.
//!
//! | what | file |
//! |---|---|
//! | tests, tables and figures of several runs laid together | `aligned` |
//! | the same for a terminal | `beside` |
//! | the page around them: head, facts, contents | `frame` |
//! | tables, as HTML and CSV | `table` |
//! | figures, as HTML and files | `plate` |
//! | what the paper claims | `claims` |
//! | the paper's figure 8 | `dashboard` |
//! | maps that sound | `map` |
//! | what a reader must know first | `warnings` |

mod aligned;
mod beside;
mod claims;
mod dashboard;
mod frame;
mod map;
mod plate;
mod table;
mod warnings;

use std::io::Write;
use std::path::Path;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::validate::battery::Outcome;
use crate::validate::figure::Clips;
use crate::validate::findings::{Findings, Row, Table};

/// Most bytes of a page.
pub const MOST_BYTES: usize = 5_000_000;
/// Name of the page in its folder.
pub const PAGE: &str = "index.html";

/// What the battery found of one run.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// The run's, unique on its page.
    pub name: String,
    /// What was trained.
    pub arm: String,
    /// Key facts in the order they are shown, as ("split", "test"); a fact called "warning" is shown above the others.
    pub about: Vec<(String, String)>,
    /// The command that makes the report.
    pub command: String,
    /// In the order they are shown.
    pub tests: Vec<TestReport>,
    /// What the maps' pairs are and how they sound, where there is a map.
    pub clips: Option<Clips>,
}

/// What came of one test.
#[derive(Debug, Clone)]
pub struct TestReport {
    /// The paper's number: "01".
    pub number: String,
    /// What it is called.
    pub name: String,
    /// What it asks, in a sentence.
    pub asks: String,
    /// The command that asks it again.
    pub command: String,
    /// Key of model, data and settings.
    pub hash: String,
    /// Findings, or why there are none.
    pub outcome: Outcome,
}

/// Writes `folder/index.html`, `folder/tables/ID.csv`, and `folder/figures/ID.{png,svg,csv}`; with several runs each figure is one
/// for all where its axes allow that, and `ID-1`, `ID-2`, … for the first, second, … run otherwise.
///
/// # Errors
/// [`Error::Op`] where there is no run, two of one name, or an id that is no name for a file; [`Error::Io`] where a file cannot be written.
pub fn write(folder: &Path, runs: &[RunReport]) -> Result<()> {
    check(runs)?;
    let chapters = aligned::chapters(runs);
    let panels = dashboard::panels(runs);
    for part in ["tables", "figures"].map(|name| folder.join(name)) {
        std::fs::create_dir_all(&part).map_err(|e| Error::io(&part, "create", e))?;
    }
    for table in chapters.iter().flat_map(|chapter| &chapter.tables) {
        let csv = table::csv(table, runs);
        write_atomic(&folder.join("tables").join(format!("{}.csv", table.id)), |out| out.write_all(csv.as_bytes()))?;
    }
    let figures = folder.join("figures");
    let plates: Vec<_> = chapters.iter().flat_map(|chapter| &chapter.plates).collect();
    plates.par_iter().try_for_each(|plate| plate::save(plate, &figures))?;
    dashboard::save(&panels, &figures)?;
    let page = frame::page(runs, &chapters, &panels)?;
    write_atomic(&folder.join(PAGE), |out| out.write_all(page.as_bytes()))
}

/// Names of files and places in the page are made of ids.
fn check(runs: &[RunReport]) -> Result<()> {
    if runs.is_empty() {
        return Err(Error::op("report", "runs", "at least one", "none"));
    }
    for (i, run) in runs.iter().enumerate() {
        if runs[..i].iter().any(|other| other.name == run.name) {
            return Err(Error::op("report", "run", "each once", format!("`{}` twice", run.name)));
        }
        for findings in run.tests.iter().filter_map(TestReport::findings) {
            let tables = findings.tables.iter().map(|table| &table.id);
            for id in tables.chain(findings.figures.iter().map(|figure| &figure.id)) {
                let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                if id.is_empty() || !id.chars().all(fit) {
                    let expected = "lower-case letters, digits and hyphens";
                    return Err(Error::op("report", "id of a table or figure", expected, format!("`{id}`")));
                }
            }
        }
    }
    Ok(())
}

impl TestReport {
    /// What was found, if anything.
    fn findings(&self) -> Option<&Findings> {
        match &self.outcome {
            Outcome::Found(findings) => Some(findings),
            Outcome::Skipped(_) => None,
        }
    }
}

impl RunReport {
    /// Row `quantity` of table `id`, whatever sign stands for minus.
    fn row(&self, id: &str, quantity: &str) -> Option<&Row> {
        let plain = |text: &str| text.replace('−', "-");
        self.table(id)?.rows.iter().find(|row| plain(&row.quantity) == plain(quantity))
    }

    /// Table `id`.
    fn table(&self, id: &str) -> Option<&Table> {
        let findings = self.tests.iter().filter_map(TestReport::findings);
        findings.flat_map(|findings| &findings.tables).find(|table| table.id == id)
    }
}

#[cfg(test)]
mod tests;
