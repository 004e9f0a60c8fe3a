//! Attention maps (ours, number 13): which frames of the recording each descriptor token takes from, in arms whose audio encoder has
//! reverse cross-attention (section 3.5, equation 9).

use super::figure::{Attention, Figure, Picture};
use super::findings::{Findings, Row, Table, Unit};
use super::subject::Subject;
use super::test::Test;
use crate::arms::Mechanism;
use crate::data::audio::SAMPLE_RATE;
use crate::data::segments::{Segment, WINDOW_SECONDS};
use crate::descriptors::Domain;
use crate::descriptors::stft::{HOP_LENGTH, N_FFT, Stft};
use crate::error::Result;
use crate::eval::bootstrap;
use crate::model::ModelSpec;
use crate::ops::attention::weights::head_weights;

/// Test 13.
pub struct AttentionMaps;

/// Segments that are measured, evenly spread over the split.
const MEASURED: usize = 200;
/// Segments that are drawn, each of another piece.
const DRAWN: usize = 4;
/// Tokens and frames of a drawing.
const TOKENS: usize = 94;
const FRAMES: usize = 100;
/// Bins of a drawing's spectrogram, and their upper end: beyond, a piano has little.
const BINS: usize = 64;
const HERTZ: f64 = 6000.0;

impl Test for AttentionMaps {
    fn number(&self) -> &'static str {
        "13"
    }

    fn name(&self) -> &'static str {
        "attention"
    }

    fn asks(&self) -> &'static str {
        "which part of the recording does each descriptor token look at?"
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let mut injections = subject.injections();
        let reverse = injections.any(|(side, injection)| {
            (side, injection.mechanism, injection.descriptor.domain()) == (0, Mechanism::Reverse, Domain::Audio)
        });
        (!reverse).then(|| "no descriptor of audio attends to the frames of the recording in this arm".into())
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let dataset = subject.dataset();
        let all = dataset.segments(subject.split, None);
        let count = all.len().min(MEASURED);
        let segments: Vec<Segment> = (0..count).map(|i| all[(2 * i + 1) * all.len() / (2 * count)]).collect();
        let piece = |segment: &Segment| dataset.performances[segment.performance as usize].piece;
        let drawn: Vec<Segment> = one_of_each(&segments, piece).collect();
        let heads = ModelSpec::from_config(&subject.study.config).inject_heads;
        let d = subject.study.config.model.audio.d;
        let stft = Stft::paper(subject.study.config.stft.padding);
        let look = |segment: &Segment, q: &[f32], k: &[f32]| {
            let seen = Seen::of(q, k, d, heads);
            let map = drawn.contains(segment).then(|| seen.map(&dataset.audio(segment), stft));
            (seen.measures(), seen.even().measures(), map)
        };
        let seen = subject.study.audio_attention(&segments, look)?;
        let nulls = seen.first().map_or([f64::NAN; MEASURES.len()], |(_, null, _)| *null);
        let measures: Vec<[f64; MEASURES.len()]> = seen.iter().map(|(measures, ..)| *measures).collect();
        let mean =
            |chosen: &[usize], i: usize| chosen.iter().map(|&c| measures[c][i]).sum::<f64>() / chosen.len() as f64;
        let found: [_; MEASURES.len()] = bootstrap::intervals(measures.len(), subject.protocol().seed, |chosen| {
            std::array::from_fn(|i| mean(chosen, i))
        });
        let rows = MEASURES.iter().zip(found).zip(nulls);
        let rows: Vec<Row> = rows.map(|((name, found), null)| Row::measured(*name, found).null(null)).collect();
        let summary = format!(
            "A token takes from frames {:.2} s away on average, where even attention would take from {:.2} s away; its attention is as \
             spread out as {:.0} % of even attention (in entropy), that of single heads {:.0} %.",
            found[1].value,
            nulls[1],
            100.0 * found[3].value,
            100.0 * found[4].value
        );
        let table = Table {
            id: "attention".into(),
            title: "How the tokens attend to the recording".into(),
            source: String::new(),
            unit: Unit::Number(3),
            null: "even attention".into(),
            rows,
        };
        let figures = segments.iter().zip(seen).filter_map(|(segment, (.., map))| Some((segment, map?)));
        let figures = (1..).zip(figures).map(|(i, (segment, map))| figure(subject, segment, i, map)).collect();
        let notes = vec![format!(
            "{count} segments, evenly spread over the split; intervals over segments. Token i stands at i·{HOP_LENGTH} samples, as its \
             frame of the descriptor does. Means are over heads. A frame also holds what the convolutions see around it, and both tokens \
             and frames have learned positions: attention along the diagonal may follow these and not the sound."
        )];
        Ok(Findings { summary, tables: vec![table], figures, claims: Vec::new(), notes })
    }
}

/// What is measured of each segment.
const MEASURES: [&str; 5] = [
    "seconds from a token to the mean time it attends to",
    "mean seconds from a token to what it attends to",
    "correlation of both times",
    "entropy beside that of even attention",
    "entropy of single heads beside that of even attention",
];

