//! What the paper's tables of the battery have columns for, and when our figures can stand beside them.

use super::findings::{Judgement, Verdict};
use super::subject::Subject;
use crate::config::{Preset, Source};
use crate::eval::bootstrap::Interval;

/// The four arms of section 5, in the order in which tests write a row of the paper's tables.
pub const ARMS: [&str; 4] = ["d0", "d4a4", "a4r", "d4-a4r"];

/// The figure of `arm` in a row of [`ARMS`]; a cell without one is not a number there.
pub fn of(arm: &str, row: [f64; 4]) -> Option<f64> {
    let column = ARMS.iter().position(|name| *name == arm)?;
    row[column].is_finite().then_some(row[column])
}

/// Why absolute figures of this run cannot be expected to equal the paper's, where they cannot: another size, other data, fewer epochs.
pub fn differs(subject: &Subject) -> Option<String> {
    let config = &subject.study.config;
    let performances = subject.dataset().performances.len();
    let mut reasons = Vec::new();
    if config.preset != Preset::Paper {
        reasons.push(format!("preset {}", config.preset.name()));
    }
    match &config.data.source {
        Source::Synth => reasons.push("composed data".into()),
        // MAESTRO v3 has 1,276; a mirror that lacks a few is still MAESTRO.
        Source::Folder(_) if performances < 1200 => reasons.push(format!("{performances} performances of 1,276")),
        Source::Folder(_) => {}
    }
    // Its shortest long run (table 4).
    if config.epochs < 30 {
        reasons.push(format!("{} epochs of 30 to 60", config.epochs));
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// Why a claim that the paper makes of `arms` cannot be judged on a run of `arm` that reaches `s`, if it cannot.
pub fn unasked(arm: &str, arms: &[&str], s: Interval, chance: f64) -> Option<Judgement> {
    let reason = match () {
        () if !arms.contains(&arm) => format!("the paper says it of {}; this is {arm}", arms.join(", ")),
        () if s.low <= chance => "the model is not above chance".into(),
        () => return None,
    };
    Some(Verdict::NotComparable.because(reason))
}

/// The judgement of a figure whose paper value is `paper`: held where the interval contains it, not comparable where the runs are not.
pub fn judge(subject: &Subject, paper: Option<f64>, (low, high): (f64, f64)) -> Option<Judgement> {
    let paper = paper?;
    Some(match differs(subject) {
        Some(reason) => Verdict::NotComparable.because(reason),
        None if (low..=high).contains(&paper) => Verdict::Held.because("the paper's figure lies in the interval"),
        None => Verdict::NotHeld.because("the paper's figure lies outside the interval"),
    })
}
