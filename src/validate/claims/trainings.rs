//! What the paper claims of arms by how well they train: screening, families, long runs, seeds, controls, cost.

use super::case::{Case, least_above, most_below, open};
use super::{Claim, Length};
use crate::arms::find;
use crate::eval::bootstrap::Interval;
use crate::eval::difference::independent;
use crate::eval::scores::Retrieval;
use crate::eval::statistics::welch;
use crate::model::ModelSpec;
use crate::model::cost::Cost;
use crate::validate::findings::{Judgement, Unit, Verdict};
use crate::validate::judge;

/// Table 2.
const SCREENED: &[&str] = &["d0", "d4", "a4", "a7", "a8", "a9", "d4x", "a4x", "a7x", "d4r", "a4r", "d4a4", "d4a4cm"];
/// The four of section 5.
const CANONICAL: &[&str] = &["d0", "d4a4", "a4r", "d4-a4r"];
const FILM: &[&str] = &["d0", "film-a4", "film-d4", "film-dual"];
const EXPERTS: &[&str] = &["d0", "moe-a4", "moe-dual", "moe-a4-v2", "moe-a4-v3", "moe-a4-v4"];

/// Arms that the paper counts as the best of its 13.
const BEST: usize = 7;
/// Up to here an arm is "at" the baseline, and from here on above it: one point of S, two queries in two hundred.
const AT: f64 = 0.01;
/// The same for "near": the paper's mixtures of experts lie within two points.
const NEAR: f64 = 0.02;

const fn claim(
    text: &'static str,
    source: &'static str,
    tables: &'static [usize],
    arms: &'static [&'static str],
    length: Length,
    judge: fn(&Case) -> Option<Judgement>,
) -> Claim {
    Claim { text, source, tables, arms, seeds: 1, length, tests: &[], judge }
}

use Length::{Any, Long, Short};

