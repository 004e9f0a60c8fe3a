//! Test 06: how alike the layers of the two encoders are (section 5.4, table 8, figure 5): CKA as eq. 11 has it and debiased, and RSA,
//! each beside what shuffled pairs give.

use super::figure::{Block, Figure, Picture};
use super::findings::{Claim, Findings, Row, Table, Unit};
use super::subject::Subject;
use super::test::Test;
use super::{judge, paper};
use crate::error::Result;
use crate::eval::alignment::{Alike, Representations};
use crate::eval::bootstrap::{Interval, percentile};
use crate::progress::Progress;
use crate::tensor::Tensor;

/// Test 06.
pub struct Alignment;

/// Shuffles of the pairs behind a null, and halves of the pairs behind an interval.
const SHUFFLES: usize = 200;
const HALVES: usize = 200;
/// Standard errors either side of a figure that hold 95 % of a normal distribution.
const WIDTH: f64 = 1.96;
const NONE: [f64; 4] = [f64::NAN; 4];
/// Least similarity within an encoder, by the caption of figure 5.
const WITHIN: f64 = 0.85;

/// A measure: how its rows begin, figure, heading, and which value it is.
type Measure = (&'static str, &'static str, &'static str, fn(&Alike) -> f64);

const MEASURES: [Measure; 3] = [
    ("CKA", "cka", "CKA of all layers, as eq. 11", |alike| alike.cka),
    ("CKA debiased", "cka-debiased", "CKA of all layers, debiased", |alike| alike.debiased),
    ("RSA", "rsa", "RSA of all layers", |alike| alike.rsa),
];
/// Table 8, in the order of [`MEASURES`].
const MEANS: [[f64; 4]; 3] = [[0.435, 0.659, 0.766, 0.794], NONE, [0.446, 0.646, 0.721, 0.761]];
/// CKA of the first and of the last layers (section 5.4).
const ENDS: [[f64; 4]; 2] = [[0.305, f64::NAN, f64::NAN, 0.686], [0.722, f64::NAN, f64::NAN, 0.873]];

/// All layers, audio first, and what was found of them.
struct Found {
    audio: usize,
    midi: usize,
    matrix: Vec<Alike>,
    halves: Vec<Vec<Alike>>,
    /// Blocks [audio, midi].
    shuffled: Vec<Vec<Alike>>,
}

impl Found {
    fn of(subject: &Subject) -> Result<Self> {
        let [audio, midi] = subject.activations()?;
        let tensor = |layer: &crate::train::study::Layer| {
            Tensor::from_slice(&[layer.values.len() / layer.dim, layer.dim], &layer.values)
        };
        let features: Vec<Tensor> = audio.iter().chain(midi).map(tensor).collect();
        let (audio, midi) = (audio.len(), midi.len());
        let progress = Progress::new("alignment", (audio * midi + HALVES) as u64, "comparisons");
        let (all, seed) =
            (Representations::new(&features, subject.study.parameters.device())?, subject.protocol().seed);
        let shuffled = all.shuffled([0..audio, audio..audio + midi], SHUFFLES, seed, || progress.advance(1))?;
        let halves = all.halves(HALVES, seed, || progress.advance(1))?;
        Ok(Found { audio, midi, matrix: all.matrix()?, halves, shuffled })
    }

    fn layers(&self) -> usize {
        self.audio + self.midi
    }

    /// What `statistic` makes of the matrix, with its interval.
    fn interval(&self, statistic: impl Fn(&[Alike]) -> f64) -> Interval {
        let value = statistic(&self.matrix);
        let halves: Vec<f64> = self.halves.iter().map(|matrix| statistic(matrix)).collect();
        let count = halves.len() as f64;
        let mean = halves.iter().sum::<f64>() / count;
        let deviation = (halves.iter().map(|half| (half - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        Interval { value, low: value - WIDTH * deviation, high: value + WIDTH * deviation }
    }

    /// Audio layer i with MIDI layer j of a whole matrix.
    fn cross(&self, matrix: &[Alike], i: usize, j: usize) -> Alike {
        matrix[i * self.layers() + self.audio + j]
    }

    /// Mean over all audio × MIDI pairs.
    fn mean(&self, of: fn(&Alike) -> f64) -> Interval {
        self.interval(|matrix| {
            let pairs = (0..self.audio).flat_map(|i| (0..self.midi).map(move |j| (i, j)));
            pairs.map(|(i, j)| of(&self.cross(matrix, i, j))).sum::<f64>() / (self.audio * self.midi) as f64
        })
    }

    /// What a statistic of a block comes to over shuffled pairs: mean, 2.5th and 97.5th percentile.
    fn null(&self, statistic: impl Fn(&[Alike]) -> f64) -> Interval {
        let mut values: Vec<f64> = self.shuffled.iter().map(|block| statistic(block)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let value = values.iter().sum::<f64>() / values.len() as f64;
        Interval { value, low: percentile(&values, 0.025), high: percentile(&values, 0.975) }
    }

    fn mean_null(&self, of: fn(&Alike) -> f64) -> Interval {
        self.null(|block| block.iter().map(of).sum::<f64>() / block.len() as f64)
    }

    /// Smallest CKA between two layers of one encoder; nothing where it has one layer.
    fn least_within(&self, layers: std::ops::Range<usize>) -> Option<Interval> {
        let least = |matrix: &[Alike]| {
            let pairs = layers.clone().flat_map(|i| (i + 1..layers.end).map(move |j| (i, j)));
            pairs.map(|(i, j)| matrix[i * self.layers() + j].cka).fold(f64::INFINITY, f64::min)
        };
        (layers.len() > 1).then(|| self.interval(least))
    }

    /// How much more alike the last layers are than the first, by CKA.
    fn growth(&self) -> Interval {
        let (i, j) = (self.audio - 1, self.midi - 1);
        self.interval(|matrix| self.cross(matrix, i, j).cka - self.cross(matrix, 0, 0).cka)
    }
}

impl Test for Alignment {
    fn number(&self) -> &'static str {
        "06"
    }

    fn name(&self) -> &'static str {
        "alignment"
    }

    fn asks(&self) -> &'static str {
        "how alike are the layers of the two encoders?"
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let (segments, pairs) = (subject.dataset().segments(subject.split, None).len(), subject.sizes.pairs);
        (segments.min(pairs) < LEAST).then(|| {
            format!("it takes {LEAST} pairs; the {} split has {segments} segments, pairs={pairs}", subject.split)
        })
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let found = Found::of(subject)?;
        let means = MEASURES.map(|(.., of)| (found.mean(of), found.mean_null(of)));
        let [(cka, cka_null), (debiased, debiased_null), (rsa, rsa_null)] = means;
        let text = |found: Interval| Unit::Number(3).text(found.value);
        let summary = format!(
            "Mean CKA of audio × MIDI layers {}, of shuffled pairs {}; debiased {} against {}; RSA {} against {}.",
            text(cka),
            text(cka_null),
            text(debiased),
            text(debiased_null),
            text(rsa),
            text(rsa_null)
        );
        let tables = vec![means_table(subject, &means), nulls_table(&means), layers_table(subject, &found)];
        let figures = MEASURES.iter().map(|measure| figure(&found, measure)).collect();
        Ok(Findings { summary, tables, figures, claims: claims(&found, &means), notes: notes(subject)? })
    }
}

/// Pairs without which halves of them say nothing.
const LEAST: usize = 8;

fn means_table(subject: &Subject, means: &[(Interval, Interval); 3]) -> Table {
    let row = |((name, ..), (figures, (ours, null))): (&Measure, (&[f64; 4], &(Interval, Interval)))| {
        let published = paper::of(subject.arm(), *figures);
        let verdict = paper::judge(subject, published, (ours.low, ours.high));
        Row { verdict, ..Row::measured(format!("{name}, mean"), *ours).paper(published).null(null.value) }
    };
    Table {
        id: "alignment".into(),
        title: "Alignment of audio and MIDI layers, mean over all pairs of layers".into(),
        source: "table 8".into(),
        unit: Unit::Number(3),
        null: "shuffled pairs".into(),
        rows: MEASURES.iter().zip(MEANS.iter().zip(means)).map(row).collect(),
    }
}

fn nulls_table(means: &[(Interval, Interval); 3]) -> Table {
    let row =
        |((name, ..), (_, null)): (&Measure, &(Interval, Interval))| Row::measured(format!("{name}, mean"), *null);
    Table {
        id: "alignment-null".into(),
        title: format!("The same of shuffled pairs: mean, 2.5th and 97.5th percentiles of {SHUFFLES} shuffles"),
        source: String::new(),
        unit: Unit::Number(3),
        null: String::new(),
        rows: MEASURES.iter().zip(means).map(row).collect(),
    }
}

fn layers_table(subject: &Subject, found: &Found) -> Table {
    let mut rows = Vec::new();
    for i in 0..found.audio {
        for j in 0..found.midi {
            let ours = found.interval(|matrix| found.cross(matrix, i, j).cka);
            let null = found.null(|block| block[i * found.midi + j].cka).value;
            let last = (i, j) == (found.audio - 1, found.midi - 1);
            let figures = if (i, j) == (0, 0) {
                ENDS[0]
            } else if last {
                ENDS[1]
            } else {
                NONE
            };
            let published = paper::of(subject.arm(), figures);
            let verdict = paper::judge(subject, published, (ours.low, ours.high));
            rows.push(Row { verdict, ..Row::measured(format!("A{i} × M{j}"), ours).paper(published).null(null) });
        }
    }
    let within = [("audio", 0..found.audio), ("MIDI", found.audio..found.layers())];
    for (name, layers) in within {
        rows.extend(found.least_within(layers).map(|ours| Row::measured(format!("within {name}, least"), ours)));
    }
    Table {
        id: "alignment-layers".into(),
        title: "CKA of single layers, as eq. 11".into(),
        source: "section 5.4".into(),
        unit: Unit::Number(3),
        null: "shuffled pairs".into(),
        rows,
    }
}

fn figure(found: &Found, &(name, id, title, of): &Measure) -> Figure {
    let (audio, all) = (found.audio, found.layers());
    let names: Vec<String> =
        (0..audio).map(|i| format!("A{i}")).chain((0..found.midi).map(|j| format!("M{j}"))).collect();
    let picture = Picture::Matrix {
        x_axis: "layer".into(),
        y_axis: "layer".into(),
        axis: name.into(),
        unit: Unit::Number(2),
        rows: names.clone(),
        columns: names,
        values: found.matrix.iter().map(of).collect(),
        range: (0.0, 1.0),
        blocks: vec![Block { label: "audio × MIDI".into(), from: (0, audio), to: (audio, all) }],
    };
    let caption = format!(
        "Each layer of the audio (A) and the MIDI encoder (M) with each: means over the rows of a layer. Framed: between the encoders, {:.3} on average; shuffled pairs have {:.3}.",
        found.mean(of).value,
        found.mean_null(of).value
    );
    let source = if id == "cka" { "figure 5".into() } else { String::new() };
    Figure { id: id.into(), title: title.into(), source, caption, picture }
}

fn claims(found: &Found, means: &[(Interval, Interval); 3]) -> Vec<Claim> {
    let claim = |claim: &str, source: &str, judgement| Claim { claim: claim.into(), source: source.into(), judgement };
    let number = Unit::Number(3);
    let [_, (debiased, null), (rsa, rsa_null)] = means;
    let beyond_chance =
        [judge::above("debiased CKA", *debiased, null.high, number), judge::above("RSA", *rsa, rsa_null.high, number)];
    let mut claims = vec![claim(
        "The two encoders represent matched pairs alike, beyond 97.5 % of shuffled pairs",
        "section 5.4",
        judge::all(beyond_chance),
    )];
    if found.audio > 1 && found.midi > 1 {
        claims.push(claim(
            "CKA grows with depth, from the first layers to the last (D0: 0.305 to 0.722)",
            "section 5.4",
            judge::above("the last less the first:", found.growth(), 0.0, number),
        ));
    }
    let within = [("audio", 0..found.audio), ("MIDI", found.audio..found.layers())];
    let least = within.into_iter().filter_map(|(name, layers)| Some((name, found.least_within(layers)?)));
    let least: Vec<_> =
        least.map(|(name, least)| judge::above(&format!("least in {name}"), least, WITHIN, number)).collect();
    if !least.is_empty() {
        claims.push(claim(
            "Alignment within each encoder is uniformly high, above 0.85",
            "figure 5",
            judge::all(least),
        ));
    }
    claims
}

fn notes(subject: &Subject) -> Result<Vec<String>> {
    let [audio, midi] = subject.activations()?;
    let width = |layers: &[crate::train::study::Layer]| layers.first().map_or(0, |layer| layer.dim);
    Ok(vec![
        format!(
            "{} pairs, {} features of audio and {} of MIDI: means over the rows of each layer. Intervals: ± {WIDTH} standard errors, from {HALVES} random halves of the pairs; pairs of one piece are no independent samples.",
            subject.pairs()?.len(),
            width(audio),
            width(midi)
        ),
        "CKA as eq. 11 is biased upwards by as much as features outnumber samples: of independent Gaussians at 500 samples, 1,024 and 512 features it is 0.58. What pairs have in common is what it exceeds its shuffled pairs by; the debiased form is about 0 for these.".into(),
        "That descriptors raise alignment, and that alignment is not retrieval, is seen by comparing runs.".into(),
    ])
}
