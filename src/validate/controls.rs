//! Test 02: parameter-matched controls (section 6.6). Is it what the descriptors say that helps, or the parameters that read them?
//! Answered from runs beside this one: the same model trained on zeros, on fixed random values, on other samples' descriptors.

use super::figure::{BarSeries, Figure, Level, Picture};
use super::findings::{Claim, Findings, Judgement, Row, Table, Unit, Verdict};
use super::paper;
use super::siblings::{self, Plan, Siblings};
use super::subject::Subject;
use super::test::Test;
use crate::arms::{ARMS, Arm, Control, Entry};
use crate::error::Result;
use crate::eval::bootstrap::Interval;
use crate::report::table::group::Group;

/// Test 02.
pub struct Controls;

/// S that section 6.6 gives the arm with its descriptors, in per cent; its controls' stand in the catalogue.
const PUBLISHED_REAL: f64 = 83.0;

/// The arm that a control controls, or the arm itself, and its controls: entries with the same injections.
fn matched(arm: &Arm) -> (Option<&'static Entry>, Vec<&'static Entry>) {
    let like = |entry: &&Entry| (entry.audio, entry.midi, entry.family) == (arm.audio, arm.midi, arm.family);
    let (controls, real): (Vec<&Entry>, Vec<&Entry>) =
        ARMS.iter().filter(like).partition(|entry| entry.control.is_some());
    (real.first().copied(), controls)
}

/// What is done to the descriptors.
fn about(control: Control) -> &'static str {
    match control {
        Control::Zero => "zeros",
        Control::Random => "fixed random values",
        Control::Shuffled => "other samples' values",
    }
}

impl Test for Controls {
    fn number(&self) -> &'static str {
        "02"
    }

    fn name(&self) -> &'static str {
        "controls"
    }

    fn asks(&self) -> &'static str {
        "do the same parameters do as well on descriptors that say nothing?"
    }

    fn depends(&self, subject: &Subject) -> String {
        siblings::fingerprint(subject)
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let arm = &subject.study.arm;
        let (Some(real), controls) = matched(arm) else {
            return Some(format!("{} is of no catalogued model", arm.name));
        };
        if controls.is_empty() {
            return Some(format!("the catalogue has no controls of {}", arm.name));
        }
        let arms: Vec<&str> = std::iter::once(real).chain(controls).map(|entry| entry.name).collect();
        let found = Siblings::of(subject, &arms, Plan::Same).ok()?;
        (found.groups.len() < 2).then(|| {
            let left_out = found.left_out.join("; ");
            let because = if left_out.is_empty() { String::new() } else { format!(" ({left_out})") };
            format!("no two evaluated runs of {} trained alike lie beside each other{because}", arms.join(", "))
        })
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let (real, controls) = matched(&subject.study.arm);
        let arms: Vec<&str> = real.into_iter().chain(controls.iter().copied()).map(|entry| entry.name).collect();
        let siblings = Siblings::of(subject, &arms, Plan::Same)?;
        let real = real.map_or("", |entry| entry.name);
        let compared: Vec<Compared> = controls.iter().map(|entry| Compared::of(entry, real, &siblings)).collect();
        let chance = siblings.groups.first().map_or(f64::NAN, |group| group.runs[0].found.chance.s);
        let group = siblings.arm(real);
        let own = group.map(|group| group.s);
        let above = own.is_some_and(|s| s.low > chance);
        Ok(Findings {
            summary: summary(real, own, &compared),
            tables: tables(subject, real, group, &compared, chance),
            figures: vec![figure(real, own, &compared, chance)],
            claims: vec![Claim {
                claim: "What descriptors say helps, not the parameters that read them: 83.0 % against 75.0, 73.6 and 73.6 %".into(),
                source: "section 6.6".into(),
                judgement: judge(real, above, &compared),
            }],
            notes: notes(real, &siblings),
        })
    }
}

/// A control beside the arm with its descriptors.
struct Compared {
    entry: &'static Entry,
    /// S; of several seeds their mean.
    s: Option<Interval>,
    /// S of the real arm less that.
    difference: Option<Interval>,
}