pub(super) const CLAIMS: &[Claim] = &[
    claim(
        "Same-modality injection dominates: seven of 13 arms are above D0, all of which inject into their own modality's encoder",
        "section 4.1, observation 1",
        &[2],
        SCREENED,
        Short,
        seven_above,
    ),
    claim(
        "Crosswise injection (d4a4cm) is the worst of 13 arms (−7.8 pp)",
        "section 4.1, observation 1",
        &[2],
        SCREENED,
        Short,
        |case| {
            least_above(
                over(SCREENED, |other| case.delta(other, "d4a4cm"), "d4a4cm", "S of {} less S of d4a4cm")?,
                0.0,
                Unit::Points,
            )
        },
    ),
    claim(
        "Dual injection is best: d4a4 leads 13 arms (+9.6 pp)",
        "section 4.1, observation 2",
        &[2],
        SCREENED,
        Short,
        |case| {
            least_above(
                over(SCREENED, |other| case.delta("d4a4", other), "d4a4", "S of d4a4 less S of {}")?,
                0.0,
                Unit::Points,
            )
        },
    ),
    claim(
        "Reverse cross-attention is competitive: a4r is second of 13 arms (+8.4 pp)",
        "section 4.1, observation 3",
        &[2],
        SCREENED,
        Short,
        |case| {
            let others: Vec<&str> = SCREENED.iter().copied().filter(|arm| *arm != "d4a4").collect();
            least_above(
                over(&others, |other| case.delta("a4r", other), "a4r", "S of a4r less S of {}")?,
                0.0,
                Unit::Points,
            )
        },
    ),
    claim(
        "The simple A4 and D4 excel, concatenated alone (+3.4 pp each)",
        "section 4.1, observation 4",
        &[2],
        &["d0", "d4", "a4"],
        Short,
        |case| least_above(from_baseline(case, &["d4", "a4"])?, 0.0, Unit::Points),
    ),
    claim(
        "Complex descriptors (A7, A8, A9) are at or below the baseline (−1.4 to −2.8 pp; here: less than a point above)",
        "section 4.1, observation 4",
        &[2],
        &["d0", "a7", "a8", "a9"],
        Short,
        |case| most_below(from_baseline(case, &["a7", "a8", "a9"])?, AT, Unit::Points),
    ),
    claim(
        "No FiLM variant improves over the baseline (−0.6 to −1.6 pp; here: by a point). film-a4 averages A4 over time, which is 0",
        "section 4.2",
        &[3],
        FILM,
        Short,
        |case| most_below(from_baseline(case, &FILM[1..])?, AT, Unit::Points),
    ),
    claim(
        "Mixtures of experts are near or below the baseline (±0.0 to −2.0 pp; here: less than two points above)",
        "section 4.2",
        &[3],
        EXPERTS,
        Short,
        |case| most_below(from_baseline(case, &EXPERTS[1..])?, NEAR, Unit::Points),
    ),
    claim(
        "A third tower with weighted loss is competitive: t3-wt is above D0 (+7.4 pp)",
        "section 4.2",
        &[3],
        &["d0", "t3-wt"],
        Short,
        |case| least_above(from_baseline(case, &["t3-wt"])?, 0.0, Unit::Points),
    ),
    claim(
        "A third tower that anchors alone collapses: t3-anc is below D0 (−18.0 pp)",
        "section 4.2",
        &[3],
        &["d0", "t3-anc"],
        Short,
        |case| most_below(from_baseline(case, &["t3-anc"])?, 0.0, Unit::Points),
    ),
    claim(
        "D4 improves training: d4 is above D0 (+3.4 pp), d4a4 above a4 (+6.2 pp)",
        "sections 5.2 and 6.2",
        &[2, 6],
        &["d0", "d4", "a4", "d4a4"],
        Short,
        |case| {
            let pairs = [("d4", "d0"), ("d4a4", "a4")];
            least_above(pairs.into_iter().map(|(a, b)| less(case, a, b)).collect::<Option<_>>()?, 0.0, Unit::Points)
        },
    ),
    claim(
        "Long training confirms the ranking: d4a4 (83.8), a4r (82.0), t3-wt (81.2), d4-a4r (79.8), D0 (73.4)",
        "section 4.3",
        &[4],
        &["d4a4", "a4r", "t3-wt", "d4-a4r", "d0"],
        Long,
        |case| order(case, &["d4a4", "a4r", "t3-wt", "d4-a4r", "d0"]),
    ),
    claim(
        "All models with descriptors outperform D0 in S, R@1 and MRR (S: +6.4 to +10.4 pp)",
        "section 5.1",
        &[5],
        CANONICAL,
        Any,
        every_measure,
    ),
    Claim {
        seeds: 2,
        ..claim(
            "Over seeds d4a4 exceeds D0 by 8.8 pp in mean S (Welch t = 5.55, p < 0.001, d = 3.51)",
            "abstract, section 5.9",
            &[12],
            &["d0", "d4a4"],
            Any,
            |case| {
                least_above(vec![less(case, "d4a4", "d0")?], 0.0, Unit::Points).map(|judged| with_welch(case, judged))
            },
        )
    },
    Claim {
        seeds: 2,
        ..claim(
            "The ranges over seeds do not overlap: the worst d4a4 is above the best D0",
            "section 5.9",
            &[12],
            &["d0", "d4a4"],
            Any,
            |case| {
                let (worst, best) = (case.group("d4a4")?.range().0, case.group("d0")?.range().1);
                let seeds = case.group("d4a4")?.runs.len().min(case.group("d0")?.runs.len());
                let text = |s: f64| Unit::Share.text(s);
                Some(Verdict::of(worst > best).because(format!(
                    "{} against {}, {seeds} seeds or more",
                    text(worst),
                    text(best)
                )))
            },
        )
    },
    Claim {
        seeds: 2,
        ..claim("The order of means over seeds: d4a4, d4-a4r, a4r, D0", "section 5.9", &[12], CANONICAL, Any, |case| {
            order(case, &["d4a4", "d4-a4r", "a4r", "d0"])
        })
    },
    claim(
        "What descriptors say matters, not their parameters: d4a4 is above its controls with zeros, random values and others' descriptors \
         (83.0 against 75.0, 73.6, 73.6)",
        "section 6.6, test 02",
        &[],
        &["d4a4", "d4a4-zero", "d4a4-random", "d4a4-shuffled"],
        Any,
        |case| {
            let controls = ["d4a4-zero", "d4a4-random", "d4a4-shuffled"];
            least_above(
                controls.into_iter().map(|control| less(case, "d4a4", control)).collect::<Option<_>>()?,
                0.0,
                Unit::Points,
            )
        },
    ),
    claim(
        "Reverse cross-attention takes 163 times fewer attention operations",
        "abstract, section 6.3",
        &[],
        &[],
        Any,
        cheaper,
    ),
];

/// S of `arm` less S of `other`, with its name.
fn less(case: &Case, arm: &str, other: &str) -> Option<(String, Interval)> {
    Some((format!("S of {arm} less S of {other}"), case.delta(arm, other)?))
}

