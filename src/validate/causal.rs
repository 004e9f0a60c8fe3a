//! Test 01: causal ablation (section 5.2, table 6, figure 3). What is left of retrieval when a trained model gets zeros, noise or
//! another segment's values in the place of a descriptor?

mod ablated;
mod claims;

use self::ablated::{Ablated, Mode};
use super::figure::{BarSeries, Figure, Level, Picture};
use super::findings::{Findings, Row, Table, Unit};
use super::paper;
use super::subject::Subject;
use super::test::Test;
use crate::arms::{self, Injection, Mechanism};
use crate::descriptors::{A4, A4_LEARNED, A8, Descriptor};
use crate::error::Result;
use crate::eval::bootstrap::Interval;
use crate::loss::Side;
use crate::model::film::{self, Pool};

/// Test 01.
pub struct Causal;

/// Change of S in points (table 6, columns as [`paper::ARMS`]).
const PUBLISHED: [(&str, Mode, [f64; 4]); 6] = [
    ("A4", Mode::Zero, [f64::NAN, -76.0, -77.6, -75.4]),
    ("A4", Mode::Noise, [f64::NAN, -61.8, -53.0, -53.0]),
    ("A4", Mode::Shuffle, [f64::NAN, -37.2, -32.2, -32.4]),
    ("D4", Mode::Zero, [f64::NAN, 0.6, f64::NAN, -0.4]),
    ("D4", Mode::Noise, [f64::NAN, 0.6, f64::NAN, 0.0]),
    ("D4", Mode::Shuffle, [f64::NAN, 0.0, f64::NAN, 0.0]),
];

/// What came of one ablation.
struct Found {
    /// The descriptor.
    name: String,
    mode: Mode,
    /// S with it replaced.
    s: Interval,
    /// By how much that differs from S as it is, paired by query.
    delta: Interval,
}

impl Test for Causal {
    fn number(&self) -> &'static str {
        "01"
    }

    fn name(&self) -> &'static str {
        "causal"
    }

    fn asks(&self) -> &'static str {
        "what is left of retrieval when a descriptor is replaced by zeros, noise or another segment's?"
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        if subject.injections().next().is_none() {
            return Some(format!("{} injects no descriptor", subject.arm()));
        }
        let control = subject.study.arm.control.is_some();
        control.then(|| format!("{} never sees its descriptors: they are replaced in training as well", subject.arm()))
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let seed = subject.protocol().seed;
        let mut found = Vec::new();
        for (side, _) in subject.injections() {
            let side = [Side::Audio, Side::Midi][side];
            for mode in Mode::ALL {
                let view = Ablated::new(side, mode, &subject.embedded()?.segments, seed);
                let (s, delta) = subject.compare(&subject.embed(view)?)?;
                found.push(Found { name: subject.descriptor_name(side), mode, s, delta });
            }
        }
        let clean = subject.canonical()?;
        let (s, chance) = (clean.model.canonical.s, clean.chance.s);
        Ok(Findings {
            summary: summary(s, chance, &found),
            tables: tables(subject, s, chance, &found),
            figures: vec![figure(subject.arm(), s, chance, &found)],
            claims: claims::claims(subject.arm(), s, chance, &found),
            notes: notes(subject),
        })
    }
}

/// The paper's change of S of `arm`, as a share.
fn published(arm: &str, name: &str, mode: Mode) -> Option<f64> {
    let row = PUBLISHED.iter().find(|(descriptor, of, _)| *descriptor == name && *of == mode)?;
    Some(paper::of(arm, row.2)? / 100.0)
}

/// The paper's S of `arm` in the run that it ablates, as a share.
fn published_s(arm: &str) -> Option<f64> {
    paper::ARMS.contains(&arm).then_some(())?;
    Some(arms::find(arm).ok()?.paper.long.first()?.s / 100.0)
}

fn summary(s: Interval, chance: f64, found: &[Found]) -> String {
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let mut parts = Vec::new();
    for group in found.chunks(Mode::ALL.len()) {
        let each = group.iter().map(|found| format!("{} {}", found.mode.name(), percent(found.s.value)));
        parts.push(format!("{}: {}", group[0].name, each.collect::<Vec<_>>().join(", ")));
    }
    format!("S = {} becomes, with another {}; chance is {}.", percent(s.value), parts.join("; "), percent(chance))
}

fn tables(subject: &Subject, s: Interval, chance: f64, found: &[Found]) -> Vec<Table> {
    let arm = subject.arm();
    let quantity = |found: &Found| format!("{}, {}", found.name, found.mode.name());
    let change = |found: &Found| {
        let paper = published(arm, &found.name, found.mode);
        let verdict = paper::judge(subject, paper, (found.delta.low, found.delta.high));
        Row { verdict, ..Row::measured(quantity(found), found.delta).paper(paper) }
    };
    let left = |found: &Found| {
        let paper = published(arm, &found.name, found.mode).zip(published_s(arm)).map(|(delta, s)| s + delta);
        Row::measured(quantity(found), found.s).paper(paper).null(chance)
    };
    let normal = Row::measured("normal", s).paper(published_s(arm)).null(chance);
    let table = |id: &str, title: &str, unit, null: &str, rows| Table {
        id: id.into(),
        title: title.into(),
        source: "table 6".into(),
        unit,
        null: null.into(),
        rows,
    };
    vec![
        table("causal", "Change of S under ablation", Unit::Points, "", found.iter().map(change).collect()),
        table(
            "causal-s",
            "S under ablation",
            Unit::Share,
            "chance",
            std::iter::once(normal).chain(found.iter().map(left)).collect(),
        ),
    ]
}

