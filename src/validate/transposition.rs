//! Test 04: transposition (section 5.3, table 7, figure 4): every note k semitones away from what sounds.
//!
//! Retention is S(±k) / S(0), per sign and as the mean of both signs (the paper's), with the interval of the ratio: S(0) and S(±k) are
//! resampled over the same queries.

use super::figure::{Curve, Figure, Level, Picture};
use super::findings::{Claim, Findings, Judgement, Row, Table, Unit};
use super::judge;
use super::paper::{self, ARMS};
use super::perturbation::{Fared, Perturbation, beyond_the_keyboard, nothing_to_lose, over_queries, unlearned};
use super::subject::Subject;
use super::test::Test;
use crate::error::Result;
use crate::eval::bootstrap::Interval;

/// Test 04.
pub struct Transposition;

/// Semitones, S of [`ARMS`] in table 7.
const PUBLISHED: [(i32, [f64; 4]); 7] = [
    (-6, [0.138, 0.242, 0.270, 0.270]),
    (-3, [0.266, 0.414, 0.462, 0.450]),
    (-1, [0.656, 0.752, 0.766, 0.732]),
    (0, [0.734, 0.838, 0.820, 0.798]),
    (1, [0.640, 0.756, 0.768, 0.752]),
    (3, [0.274, 0.446, 0.510, 0.492]),
    (6, [0.134, 0.256, 0.276, 0.272]),
];
/// Place of the untransposed among them.
const UNCHANGED: usize = 3;
/// Distances, with the places of their two signs.
const DISTANCES: [(i32, usize, usize); 3] = [(1, 2, 4), (3, 1, 5), (6, 0, 6)];

impl Test for Transposition {
    fn number(&self) -> &'static str {
        "04"
    }

    fn name(&self) -> &'static str {
        "transposition"
    }

    fn asks(&self) -> &'static str {
        "what is left of S when every note is some semitones away from what sounds?"
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let fared = |(k, _): (i32, [f64; 4])| match k {
            0 => Fared::clean(subject),
            k => Fared::under(subject, Perturbation::Semitones(k)),
        };
        let fared = PUBLISHED.into_iter().map(fared).collect::<Result<Vec<_>>>()?;
        let fared: [&Fared; 7] = std::array::from_fn(|i| &fared[i]);
        let chance = subject.canonical()?.chance.s;
        let found = Retained::of(&fared, subject.protocol().seed);
        let [near, middle, far] =
            DISTANCES.map(|(_, below, above)| (fared[below].s.value + fared[above].s.value) / 2.0);
        let mut summary = format!(
            "S falls from {} to {} at ±1, {} at ±3 and {} at ±6 semitones; {} is left at ±3",
            percent(fared[UNCHANGED].s.value),
            percent(near),
            percent(middle),
            percent(far),
            percent(found.both[1].value)
        );
        for (i, baseline) in fared[UNCHANGED].baselines.iter().enumerate() {
            let at = |place: usize| fared[place].baselines[i].canonical.s.value;
            summary +=
                &format!("; {}: {} to {} at ±3", baseline.name, percent(at(UNCHANGED)), percent((at(1) + at(5)) / 2.0));
        }
        let named: Vec<(String, &Fared)> =
            PUBLISHED.iter().zip(fared).map(|((k, _), fared)| (signed(*k), fared)).collect();
        let tables = vec![
            table(subject, &fared, &found, chance),
            unlearned("transposition-unlearned", "The same of what learns nothing", chance, &named),
        ];
        let [outside, beyond] = [3, 6].map(|k| {
            let both = [-k, k].map(|k| beyond_the_keyboard(subject, k));
            both.into_iter().try_fold(0.0, |sum, share| Ok::<_, crate::error::Error>(sum + share? / 2.0))
        });
        let notes = vec![
            format!(
                "The recording stays as it is. No note of a piano leaves the 128 pitches of MIDI at ±6 semitones; {} of the notes leave \
                 the 88 keys at ±3 and {} at ±6 (mean of both signs), where the model has seen little or nothing.",
                percent(outside?),
                percent(beyond?)
            ),
            "Retention is bounded below by chance / S(0), not by 0: a weak model that has nothing to lose retains much.".into(),
        ];
        let figures = vec![figure(subject, &fared, chance)];
        Ok(Findings { summary: summary + ".", tables, figures, claims: claims(&fared, &found, chance), notes })
    }
}

