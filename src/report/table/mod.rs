//! The paper's tables of arms made from runs, ours beside the paper's.
//!
//! | step | file |
//! |---|---|
//! | read run folders and sweeps | [`runs`] |
//! | runs of one arm over seeds, and how two such groups compare | [`group`] |
//! | arms ranked beside their baseline, chance and pitch classes | `entry` |
//! | which columns which table has | [`kind`], `arm`, `paper` |
//! | what is said below | `caveats` |
//! | as text, CSV, LaTeX, JSON and as a figure | `sheet`, `write`, `figure` |

mod arm;
mod caveats;
mod entry;
mod figure;
pub mod group;
pub mod kind;
mod paper;
pub mod runs;
pub mod sheet;
mod write;

use std::io::Write;
use std::path::{Path, PathBuf};

use self::entry::Entry;
use self::group::Group;
use self::kind::Kind;
use self::sheet::{Row, Sheet};
use super::bars::BarChart;
use crate::config::Split;
use crate::error::{Error, Result};
use crate::io::write_atomic;

/// A table and the figure that shows the same.
#[derive(Debug, Clone)]
pub struct Table {
    /// The table.
    pub sheet: Sheet,
    /// S of every arm as bars, after the paper's figure 2.
    pub figure: BarChart,
}

impl Table {
    /// The table of `kind` from the runs in `folders` (of runs, or of sweeps), evaluated on `split`.
    ///
    /// # Errors
    /// [`Error::Usage`] without folders; [`Error::Input`] where a folder is no run, or was not evaluated on `split`.
    pub fn of(kind: Kind, folders: &[PathBuf], split: Split) -> Result<Table> {
        if folders.is_empty() {
            return Err(Error::Usage("expected run folders, or the folder of a sweep; found none".into()));
        }
        let runs::Collected { runs, warnings: mut left_out } = runs::collect(folders, split)?;
        let groups = Group::of(runs, kind.shown());
        let entries = entry::entries(&groups);
        let fields = kind.fields(groups.iter().any(|group| group.runs.len() > 1));
        let row = |entry: &Entry| Row {
            part: entry.part,
            cells: fields.iter().map(|field| (field.cell)(entry, kind)).collect(),
        };
        left_out.extend(caveats::warnings(&entries, &groups));
        let sheet = Sheet {
            name: kind.name(),
            caption: kind.title().to_owned(),
            columns: fields.iter().map(|field| field.column).collect(),
            rows: entries.iter().map(row).collect(),
            notes: caveats::notes(&entries, &groups, kind, split),
            warnings: left_out,
        };
        Ok(Table { sheet, figure: figure::of(&entries, kind) })
    }

    /// Writes the table in every format and the figure as PNG and SVG into `folder`; the files' names.
    pub fn save(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        let path = |extension: &str| folder.join(format!("{}.{extension}", self.sheet.name));
        let sheet = &self.sheet;
        let texts = [
            ("txt", sheet.text()),
            ("csv", sheet.csv()),
            ("tex", sheet.latex()),
            ("json", format!("{:#}\n", sheet.json())),
        ];
        for (extension, text) in &texts {
            write_atomic(&path(extension), |file| file.write_all(text.as_bytes()))?;
        }
        for extension in ["png", "svg"] {
            self.figure.save(&path(extension))?;
        }
        Ok(["txt", "csv", "tex", "json", "png", "svg"].map(path).to_vec())
    }
}
