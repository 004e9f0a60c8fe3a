//! Test 10: the embedding space laid out in the plane, and how near matched pairs are in it (section 5.8, section E, figures 9 to 11).

use super::cache;
use super::clips::clips;
use super::figure::{Figure, MapPair, Picture, Shares};
use super::findings::{Claim, Findings, Row, Table, Unit};
use super::space::{Cosines, OTHERS, Space};
use super::subject::Subject;
use super::test::Test;
use super::{judge, paper};
use crate::data::segments::{Segment, spread};
use crate::error::Result;
use crate::eval::maps::trust::{by_chance, trustworthiness};
use crate::eval::maps::tsne::{Tsne, tsne};
use crate::eval::maps::umap::{Umap, umap};
use crate::eval::maps::{Place, Points};

/// Test 10.
pub struct Maps;

/// Mean cosine of matched pairs (section 5.8).
const COSINE: [f64; 4] = [0.58, 0.72, f64::NAN, f64::NAN];
/// Neighbours a map is judged by.
const NEIGHBOURS: usize = 12;
/// Pairs without which there is no neighbourhood to keep.
const LEAST: usize = 25;
/// Bins of the distributions, over cosines from −1 to 1.
const BINS: usize = 50;
/// Coordinates of maps are kept to a thousandth.
const GRID: f64 = 1000.0;

/// A plane with all points: recordings, then MIDIs.
struct Plane {
    method: &'static str,
    id: &'static str,
    source: &'static str,
    places: Vec<Place>,
    trust: f64,
}

impl Plane {
    /// Mean distance of the two of a pair over the mean distance of a recording to the MIDI half the list away.
    fn closeness(&self) -> f64 {
        let (audio, midi) = self.places.split_at(self.places.len() / 2);
        let n = audio.len();
        let mean = |to: &dyn Fn(usize) -> usize| {
            (0..n).map(|i| (audio[i][0] - midi[to(i)][0]).hypot(audio[i][1] - midi[to(i)][1])).sum::<f64>()
        };
        mean(&|i| i) / mean(&|i| (i + n / 2) % n)
    }

    fn figure(&self, pairs: usize) -> Figure {
        let (audio, midi) = self.places.split_at(self.places.len() / 2);
        let rounded = |place: &Place| {
            let [x, y] = place.map(|x| ((GRID * x).round() / GRID) as f32);
            (x, y)
        };
        let pair = |(clip, (audio, midi)): (u32, (&Place, &Place))| MapPair {
            audio: rounded(audio),
            midi: rounded(midi),
            clip,
        };
        Figure {
            id: self.id.into(),
            title: format!("{} of the embedding space", self.method),
            source: self.source.into(),
            caption: format!(
                "{pairs} recordings and their MIDIs, a line between the two of each pair; the axes have no unit. Trustworthiness {:.3}; matched pairs lie {:.2} times as far apart as others.",
                self.trust,
                self.closeness()
            ),
            picture: Picture::Map {
                method: self.method.into(),
                pairs: (0..).zip(audio.iter().zip(midi)).map(pair).collect(),
            },
        }
    }
}

