//! The rank of every query's match, kept with an evaluation so that two runs can be compared query by query.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::retrieval::{Outcome, Ranking};

/// Ranks from 1, in the order of the queries. In JSON each direction is one line of numbers with spaces between, since a thousand
/// lines would hide the figures they stand beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranks {
    /// Queries are audio, candidates MIDI.
    #[serde(serialize_with = "to_line", deserialize_with = "from_line")]
    pub audio_to_midi: Vec<u32>,
    /// Queries are MIDI, candidates audio.
    #[serde(serialize_with = "to_line", deserialize_with = "from_line")]
    pub midi_to_audio: Vec<u32>,
}

impl Ranks {
    /// How many queries there are; those that both directions have, should a file hold more of one.
    pub fn queries(&self) -> usize {
        self.audio_to_midi.len().min(self.midi_to_audio.len())
    }

    /// S (eq. 2) over some queries, with repetitions in a bootstrap; each below [`Ranks::queries`].
    pub fn s(&self, queries: impl Iterator<Item = usize> + Clone) -> f64 {
        let count = queries.clone().count() as f64;
        let hits = |ranks: &[u32]| queries.clone().filter(|&query| ranks[query] <= 10).count() as f64;
        hits(&self.audio_to_midi).min(hits(&self.midi_to_audio)) / count
    }
}

impl From<&Ranking> for Ranks {
    fn from(ranking: &Ranking) -> Self {
        let ranks = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| outcome.rank).collect();
        Self { audio_to_midi: ranks(&ranking.audio_to_midi), midi_to_audio: ranks(&ranking.midi_to_audio) }
    }
}

fn to_line<S: Serializer>(ranks: &[u32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&ranks.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
}

fn from_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let line = String::deserialize(deserializer)?;
    let rank = |word: &str| word.parse().map_err(|_| D::Error::custom(format!("a rank, not `{word}`")));
    line.split_whitespace().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_back_from_a_line() {
        let ranks = Ranks { audio_to_midi: vec![1, 11, 10], midi_to_audio: vec![2, 3, 200] };
        let text = serde_json::to_string(&ranks).unwrap();
        assert_eq!(text, r#"{"audio_to_midi":"1 11 10","midi_to_audio":"2 3 200"}"#);
        assert_eq!(serde_json::from_str::<Ranks>(&text).unwrap(), ranks);
        assert!(serde_json::from_str::<Ranks>(&text.replace("11", "x")).unwrap_err().to_string().contains("`x`"));
        assert_eq!(ranks.s(0..3), 2.0 / 3.0);
        assert_eq!(ranks.s([1, 1, 2].into_iter()), 1.0 / 3.0);
    }
}
