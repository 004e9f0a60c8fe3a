//! Ranks and what is counted over them: recall, reciprocal rank, median rank, negatives won (spec, "Evaluation").

use rayon::prelude::*;

use super::pools::{Kind, Pools};
use super::scores::{Retrieval, Scores};
use crate::error::{Error, Result};

/// Both embeddings of every segment, compared by cosine: rows of `audio` and `midi` with the same index are a pair.
#[derive(Debug, Clone, Copy)]
pub struct Embeddings<'a> {
    /// Audio embeddings, [n, dim].
    pub audio: &'a [f32],
    /// MIDI embeddings, [n, dim].
    pub midi: &'a [f32],
    /// Dimensions of one embedding.
    pub dim: usize,
}

/// How one query fared: the rank of its match and the negatives it won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// 1 + number of candidates with a strictly greater cosine.
    pub rank: u32,
    /// Hard negatives with a strictly smaller cosine than the match, and hard negatives in all.
    pub hard: [u32; 2],
    /// The same of semi-hard negatives.
    pub semi_hard: [u32; 2],
    /// Negatives of any kind with exactly the match's cosine.
    pub ties: u32,
}

/// The outcomes of all queries in both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Candidates per query.
    pub pool: usize,
    /// One per query, audio asking for MIDI.
    pub audio_to_midi: Vec<Outcome>,
    /// One per query, MIDI asking for audio.
    pub midi_to_audio: Vec<Outcome>,
}

impl Ranking {
    /// Ranks the candidates of every pool by cosine, in both directions. An embedding of length 0 has cosine 0 with
    /// everything.
    ///
    /// # Errors
    /// Where the two matrices are not [n, dim] of the same n, hold a value that is not finite, or have fewer rows than
    /// the pools name.
    pub fn new(embeddings: Embeddings, pools: &Pools) -> Result<Self> {
        let Embeddings { audio, midi, dim } = embeddings;
        if dim == 0 || !audio.len().is_multiple_of(dim) || audio.len() != midi.len() {
            let got = format!("audio {} values, MIDI {} values, dim {dim}", audio.len(), midi.len());
            return Err(Error::op(OP, "embeddings", "audio and MIDI of shape [n, dim], dim at least 1", got));
        }
        let rows = audio.len() / dim;
        if let Some(&largest) = pools.candidates.iter().max().filter(|&&i| i as usize >= rows) {
            return Err(Error::op(OP, "embeddings", format!("at least {} rows", largest as u64 + 1), rows.to_string()));
        }
        let audio = Rows::new("audio embeddings", audio, dim)?;
        let midi = Rows::new("MIDI embeddings", midi, dim)?;
        Ok(Self {
            pool: pools.size,
            audio_to_midi: outcomes(&audio, &midi, pools),
            midi_to_audio: outcomes(&midi, &audio, pools),
        })
    }

    /// The figures over all queries.
    pub fn scores(&self) -> Retrieval<f64> {
        self.scores_of(0..self.audio_to_midi.len())
    }

    /// The figures over some queries, the same ones in both directions (with repetitions, in a bootstrap).
    pub fn scores_of(&self, queries: impl Iterator<Item = usize> + Clone) -> Retrieval<f64> {
        let audio_to_midi = self.direction(&self.audio_to_midi, queries.clone());
        let midi_to_audio = self.direction(&self.midi_to_audio, queries);
        let s = audio_to_midi.recall_at_10.min(midi_to_audio.recall_at_10);
        Retrieval { s, audio_to_midi, midi_to_audio }
    }

    /// Share of negatives, over both directions, with exactly the match's cosine. They do not push the match down, so a
    /// share above rounding (collapsed embeddings) makes every other figure worthless.
    pub fn tied(&self) -> f64 {
        let all = self.audio_to_midi.iter().chain(&self.midi_to_audio);
        let ties: u64 = all.clone().map(|outcome| outcome.ties as u64).sum();
        ties as f64 / (all.count() * (self.pool - 1)) as f64
    }

