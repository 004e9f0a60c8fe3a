//! Test 08: sensitivity to single bands (section 5.5, table 9, figure 6). How far does an embedding move when one column of the audio
//! descriptor is moved, and do its dimensions follow the bands linearly?

mod claims;
mod correlation;
mod perturbed;

use self::correlation::{Correlation, PERMUTATIONS};
use self::perturbed::{Clean, EPSILON};
use super::figure::{BarSeries, Figure, Picture};
use super::findings::{Findings, Row, Table, Unit};
use super::paper;
use super::subject::Subject;
use super::test::Test;
use crate::arms::Injection;
use crate::data::segments::Segment;
use crate::descriptors::a4::{BANDS, band_hz};
use crate::descriptors::{A4, Descriptor, Domain};
use crate::error::Result;
use crate::eval::bootstrap::{self, Interval};
use crate::loss::Side;
use crate::model::film;

/// Test 08.
pub struct Bands;

/// Mean ‖Δz‖₂ of A4's bands (table 9, columns as [`paper::ARMS`]).
const PUBLISHED: [[f64; 4]; BANDS] = [
    [f64::NAN, 0.073, 0.238, 0.303],
    [f64::NAN, 0.224, 0.335, 0.313],
    [f64::NAN, 0.375, 0.381, 0.514],
    [f64::NAN, 0.546, 0.423, 0.526],
    [f64::NAN, 0.664, 0.478, 0.773],
    [f64::NAN, 0.662, 0.476, 0.599],
    [f64::NAN, 0.264, 0.875, 1.092],
    [f64::NAN, 0.209, 0.933, 0.529],
];

/// What was found of one descriptor.
struct Measured {
    injection: Injection,
    /// What its columns are called in tables.
    names: Vec<String>,
    /// How far each segment moves, for each column.
    moved: Vec<Vec<f64>>,
    /// ‖z‖₂ of each segment.
    lengths: Vec<f64>,
    /// Mean distance of two segments.
    apart: f64,
    /// What was correlated with the embedding's dimensions, and how strongly.
    correlations: Vec<(String, Correlation)>,
}

impl Measured {
    fn is_a4(&self) -> bool {
        is_a4(&self.injection)
    }
}

fn is_a4(injection: &Injection) -> bool {
    *injection.descriptor == *(&A4 as &dyn Descriptor)
}

/// Descriptors of audio whose columns can be moved from outside, with the encoder they enter.
fn asked_about(subject: &Subject) -> impl Iterator<Item = (Side, Injection)> {
    let sides = subject.injections().map(|(side, injection)| ([Side::Audio, Side::Midi][side], injection));
    sides.filter(|(_, Injection { descriptor, .. })| {
        descriptor.domain() == Domain::Audio && descriptor.dims() == descriptor.raw_dims()
    })
}

impl Test for Bands {
    fn number(&self) -> &'static str {
        "08"
    }

    fn name(&self) -> &'static str {
        "bands"
    }

    fn asks(&self) -> &'static str {
        "how far does an embedding move when one band of the audio descriptor does?"
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let arm = subject.arm();
        if subject.study.arm.control.is_some() {
            return Some(format!("{arm} never sees its descriptors: they are replaced in training as well"));
        }
        if asked_about(subject).next().is_some() {
            return None;
        }
        let trained = subject.injections().any(|(_, injection)| injection.descriptor.domain() == Domain::Audio);
        Some(match trained {
            true => format!("the bands of {arm} are made inside the model, where they cannot be moved from outside"),
            false => format!("{arm} injects no descriptor of audio"),
        })
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let chosen = subject.pairs()?;
        let seed = subject.protocol().seed;
        let all: Vec<Measured> = asked_about(subject)
            .map(|(side, injection)| measure(subject, side, injection, &chosen))
            .collect::<Result<_>>()?;
        let found = subject.canonical()?;
        let (s, chance) = (found.model.canonical.s, found.chance.s);
        let claims = all.iter().find(|m| m.is_a4()).map(|a4| claims::claims(subject.arm(), s, chance, a4, seed));
        Ok(Findings {
            summary: summary(&all, seed),
            tables: tables(subject, &all, seed),
            figures: vec![figure(subject.arm(), &all, seed)],
            claims: claims.unwrap_or_default(),
            notes: notes(subject, &all, chosen.len()),
        })
    }
}