impl Compared {
    fn of(entry: &'static Entry, real: &str, siblings: &Siblings) -> Self {
        let group = siblings.arm(entry.name);
        let versus = group.zip(siblings.arm(real)).map(|(control, real)| real.versus(control));
        Compared { entry, s: group.map(|group| group.s), difference: versus.map(|versus| versus.delta) }
    }

    fn published(&self) -> Option<f64> {
        Some(self.entry.paper.control? / 100.0)
    }
}

const MISSING: &str = "no run that was trained alike and evaluated lies beside this one";

fn tables(subject: &Subject, real: &str, group: Option<&Group>, compared: &[Compared], chance: f64) -> Vec<Table> {
    let published_real = compared.iter().any(|c| c.published().is_some()).then_some(PUBLISHED_REAL / 100.0);
    let row = |name: String, s: Option<Interval>, paper: Option<f64>| match s {
        None => Row::missing(name, MISSING).paper(paper),
        Some(s) => {
            let verdict = paper::judge(subject, paper, (s.low, s.high));
            Row { verdict, ..Row::measured(name, s).paper(paper).null(chance) }
        }
    };
    let mut absolute = vec![row(real.into(), group.map(|group| group.s), published_real)];
    absolute.extend(compared.iter().map(|c| row(c.entry.name.into(), c.s, c.published())));
    let difference = |c: &Compared| {
        let name = format!("{real} − {}", c.entry.name);
        let paper = published_real.zip(c.published()).map(|(real, control)| real - control);
        match c.difference {
            None => Row::missing(name, MISSING).paper(paper),
            Some(delta) => {
                let verdict = paper::judge(subject, paper, (delta.low, delta.high));
                Row { verdict, ..Row::measured(name, delta).paper(paper) }
            }
        }
    };
    let table = |id: &str, title: &str, unit, null: &str, rows| Table {
        id: id.into(),
        title: title.into(),
        source: "section 6.6".into(),
        unit,
        null: null.into(),
        rows,
    };
    vec![
        table("controls", "S of parameter-matched controls", Unit::Share, "chance", absolute),
        table(
            "controls-difference",
            "What the content of the descriptors adds",
            Unit::Points,
            "",
            compared.iter().map(difference).collect(),
        ),
    ]
}

fn figure(real: &str, own: Option<Interval>, compared: &[Compared], chance: f64) -> Figure {
    let each = || std::iter::once(own).chain(compared.iter().map(|c| c.s));
    let marks = std::iter::once(Some(PUBLISHED_REAL / 100.0)).chain(compared.iter().map(Compared::published));
    let words = compared.iter().filter_map(|c| Some(format!("{}: {}", c.entry.name, about(c.entry.control?))));
    Figure {
        id: "controls".into(),
        title: "Parameter-matched controls".into(),
        source: String::new(),
        caption: format!(
            "S of {real} and of the same model trained on descriptors that say nothing ({}), with 95 % intervals; marks are the paper's.",
            words.collect::<Vec<_>>().join("; ")
        ),
        picture: Picture::Bars {
            axis: "S (%)".into(),
            unit: Unit::Share,
            groups: std::iter::once(real).chain(compared.iter().map(|c| c.entry.name)).map(String::from).collect(),
            series: vec![BarSeries {
                label: "S".into(),
                values: each().map(|s| Some(s?.value)).collect(),
                intervals: each().map(|s| s.map(|s| (s.low, s.high))).collect(),
                marks: marks.collect(),
            }],
            lines: vec![Level { label: "chance".into(), value: chance }],
        },
    }
}

fn summary(real: &str, own: Option<Interval>, compared: &[Compared]) -> String {
    let percent = |s: Option<Interval>| s.map_or("not there".into(), |s| format!("{:.1} %", 100.0 * s.value));
    let each = compared.iter().map(|c| format!("{} {}", c.entry.name, percent(c.s)));
    format!("S of {real}: {}; of its controls: {}.", percent(own), each.collect::<Vec<_>>().join(", "))
}