    fn direction(&self, outcomes: &[Outcome], queries: impl Iterator<Item = usize>) -> Scores<f64> {
        let mut of_rank = vec![0u32; self.pool + 1];
        let (mut hard, mut semi_hard) = ([0u64; 2], [0u64; 2]);
        for outcome in queries.map(|query| &outcomes[query]) {
            of_rank[outcome.rank as usize] += 1;
            (0..2).for_each(|i| hard[i] += outcome.hard[i] as u64);
            (0..2).for_each(|i| semi_hard[i] += outcome.semi_hard[i] as u64);
        }
        let count: u32 = of_rank.iter().sum();
        let recall = |k: usize| of_rank.iter().take(k + 1).sum::<u32>() as f64 / count as f64;
        let reciprocal: f64 = of_rank.iter().enumerate().skip(1).map(|(rank, &n)| n as f64 / rank as f64).sum();
        let median = (nth(&of_rank, count.saturating_sub(1) / 2) + nth(&of_rank, count / 2)) as f64 / 2.0;
        let share = |[won, of]: [u64; 2]| won as f64 / of as f64;
        let mrr = reciprocal / count as f64;
        Scores::from_array([recall(1), recall(5), recall(10), mrr, median, share(hard), share(semi_hard)])
    }
}

/// The `n`-th smallest rank (from 0), given how often each occurs.
fn nth(of_rank: &[u32], n: u32) -> usize {
    let mut seen = 0;
    let found = of_rank.iter().position(|&count| {
        seen += count;
        seen > n
    });
    found.unwrap_or(0)
}

const OP: &str = "retrieval";

/// A matrix with the reciprocal length of each row.
struct Rows<'a> {
    values: &'a [f32],
    dim: usize,
    inverse_norm: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn new(name: &'static str, values: &'a [f32], dim: usize) -> Result<Self> {
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let got = format!("{} in row {}, column {}", values[at], at / dim, at % dim);
            return Err(Error::op(OP, name, "finite values", got));
        }
        let inverse = |row: &[f32]| {
            let square = dot(row, row);
            if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
        };
        Ok(Self { values, dim, inverse_norm: values.chunks_exact(dim).map(inverse).collect() })
    }

    fn row(&self, i: u32) -> &[f32] {
        &self.values[i as usize * self.dim..][..self.dim]
    }
}

/// In f64: no length of finite f32 values overflows, and rounding decides no rank that f32 inputs do not.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum()
}

fn outcomes(from: &Rows, to: &Rows, pools: &Pools) -> Vec<Outcome> {
    let candidates = pools.candidates.par_chunks_exact(pools.size);
    let rows = candidates.zip(pools.kinds.par_chunks_exact(pools.size));
    rows.zip(&pools.queries).map(|((candidates, kinds), &query)| outcome(from, to, query, candidates, kinds)).collect()
}

