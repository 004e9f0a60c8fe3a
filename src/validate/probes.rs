//! Test 03: what a linear probe reads off frozen embeddings (section 5.7, table 11): traits of a segment's notes from its recording's
//! embedding, traits of the recording from its MIDI's, and each from its own.
//!
//! Ridge regression (α = 1) on standardised embeddings in five folds by piece: each piece is predicted by a probe fitted without it, on
//! 80 % of the samples or so. R² is over all samples at once, so that a test split of few pieces does not hang on which of them were held out.

use rayon::prelude::*;

use super::findings::{Claim, Findings, Row, Table, Unit};
use super::subject::Subject;
use super::test::Test;
use super::{judge, paper};
use crate::data::segments::{Dataset, Segment, spread};
use crate::error::Result;
use crate::eval::bootstrap::{Interval, intervals};
use crate::eval::probe::{Explained, folds_by_piece, predict_held_out};
use crate::eval::targets;
use crate::loss::Side;
use crate::progress::Progress;
use crate::random::{Philox, site};

/// Test 03.
pub struct Probes;

const ALPHA: f64 = 1.0;
/// Folds by piece, or as many as there are pieces.
const FOLDS: usize = 5;
/// Neighbouring windows of a performance that are drawn together for an interval: each overlaps three before and three after it.
const STRETCH: usize = 10;
/// Samples at most, evenly spread over the split: more tell nothing new, since neighbouring windows overlap.
const SAMPLES: usize = 5000;
/// Orders of the targets behind the null.
const SHUFFLES: usize = 20;

/// A trait of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trait {
    Pitches,
    Intervals,
    Chroma,
    Centroid,
}

/// Every trait, in the order in which [`measure`] writes them, with how many numbers it has.
const TRAITS: [(Trait, usize); 4] = [
    (Trait::Pitches, targets::KEYS),
    (Trait::Intervals, targets::INTERVALS),
    (Trait::Chroma, targets::CLASSES),
    (Trait::Centroid, 1),
];
/// Numbers of all traits.
const WIDTH: usize = targets::KEYS + targets::INTERVALS + targets::CLASSES + 1;

/// A row of table 11.
struct Probe {
    name: &'static str,
    side: Side,
    of: Trait,
    /// In the order of [`paper::ARMS`].
    paper: [f64; 4],
}

const PROBES: [Probe; 6] = [
    probe("audio → pitch histogram", Side::Audio, Trait::Pitches, [0.181, 0.174, 0.167, 0.186]),
    probe("audio → interval histogram", Side::Audio, Trait::Intervals, [0.094, 0.112, 0.095, 0.115]),
    probe("MIDI → chroma", Side::Midi, Trait::Chroma, [0.330, 0.245, 0.255, 0.251]),
    probe("MIDI → spectral centroid", Side::Midi, Trait::Centroid, [0.616, 0.637, 0.662, 0.652]),
    probe("audio → chroma", Side::Audio, Trait::Chroma, [0.310, 0.235, 0.249, 0.231]),
    probe("MIDI → pitch histogram", Side::Midi, Trait::Pitches, [0.239, 0.236, 0.233, 0.233]),
];
/// How many of these, from the first, read one modality off the other.
const CROSS: usize = 4;

const fn probe(name: &'static str, side: Side, of: Trait, paper: [f64; 4]) -> Probe {
    Probe { name, side, of, paper }
}

/// R² of a probe, and its mean on shuffled targets.
struct Found {
    r_squared: Interval,
    null: f64,
}

impl Found {
    /// What R² must exceed for something to be read.
    fn bound(&self) -> f64 {
        self.null.max(0.0)
    }
}