/// Held where the arm surely exceeds each of its controls, not held where it surely does not exceed one.
fn judge(real: &str, above: bool, compared: &[Compared]) -> Judgement {
    let missing: Vec<&str> = compared.iter().filter(|c| c.difference.is_none()).map(|c| c.entry.name).collect();
    if !missing.is_empty() {
        return Verdict::NotComparable.because(format!("{real} or {} is missing beside this run", missing.join(", ")));
    }
    if !above {
        return Verdict::NotComparable.because(format!("{real} is not above chance"));
    }
    let known = |x: f64| x.is_finite();
    let deltas: Vec<Interval> = compared.iter().filter_map(|c| c.difference).collect();
    let verdict = match () {
        () if deltas.iter().any(|delta| !known(delta.low) || !known(delta.high)) => Verdict::NotComparable,
        () if deltas.iter().all(|delta| delta.low > 0.0) => Verdict::Held,
        () if deltas.iter().any(|delta| delta.high <= 0.0) => Verdict::NotHeld,
        () => Verdict::NotComparable,
    };
    let each = compared.iter().zip(&deltas).map(|(c, delta)| {
        let [value, low, high] = [delta.value, delta.low, delta.high].map(|x| Unit::Points.text(x));
        format!("{value} [{low}, {high}] over {}", c.entry.name)
    });
    verdict.because(each.collect::<Vec<_>>().join("; "))
}

fn notes(real: &str, siblings: &Siblings) -> Vec<String> {
    let seeds = |group: &Group| {
        let seeds = group.runs.iter().map(|run| run.config.seed.to_string()).collect::<Vec<_>>().join(", ");
        format!("{} {seeds}", group.arm().name)
    };
    let each = siblings.groups.iter().map(seeds).collect::<Vec<_>>().join("; ");
    let mut notes = vec![
        format!("Runs beside this one with the same settings, by their seeds: {each}. All figures are of their own evaluations."),
        "Differences of single seeds are paired by query and know nothing of how much training varies; of several seeds they are Welch's."
            .into(),
        "Each control has every parameter of the arm; its descriptors are replaced in training and in evaluation alike.".into(),
        format!("Section 6.6 gives {real} {PUBLISHED_REAL:.1} %; the tables of section 5 give it 83.8 %."),
    ];
    notes.extend(siblings.note());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms;

    #[test]
    fn an_arm_and_its_controls_find_each_other() {
        for name in ["d4a4", "d4a4-zero", "d4a4-shuffled"] {
            let (real, controls) = matched(&arms::find(name).unwrap().arm());
            let names: Vec<&str> = controls.iter().map(|entry| entry.name).collect();
            assert_eq!((real.unwrap().name, &names[..]), ("d4a4", &["d4a4-zero", "d4a4-random", "d4a4-shuffled"][..]));
        }
        assert!(matched(&arms::find("moe-dual").unwrap().arm()).1.is_empty());
        assert!(matched(&arms::find("a4r").unwrap().arm()).1.is_empty());
    }

    #[test]
    fn every_control_must_be_passed() {
        let compared = |deltas: [Option<f64>; 3]| -> Vec<Compared> {
            let (_, controls) = matched(&arms::find("d4a4").unwrap().arm());
            let about = |value: f64| Interval { value, low: value - 0.02, high: value + 0.02 };
            let each = controls.into_iter().zip(deltas);
            each.map(|(entry, delta)| Compared { entry, s: None, difference: delta.map(about) }).collect()
        };
        let verdict = |deltas: [Option<f64>; 3]| judge("d4a4", true, &compared(deltas)).verdict;
        assert_eq!(verdict([Some(0.08), Some(0.09), Some(0.09)]), Verdict::Held);
        assert_eq!(verdict([Some(0.08), Some(0.01), Some(0.09)]), Verdict::NotComparable);
        assert_eq!(verdict([Some(0.08), Some(-0.03), Some(0.09)]), Verdict::NotHeld);
        assert_eq!(verdict([Some(0.08), None, Some(0.09)]), Verdict::NotComparable);
        assert_eq!(judge("d4a4", false, &compared([Some(0.08); 3])).verdict, Verdict::NotComparable);
    }
}
