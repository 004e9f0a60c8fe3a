//! The canonical evaluation (paper, test 12): a model beside chance and the two learning-free baselines, all on the same
//! queries and pools.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::baselines::Baseline;
use super::bootstrap::{self, Interval};
use super::pools::{Item, Pools, Protocol, Shortage};
use super::ranks::Ranks;
use super::retrieval::{Embeddings, Ranking};
use super::scores::{Retrieval, Scores};
use crate::error::{Error, Result};

/// Everything the canonical evaluation found; shares are fractions of 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Canonical {
    /// How queries and pools were to be drawn.
    pub protocol: Protocol,
    /// Segments that queries and candidates are drawn from.
    pub segments: usize,
    /// Performances they are from.
    pub performances: usize,
    /// Pieces they are from.
    pub pieces: usize,
    /// Composers of these pieces.
    pub composers: usize,
    /// Queries there were: all segments, where there are fewer than asked for.
    pub queries: usize,
    /// Candidates per query: all segments, where there are fewer than asked for.
    pub pool: usize,
    /// Negatives that random ones stand in for, over all queries.
    pub shortage: Shortage,
    /// [`Pools::fingerprint`] of the canonical pools.
    pub pools: Option<String>,
    /// What guessing reaches.
    pub chance: Retrieval<f64>,
    /// The model.
    pub model: System,
    /// The learning-free baselines.
    pub baselines: Vec<System>,
}

/// How one way of embedding fared, with 95 % bootstrap intervals over queries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct System {
    /// What it is called.
    pub name: String,
    /// On the pools with hard and semi-hard negatives.
    #[serde(flatten)]
    pub canonical: Retrieval<Interval>,
    /// S of the same queries on pools of purely random segments.
    pub s_random: Interval,
    /// Share of negatives with exactly the match's cosine; above a thousandth the embeddings have collapsed and the other
    /// figures mean nothing.
    pub tied: f64,
    /// On the canonical pools, query by query.
    pub ranks: Option<Ranks>,
}

/// Share of ties from which on a report warns.
pub const MANY_TIES: f64 = 1e-3;

/// Evaluates a model called `name` and the baselines; row i of each belongs to `items[i]`.
///
/// # Errors
/// Where there are fewer than two segments, a matrix has another number of rows than there are items, or a value is not
/// finite.
pub fn evaluate(
    name: &str,
    model: Embeddings,
    items: &[Item],
    baselines: &[Baseline],
    protocol: &Protocol,
) -> Result<Canonical> {
    let pools = Pools::draw(items, protocol)?;
    let random = Pools::draw(items, &protocol.random())?;
    let system = |name: &str, embeddings| System::new(name, embeddings, items.len(), &pools, &random, protocol.seed);
    let distinct = |key: fn(&Item) -> u32| items.iter().map(key).collect::<BTreeSet<_>>().len();
    Ok(Canonical {
        protocol: *protocol,
        segments: items.len(),
        performances: distinct(|item| item.performance),
        pieces: distinct(|item| item.piece),
        composers: distinct(|item| item.composer),
        queries: pools.queries.len(),
        pool: pools.size,
        shortage: pools.shortage,
        pools: Some(pools.fingerprint()),
        chance: Retrieval::chance(pools.size),
        model: system(name, model)?,
        baselines: baselines.iter().map(|b| system(b.name, b.embeddings())).collect::<Result<_>>()?,
    })
}

/// What a model reaches on the canonical pools, and nothing else: for the validation split after each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Both directions and S.
    #[serde(flatten)]
    pub retrieval: Retrieval<f64>,
    /// As [`System::tied`].
    pub tied: f64,
}

impl Figures {
    /// S, but 0 where the embeddings have collapsed: to choose the best checkpoint by.
    pub fn s_unless_collapsed(&self) -> f64 {
        if self.tied > MANY_TIES { 0.0 } else { self.retrieval.s }
    }
}

/// The light form of [`evaluate`]: the same queries and pools, without intervals, baselines or random pools.
///
/// # Errors
/// As [`evaluate`].
pub fn figures(model: Embeddings, items: &[Item], protocol: &Protocol) -> Result<Figures> {
    let ranking = rank(model, items.len(), &Pools::draw(items, protocol)?)?;
    Ok(Figures { retrieval: ranking.scores(), tied: ranking.tied() })
}

