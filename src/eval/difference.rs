//! By how much S of one system exceeds S of another, with a 95 % interval.

use super::bootstrap::{self, Interval};
use super::ranks::Ranks;

/// S of `ours` less S of `theirs`, each the mean over its runs, when other queries had been drawn: all runs are resampled with the
/// same queries, which removes what is common to them. `None` where a side has no run or two runs differ in their number of queries.
///
/// The interval knows nothing of how much training itself varies: that takes several seeds ([`super::statistics::welch`]).
pub fn paired(ours: &[&Ranks], theirs: &[&Ranks], seed: u64) -> Option<Interval> {
    let queries = ours.first()?.queries();
    theirs.first()?;
    if ours.iter().chain(theirs).any(|ranks| ranks.queries() != queries) {
        return None;
    }
    let mean = |side: &[&Ranks], chosen: &[usize]| {
        side.iter().map(|ranks| ranks.s(chosen.iter().copied())).sum::<f64>() / side.len() as f64
    };
    let [difference] = bootstrap::intervals(queries, seed, |chosen| [mean(ours, chosen) - mean(theirs, chosen)]);
    Some(difference)
}

/// The difference of two independent figures from their own intervals (Zou & Donner 2008): each end moves by the root of the sum of
/// the squares of the two reaches towards it.
pub fn independent(ours: &Interval, theirs: &Interval) -> Interval {
    let value = ours.value - theirs.value;
    let below = (ours.value - ours.low).hypot(theirs.high - theirs.value);
    let above = (ours.high - ours.value).hypot(theirs.value - theirs.low);
    Interval { value, low: value - below, high: value + above }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hits of a run whose first `found` of 500 queries succeed in both directions.
    fn run(found: usize) -> Ranks {
        let ranks: Vec<u32> = (0..500).map(|query| if query < found { 3 } else { 40 }).collect();
        Ranks { audio_to_midi: ranks.clone(), midi_to_audio: ranks }
    }

    #[test]
    fn pairs_of_the_same_queries_are_told_apart_more_sharply() {
        let (better, worse) = (run(420), run(400));
        let paired = paired(&[&better], &[&worse], 42).unwrap();
        assert!((paired.value - 0.04).abs() < 1e-12 && paired.low > 0.02 && paired.high < 0.06, "{paired:?}");
        let alone = |run: &Ranks| bootstrap::intervals(500, 42, |chosen| [run.s(chosen.iter().copied())])[0];
        let independent = independent(&alone(&better), &alone(&worse));
        assert!((independent.value - 0.04).abs() < 1e-12 && independent.low < 0.0, "{independent:?}");
        let normal = 1.96 * (0.84f64 * 0.16 / 500.0 + 0.8 * 0.2 / 500.0).sqrt();
        assert!((independent.high - 0.04 - normal).abs() < 0.004, "{independent:?}");
    }

    #[test]
    fn a_side_is_the_mean_of_its_runs_and_must_have_the_same_queries() {
        let runs = [run(400), run(440)];
        let same = paired(&[&runs[0], &runs[1]], &[&run(420)], 1).unwrap();
        assert!(same.value.abs() < 1e-12 && same.low < 0.0 && same.high > 0.0, "{same:?}");
        let short = Ranks { audio_to_midi: vec![1], midi_to_audio: vec![1] };
        assert!(paired(&[&runs[0]], &[&short], 1).is_none() && paired(&[], &[&short], 1).is_none());
    }
}
