//! How recordings and MIDIs lie to each other in the shared space.

use crate::eval::bootstrap::{Interval, intervals};
use crate::random::{Philox, site};
use crate::train::study::Embedded;

/// MIDIs each recording is compared with beside its own.
pub const OTHERS: usize = 8;
/// Times in which the sides of pairs are swapped by lot.
const SWAPS: u64 = 200;

/// Embeddings of both sides at length 1, as cosines see them.
pub struct Space {
    dim: usize,
    audio: Vec<f32>,
    midi: Vec<f32>,
}

impl Space {
    /// Of the segments `chosen`.
    pub fn of(embedded: &Embedded, chosen: &[usize]) -> Self {
        let dim = embedded.dim;
        let side =
            |values: &[f32]| -> Vec<f32> { chosen.iter().flat_map(|i| unit(&values[i * dim..][..dim])).collect() };
        Space { dim, audio: side(&embedded.audio), midi: side(&embedded.midi) }
    }

    fn len(&self) -> usize {
        self.audio.len() / self.dim
    }

    /// Recordings, then MIDIs, in rows of as many values.
    pub fn points(&self) -> (Vec<f32>, usize) {
        ([self.audio.as_slice(), &self.midi].concat(), self.dim)
    }

    /// Cosine of each pair.
    pub fn matched(&self) -> Vec<f64> {
        (0..self.len()).map(|i| self.cosine(i, i)).collect()
    }

    fn cosine(&self, i: usize, j: usize) -> f64 {
        let (audio, midi) = (&self.audio[i * self.dim..][..self.dim], &self.midi[j * self.dim..][..self.dim]);
        audio.iter().zip(midi).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    /// Cosines of each recording with [`OTHERS`] MIDIs of others, drawn by `seed`; two pairs or more.
    pub fn mismatched(&self, seed: u64) -> Vec<f64> {
        let (n, philox) = (self.len(), Philox::new(seed, site("validate.maps.mismatched")));
        let of = |i: usize| {
            let mut stream = philox.stream(i as u64);
            (0..OTHERS).map(move |_| (i + 1 + stream.below(n as u64 - 1) as usize) % n)
        };
        (0..n).flat_map(|i| of(i).map(move |j| self.cosine(i, j))).collect()
    }

    /// Distance between the mean recording and the mean MIDI.
    pub fn gap(&self) -> f64 {
        self.gap_where(|_| false)
    }

    /// The same where the sides of each pair are swapped by lot: the mean of [`SWAPS`] times.
    pub fn gap_by_lot(&self, seed: u64) -> f64 {
        let philox = Philox::new(seed, site("validate.maps.gap"));
        let once = |swap: u64| {
            let mut stream = philox.stream(swap);
            let sides: Vec<bool> = (0..self.len()).map(|_| stream.below(2) == 1).collect();
            self.gap_where(|i| sides[i])
        };
        (0..SWAPS).map(once).sum::<f64>() / SWAPS as f64
    }

    fn gap_where(&self, swapped: impl Fn(usize) -> bool) -> f64 {
        let mut difference = vec![0.0; self.dim];
        let pairs = self.audio.chunks_exact(self.dim).zip(self.midi.chunks_exact(self.dim));
        for (i, (audio, midi)) in pairs.enumerate() {
            let sign = if swapped(i) { -1.0 } else { 1.0 };
            for (sum, (&a, &b)) in difference.iter_mut().zip(audio.iter().zip(midi)) {
                *sum += sign * (f64::from(a) - f64::from(b));
            }
        }
        difference.iter().map(|x| x * x).sum::<f64>().sqrt() / self.len() as f64
    }
}

/// What cosines come to.
pub struct Cosines {
    /// Mean of matched pairs.
    pub mean: Interval,
    /// Their sample standard deviation.
    pub deviation: Interval,
    /// Mean of mismatched pairs.
    pub others: f64,
    /// Matched less mismatched.
    pub apart: Interval,
}

impl Cosines {
    /// Intervals are over pairs, each with the MIDIs of others that its recording was compared with.
    pub fn of(matched: &[f64], mismatched: &[f64], seed: u64) -> Self {
        let [mean, deviation, others, apart] = intervals(matched.len(), seed, |chosen| {
            let n = chosen.len() as f64;
            let mean = chosen.iter().map(|&i| matched[i]).sum::<f64>() / n;
            let squares: f64 = chosen.iter().map(|&i| (matched[i] - mean).powi(2)).sum();
            let others = chosen.iter().map(|&i| mismatched[i * OTHERS..][..OTHERS].iter().sum::<f64>()).sum::<f64>();
            let others = others / (n * OTHERS as f64);
            [mean, (squares / (n - 1.0)).sqrt(), others, mean - others]
        });
        Cosines { mean, deviation, others: others.value, apart }
    }
}

fn unit(row: &[f32]) -> impl Iterator<Item = f32> {
    let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    row.iter().map(move |&x| if length > 0.0 { (f64::from(x) / length) as f32 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs in 32 dimensions that share half of what they are, MIDIs moved by `gap` along the first axis.
    fn planted(gap: f32) -> Space {
        let mut stream = Philox::new(7, 1).stream(0);
        let mut normal = || stream.normal() as f32;
        let (mut audio, mut midi) = (Vec::new(), Vec::new());
        for i in 0..400 * 32 {
            let shared = normal();
            audio.push(shared + normal());
            midi.push(shared + normal() + if i % 32 == 0 { gap } else { 0.0 });
        }
        let embedded = Embedded { segments: Vec::new(), items: Vec::new(), dim: 32, audio, midi };
        Space::of(&embedded, &(0..400).collect::<Vec<_>>())
    }

    #[test]
    fn matched_pairs_are_as_near_as_planted() {
        let space = planted(0.0);
        let cosines = Cosines::of(&space.matched(), &space.mismatched(42), 42);
        assert!((cosines.mean.value - 0.5).abs() < 0.03 && cosines.others.abs() < 0.02, "{}", cosines.mean.value);
        assert!(cosines.apart.low > 0.45 && cosines.deviation.value < 0.2);
        let half = 1.96 * cosines.deviation.value / 20.0;
        assert!(
            (cosines.mean.high - cosines.mean.value - half).abs() < 0.2 * half,
            "as the normal approximation has it"
        );
    }

    #[test]
    fn a_gap_between_the_modalities_stands_out_of_chance() {
        let (without, with) = (planted(0.0), planted(4.0));
        assert!((without.gap() / without.gap_by_lot(42) - 1.0).abs() < 0.5);
        assert!(with.gap() > 5.0 * with.gap_by_lot(42), "{} {}", with.gap(), with.gap_by_lot(42));
    }
}
