//! Test 12: the canonical scoreboard (section 5.1, table 5), beside chance and what needs no learning.

use super::findings::{Claim, Findings, Row, Table, Unit, Verdict};
use super::paper;
use super::subject::Subject;
use super::test::Test;
use crate::error::Result;
use crate::eval::bootstrap::Interval;
use crate::eval::scores::Retrieval;

/// Test 12.
pub struct Scoreboard;

/// A row of table 5: what it is called, the paper's figures ([`paper::ARMS`]), ours, and what chance gives.
type Figure = (&'static str, [f64; 4], fn(&Retrieval<Interval>) -> Interval, fn(&Retrieval<f64>) -> f64);

const NONE: [f64; 4] = [f64::NAN; 4];

const SHARES: &[Figure] = &[
    ("S", [0.734, 0.838, 0.820, 0.798], |r| r.s, |r| r.s),
    ("R@1 audio→MIDI", [0.222, 0.280, 0.276, 0.252], |r| r.audio_to_midi.recall_at_1, |r| r.audio_to_midi.recall_at_1),
    ("R@1 MIDI→audio", NONE, |r| r.midi_to_audio.recall_at_1, |r| r.midi_to_audio.recall_at_1),
    (
        "R@10 audio→MIDI",
        [0.748, 0.844, 0.826, 0.814],
        |r| r.audio_to_midi.recall_at_10,
        |r| r.audio_to_midi.recall_at_10,
    ),
    (
        "R@10 MIDI→audio",
        [0.734, 0.838, 0.820, 0.798],
        |r| r.midi_to_audio.recall_at_10,
        |r| r.midi_to_audio.recall_at_10,
    ),
    (
        "hard negatives won",
        [0.984, 0.990, 0.988, 0.994],
        |r| r.audio_to_midi.hard_negatives_won,
        |r| r.audio_to_midi.hard_negatives_won,
    ),
];

const RANKS: &[Figure] = &[
    ("MRR audio→MIDI", [0.380, 0.458, 0.438, 0.420], |r| r.audio_to_midi.mrr, |r| r.audio_to_midi.mrr),
    ("MRR MIDI→audio", [0.372, 0.442, 0.424, 0.426], |r| r.midi_to_audio.mrr, |r| r.midi_to_audio.mrr),
];

impl Test for Scoreboard {
    fn number(&self) -> &'static str {
        "12"
    }

    fn name(&self) -> &'static str {
        "scoreboard"
    }

    fn asks(&self) -> &'static str {
        "does a recording find its MIDI among 256, and a MIDI its recording?"
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let found = subject.canonical()?;
        let table = |id: &str, title: &str, unit, figures: &[Figure]| {
            let row = |(quantity, figures, ours, chance): &Figure| {
                let (ours, published) = (ours(&found.model.canonical), paper::of(subject.arm(), *figures));
                let verdict = paper::judge(subject, published, (ours.low, ours.high));
                Row { verdict, ..Row::measured(*quantity, ours).paper(published).null(chance(&found.chance)) }
            };
            let (source, null) = ("table 5".into(), "chance".into());
            Table { id: id.into(), title: title.into(), source, unit, null, rows: figures.iter().map(row).collect() }
        };
        let mut scoreboard = table("scoreboard", "Canonical retrieval", Unit::Share, SHARES);
        let system = |name: String, s: Interval| Row::measured(name, s).null(found.chance.s);
        scoreboard.rows.push(system("S on random pools".into(), found.model.s_random));
        for baseline in &found.baselines {
            scoreboard.rows.push(system(format!("S of {}, nothing learned", baseline.name), baseline.canonical.s));
        }
        let s = found.model.canonical.s;
        let best = found.baselines.iter().max_by(|a, b| a.canonical.s.value.total_cmp(&b.canonical.s.value));
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut summary = format!(
            "S = {} [{:.1}, {:.1}] where chance is {}",
            percent(s.value),
            100.0 * s.low,
            100.0 * s.high,
            percent(found.chance.s)
        );
        if let Some(best) = best {
            let reached = best.canonical.s.value;
            let than = if reached > s.value { "more than the model" } else { "less than the model" };
            summary += &format!("; {} without learning anything: {}, {than}", best.name, percent(reached));
        }
        let mut notes = vec![format!(
            "{} queries with {} candidates each, from {} segments of {} performances ({} pieces, {} composers).",
            found.queries, found.pool, found.segments, found.performances, found.pieces, found.composers
        )];
        let short = found.shortage;
        if short.hard + short.semi_hard > 0 {
            notes.push(format!(
                "The split lacks {} hard and {} semi-hard negatives over all queries; random ones stand in for them.",
                short.hard, short.semi_hard
            ));
        }
        let above = s.low > found.chance.s;
        let claims = vec![Claim {
            claim: "The model finds matches on unseen pieces far above chance".into(),
            source: "section 5.1".into(),
            judgement: Verdict::of(above).because(format!(
                "S ≥ {} against {}",
                percent(s.low),
                percent(found.chance.s)
            )),
        }];
        let tables = vec![scoreboard, table("scoreboard-ranks", "Mean reciprocal ranks", Unit::Number(3), RANKS)];
        Ok(Findings { summary: summary + ".", tables, figures: Vec::new(), claims, notes })
    }
}