impl Test for Probes {
    fn number(&self) -> &'static str {
        "03"
    }

    fn name(&self) -> &'static str {
        "probes"
    }

    fn asks(&self) -> &'static str {
        "what can be read off an embedding linearly?"
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let performances = || subject.dataset().performances.iter().filter(|p| p.split == subject.split);
        let first = performances().next().map(|p| p.piece);
        let one = performances().all(|p| Some(p.piece) == first);
        one.then(|| {
            format!("probes are tested on pieces they were not fitted on; the {} split has one piece", subject.split)
        })
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let sample = Sample::of(subject)?;
        let found = sample.probe(subject.protocol().seed)?;
        let row = |(probe, found): (&Probe, &Found)| {
            let published = paper::of(subject.arm(), probe.paper);
            let verdict = paper::judge(subject, published, (found.r_squared.low, found.r_squared.high));
            Row { verdict, ..Row::measured(probe.name, found.r_squared).paper(published).null(found.null) }
        };
        let table = Table {
            id: "probes".into(),
            title: "Linear probes of frozen embeddings: R²".into(),
            source: "table 11".into(),
            unit: Unit::Number(3),
            null: "shuffled targets".into(),
            rows: PROBES.iter().zip(&found).map(row).collect(),
        };
        let readable = found.iter().filter(|found| found.r_squared.low > found.bound()).count();
        let best = PROBES.iter().zip(&found).max_by(|a, b| a.1.r_squared.value.total_cmp(&b.1.r_squared.value));
        let best = best.map_or_else(String::new, |(probe, found)| {
            format!("; best {}: R² = {:.3}", probe.name, found.r_squared.value)
        });
        let cross = PROBES.iter().zip(&found).take(CROSS);
        let parts =
            cross.map(|(probe, found)| judge::above(probe.name, found.r_squared, found.bound(), Unit::Number(3)));
        let claims = vec![Claim {
            claim: "Traits of one modality can be read linearly off the other's embedding (R² 0.09 to 0.66)".into(),
            source: "table 11".into(),
            judgement: judge::all(parts),
        }];
        let notes = vec![
            format!(
                "{} samples of {} pieces in {} folds; intervals are over stretches of {STRETCH} windows, which overlap, and so are of these pieces. R² is the mean over a trait's numbers that vary; below 0 it is worse than the trait's mean.",
                sample.segments.len(),
                sample.pieces(),
                sample.folds()
            ),
            format!(
                "Traits: shares of the {} piano keys and of the {} intervals up to an octave among consecutive notes; mean chroma and mean spectral centroid of the recording.",
                targets::KEYS,
                targets::INTERVALS
            ),
            format!(
                "The null permutes targets among all samples {SHUFFLES} times, and is the mean R² of these: below 0 by what a probe of so many features overfits."
            ),
            "Whether descriptors make traits less readable, as the paper found, is seen by comparing runs.".into(),
        ];
        let summary = format!("{readable} of {} traits can be read linearly{best}.", PROBES.len());
        Ok(Findings { summary, tables: vec![table], figures: Vec::new(), claims, notes })
    }
}

/// The segments that probes are fitted and tested on.
struct Sample {
    segments: Vec<Segment>,
    /// The piece of each, numbered from 0.
    piece: Vec<usize>,
    /// Embeddings [n, dim] of either side.
    embeddings: [Vec<f64>; 2],
    /// [n, [`WIDTH`]]
    traits: Vec<f64>,
}

impl Sample {
    fn of(subject: &Subject) -> Result<Self> {
        let embedded = subject.embedded()?;
        let chosen: Vec<usize> = spread(embedded.segments.len(), SAMPLES).collect();
        let segments: Vec<Segment> = chosen.iter().map(|&i| embedded.segments[i]).collect();
        let mut pieces: Vec<u32> = chosen.iter().map(|&i| embedded.items[i].piece).collect();
        pieces.sort_unstable();
        pieces.dedup();
        let number = |&i: &usize| pieces.partition_point(|&piece| piece < embedded.items[i].piece);
        let dim = embedded.dim;
        let side = |values: &[f32]| -> Vec<f64> {
            chosen.iter().flat_map(|i| values[i * dim..][..dim].iter().map(|&x| f64::from(x))).collect()
        };
        let dataset = subject.dataset();
        let progress = Progress::new("traits of segments", segments.len() as u64, "segments");
        let measured = segments.par_iter().map(|segment| {
            let traits = measure(dataset, segment);
            progress.advance(1);
            traits
        });
        let traits = measured.collect::<Vec<_>>().concat();
        let embeddings = [side(&embedded.audio), side(&embedded.midi)];
        Ok(Sample { piece: chosen.iter().map(number).collect(), embeddings, traits, segments })
    }

    fn pieces(&self) -> usize {
        self.piece.iter().max().map_or(0, |last| last + 1)
    }

    fn folds(&self) -> usize {
        FOLDS.min(self.pieces())
    }

    /// The stretch of its performance that each sample is in, numbered from 0 over all.
    fn stretches(&self) -> Vec<usize> {
        let same = |a: &Segment, b: &Segment| a.performance == b.performance;
        let performances = self.segments.chunk_by(same);
        performances
            .flat_map(|all| all.chunks(STRETCH))
            .enumerate()
            .flat_map(|(i, stretch)| vec![i; stretch.len()])
            .collect()
    }