impl Test for Maps {
    fn number(&self) -> &'static str {
        "10"
    }

    fn name(&self) -> &'static str {
        "maps"
    }

    fn asks(&self) -> &'static str {
        "how do recordings and MIDIs lie in the shared space?"
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let (segments, pairs) = (subject.dataset().segments(subject.split, None).len(), subject.sizes.map_pairs);
        let reason = || {
            format!("it takes {LEAST} pairs; the {} split has {segments} segments, map_pairs={pairs}", subject.split)
        };
        (segments.min(pairs) < LEAST).then(reason)
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let embedded = subject.embedded()?;
        let (all, wanted, seed) = (embedded.segments.len(), subject.sizes.map_pairs, subject.protocol().seed);
        let chosen: Vec<usize> = spread(all, wanted).collect();
        let space = Space::of(embedded, &chosen);
        let matched = space.matched();
        let mismatched = space.mismatched(seed);
        let (points, dim) = space.points();
        let points = Points::new(&points, dim, 2 * LEAST)?;
        let plane = |method, id, source, places: Vec<Place>| {
            let trust = trustworthiness(points, &places, NEIGHBOURS);
            Plane { method, id, source, places, trust }
        };
        let planes = [
            plane("t-SNE", "tsne", "figure 9", tsne(points, &Tsne::default()).0),
            plane("UMAP", "umap", "figure 10", umap(points, &Umap { seed, ..Umap::default() })),
        ];
        let segments: Vec<Segment> = chosen.iter().map(|&i| embedded.segments[i]).collect();
        let clips = clips(subject.dataset(), &segments, &matched)?;
        cache::write_json(&cache::folder(&subject.run).join("clips.json"), &clips)?;

        let cosines = Cosines::of(&matched, &mismatched, seed);
        let [tsne, umap] = &planes;
        let summary = format!(
            "Matched pairs have a mean cosine of {:.3} [{:.3}, {:.3}], others {:.3}; trustworthiness of t-SNE {:.3}, of UMAP {:.3}.",
            cosines.mean.value, cosines.mean.low, cosines.mean.high, cosines.others, tsne.trust, umap.trust
        );
        let mut figures: Vec<Figure> = planes.iter().map(|plane| plane.figure(chosen.len())).collect();
        figures.push(distributions(&matched, &mismatched));
        let tables = vec![cosine_table(subject, &space, &cosines, seed), plane_table(&planes, points.len())];
        let claims = vec![Claim {
            claim: "Matched pairs lie closer in the shared space than others".into(),
            source: "section 5.8".into(),
            judgement: judge::above("cosines of matched less mismatched pairs", cosines.apart, 0.0, Unit::Number(3)),
        }];
        let sounding = clips.clips.iter().filter(|clip| !clip.sound.is_empty()).count();
        let notes = vec![
            format!("{} of the {all} segments, evenly spread; {sounding} of them with sound.", chosen.len()),
            "Maps are of embeddings at length 1, from principal components, with the usual settings (t-SNE: perplexity 30, 1,000 steps; UMAP: 15 neighbours, minimal distance 0.1). Sizes of clusters and distances between them mean little in either.".into(),
            "A high mean cosine is no retrieval: it rises as well where all pairs, matched or not, move together. Read it beside the others'.".into(),
        ];
        Ok(Findings { summary, tables, figures, claims, notes })
    }
}

fn cosine_table(subject: &Subject, space: &Space, cosines: &Cosines, seed: u64) -> Table {
    let published = paper::of(subject.arm(), COSINE);
    let verdict = paper::judge(subject, published, (cosines.mean.low, cosines.mean.high));
    let mean = Row::measured("mean cosine of matched pairs", cosines.mean).paper(published).null(cosines.others);
    Table {
        id: "cosines".into(),
        title: "Cosines in the shared space".into(),
        source: "section 5.8".into(),
        unit: Unit::Number(3),
        null: "mismatched pairs".into(),
        rows: vec![
            Row { verdict, ..mean },
            Row::measured("standard deviation of matched pairs", cosines.deviation),
            Row::measured("matched less mismatched", cosines.apart).null(0.0),
            Row::new("gap between mean recording and mean MIDI", space.gap()).null(space.gap_by_lot(seed)),
        ],
    }
}

fn plane_table(planes: &[Plane; 2], points: usize) -> Table {
    let trust = |plane: &Plane| {
        Row::new(format!("{}: trustworthiness", plane.method), plane.trust).null(by_chance(points, NEIGHBOURS))
    };
    let near = |plane: &Plane| {
        Row::new(format!("{}: distance in pairs, over that of others", plane.method), plane.closeness()).null(1.0)
    };
    Table {
        id: "maps".into(),
        title: format!("Maps: neighbours kept ({NEIGHBOURS} each), and how near pairs lie"),
        source: String::new(),
        unit: Unit::Number(3),
        null: "by lot".into(),
        rows: planes.iter().flat_map(|plane| [trust(plane), near(plane)]).collect(),
    }
}

fn distributions(matched: &[f64], mismatched: &[f64]) -> Figure {
    let edges: Vec<f64> = (0..=BINS).map(|i| 2.0 * i as f64 / BINS as f64 - 1.0).collect();
    let shares = |label: &str, values: &[f64]| {
        let (mut bins, one) = (vec![0.0; BINS], 1.0 / values.len() as f64);
        values.iter().for_each(|x| bins[(((x + 1.0) / 2.0 * BINS as f64).max(0.0) as usize).min(BINS - 1)] += one);
        Shares { label: label.into(), values: bins, mean: values.iter().sum::<f64>() * one }
    };
    Figure {
        id: "cosines".into(),
        title: "Cosines of matched and of mismatched pairs".into(),
        source: "figure 11".into(),
        caption: format!(
            "Shares of pairs by the cosine of their embeddings; each recording is compared with its own MIDI and with {OTHERS} others'."
        ),
        picture: Picture::Histogram {
            axis: "cosine".into(),
            edges,
            series: vec![shares("matched", matched), shares("mismatched", mismatched)],
        },
    }
}