/// What is left of S(0), in the order of [`DISTANCES`], and the differences the claims are about.
struct Retained {
    below: [Interval; 3],
    above: [Interval; 3],
    both: [Interval; 3],
    /// Mean S at ±1 less that at ±3, and at ±3 less ±6.
    further: [Interval; 2],
    /// S(0) less the best of the others.
    best: Interval,
}

impl Retained {
    fn of(fared: &[&Fared; 7], seed: u64) -> Self {
        let found: [Interval; 12] = over_queries(fared, seed, |s| {
            let unchanged = s[UNCHANGED];
            let mean = DISTANCES.map(|(_, below, above)| (s[below] + s[above]) / 2.0);
            let other = (0..7).filter(|&i| i != UNCHANGED).map(|i| s[i]).fold(0.0, f64::max);
            let mut figures = [0.0; 12];
            for (i, (_, below, above)) in DISTANCES.into_iter().enumerate() {
                figures[i] = s[below] / unchanged;
                figures[3 + i] = s[above] / unchanged;
                figures[6 + i] = mean[i] / unchanged;
            }
            [figures[9], figures[10], figures[11]] = [mean[0] - mean[1], mean[1] - mean[2], unchanged - other];
            figures
        });
        let three = |from: usize| std::array::from_fn(|i| found[from + i]);
        Retained { below: three(0), above: three(3), both: three(6), further: [found[9], found[10]], best: found[11] }
    }
}

fn table(subject: &Subject, fared: &[&Fared; 7], found: &Retained, chance: f64) -> Table {
    let judged = |quantity: String, ours: Interval, published: [f64; 4], null: f64| {
        let published = paper::of(subject.arm(), published);
        let verdict = paper::judge(subject, published, (ours.low, ours.high));
        Row { verdict, ..Row::measured(quantity, ours).paper(published).null(null) }
    };
    let mut rows: Vec<Row> = PUBLISHED
        .iter()
        .zip(fared)
        .map(|((k, published), fared)| judged(signed(*k), fared.s, *published, chance))
        .collect();
    let share = |place: usize, arm: usize| PUBLISHED[place].1[arm] / PUBLISHED[UNCHANGED].1[arm];
    let floor = chance / fared[UNCHANGED].s.value;
    for (i, (k, below, above)) in DISTANCES.into_iter().enumerate() {
        let both = std::array::from_fn(|arm| (share(below, arm) + share(above, arm)) / 2.0);
        rows.push(judged(format!("retention ±{k}"), found.both[i], both, floor));
        let one = |place: usize| std::array::from_fn(|arm| share(place, arm));
        rows.push(judged(format!("retention −{k}"), found.below[i], one(below), floor));
        rows.push(judged(format!("retention +{k}"), found.above[i], one(above), floor));
    }
    let (title, source) = ("S with the MIDI transposed by k semitones, and what it retains of S(0)", "table 7");
    let (id, null) = ("transposition".into(), "chance".into());
    Table { id, title: title.into(), source: source.into(), unit: Unit::Share, null, rows }
}

fn figure(subject: &Subject, fared: &[&Fared; 7], chance: f64) -> Figure {
    let curve = |label: String, s: &dyn Fn(usize) -> Interval| Curve {
        label,
        points: (0..7).map(|i| (f64::from(PUBLISHED[i].0), s(i).value)).collect(),
        band: (0..7).map(|i| (s(i).low, s(i).high)).collect(),
        published: false,
    };
    let mut series = vec![curve(subject.arm().into(), &|i| fared[i].s)];
    for (which, system) in fared[0].baselines.iter().enumerate() {
        series.push(curve(system.name.clone(), &|i| fared[i].baselines[which].canonical.s));
    }
    if let Some(arm) = ARMS.iter().position(|name| *name == subject.arm()) {
        let points = PUBLISHED.iter().map(|(k, s)| (f64::from(*k), s[arm])).collect();
        series.push(Curve { label: format!("{} (paper)", ARMS[arm]), points, published: true, ..Curve::default() });
    }
    Figure {
        id: "transposition".into(),
        title: "Transposition".into(),
        source: "figure 4".into(),
        caption: "S with every note k semitones away from what sounds, bands of 95 % over queries; pitch classes, with nothing \
                  learned, transposed alike."
            .into(),
        picture: Picture::Lines {
            x_axis: "transposition of the MIDI (semitones)".into(),
            y_axis: "S (%)".into(),
            unit: Unit::Share,
            x_labels: Vec::new(),
            series,
            lines: vec![Level { label: "chance".into(), value: chance }],
        },
    }
}

