//! Segments whose descriptor of one side is replaced: by zeros, by noise, or by another segment's.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::segments::Segment;
use crate::eval::view::{Changes, View};
use crate::loss::Side;
use crate::random::{Philox, Stream, site};
use crate::train::controls::place;

/// What stands in a descriptor's place (paper, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Zeros.
    Zero,
    /// Gaussian noise with the mean and deviation of each of the segment's columns.
    Noise,
    /// The descriptor of another segment of the split.
    Shuffle,
}

impl Mode {
    /// All of them, in the order of table 6.
    pub const ALL: [Mode; 3] = [Mode::Zero, Mode::Noise, Mode::Shuffle];

    /// As the paper calls it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Zero => "zero",
            Mode::Noise => "noise",
            Mode::Shuffle => "shuffle",
        }
    }
}

/// Segments with one descriptor replaced.
pub struct Ablated {
    side: Side,
    mode: Mode,
    seed: u64,
    /// Whose descriptor a segment gets, by [`place`].
    others: BTreeMap<u64, Segment>,
}

impl Ablated {
    /// The descriptor that enters the encoder of `side`, replaced in each of `segments`; draws are by `seed`.
    pub fn new(side: Side, mode: Mode, segments: &[Segment], seed: u64) -> Self {
        let others = if mode == Mode::Shuffle { around(segments, side, seed) } else { BTreeMap::new() };
        Ablated { side, mode, seed, others }
    }
}

impl View for Ablated {
    fn changes(&self) -> Changes {
        let mut descriptors = [false; 2];
        descriptors[self.side as usize] = true;
        Changes { descriptors, ..Changes::default() }
    }

    fn described(&self, _side: Side, segment: &Segment) -> Segment {
        self.others.get(&place(segment)).copied().unwrap_or(*segment)
    }

    fn descriptor(&self, side: Side, segment: &Segment, own: Arc<[f32]>, dims: usize) -> Arc<[f32]> {
        match self.mode {
            Mode::Zero => vec![0.0; own.len()].into(),
            Mode::Noise => {
                let source = Philox::new(self.seed, site(&format!("validate.noise.{side:?}")));
                noise(&own, dims, &mut source.stream(place(segment))).into()
            }
            Mode::Shuffle => own,
        }
    }
}

/// The next of each segment, once around all of them in random order: none of several is its own, and each is taken once.
fn around(segments: &[Segment], side: Side, seed: u64) -> BTreeMap<u64, Segment> {
    let order = Philox::new(seed, site(&format!("validate.shuffle.{side:?}"))).stream(0).permutation(segments.len());
    let next = order.iter().cycle().skip(1);
    order.iter().zip(next).map(|(&to, &from)| (place(&segments[to]), segments[from])).collect()
}

/// Normal draws with the mean and the deviation (1/n) over the rows of each column of `own`, row-major [rows, dims].
fn noise(own: &[f32], dims: usize, stream: &mut Stream) -> Vec<f32> {
    let rows = own.len() as f64 / dims as f64;
    let mut moments = vec![(0.0, 0.0); dims];
    for row in own.chunks_exact(dims) {
        moments.iter_mut().zip(row).for_each(|((sum, _), &x)| *sum += f64::from(x) / rows);
    }
    for row in own.chunks_exact(dims) {
        moments.iter_mut().zip(row).for_each(|((mean, square), &x)| *square += (f64::from(x) - *mean).powi(2) / rows);
    }
    let columns = moments.iter().cycle().take(own.len());
    columns.map(|(mean, square)| (mean + square.sqrt() * stream.normal()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(n: u32) -> Vec<Segment> {
        (0..n).map(|i| Segment { performance: i / 30, start: f64::from(i % 30) }).collect()
    }

    #[test]
    fn every_segment_gets_that_of_another_and_each_is_given_once() {
        let segments = segments(100);
        let view = Ablated::new(Side::Audio, Mode::Shuffle, &segments, 42);
        let mut given: Vec<u64> = Vec::new();
        for segment in &segments {
            let other = view.described(Side::Audio, segment);
            assert_ne!(other, *segment);
            given.push(place(&other));
        }
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), segments.len());
        let neighbours =
            segments.iter().filter(|s| view.described(Side::Audio, s).performance == s.performance).count();
        assert!(neighbours < 50, "{neighbours} of 100 stay in their performance, of which there are four");
        let notes = Ablated::new(Side::Midi, Mode::Shuffle, &segments, 42);
        assert!(segments.iter().any(|s| notes.described(Side::Midi, s) != view.described(Side::Audio, s)));
        assert_eq!(view.changes().descriptors, [true, false]);
    }

    #[test]
    fn zeros_are_zeros_and_noise_has_the_columns_moments() {
        let segment = Segment { performance: 3, start: 7.0 };
        // 4,000 rows of two columns: 5 ± 2, and a constant 1.
        let own: Arc<[f32]> = (0..4000).flat_map(|i| [if i % 2 == 0 { 3.0 } else { 7.0 }, 1.0]).collect();
        let put = |mode| {
            let view = Ablated::new(Side::Audio, mode, &[segment], 42);
            assert_eq!(view.described(Side::Audio, &segment), segment);
            view.descriptor(Side::Audio, &segment, own.clone(), 2)
        };
        assert!(put(Mode::Zero).iter().all(|&x| x == 0.0) && put(Mode::Zero).len() == own.len());
        assert_eq!(put(Mode::Shuffle), own);
        let drawn = put(Mode::Noise);
        assert_eq!(drawn, put(Mode::Noise));
        let column: Vec<f64> = drawn.iter().step_by(2).map(|&x| f64::from(x)).collect();
        let mean = column.iter().sum::<f64>() / 4000.0;
        let sd = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0).sqrt();
        assert!((mean - 5.0).abs() < 0.15 && (sd - 2.0).abs() < 0.12, "{mean} ± {sd}");
        assert!(drawn.iter().skip(1).step_by(2).all(|&x| x == 1.0));
    }
}
