//! The page itself: head, key facts, contents, a section a test, and what runs in the browser.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::aligned::Chapter;
use super::{MOST_BYTES, RunReport, claims, dashboard, map, plate, table, warnings};
use crate::error::Result;
use crate::validate::battery::Outcome;
use crate::validate::figure::Figure;

const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("page.js"), include_str!("sound.js"), include_str!("map.js")];
/// What the page may load: nothing but itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The whole page.
pub(super) fn page(runs: &[RunReport], chapters: &[Chapter], panels: &[Figure]) -> Result<String> {
    let title = match runs {
        [run] => format!("{}: validation", run.name),
        _ => format!("{}: comparison", runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ")),
    };
    let dashboard = dashboard::markup(panels)?;
    let sections = chapters.iter().map(|chapter| section(chapter, runs)).collect::<Result<Vec<_>>>()?;
    let start = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the results" }
                header { (head(runs)) }
                div.columns {
                    nav aria-label="Contents" { (contents(chapters, panels)) }
                    main id="main" tabindex="-1" {
                        (dashboard)
                        (claims::markup(chapters, runs))
                        @for section in &sections { (section) }
                    }
                }
                footer { p { "Made by the engine of Descant; every number of this page is in the files beside it." } }
            }
        }
    };
    let page = start.into_string();
    let page = page.strip_suffix("</body></html>").unwrap_or(&page).to_owned();
    let scripts: String = SCRIPTS.iter().map(|script| format!("<script>{script}</script>")).collect();
    let end = format!("{scripts}</body></html>\n");
    let room = MOST_BYTES.saturating_sub(page.len() + end.len());
    Ok(page + &map::data(runs, room) + &end)
}

fn head(runs: &[RunReport]) -> Markup {
    html! {
        p.kind { "Descant: validation battery" }
        h1 { @for (i, run) in runs.iter().enumerate() { @if i > 0 { span.against { " against " } } (run.name) } }
        @for run in runs {
            @for warning in warnings::of(run) {
                p.warning role="note" {
                    strong { "Read this first. " }
                    @if runs.len() > 1 { (run.name) ": " }
                    (warning)
                }
            }
        }
        div.scroll tabindex="0" role="region" aria-label="Key facts" {
            table.facts {
                @if runs.len() > 1 {
                    thead { tr { th scope="col" { "Fact" } @for run in runs { th scope="col" { (run.name) } } } }
                }
                tbody {
                    (fact("arm", runs, |run| Some(&run.arm)))
                    @for name in names(runs) {
                        (fact(name, runs, |run| run.about.iter().find(|(known, _)| known == name).map(|fact| &fact.1)))
                    }
                    tr { th scope="row" { "command" } @for run in runs { td { code { (run.command) } } } }
                }
            }
        }
    }
}

/// Every fact's name once.
fn names(runs: &[RunReport]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(|run| &run.about) {
        if !names.contains(&name.as_str()) && !warnings::is_warning(name) && name != "arm" {
            names.push(name);
        }
    }
    names
}

/// A line of facts, marked where the runs differ in it.
fn fact<'a>(name: &str, runs: &'a [RunReport], of: impl Fn(&'a RunReport) -> Option<&'a String>) -> Markup {
    let facts: Vec<Option<&String>> = runs.iter().map(of).collect();
    let differs = facts.iter().any(|fact| *fact != facts[0]);
    html! {
        tr.differs[differs] {
            th scope="row" { (name) }
            @for fact in facts { td { (fact.map_or("–", String::as_str)) } }
        }
    }
}

fn contents(chapters: &[Chapter], panels: &[Figure]) -> Markup {
    let claimed = |chapter: &Chapter| {
        chapter.tests.iter().flatten().filter_map(|test| test.findings()).any(|findings| !findings.claims.is_empty())
    };
    html! {
        ol {
            @if !panels.is_empty() { li { a href="#dashboard" { "Dashboard" } } }
            @if chapters.iter().any(claimed) { li { a href="#claims" { "The paper's claims" } } }
            @for chapter in chapters {
                li { a href={ "#test-" (chapter.number) } { span.no { (chapter.number) } " " (chapter.name) } }
            }
        }
    }
}

fn section(chapter: &Chapter, runs: &[RunReport]) -> Result<Markup> {
    let head = format!("test-{}-head", chapter.number);
    let (maps, plates): (Vec<_>, Vec<_>) = chapter.plates.iter().partition(|plate| plate::is_map(plate));
    let plates = plates.into_iter().map(|plate| plate::markup(plate, chapter, runs)).collect::<Result<Vec<_>>>()?;
    let outcomes = || runs.iter().zip(&chapter.tests);
    Ok(html! {
        section id={ "test-" (chapter.number) } aria-labelledby=(head) {
            h2 id=(head) { span.no { (chapter.number) } " " (chapter.name) }
            p.asks { (chapter.asks) }
            @for (run, test) in outcomes() {
                @let of = html! { @if runs.len() > 1 { span.of { (run.name) } " " } };
                @match test.map(|test| &test.outcome) {
                    Some(Outcome::Found(findings)) => p.summary { (of) (findings.summary) },
                    Some(Outcome::Skipped(reason)) => p.skipped { (of) "Not asked: " (reason) },
                    None => p.skipped { (of) "Not asked." },
                }
            }
            @for table in &chapter.tables { (table::markup(table, runs)) }
            (map::markup(&maps, chapter, runs))
            @for plate in &plates { (plate) }
            (notes(chapter, runs))
            @for test in chapter.tests.iter().flatten() {
                p.origin { "Made by " code { (test.command) } ", run " code { (test.hash) } }
            }
        }
    })
}

/// What a reader must know to read the numbers right; what holds for all runs is said once.
fn notes(chapter: &Chapter, runs: &[RunReport]) -> Markup {
    let found: Vec<_> = chapter.tests.iter().map(|test| test.and_then(|test| test.findings())).collect();
    let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (run, findings) in runs.iter().zip(&found) {
        for note in findings.iter().flat_map(|findings| &findings.notes) {
            match notes.iter_mut().find(|(known, _)| known == note) {
                Some((_, of)) => of.push(&run.name),
                None => notes.push((note, vec![&run.name])),
            }
        }
    }
    html! {
        @if !notes.is_empty() {
            h3 { "To read these numbers right" }
            ul.notes {
                @for (note, of) in &notes {
                    li { @if of.len() < found.iter().flatten().count() { span.of { (of.join(", ")) } " " } (note) }
                }
            }
        }
    }
}

/// " paper: table 6", where it has one.
pub(super) fn source(source: &str) -> Markup {
    html! { @if !source.is_empty() { " " span.source { "paper: " (source) } } }
}
