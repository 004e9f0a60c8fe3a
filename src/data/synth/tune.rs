//! Tunes: a motif (a rhythm and a contour) led through the harmony.

use super::score::Span;
use super::style::Style;
use super::theory::Palette;
use crate::data::rng::Rng;

/// A rhythm and the steps between its notes, in tones of the scale.
#[derive(Debug, Clone)]
pub struct Motif {
    rhythm: &'static [f64],
    contour: Vec<i32>,
}

/// A note of a tune.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    pub beat: f64,
    pub length: f64,
    pub pitch: i32,
}

impl Motif {
    /// A motif in `style`'s manner: mostly steps, now and then a leap, turned back by a step.
    pub fn invent(style: &Style, rng: &mut Rng) -> Self {
        let rhythm = rng.pick(style.rhythms).copied().unwrap_or(&[]);
        let mut contour = Vec::with_capacity(rhythm.len());
        let mut owed = 0;
        for _ in rhythm {
            let up = if rng.chance(0.5) { 1 } else { -1 };
            contour.push(if owed != 0 {
                std::mem::take(&mut owed)
            } else if rng.chance(0.3) {
                owed = -up;
                up * (2 + rng.below(style.leap.max(1) as usize) as i32)
            } else if rng.chance(0.12) {
                0
            } else {
                up
            });
        }
        Motif { rhythm, contour }
    }

    /// The same idea once more: upside down, or with one step changed.
    pub fn vary(&self, rng: &mut Rng) -> Self {
        let mut varied = self.clone();
        if rng.chance(0.35) {
            varied.contour.iter_mut().for_each(|step| *step = -*step);
        } else if !varied.contour.is_empty() {
            let i = rng.below(varied.contour.len());
            varied.contour[i] += if rng.chance(0.5) { 1 } else { -1 };
        }
        varied
    }

    /// One bar of tune from `spans`, going on from `last`, around `centre`: chord tones on the beats, scale tones between.
    pub fn sing(&self, spans: &[Span], last: i32, centre: i32) -> Vec<Tone> {
        let Some(first) = spans.first() else { return Vec::new() };
        let mut beat = first.beat;
        let mut pitch = last;
        let mut tones = Vec::with_capacity(self.rhythm.len());
        for (&length, &step) in self.rhythm.iter().zip(&self.contour) {
            if length > 0.0 {
                let span = span_at(spans, beat).unwrap_or(first);
                // Too far from home, the contour is turned around.
                let away = pitch - centre;
                let step = if away.abs() > 9 && away.signum() == step.signum() { -step } else { step };
                pitch = span.palette.step(pitch, step).clamp(centre - 14, centre + 14);
                let on_beat = (beat - beat.round()).abs() < 1e-6;
                let target = if on_beat { Palette::of_chord(&span.chord) } else { span.palette };
                pitch = target.nearest(pitch);
                tones.push(Tone { beat, length, pitch });
            }
            beat += length.abs();
        }
        tones
    }
}

/// The chord that sounds at `beat`.
pub fn span_at(spans: &[Span], beat: f64) -> Option<&Span> {
    spans.iter().rev().find(|s| s.beat <= beat + 1e-6)
}
