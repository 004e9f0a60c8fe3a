//! Figures as HTML and files: one for all runs where their axes allow it, else one a run side by side.

use std::io::Write;
use std::path::Path;

use maud::{Markup, PreEscaped, html};

use super::aligned::{Chapter, Plate};
use super::frame::source;
use super::{RunReport, TestReport};
use crate::error::Result;
use crate::io::write_atomic;
use crate::report::figures;
use crate::validate::figure::{Figure, Picture};

/// What is drawn of a plate: a figure, the name of its files, and the run it is of if not of all.
fn drawn<'a>(plate: &'a Plate) -> Vec<(&'a Figure, String, Option<usize>)> {
    if let Some(figure) = &plate.merged {
        return vec![(figure, plate.id.to_owned(), None)];
    }
    let parts = plate.parts.iter().enumerate();
    parts.filter_map(|(i, part)| part.map(|figure| (figure, format!("{}-{}", plate.id, i + 1), Some(i)))).collect()
}

/// Writes the plate's files into `folder`.
pub(super) fn save(plate: &Plate, folder: &Path) -> Result<()> {
    for (figure, name, _) in drawn(plate) {
        figures::draw(figure, &folder.join(format!("{name}.png")))?;
        figures::draw(figure, &folder.join(format!("{name}.svg")))?;
        if let Some(csv) = figures::csv(&figure.picture) {
            write_atomic(&folder.join(format!("{name}.csv")), |out| out.write_all(csv.as_bytes()))?;
        }
    }
    Ok(())
}

/// Whether the page shows it in its interactive map instead.
pub(super) fn is_map(plate: &Plate) -> bool {
    plate.parts.iter().flatten().all(|figure| matches!(figure.picture, Picture::Map { .. }))
}

/// The plate with captions, sources, commands and files.
pub(super) fn markup(plate: &Plate, chapter: &Chapter, runs: &[RunReport]) -> Result<Markup> {
    let mut parts = Vec::new();
    for (figure, name, run) in drawn(plate) {
        parts.push((figure, figures::svg(figure, false)?, name, run));
    }
    let Some(&(first, ..)) = parts.first() else { return Ok(html! {}) };
    Ok(html! {
        div.plate id={ "figure-" (plate.id) } {
            h4 { (first.title) (source(&first.source)) }
            div.plates {
                @for (figure, svg, name, run) in &parts {
                    figure {
                        div.sheet tabindex="0" role="img" aria-label={ (figure.title) ". " (figure.caption) } {
                            (PreEscaped(svg))
                        }
                        figcaption {
                            @if let Some(i) = run { strong { (runs[*i].name) ": " } }
                            (figure.caption)
                            (origin(figure, name, &tests(chapter, *run)))
                        }
                    }
                }
            }
        }
    })
}

/// The tests that a figure is of.
fn tests<'a>(chapter: &Chapter<'a>, run: Option<usize>) -> Vec<&'a TestReport> {
    match run {
        Some(i) => chapter.tests[i].into_iter().collect(),
        None => chapter.tests.iter().flatten().copied().collect(),
    }
}

/// Files of a figure, and what makes it again.
pub(super) fn origin(figure: &Figure, name: &str, tests: &[&TestReport]) -> Markup {
    html! {
        span.files {
            a href={ "figures/" (name) ".png" } { "PNG" } " "
            a href={ "figures/" (name) ".svg" } { "SVG" }
            @if !matches!(figure.picture, Picture::Attention(_)) { " " a href={ "figures/" (name) ".csv" } { "CSV" } }
        }
        @for test in tests {
            span.origin { code { (test.command) } " run " code { (test.hash) } }
        }
    }
}