fn figure(arm: &str, s: Interval, chance: f64, found: &[Found]) -> Figure {
    let by_descriptor: Vec<&[Found]> = found.chunks(Mode::ALL.len()).collect();
    let bars = |label: &str, values: Vec<(Interval, Option<f64>)>| BarSeries {
        label: label.into(),
        intervals: values.iter().map(|(s, _)| Some((s.low, s.high))).collect(),
        marks: values.iter().map(|(_, paper)| *paper).collect(),
        values: values.into_iter().map(|(s, _)| Some(s.value)).collect(),
    };
    let mut series = vec![bars("normal", by_descriptor.iter().map(|_| (s, published_s(arm))).collect())];
    series.extend(Mode::ALL.into_iter().enumerate().map(|(i, mode)| {
        let of = |group: &&[Found]| {
            let paper = published(arm, &group[i].name, mode).zip(published_s(arm)).map(|(delta, s)| s + delta);
            (group[i].s, paper)
        };
        bars(mode.name(), by_descriptor.iter().map(of).collect())
    }));
    Figure {
        id: "causal".into(),
        title: "Causal ablation".into(),
        source: "figure 3".into(),
        caption: format!(
            "S of {arm} as it is, and with each descriptor replaced in turn. Bars with 95 % intervals over queries; marks are the \
             paper's, where it has any."
        ),
        picture: Picture::Bars {
            axis: "S (%)".into(),
            unit: Unit::Share,
            groups: by_descriptor.iter().map(|group| group[0].name.clone()).collect(),
            series,
            lines: vec![Level { label: "chance".into(), value: chance }],
        },
    }
}

fn notes(subject: &Subject) -> Vec<String> {
    let mut notes = vec![
        "Every row of the descriptor is replaced in every segment of the split, recording and notes stay as they are. Queries and pools \
         are those of test 12; differences are paired by query."
            .to_string(),
        "Noise is Gaussian, with the mean and deviation that each column has over the rows of the segment itself: of a descriptor that \
         is standardised over time it keeps nothing, of another one its averages."
            .into(),
        "Shuffled descriptors are those of another segment drawn from the whole split, never its own; fewer or more notes are stretched. \
         The paper shuffles over a batch: in a batch in order, neighbours are of the same performance and overlap."
            .into(),
        "No model met such descriptors in training. A collapse shows that it relies on them, not that it could not have learned the same \
         without them: that is asked by test 02."
            .into(),
        "The paper calls 4.4 to 7.8 % below chance (sections 5.2 and 6.1); ten of 256 candidates are 3.9 %, so they are not.".into(),
    ];
    notes.extend(subject.injections().flat_map(|(_, injection)| traps(injection, subject.study.config.film.pool)));
    notes.dedup();
    notes
}

/// What must be known of a descriptor or a mechanism to read its ablation right.
fn traps(injection: Injection, pool: Pool) -> Vec<String> {
    let (descriptor, name) = (injection.descriptor, injection.descriptor.name());
    let is = |other: &'static dyn Descriptor| *descriptor == *other;
    let mut traps = Vec::new();
    if let Some(caveat) = film::caveat(&injection, pool) {
        traps.push(format!(
            "{caveat}. Another segment's {name} is the same to such a model, and so is anything else whose pooled values are: what ablation \
             can show here is only that."
        ));
    }
    if is(&A8) {
        traps.push(
            "A8's last normalisation cancels its onset gate: what is ablated is a plain chroma of every frame.".into(),
        );
    }
    if is(&A4_LEARNED) {
        traps.push(format!(
            "{name} is made inside the model from a spectrogram: that is what is replaced, before the trained bands. Zeros and the A4 of \
             silence are the same; noise has the moments of each of the 1,025 bins."
        ));
    }
    if is(&A4) && injection.mechanism != Mechanism::Film {
        traps.push("Zeros are the mean of A4, which is standardised over time, and the A4 of silence.".into());
    }
    traps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_figures_are_those_of_the_text() {
        // Section 5.2: from 83.8 to 7.8, 82.0 to 4.4, 79.8 to 4.4 %.
        for (arm, left) in [("d4a4", 0.078), ("a4r", 0.044), ("d4-a4r", 0.044)] {
            let s = published_s(arm).unwrap() + published(arm, "A4", Mode::Zero).unwrap();
            assert!((s - left).abs() < 1e-12, "{arm}: {s}");
        }
        assert_eq!((published("a4r", "D4", Mode::Zero), published("d4", "D4", Mode::Zero)), (None, None));
        assert!(published_s("a4").is_none());
    }

    #[test]
    fn traps_are_told_where_they_lie() {
        let told = |arm: &str| {
            let arm = arms::find(arm).unwrap().arm();
            traps(arm.audio.unwrap(), Pool::Mean).join(" ")
        };
        assert!(told("film-a4").contains("constants") && told("a8").contains("onset gate"));
        assert!(
            told("a4-learned-r").contains("spectrogram") && told("a4r").contains("silence") && told("a7").is_empty()
        );
    }
}