fn claims(fared: &[&Fared; 7], found: &Retained, chance: f64) -> Vec<Claim> {
    let nothing = nothing_to_lose(fared[UNCHANGED].s, chance);
    let claim = |claim: &str, judgement: &dyn Fn() -> Judgement| Claim {
        claim: claim.into(),
        source: "section 5.3, table 7".into(),
        judgement: nothing.clone().unwrap_or_else(judgement),
    };
    let apart = |what: &str, found: Interval| judge::above(what, found, 0.0, Unit::Points);
    let best = || apart("S(0) less the best of the others", found.best);
    let further = || {
        let [near, far] = found.further;
        judge::all([apart("S(±1) less S(±3)", near), apart("S(±3) less S(±6)", far)])
    };
    vec![
        claim("The right pitch is best: every transposition of the MIDI costs S", &best),
        claim("The further the MIDI is transposed, the less of S is left", &further),
    ]
}

/// "−3", "0", "+3".
fn signed(k: i32) -> String {
    if k == 0 { "0".into() } else { format!("{k:+}").replace('-', "−") }
}

fn percent(share: f64) -> String {
    Unit::Share.text(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::ranks::Ranks;

    /// The paper's table as if 500 queries had been found in that share.
    fn published(arm: usize) -> Vec<Fared> {
        let fared = |&(_, s): &(i32, [f64; 4])| {
            let hits = (500.0 * s[arm]).round() as usize;
            let ranks: Vec<u32> = (0..500).map(|query| if query < hits { 1 } else { 99 }).collect();
            let s = Interval { value: s[arm], low: s[arm] - 0.04, high: s[arm] + 0.04 };
            Fared { s, ranks: Ranks { audio_to_midi: ranks.clone(), midi_to_audio: ranks }, baselines: Vec::new() }
        };
        PUBLISHED.iter().map(fared).collect()
    }

    #[test]
    fn retention_is_that_of_the_papers_table_and_its_claims_hold_for_it() {
        for (arm, expected) in [0.37, 0.51, 0.59, 0.59].into_iter().enumerate() {
            let fared = published(arm);
            let fared: [&Fared; 7] = std::array::from_fn(|i| &fared[i]);
            let found = Retained::of(&fared, 42);
            let [_, both, _] = found.both;
            assert!((both.value - expected).abs() < 0.005, "{}: {}", ARMS[arm], both.value);
            assert!(both.low < both.value && both.value < both.high);
            let claims = claims(&fared, &found, 10.0 / 256.0);
            assert!(claims.iter().all(|claim| claim.judgement.verdict == crate::validate::findings::Verdict::Held));
        }
        assert_eq!([-6, 0, 3].map(signed), ["−6", "0", "+3"]);
    }

    #[test]
    fn who_is_at_chance_has_nothing_to_lose() {
        let fared = published(0);
        let mut fared: [&Fared; 7] = std::array::from_fn(|i| &fared[i]);
        let found = Retained::of(&fared, 42);
        let guessing = Fared {
            s: Interval { value: 0.05, low: 0.03, high: 0.07 },
            ranks: Ranks { audio_to_midi: vec![9], midi_to_audio: vec![9] },
            baselines: Vec::new(),
        };
        fared[UNCHANGED] = &guessing;
        let claims = claims(&fared, &found, 10.0 / 256.0);
        assert!(claims.iter().all(|c| c.judgement.because == "S = 5.0 % is not surely above chance"));
    }
}