fn rank(embeddings: Embeddings, rows: usize, pools: &Pools) -> Result<Ranking> {
    let values = rows * embeddings.dim;
    if embeddings.audio.len() != values || embeddings.midi.len() != values {
        let expected = format!("{rows} rows of {} values", embeddings.dim);
        let got = format!("audio {} values, MIDI {} values", embeddings.audio.len(), embeddings.midi.len());
        return Err(Error::op("canonical evaluation", "embeddings", expected, got));
    }
    Ranking::new(embeddings, pools)
}

impl System {
    fn new(name: &str, embeddings: Embeddings, rows: usize, pools: &Pools, random: &Pools, seed: u64) -> Result<Self> {
        let (ranking, random) = (rank(embeddings, rows, pools)?, rank(embeddings, rows, random)?);
        let intervals: [Interval; 16] = bootstrap::intervals(pools.queries.len(), seed, |queries| {
            let canonical = ranking.scores_of(queries.iter().copied());
            let mut figures = [canonical.s; 16];
            figures[1..8].copy_from_slice(&canonical.audio_to_midi.to_array());
            figures[8..15].copy_from_slice(&canonical.midi_to_audio.to_array());
            figures[15] = random.scores_of(queries.iter().copied()).s;
            figures
        });
        let scores = |from: usize| Scores::from_array(std::array::from_fn(|i| intervals[from + i]));
        Ok(Self {
            name: name.to_owned(),
            canonical: Retrieval { s: intervals[0], audio_to_midi: scores(1), midi_to_audio: scores(8) },
            s_random: intervals[15],
            tied: ranking.tied(),
            ranks: Some(Ranks::from(&ranking)),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::Philox;

    /// `n` pairs whose MIDI is the audio plus noise, in pieces of 100 segments, four pieces a composer.
    pub(crate) fn planted(n: usize, noise: f64) -> (Baseline, Vec<Item>) {
        let mut stream = Philox::new(1, 0).stream(0);
        let audio: Vec<f32> = (0..n * 8).map(|_| stream.normal() as f32).collect();
        let midi = audio.iter().map(|&x| x + (noise * stream.normal()) as f32).collect();
        let item = |i: u32| Item { piece: i / 100, composer: i / 400, performance: i / 50 };
        (Baseline { name: "planted", dim: 8, audio, midi }, (0..n as u32).map(item).collect())
    }

    #[test]
    fn the_report_brackets_the_figures_and_is_the_same_twice() {
        let (pairs, items) = planted(1200, 0.7);
        let protocol = Protocol::default();
        let report = || evaluate("a4r", pairs.embeddings(), &items, std::slice::from_ref(&pairs), &protocol).unwrap();
        let found = report();
        let light = figures(pairs.embeddings(), &items, &protocol).unwrap();
        let figures = light.retrieval;
        assert_eq!((found.model.canonical.s.value, light.s_unless_collapsed()), (figures.s, figures.s));
        let with_intervals = found.model.canonical.midi_to_audio.to_array();
        for (interval, figure) in with_intervals.iter().zip(figures.midi_to_audio.to_array()) {
            assert_eq!(interval.value, figure);
            assert!(interval.low <= figure && figure <= interval.high, "{interval:?}");
        }
        let s = found.model.canonical.s;
        assert!(s.value < found.model.canonical.audio_to_midi.recall_at_10.value + 1e-9);
        assert!(0.01 < s.high - s.low && s.high - s.low < 0.1, "{s:?}");
        assert_eq!((found.performances, found.pieces, found.composers), (24, 12, 3));
        assert_eq!((found.chance.s, found.model.tied), (10.0 / 256.0, 0.0));
        assert_eq!(found.table(), report().table());
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["model"]["s"]["value"], figures.s);
        assert_eq!(json["baselines"][0]["audio_to_midi"]["mrr"], json["model"]["audio_to_midi"]["mrr"]);
        let back: Canonical = serde_json::from_value(json).unwrap();
        let ranks = back.model.ranks.unwrap();
        assert_eq!((ranks.queries(), ranks.s(0..500), back.pools), (500, figures.s, found.pools));
    }

    #[test]
    fn rows_that_do_not_fit_are_an_error() {
        let (pairs, items) = planted(300, 0.5);
        assert!(evaluate("a4r", pairs.embeddings(), &items[1..], &[], &Protocol::default()).is_err());
        let error = figures(pairs.embeddings(), &[], &Protocol::default()).unwrap_err().to_string();
        assert!(error.contains("segments: expected 2 to"), "{error}");
    }
}