/// Attention of one segment.
struct Seen {
    /// Mean over heads, row-major [tokens, frames]; each row sums to 1.
    weights: Vec<f64>,
    tokens: usize,
    frames: usize,
    /// Mean entropy of single heads, in nats.
    head_entropy: f64,
}

impl Seen {
    /// From queries [tokens, d] and keys [frames, d].
    fn of(q: &[f32], k: &[f32], d: usize, heads: usize) -> Self {
        let (tokens, frames) = (q.len() / d, k.len() / d);
        let (mut weights, mut head_entropy) = (vec![0.0; tokens * frames], 0.0);
        for head in 0..heads {
            let own = head_weights(q, k, d, heads, head);
            head_entropy += entropy(own.iter().map(|&w| w.into())) / (tokens * heads) as f64;
            weights.iter_mut().zip(&own).for_each(|(sum, &w)| *sum += f64::from(w) / heads as f64);
        }
        Seen { weights, tokens, frames, head_entropy }
    }

    /// Attention of the same size to every frame alike.
    fn even(&self) -> Self {
        let weights = vec![1.0 / self.frames as f64; self.weights.len()];
        Seen { weights, head_entropy: (self.frames as f64).ln(), ..*self }
    }

    /// [`MEASURES`].
    fn measures(&self) -> [f64; MEASURES.len()] {
        let frame = |j: usize| (j as f64 + 0.5) * WINDOW_SECONDS / self.frames as f64;
        let token = |i: usize| (i * HOP_LENGTH) as f64 / f64::from(SAMPLE_RATE);
        let rows = || self.weights.chunks_exact(self.frames).enumerate();
        let expected = |row: &[f64], of: &dyn Fn(f64) -> f64| -> f64 {
            row.iter().enumerate().map(|(j, w)| w * of(frame(j))).sum()
        };
        let times: Vec<(f64, f64)> = rows().map(|(i, row)| (token(i), expected(row, &|t| t))).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / self.tokens as f64;
        let even = (self.frames as f64).ln();
        [
            mean(&mut times.iter().map(|(own, attended)| (own - attended).abs())),
            mean(&mut rows().map(|(i, row)| expected(row, &|t| (t - token(i)).abs()))),
            correlation(&times),
            entropy(self.weights.iter().copied()) / self.tokens as f64 / even,
            self.head_entropy / even,
        ]
    }

    /// The drawing, beside the spectrogram of `audio`.
    fn map(&self, audio: &[f32], stft: &Stft) -> Attention {
        let rows = self.weights.chunks_exact(self.frames).map(|row| pooled(row, FRAMES.min(self.frames)));
        let rows: Vec<Vec<f64>> = rows.collect();
        let tokens = TOKENS.min(self.tokens);
        // Tokens are averaged: what is left of a row sums to 1 again.
        let share = tokens as f64 / self.tokens as f64;
        let weights = columns(&rows).iter().map(|column| pooled(column, tokens)).collect::<Vec<_>>();
        let weights = columns(&weights).concat().into_iter().map(|w| rounded(share * w, 1e5)).collect();
        let upper = (HERTZ * N_FFT as f64 / f64::from(SAMPLE_RATE)) as usize;
        let power = stft.magnitudes(audio).into_iter().map(|m| f64::from(m).powi(2)).collect::<Vec<_>>();
        let by_time: Vec<Vec<f64>> =
            power.chunks_exact(stft.bins()).map(|frame| pooled(&frame[..upper], BINS)).collect();
        let spectrogram = columns(&by_time).iter().flat_map(|bin| pooled(bin, FRAMES)).collect::<Vec<_>>();
        // Logarithm of the root of the power: as far below the loudest as can be seen.
        let loudest = spectrogram.iter().copied().fold(0.0, f64::max);
        let spectrogram = spectrogram.iter().map(|x| rounded(0.5 * (x / loudest).max(1e-10).ln(), 1e2)).collect();
        let (seconds, frames) = (WINDOW_SECONDS, FRAMES.min(self.frames));
        Attention { seconds, spectrogram, bins: BINS, hertz: HERTZ, weights, tokens, frames }
    }
}

/// Sum of −w·ln w.
fn entropy(weights: impl Iterator<Item = f64>) -> f64 {
    -weights.filter(|w| *w > 0.0).map(|w| w * w.ln()).sum::<f64>()
}

/// Pearson's; 0 where either side does not vary.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0 / n, b + pair.1 / n));
    let [ab, aa, bb] = pairs
        .iter()
        .fold([0.0; 3], |[ab, aa, bb], (x, y)| [ab + (x - a) * (y - b), aa + (x - a).powi(2), bb + (y - b).powi(2)]);
    // Even attention varies by rounding alone.
    if aa.min(bb) < 1e-12 * n { 0.0 } else { ab / (aa * bb).sqrt() }
}

