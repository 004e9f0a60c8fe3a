//! What the paper claims (abstract, sections 4 to 6), judged on the runs there are.
//!
//! | step | file |
//! |---|---|
//! | the runs of a folder, and what was found of each | [`evidence`] |
//! | which of them answer a claim, and what is missing | [`case`] |
//! | claims about trainings (sections 4, 5.1, 5.9, 6) | `trainings` |
//! | claims about what trained models do (sections 5.2 to 5.8, 6) | `battery` |
//!
//! A claim holds, or does not, where the whole interval of every figure it is about says so; where an interval leaves it open it is not
//! comparable, as where runs or tests are missing. The claims are judged on our own figures at whatever size and data the runs have.

mod battery;
pub mod case;
pub mod evidence;
mod trainings;

use serde::Serialize;

use self::case::{Case, Missing};
use self::evidence::Evidence;
use super::findings::{Judgement, Verdict};

/// How long the trainings are that a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// A few epochs: screening (tables 2 and 3).
    Short,
    /// 30 epochs or more, each arm with its own length and schedule (table 4).
    Long,
    /// Whatever there is, long rather than short; all alike.
    Any,
}

/// One claim.
pub struct Claim {
    /// In a sentence, with the paper's figures.
    pub text: &'static str,
    /// Where the paper makes it.
    pub source: &'static str,
    /// The paper's tables that it rests on; of a figure alone, the table of the same test.
    pub tables: &'static [usize],
    /// Arms it is about.
    pub arms: &'static [&'static str],
    /// Seeds that every arm needs.
    pub seeds: usize,
    /// How long their trainings are.
    pub length: Length,
    /// Tests it rests on, each with the arms it must have been asked of.
    pub tests: &'static [(&'static str, &'static [&'static str])],
    /// Judges it where nothing is missing; `None` where a test did not say what is needed.
    judge: fn(&Case) -> Option<Judgement>,
}

/// A claim with its verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// Place in [`all`], from 1.
    pub number: usize,
    /// The claim.
    pub claim: &'static str,
    /// Where the paper makes it.
    pub source: &'static str,
    /// The paper's tables that it rests on.
    pub tables: &'static [usize],
    /// Whether it holds, and why.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Folders of the runs it was judged on.
    pub runs: Vec<String>,
    /// What is missing.
    #[serde(skip)]
    pub missing: Missing,
    /// Commands that make what is missing.
    pub commands: Vec<String>,
}

/// Every claim, in the paper's order.
pub fn all() -> impl Iterator<Item = (usize, &'static Claim)> {
    (1..).zip(trainings::CLAIMS.iter().chain(battery::CLAIMS))
}

/// Judges every claim that rests on `table`, or every claim.
pub fn judge(evidence: &Evidence, table: Option<usize>) -> Vec<Judged> {
    let wanted = all().filter(|(_, claim)| table.is_none_or(|table| claim.tables.contains(&table)));
    wanted.map(|(number, claim)| claim.judged(number, evidence)).collect()
}

/// How many claims got each verdict: held, not held, not comparable.
pub fn tally(judged: &[Judged]) -> [usize; 3] {
    [Verdict::Held, Verdict::NotHeld, Verdict::NotComparable]
        .map(|verdict| judged.iter().filter(|judged| judged.judgement.verdict == verdict).count())
}

impl Claim {
    fn judged(&'static self, number: usize, evidence: &Evidence) -> Judged {
        let (case, missing) = Case::of(self, evidence);
        let judgement = match missing.words() {
            Some(words) => Verdict::NotComparable.because(format!("missing: {words}")),
            None => (self.judge)(&case).unwrap_or_else(|| {
                Verdict::NotComparable
                    .because("the tests of these runs do not say: asked with another version, or of too weak a model")
            }),
        };
        Judged {
            number,
            claim: self.text,
            source: self.source,
            tables: self.tables,
            judgement,
            runs: case.folders(),
            commands: missing.commands(&evidence.place),
            missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::ARMS;
    use crate::validate::ALL;

    #[test]
    fn claims_name_arms_of_the_catalogue_and_ask_tests_of_their_own_arms() {
        for (number, claim) in all() {
            assert!(claim.arms.iter().all(|arm| ARMS.iter().any(|entry| entry.name == *arm)), "{number}");
            for (_, arms) in claim.tests {
                assert!(arms.iter().all(|arm| claim.arms.contains(arm)), "{number}");
            }
            assert!(claim.seeds > 0 && !claim.source.is_empty() && claim.text.len() > 20, "{number}");
        }
        let asked = ALL.iter().map(|test| test.number()).collect::<Vec<_>>();
        assert!(asked.contains(&"04") && asked.contains(&"09"));
    }
}
