//! Parameter-matched controls (the paper's test 02): the model of an arm, whose descriptors are replaced in training and in
//! evaluation by what tells nothing about the sample.

use std::sync::Arc;

use crate::arms::Control;
use crate::data::segments::{Segment, WINDOW_SAMPLES, WINDOW_SECONDS};
use crate::loss::Side;
use crate::random::{Philox, site};

/// When a batch is made: what a control that shuffles draws by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A training step (from 0) of a run.
    Training {
        /// Seed of the run.
        seed: u64,
        /// The step.
        step: u64,
    },
    /// Always alike.
    Evaluation,
}

/// What stands in the place of `features`, one side's descriptors of a batch of segments, each [rows, dims]: as many rows of each
/// sample as before.
pub fn replaced(
    control: Control,
    side: Side,
    features: &[Arc<[f32]>],
    dims: usize,
    segments: &[Segment],
    turn: Turn,
) -> Vec<Arc<[f32]>> {
    match control {
        Control::Zero => features.iter().map(|own| vec![0.0; own.len()].into()).collect(),
        Control::Random => {
            let source = Philox::new(0, site(&format!("control.random.{side:?}")));
            let normal = |(own, segment): (&Arc<[f32]>, &Segment)| {
                let mut stream = source.stream(place(segment));
                (0..own.len()).map(|_| stream.normal() as f32).collect()
            };
            features.iter().zip(segments).map(normal).collect()
        }
        Control::Shuffled => {
            let name = site(&format!("control.shuffled.{side:?}"));
            let mut stream = match turn {
                Turn::Training { seed, step } => Philox::new(seed, name).stream(step + 1),
                Turn::Evaluation => Philox::new(0, name).stream(0),
            };
            let order = stream.permutation(features.len());
            let mut shuffled = features.to_vec();
            // Around one cycle: no sample of several keeps its own. The sides have cycles of their own, or the descriptors of
            // both would still match each other.
            for (&to, &from) in order.iter().zip(order.iter().cycle().skip(1)) {
                shuffled[to] = stretched(&features[from], dims, features[to].len() / dims);
            }
            shuffled
        }
    }
}

/// A number of its own for every segment.
pub fn place(segment: &Segment) -> u64 {
    let start = (segment.start * WINDOW_SAMPLES as f64 / WINDOW_SECONDS).round() as u64;
    u64::from(segment.performance) << 32 | start & 0xffff_ffff
}

/// The nearest of another sample's rows for each of `rows`.
pub(super) fn stretched(other: &Arc<[f32]>, dims: usize, rows: usize) -> Arc<[f32]> {
    let length = other.len() / dims;
    if length == rows {
        return other.clone();
    }
    (0..rows).flat_map(|row| other[row * length / rows * dims..][..dims].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Turn = Turn::Training { seed: 3, step: 5 };

    fn features() -> (Vec<Arc<[f32]>>, Vec<Segment>) {
        let rows = [3, 1, 7, 4];
        let own = |(i, n): (usize, &usize)| (0..2 * n).map(|j| (100 * i + j) as f32).collect();
        let segments = (0..4).map(|i| Segment { performance: i, start: f64::from(i) }).collect();
        (rows.iter().enumerate().map(own).collect(), segments)
    }

    #[test]
    fn every_control_keeps_the_rows_and_nothing_of_the_sample() {
        let (features, segments) = features();
        for control in [Control::Zero, Control::Random, Control::Shuffled] {
            for turn in [STEP, Turn::Evaluation] {
                let put = replaced(control, Side::Midi, &features, 2, &segments, turn);
                for (put, own) in put.iter().zip(&features) {
                    assert!(put.len() == own.len() && put != own, "{control:?} {turn:?}: {put:?} for {own:?}");
                }
                assert_eq!(put, replaced(control, Side::Midi, &features, 2, &segments, turn));
            }
        }
    }

    #[test]
    fn random_follows_the_segment_and_shuffling_the_step() {
        let (features, segments) = features();
        let random = |turn| replaced(Control::Random, Side::Audio, &features, 2, &segments, turn);
        assert_eq!(random(STEP), random(Turn::Evaluation));
        let turned: Vec<_> = features.iter().rev().cloned().collect();
        let others: Vec<_> = segments.iter().rev().copied().collect();
        let again = replaced(Control::Random, Side::Audio, &turned, 2, &others, STEP);
        assert!(again.iter().rev().zip(random(STEP)).all(|(a, b)| *a == b));
        let shuffled =
            |step, side| replaced(Control::Shuffled, side, &features, 2, &segments, Turn::Training { seed: 3, step });
        assert!((0..9).any(|step| shuffled(step, Side::Audio) != shuffled(9, Side::Audio)));
        assert!((0..9).any(|step| shuffled(step, Side::Audio) != shuffled(step, Side::Midi)));
    }
}