    /// All [`PROBES`].
    fn probe(&self, seed: u64) -> Result<Vec<Found>> {
        let n = self.segments.len();
        let pieces: Vec<u32> = self.piece.iter().map(|&piece| piece as u32).collect();
        let folds = folds_by_piece(&pieces, self.folds(), seed);
        let stretch = self.stretches();
        let stretches = stretch.last().map_or(0, |last| last + 1);
        let philox = Philox::new(seed, site("validate.probes.shuffle"));
        let progress = Progress::new("probes", 2 * (1 + SHUFFLES as u64), "fits");
        // All traits at once: one factorisation serves them all.
        let explained = |side: usize, traits: &[f64]| -> Result<[Explained; TRAITS.len()]> {
            let predicted = predict_held_out(&self.embeddings[side], traits, &folds, ALPHA)?;
            progress.advance(1);
            Ok(TRAITS.map(|(of, _)| {
                let (predicted, traits) = (columns(&predicted, of), columns(traits, of));
                Explained::new(&predicted, &traits, predicted.len() / n, &stretch)
            }))
        };
        let everything: Vec<usize> = (0..stretches).collect();
        let mut null = [[0.0; TRAITS.len()]; 2];
        for shuffle in 0..SHUFFLES as u64 {
            let order = philox.stream(shuffle).permutation(n);
            let shuffled: Vec<f64> = order.iter().flat_map(|i| &self.traits[i * WIDTH..][..WIDTH]).copied().collect();
            for (side, null) in null.iter_mut().enumerate() {
                for (null, explained) in null.iter_mut().zip(explained(side, &shuffled)?) {
                    *null += explained.r_squared(&everything) / SHUFFLES as f64;
                }
            }
        }
        let found = [explained(0, &self.traits)?, explained(1, &self.traits)?];
        let of = |probe: &Probe| {
            let (side, place) = (probe.side as usize, position(probe.of).0);
            let [r_squared] = intervals(stretches, seed, |drawn| [found[side][place].r_squared(drawn)]);
            Found { r_squared, null: null[side][place] }
        };
        Ok(PROBES.iter().map(of).collect())
    }
}

/// All traits of a segment: [`WIDTH`] numbers.
fn measure(dataset: &Dataset, segment: &Segment) -> Vec<f64> {
    let (notes, audio) = (dataset.notes(segment), dataset.audio(segment));
    let mut traits = Vec::with_capacity(WIDTH);
    traits.extend(targets::pitch_histogram(&notes));
    traits.extend(targets::interval_histogram(&notes));
    traits.extend(targets::chroma(&audio));
    traits.push(targets::centroid(&audio));
    traits
}

/// Which of [`TRAITS`] it is, the column of its first number, and how many it has.
fn position(of: Trait) -> (usize, usize, usize) {
    let place = TRAITS.iter().position(|(other, _)| *other == of).unwrap_or_default();
    (place, TRAITS[..place].iter().map(|(_, width)| width).sum(), TRAITS[place].1)
}

/// The numbers of one trait out of rows of all.
fn columns(rows: &[f64], of: Trait) -> Vec<f64> {
    let (_, from, width) = position(of);
    rows.chunks_exact(WIDTH).flat_map(|row| &row[from..from + width]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12 pieces of 40 samples, whose chroma is in the audio embedding and nothing else anywhere.
    fn planted() -> Sample {
        let mut stream = Philox::new(9, 1).stream(0);
        let n = 480;
        let mut normal = |count: usize| -> Vec<f64> { (0..count).map(|_| stream.normal()).collect() };
        let (traits, mut audio, midi) = (normal(n * WIDTH), normal(n * 16), normal(n * 16));
        let (_, from, width) = position(Trait::Chroma);
        for (audio, traits) in audio.chunks_exact_mut(16).zip(traits.chunks_exact(WIDTH)) {
            (0..width).for_each(|j| audio[j] = 0.1 * audio[j] + traits[from + j]);
        }
        let segments = vec![Segment { performance: 0, start: 0.0 }; n];
        Sample { segments, piece: (0..n).map(|i| i / 40).collect(), embeddings: [audio, midi], traits }
    }

    #[test]
    fn only_what_is_there_is_read() {
        let sample = planted();
        let found = sample.probe(42).unwrap();
        for (probe, found) in PROBES.iter().zip(&found) {
            let r = found.r_squared;
            assert!(r.low <= r.value && r.value <= r.high && (-0.2..0.0).contains(&found.null), "{}", probe.name);
            match probe.name {
                "audio → chroma" => assert!(r.low > 0.95, "{r:?}"),
                name => assert!(r.high < 0.05 && r.value > -0.2, "{name}: {r:?}"),
            }
        }
    }
}
