//! What the paper claims, with what was found: held, not held, or not comparable, and why.

use maud::{Markup, html};

use super::RunReport;
use super::aligned::Chapter;
use super::table::verdict;
use crate::validate::findings::{Claim, Judgement, Verdict};

const VERDICTS: [Verdict; 3] = [Verdict::Held, Verdict::NotHeld, Verdict::NotComparable];

/// A claim with the judgement of each run.
struct Entry<'a> {
    claim: &'a Claim,
    chapter: &'a Chapter<'a>,
    judgements: Vec<Option<&'a Judgement>>,
}

impl Entry<'_> {
    /// Its verdicts for the filter, as "held,not held".
    fn verdicts(&self) -> String {
        self.judgements.iter().flatten().map(|judgement| judgement.verdict.words()).collect::<Vec<_>>().join(",")
    }

    fn has(&self, verdict: Verdict) -> bool {
        self.judgements.iter().flatten().any(|judgement| judgement.verdict == verdict)
    }
}

fn entries<'a>(chapters: &'a [Chapter<'a>]) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry> = Vec::new();
    for chapter in chapters {
        let first = entries.len();
        for (run, test) in chapter.tests.iter().enumerate() {
            let found = test.and_then(|test| test.findings());
            for claim in found.iter().flat_map(|findings| &findings.claims) {
                let known = entries[first..].iter().position(|entry| entry.claim.claim == claim.claim);
                let place = known.map_or(entries.len(), |place| first + place);
                if place == entries.len() {
                    entries.push(Entry { claim, chapter, judgements: vec![None; chapter.tests.len()] });
                }
                entries[place].judgements[run] = Some(&claim.judgement);
            }
        }
    }
    entries
}

/// The list with its filter; nothing where no test has a claim.
pub(super) fn markup(chapters: &[Chapter], runs: &[RunReport]) -> Markup {
    let entries = entries(chapters);
    if entries.is_empty() {
        return html! {};
    }
    let count = |verdict: Verdict| entries.iter().filter(|entry| entry.has(verdict)).count();
    html! {
        section id="claims" aria-labelledby="claims-head" {
            h2 id="claims-head" { "The paper's claims" }
            div.filter role="group" aria-label="Show claims" hidden {
                button type="button" data-filter="" aria-pressed="true" { "all " (entries.len()) }
                @for verdict in VERDICTS {
                    button type="button" data-filter=(verdict.words()) aria-pressed="false" {
                        (verdict.words()) " " (count(verdict))
                    }
                }
            }
            p.count role="status" {
                @for (i, verdict) in VERDICTS.into_iter().enumerate() {
                    @if i > 0 { ", " }
                    (count(verdict)) " " (verdict.words())
                }
                "."
            }
            ol.claims {
                @for entry in &entries {
                    li data-verdicts=(entry.verdicts()) {
                        p.claim {
                            (entry.claim.claim)
                            span.source {
                                @if !entry.claim.source.is_empty() { (entry.claim.source) ", " }
                                a href={ "#test-" (entry.chapter.number) } { "test " (entry.chapter.number) }
                            }
                        }
                        @for (run, judgement) in runs.iter().zip(&entry.judgements) {
                            @if let Some(judgement) = judgement {
                                p.judgement {
                                    @if runs.len() > 1 { span.of { (run.name) } " " }
                                    (verdict(judgement))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