/// The length of the query is common to all its cosines and left out.
fn outcome(from: &Rows, to: &Rows, query: u32, candidates: &[u32], kinds: &[Kind]) -> Outcome {
    let similarity = |i: u32| dot(from.row(query), to.row(i)) * to.inverse_norm[i as usize];
    let matched = similarity(query);
    let mut outcome = Outcome { rank: 1, ..Outcome::default() };
    for (&candidate, kind) in candidates.iter().zip(kinds) {
        if *kind == Kind::Match {
            continue;
        }
        let other = similarity(candidate);
        let won = (other < matched) as u32;
        outcome.rank += (other > matched) as u32;
        outcome.ties += (other == matched) as u32;
        match kind {
            Kind::Hard => outcome.hard = [outcome.hard[0] + won, outcome.hard[1] + 1],
            Kind::SemiHard => outcome.semi_hard = [outcome.semi_hard[0] + won, outcome.semi_hard[1] + 1],
            Kind::Match | Kind::Random => {}
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::pools::{Item, Protocol, Shortage};
    use crate::golden::Golden;
    use crate::random::Philox;

    #[test]
    fn equals_the_reference() {
        let golden = Golden::open("metrics");
        let index = |key: &str| golden.usize(key).into_iter().map(|i| i as u32).collect::<Vec<_>>();
        let kind = |k: usize| [Kind::Match, Kind::Hard, Kind::SemiHard, Kind::Random][k];
        let pools = Pools {
            queries: index("ret/queries"),
            size: 256,
            candidates: index("ret/pools"),
            kinds: golden.usize("ret/kind").into_iter().map(kind).collect(),
            shortage: Shortage::default(),
        };
        let (audio, midi) = (golden.f32("ret/za"), golden.f32("ret/zm"));
        let ranking = Ranking::new(Embeddings { audio: &audio, midi: &midi, dim: 16 }, &pools).unwrap();
        let scores = ranking.scores();
        for (direction, outcomes, scores) in [
            ("a2m", &ranking.audio_to_midi, scores.audio_to_midi),
            ("m2a", &ranking.midi_to_audio, scores.midi_to_audio),
        ] {
            let ranks: Vec<usize> = outcomes.iter().map(|outcome| outcome.rank as usize).collect();
            assert_eq!(ranks, golden.usize(&format!("ret/rank_{direction}")));
            for (key, got) in [
                ("R1", scores.recall_at_1),
                ("R10", scores.recall_at_10),
                ("MRR", scores.mrr),
                ("hard", scores.hard_negatives_won),
            ] {
                let expected = golden.f64(&format!("ret/{key}_{direction}"))[0];
                assert!((got - expected).abs() < 1e-12, "{key} {direction}: {got} against {expected}");
            }
        }
        assert_eq!(scores.s, golden.f64("ret/S")[0]);
    }

    fn planted(n: usize, dim: usize, noise: f64) -> (Vec<f32>, Vec<f32>, Pools) {
        let mut stream = Philox::new(7, 0).stream(0);
        let audio: Vec<f32> = (0..n * dim).map(|_| stream.normal() as f32).collect();
        let midi = audio.iter().map(|&x| ((1.0 - noise) * x as f64 + noise * stream.normal()) as f32).collect();
        let item = |i: u32| Item { piece: i / 100, composer: i / 300, performance: i / 100 };
        let items: Vec<Item> = (0..n as u32).map(item).collect();
        (audio, midi, Pools::draw(&items, &Protocol::default()).unwrap())
    }

    #[test]
    fn perfect_embeddings_score_1_and_independent_ones_chance() {
        let (audio, midi, pools) = planted(1200, 16, 0.0);
        let scaled: Vec<f32> = midi.iter().enumerate().map(|(i, x)| x * (1 + i / 16) as f32).collect();
        let ranking = Ranking::new(Embeddings { audio: &audio, midi: &scaled, dim: 16 }, &pools).unwrap();
        assert_eq!(ranking.scores().s, 1.0);
        assert_eq!(ranking.scores().midi_to_audio.to_array(), [1.0; 7]);
        assert_eq!(ranking.tied(), 0.0);

        let (audio, midi, pools) = planted(1200, 16, 1.0);
        let scores = Ranking::new(Embeddings { audio: &audio, midi: &midi, dim: 16 }, &pools).unwrap().scores();
        let chance = Retrieval::chance(256);
        for got in [scores.audio_to_midi, scores.midi_to_audio] {
            let p = chance.s;
            let binomial = (p * (1.0 - p) / 500.0).sqrt();
            assert!((got.recall_at_10 - p).abs() < 4.0 * binomial, "{got:?}");
            assert!((got.median_rank - 128.5).abs() < 4.0 * 1.2533 * 73.9 / 500f64.sqrt(), "{got:?}");
            // Of the 500 uniform win shares of a query the mean has SD 0.289 / sqrt(500).
            assert!((got.hard_negatives_won - 0.5).abs() < 4.0 * 0.0135, "{got:?}");
        }
    }

    #[test]
    fn median_of_an_even_number_and_recall_in_a_pool_of_three() {
        let outcome = |rank| Outcome { rank, ..Outcome::default() };
        let ranking = Ranking { pool: 3, audio_to_midi: [1, 3, 2, 3].map(outcome).to_vec(), midi_to_audio: vec![] };
        let scores = ranking.direction(&ranking.audio_to_midi, 0..4);
        assert_eq!((scores.median_rank, scores.recall_at_1, scores.recall_at_5), (2.5, 0.25, 1.0));
        assert!(scores.hard_negatives_won.is_nan());
        assert_eq!(ranking.direction(&ranking.audio_to_midi, [0, 2, 2].into_iter()).median_rank, 2.0);
    }

    #[test]
    fn collapse_shows_in_the_ties_and_bad_values_are_errors() {
        let (mut audio, midi, pools) = planted(300, 4, 0.5);
        let constant = vec![0.5; audio.len()];
        let collapsed = Ranking::new(Embeddings { audio: &constant, midi: &constant, dim: 4 }, &pools).unwrap();
        assert_eq!((collapsed.scores().s, collapsed.tied()), (1.0, 1.0));

        let error = |audio: &[f32], midi: &[f32], dim| {
            Ranking::new(Embeddings { audio, midi, dim }, &pools).unwrap_err().to_string()
        };
        assert!(error(&audio[4..], &midi[4..], 4).contains("at least 300 rows"));
        assert!(error(&audio[4..], &midi, 4).contains("[n, dim]"));
        assert!(error(&audio, &midi, 0).contains("[n, dim]"));
        audio[9] = f32::NAN;
        assert!(
            error(&audio, &midi, 4).contains("audio embeddings: expected finite values, got NaN in row 2, column 1")
        );
    }
}
