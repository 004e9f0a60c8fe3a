//! Asks one model several questions, from what is kept where it can.

use std::time::Instant;

use super::cache::{self, Kept};
use super::subject::Subject;
use super::test::Test;
use super::{ALL, findings::Findings};
use crate::error::{Error, Result};
use crate::progress::say;

/// How a test went.
pub struct Asked {
    /// The test.
    pub test: &'static dyn Test,
    /// The command that asks it again.
    pub command: String,
    /// [`cache::key`] of the findings.
    pub key: String,
    /// What it found.
    pub outcome: Outcome,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Findings.
    Found(Findings),
    /// There was nothing to ask, and why.
    Skipped(String),
}

/// The tests of a list as `01,06`; all of them where it is empty.
///
/// # Errors
/// [`Error::Usage`] names a number that no test has.
pub fn chosen(numbers: &[String]) -> Result<Vec<&'static dyn Test>> {
    if numbers.is_empty() || numbers.iter().any(|number| number == "all") {
        return Ok(ALL.to_vec());
    }
    let find = |number: &String| {
        let padded = format!("{number:0>2}");
        ALL.iter().copied().find(|test| test.number() == padded || test.name() == number).ok_or_else(|| {
            let known = ALL.iter().map(|test| format!("{} ({})", test.number(), test.name())).collect::<Vec<_>>();
            Error::Usage(format!("tests: expected numbers of {}; found `{number}`", known.join(", ")))
        })
    };
    numbers.iter().map(find).collect()
}

/// Asks `tests` of `subject` in turn; what is kept is used unless `fresh`. `command` makes the command for a test's number.
pub fn ask(
    subject: &Subject,
    tests: &[&'static dyn Test],
    fresh: bool,
    command: impl Fn(&str) -> String,
) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for (i, &test) in tests.iter().enumerate() {
        let (number, name) = (test.number(), test.name());
        let (key, command) = (cache::key(test, subject)?, command(number));
        let place = format!("test {number}, {name} ({} of {})", i + 1, tests.len());
        let outcome = match (test.skips(subject), cache::load(&subject.run, number, &key)) {
            (Some(reason), _) => {
                say(&format!("{place}: not asked, {reason}"));
                Outcome::Skipped(reason)
            }
            (None, Some(kept)) if !fresh => {
                say(&format!("{place}: as found before"));
                Outcome::Found(kept.findings)
            }
            _ => {
                say(&format!("{place}: {}", test.asks()));
                let begun = Instant::now();
                let findings = test.run(subject)?;
                let seconds = begun.elapsed().as_secs_f64();
                let kept = Kept { test: number.into(), key: key.clone(), command: command.clone(), seconds, findings };
                cache::save(&subject.run, &kept)?;
                Outcome::Found(kept.findings)
            }
        };
        asked.push(Asked { test, command, key, outcome });
    }
    Ok(asked)
}
