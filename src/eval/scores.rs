//! The figures of a retrieval (spec, "Evaluation"), and what guessing reaches.

use serde::{Deserialize, Serialize};

/// The figures of one direction, shares as fractions of 1. `T` is `f64`, or an interval around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores<T> {
    /// Share of queries whose match is ranked first.
    pub recall_at_1: T,
    /// Share of queries whose match is among the first five.
    pub recall_at_5: T,
    /// Share of queries whose match is among the first ten.
    pub recall_at_10: T,
    /// Mean of 1 / rank.
    pub mrr: T,
    /// Median rank of the match.
    pub median_rank: T,
    /// Share of (query, hard negative) pairs that the match wins; not a number (null in JSON) where there is no pair.
    pub hard_negatives_won: T,
    /// Share of (query, semi-hard negative) pairs that the match wins.
    pub semi_hard_negatives_won: T,
}

/// The figures of both directions and S, the smaller of their two R@10 (paper eq. 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retrieval<T> {
    /// min(R@10 audio → MIDI, R@10 MIDI → audio).
    pub s: T,
    /// Queries are audio, candidates MIDI.
    pub audio_to_midi: Scores<T>,
    /// Queries are MIDI, candidates audio.
    pub midi_to_audio: Scores<T>,
}

impl<T: Copy> Scores<T> {
    /// The figures in the order of the fields.
    pub fn to_array(self) -> [T; 7] {
        [
            self.recall_at_1,
            self.recall_at_5,
            self.recall_at_10,
            self.mrr,
            self.median_rank,
            self.hard_negatives_won,
            self.semi_hard_negatives_won,
        ]
    }

    /// The inverse of [`to_array`](Self::to_array).
    pub fn from_array(values: [T; 7]) -> Self {
        let [recall_at_1, recall_at_5, recall_at_10, mrr, median_rank, hard_negatives_won, semi_hard_negatives_won] =
            values;
        Self { recall_at_1, recall_at_5, recall_at_10, mrr, median_rank, hard_negatives_won, semi_hard_negatives_won }
    }
}

impl Retrieval<f64> {
    /// What guessing reaches with `pool` candidates.
    pub fn chance(pool: usize) -> Self {
        let n = pool as f64;
        let recall = |k: f64| (k / n).min(1.0);
        let harmonic: f64 = (1..=pool).map(|rank| 1.0 / rank as f64).sum();
        let scores =
            Scores::from_array([recall(1.0), recall(5.0), recall(10.0), harmonic / n, (n + 1.0) / 2.0, 0.5, 0.5]);
        Self { s: scores.recall_at_10, audio_to_midi: scores, midi_to_audio: scores }
    }
}