fn from_baseline(case: &Case, arms: &[&str]) -> Option<Vec<(String, Interval)>> {
    arms.iter().map(|arm| less(case, arm, "d0")).collect()
}

/// `delta` of every arm but `own`, named by `name` with the arm in it.
fn over(
    arms: &[&str],
    delta: impl Fn(&str) -> Option<Interval>,
    own: &str,
    name: &str,
) -> Option<Vec<(String, Interval)>> {
    arms.iter().filter(|arm| **arm != own).map(|arm| Some((name.replace("{}", arm), delta(arm)?))).collect()
}

/// Whether each arm is above the next.
fn order(case: &Case, arms: &[&str]) -> Option<Judgement> {
    least_above(arms.windows(2).map(|pair| less(case, pair[0], pair[1])).collect::<Option<_>>()?, 0.0, Unit::Points)
}

fn seven_above(case: &Case) -> Option<Judgement> {
    let deltas: Vec<(&str, Interval)> =
        SCREENED[1..].iter().map(|arm| Some((*arm, case.delta(arm, "d0")?))).collect::<Option<_>>()?;
    let surely: Vec<&str> = deltas.iter().filter(|(_, delta)| delta.low > 0.0).map(|(arm, _)| *arm).collect();
    let possibly = deltas.iter().filter(|(_, delta)| delta.high > 0.0).count();
    let crosswise = surely.contains(&"d4a4cm");
    let verdict = match (surely.len() >= BEST, possibly < BEST) {
        (true, _) => Verdict::of(!crosswise),
        (_, true) => Verdict::NotHeld,
        _ => Verdict::NotComparable,
    };
    let list = if surely.is_empty() { "none".into() } else { surely.join(", ") };
    Some(verdict.because(format!("surely above D0: {list}; {possibly} of 12 may be")))
}

fn every_measure(case: &Case) -> Option<Judgement> {
    type Measure = (&'static str, Unit, fn(&Retrieval<Interval>) -> Interval);
    const MEASURES: [Measure; 4] = [
        ("R@1 audio→MIDI", Unit::Points, |r| r.audio_to_midi.recall_at_1),
        ("R@1 MIDI→audio", Unit::Points, |r| r.midi_to_audio.recall_at_1),
        ("MRR audio→MIDI", Unit::Number(3), |r| r.audio_to_midi.mrr),
        ("MRR MIDI→audio", Unit::Number(3), |r| r.midi_to_audio.mrr),
    ];
    let of = |arm: &str, measure: fn(&Retrieval<Interval>) -> Interval| {
        Some(measure(&case.group(arm)?.runs.first()?.found.model.canonical))
    };
    let mut parts = vec![least_above(from_baseline(case, &CANONICAL[1..])?, 0.0, Unit::Points)?];
    for (name, unit, measure) in MEASURES {
        let figure = |arm: &&str| {
            let apart = independent(&of(arm, measure)?, &of("d0", measure)?);
            Some((format!("{name} of {arm} less that of d0"), apart))
        };
        parts.push(least_above(CANONICAL[1..].iter().map(figure).collect::<Option<_>>()?, 0.0, unit)?);
    }
    Some(judge::all(parts))
}

fn with_welch(case: &Case, judged: Judgement) -> Judgement {
    let samples = case.group("d4a4").zip(case.group("d0")).map(|(a, b)| (a.sample, b.sample));
    match samples.and_then(|(a, b)| welch(&a, &b)) {
        Some(test) => {
            let words = format!("{}; Welch t = {:.2}, df = {:.1}, p = {:.3}", judged.because, test.t, test.df, test.p);
            judged.verdict.because(words)
        }
        None => judged,
    }
}

/// Counted, not measured: pairs of rows that attend to each other, at the sizes of `preset=paper`.
fn cheaper(_: &Case) -> Option<Judgement> {
    let config = crate::config::Config::resolve(&["preset=paper".into()], false).ok()?;
    let spec = ModelSpec::from_config(&config);
    let cost = |name: &str| Some(Cost::of(&find(name).ok()?.arm(), &spec).forward());
    let whole = cost("d0")? / cost("a4r")?;
    let (frames, tokens) = (2400.0_f64, crate::descriptors::FRAMES as f64);
    let scores = (frames / tokens).powi(2);
    if !whole.is_finite() {
        return Some(open("the cost of an arm is not a number"));
    }
    Some(Verdict::of((162.0..164.0).contains(&scores)).because(format!(
        "{scores:.0} times in scores of the audio encoder's self-attention, 2400² against 188²; counted over the whole model a4r is \
         {whole:.1} times cheaper than d0"
    )))
}