fn measure(subject: &Subject, side: Side, injection: Injection, chosen: &[usize]) -> Result<Measured> {
    let (descriptor, padding, seed) =
        (injection.descriptor, subject.study.config.stft.padding, subject.protocol().seed);
    let clean = Clean::of(subject, side, chosen.to_vec())?;
    let moved = (0..descriptor.dims()).map(|column| clean.moved(subject, column)).collect::<Result<_>>()?;
    let segments: Vec<Segment> = chosen.iter().map(|&i| Ok(subject.embedded()?.segments[i])).collect::<Result<_>>()?;
    let embedding: Vec<f64> = clean.rows.iter().map(|&x| x.into()).collect();
    let correlate = |features: &[f64]| correlation::correlate(features, &embedding, segments.len(), seed);
    let (name, dataset) = (subject.descriptor_name(side), subject.dataset());
    let of = if descriptor.is_standardised() { "magnitude" } else { "value" };
    let averages = correlation::averages(descriptor, dataset, &segments, padding);
    let mut correlations = vec![(format!("{name}, mean {of} over time"), correlate(&averages))];
    if is_a4(&injection) {
        let energies = correlation::energies(dataset, &segments, padding);
        correlations.push((format!("log-energy of the bands of {name}"), correlate(&energies)));
    }
    let single = asked_about(subject).count() == 1;
    let prefix = if single && is_a4(&injection) { String::new() } else { format!("{name}, ") };
    let names = names(&injection).into_iter().map(|column| prefix.clone() + &column).collect();
    let apart = mean(&clean.apart());
    Ok(Measured { injection, names, moved, lengths: clean.lengths(), apart, correlations })
}