/// `values` in `count` equal parts, summed; a value on the border of two counts for both in its shares.
fn pooled(values: &[f64], count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    let step = count as f64 / values.len() as f64;
    for (i, value) in values.iter().enumerate() {
        let (from, to) = (i as f64 * step, (i + 1) as f64 * step);
        for (part, sum) in sums.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
            let inside = (to.min(part as f64 + 1.0) - from.max(part as f64)).max(0.0);
            *sum += value * inside / step;
        }
    }
    sums
}

/// Rows as columns; all of one length.
fn columns(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let length = rows.first().map_or(0, Vec::len);
    (0..length).map(|j| rows.iter().map(|row| row[j]).collect()).collect()
}

/// To multiples of 1 / `steps`: few digits in the file.
fn rounded(value: f64, steps: f64) -> f32 {
    ((value * steps).round() / steps) as f32
}

/// The middle segment of each of [`DRAWN`] pieces, evenly spread over those there are.
fn one_of_each(segments: &[Segment], piece: impl Fn(&Segment) -> u32) -> impl Iterator<Item = Segment> {
    let mut pieces: Vec<(u32, Vec<Segment>)> = Vec::new();
    for segment in segments {
        match pieces.iter_mut().find(|(of, _)| *of == piece(segment)) {
            Some((_, own)) => own.push(*segment),
            None => pieces.push((piece(segment), vec![*segment])),
        }
    }
    let count = pieces.len().min(DRAWN);
    (0..count).map(move |i| {
        let (_, own) = &pieces[(2 * i + 1) * pieces.len() / (2 * count)];
        own[own.len() / 2]
    })
}

fn figure(subject: &Subject, segment: &Segment, number: usize, map: Attention) -> Figure {
    let performance = &subject.dataset().performances[segment.performance as usize];
    let (minutes, seconds) = (segment.start as u64 / 60, segment.start % 60.0);
    Figure {
        id: format!("attention-{number}"),
        title: format!("{}: {}, from {minutes}:{seconds:02.0}", performance.composer, performance.title),
        source: String::new(),
        caption: "Above the recording, below the share of its attention that each descriptor token gives to each frame, mean over heads.                   Along the dashed line a token looks at its own time."
            .into(),
        picture: Picture::Attention(Box::new(map)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_tell_a_diagonal_from_even_attention() {
        let (tokens, frames) = (188, 2400);
        let (mut weights, per_token) = (vec![0.0; tokens * frames], 0.2);
        for i in 0..tokens {
            // Five frames about the token's own time.
            let at = ((i * HOP_LENGTH) as f64 * frames as f64 / 96_000.0) as usize;
            let first = at.saturating_sub(2).min(frames - 5);
            weights[i * frames + first..][..5].fill(per_token);
        }
        let diagonal = Seen { weights, tokens, frames, head_entropy: 5f64.ln() };
        let [own, distance, correlation, spread, heads] = diagonal.measures();
        assert!(own < 0.003 && distance < 0.005 && correlation > 0.999, "{own} {distance} {correlation}");
        assert!((spread - 5f64.ln() / 2400f64.ln()).abs() < 1e-9 && (heads - spread).abs() < 1e-9);
        let [own, distance, correlation, spread, heads] = diagonal.even().measures();
        assert!((own - 1.0).abs() < 0.01 && (distance - 4.0 / 3.0).abs() < 0.01, "{own} {distance}");
        assert!(correlation == 0.0 && (spread - 1.0).abs() < 1e-9 && (heads - 1.0).abs() < 1e-9);
    }

    #[test]
    fn heads_are_averaged_as_weights() {
        // Two heads of width 1: the first looks at the first key alone, the second at both alike.
        let seen = Seen::of(&[40.0, 0.0], &[1.0, 5.0, -1.0, 7.0], 2, 2);
        assert!((seen.weights[0] - 0.75).abs() < 1e-6 && (seen.weights[1] - 0.25).abs() < 1e-6);
        assert!((seen.head_entropy - 0.5 * 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn pooling_keeps_the_sum_and_pieces_are_spread() {
        assert_eq!(pooled(&[1.0, 2.0, 3.0, 4.0], 2), [3.0, 7.0]);
        let pooled = pooled(&[1.0, 1.0, 1.0], 2);
        assert!(pooled.iter().all(|x| (x - 1.5).abs() < 1e-12), "{pooled:?}");
        assert_eq!(columns(&[vec![1.0, 2.0], vec![3.0, 4.0]]), [[1.0, 3.0], [2.0, 4.0]]);
        let segment = |i: u32| Segment { performance: i, start: f64::from(i) };
        let segments: Vec<Segment> = (0..20).map(segment).collect();
        let drawn: Vec<u32> = one_of_each(&segments, |s| s.performance / 2).map(|s| s.performance).collect();
        assert_eq!(drawn, [3, 7, 13, 17]);
        assert_eq!(one_of_each(&[], |_| 0).count(), 0);
    }
}