/// What the columns of a descriptor are called in tables.
fn names(injection: &Injection) -> Vec<String> {
    if !is_a4(injection) {
        return injection.descriptor.columns();
    }
    let hertz = |band: usize| (band_hz(band), band);
    (0..BANDS).map(hertz).map(|((low, high), band)| format!("band {band} ({low:.0}–{high:.0} Hz)")).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean with its interval over segments.
fn averaged(values: &[f64], seed: u64) -> Interval {
    let mean = |chosen: &[usize]| [chosen.iter().map(|&i| values[i]).sum::<f64>() / chosen.len() as f64];
    bootstrap::intervals(values.len(), seed, mean)[0]
}

/// The paper's figure of a column.
fn published(arm: &str, measured: &Measured, column: usize) -> Option<f64> {
    if measured.is_a4() { paper::of(arm, PUBLISHED[column]) } else { None }
}

fn summary(all: &[Measured], seed: u64) -> String {
    let each = all.iter().filter_map(|measured| {
        let most = (0..measured.names.len()).max_by(|&a, &b| mean(&measured.moved[a]).total_cmp(&mean(&measured.moved[b])))?;
        let Interval { value, low, high } = averaged(&measured.moved[most], seed);
        Some(format!(
            "Most sensitive to {}: ‖Δz‖ = {value:.3} [{low:.3}, {high:.3}] at ε = {EPSILON}, where two segments are {:.1} apart.",
            measured.names[most], measured.apart
        ))
    });
    each.collect::<Vec<_>>().join(" ")
}

fn tables(subject: &Subject, all: &[Measured], seed: u64) -> Vec<Table> {
    let columns = || all.iter().flat_map(|measured| (0..measured.names.len()).map(move |column| (measured, column)));
    let distance = |(measured, column): (&Measured, usize)| {
        let (found, paper) = (averaged(&measured.moved[column], seed), published(subject.arm(), measured, column));
        let verdict = paper::judge(subject, paper, (found.low, found.high));
        Row { verdict, ..Row::measured(&measured.names[column], found).paper(paper).null(measured.apart) }
    };
    let relative = |(measured, column): (&Measured, usize)| {
        let shares: Vec<f64> = measured.moved[column].iter().zip(&measured.lengths).map(|(d, z)| d / z).collect();
        Row::measured(&measured.names[column], averaged(&shares, seed))
    };
    let strength = |(name, found): &(String, Correlation)| {
        [
            Row::new(format!("{name}, mean |r|"), found.found.mean).null(found.null.mean),
            Row::new(format!("{name}, greatest |r|"), found.found.max).null(found.null.max),
        ]
    };
    let table = |id: &str, title: &str, source: &str, unit, null: &str, rows| Table {
        id: id.into(),
        title: title.into(),
        source: source.into(),
        unit,
        null: null.into(),
        rows,
    };
    let mut tables = vec![
        table(
            "bands",
            "Movement of the embedding, mean ‖Δz‖₂",
            "table 9",
            Unit::Number(3),
            "another segment",
            columns().map(distance).collect(),
        ),
        table(
            "bands-relative",
            "The same as a share of the embedding's length",
            "",
            Unit::Number(4),
            "",
            columns().map(relative).collect(),
        ),
    ];
    if let Some(a4) = all.iter().find(|measured| measured.is_a4()) {
        tables.push(claims::contrasts(subject.arm(), a4, seed));
    }
    tables.push(table(
        "bands-correlation",
        "Correlation with the embedding's dimensions",
        "section 5.5",
        Unit::Number(3),
        "permuted segments",
        all.iter().flat_map(|measured| &measured.correlations).flat_map(strength).collect(),
    ));
    tables
}

fn figure(arm: &str, all: &[Measured], seed: u64) -> Figure {
    let columns = || all.iter().flat_map(|measured| (0..measured.names.len()).map(move |column| (measured, column)));
    let found: Vec<Interval> = columns().map(|(measured, column)| averaged(&measured.moved[column], seed)).collect();
    let series = BarSeries {
        label: arm.into(),
        values: found.iter().map(|found| Some(found.value)).collect(),
        intervals: found.iter().map(|found| Some((found.low, found.high))).collect(),
        marks: columns().map(|(measured, column)| published(arm, measured, column)).collect(),
    };
    Figure {
        id: "bands".into(),
        title: "Sensitivity to single bands".into(),
        source: "figure 6".into(),
        caption: format!(
            "Mean movement of the embedding when one column of the descriptor is moved by ε = {EPSILON}, with 95 % intervals over \
             segments; marks are the paper's, where it has any."
        ),
        picture: Picture::Bars {
            axis: "mean ‖Δz‖₂".into(),
            unit: Unit::Number(3),
            groups: columns().map(|(measured, column)| measured.names[column].clone()).collect(),
            series: vec![series],
            lines: Vec::new(),
        },
    }
}

fn notes(subject: &Subject, all: &[Measured], segments: usize) -> Vec<String> {
    let mut notes = vec![format!(
        "{segments} segments, the queries of test 12 (`pairs=`). ε = {EPSILON} is added to a column at every frame, and in a second pass \
         subtracted; figures are means over both. z is what the head puts out, of any length: the paper names no normalisation, and \
         retrieval compares directions, so the movement also stands as a share of ‖z‖."
    )];
    if all.iter().any(|measured| measured.injection.descriptor.is_standardised()) {
        notes.push(
            "Standardised columns have mean 0 over time in every segment. An offset is therefore something that no recording shows: the \
             test tells what the model would do with it, not what the band contributes. For the same reason the mean of a column cannot \
             correlate with anything; the mean of its magnitude can, which is how peaked the band's changes are."
                .into(),
        );
    }
    if all.iter().any(|measured| !measured.injection.descriptor.is_standardised()) {
        notes.push(
            "Columns that are not standardised vary by different amounts: the same ε is more to some than to others."
                .into(),
        );
    }
    let correlations = || all.iter().flat_map(|measured| &measured.correlations).map(|(_, found)| found);
    if let Some(most) = correlations().max_by(|a, b| a.null.max.total_cmp(&b.null.max)) {
        notes.push(format!(
            "Null of |r|: the values of other segments, {PERMUTATIONS} permutations. The greatest |r| among all pairs of a column and a \
             dimension is then {:.2} on average, and {:.2} or more in 2.5 % of them: that much is chance with so many segments.",
            most.null.max, most.bound.max
        ));
    }
    notes.extend(all.iter().filter_map(|measured| {
        let caveat = film::caveat(&measured.injection, subject.study.config.film.pool)?;
        Some(format!("{caveat}. An offset changes what is pooled, and so moves the embedding by what the model never learned anything of."))
    }));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms;

    #[test]
    fn bands_are_named_by_number_and_range() {
        let injection = |arm: &str| arms::find(arm).unwrap().arm().audio.unwrap();
        let own = names(&injection("a4r"));
        assert_eq!((own.len(), &own[0][..], &own[7][..]), (8, "band 0 (47–94 Hz)", "band 7 (6000–12000 Hz)"));
        assert_eq!(names(&injection("a8"))[0], "C");
    }
}
