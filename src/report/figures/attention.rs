//! What descriptor tokens look at: a spectrogram in grey over the attention of each token to each frame, on one time axis.

use plotters::style::RGBColor;

use super::area::{Area, bounds};
use crate::error::Result;
use crate::report::axes::{Axes, LABEL_TEXT, TICK_TEXT, round_ticks};
use crate::report::canvas::{Align, Canvas, GRID, INK, MUTED, SERIES};
use crate::report::draw::{color_bar, ramp};
use crate::report::legend::{self, Swatch};
use crate::validate::figure::Attention;

/// Share of the values that the darkest colour stands for: single peaks must not pale the rest.
const BRIGHT: f64 = 0.995;
/// Share of the height that the spectrogram takes.
const ABOVE: f64 = 0.34;
/// Range of the spectrogram below its highest value, in nepers: about 80 dB.
const DEPTH: f64 = 9.2;

pub(super) fn draw(canvas: &mut Canvas, area: Area, attention: &Attention) -> Result<()> {
    let (left, right) = (area.left + 58.0, area.right - 88.0);
    let height = area.bottom - area.top - 116.0;
    let time = (0.0, attention.seconds.max(1e-3));
    let top = area.top + 24.0;
    let spectrum =
        Axes { left, top, right, bottom: top + ABOVE * height, x: time, y: (0.0, attention.hertz.max(1.0) / 1000.0) };
    let weights = Axes { top: spectrum.bottom + 46.0, bottom: area.bottom - 46.0, y: time, ..spectrum };
    spectrogram(canvas, &spectrum, attention);
    spectrum.y_ticks(canvas, &round_ticks(spectrum.y, 4), false)?;
    canvas.text((left, top - 14.0), Align::Left, LABEL_TEXT, INK, "frequency (kHz)")?;
    spectrum.frame(canvas, GRID)?;

    let tokens = attention.tokens.max(1);
    let brightest = quantile(&attention.weights, BRIGHT);
    canvas.cells((left, weights.top), (right, weights.bottom), (attention.frames, tokens), |row, column| {
        // Token 0 below: both times grow from the lower left corner.
        let weight = attention.weights.get((tokens - 1 - row) * attention.frames + column);
        weight.map_or(GRID, |weight| ramp(f64::from(*weight) / brightest))
    });
    canvas.dashed(weights.at(0.0, 0.0), weights.at(time.1, time.1), 1.2, SERIES[1])?;
    weights.y_ticks(canvas, &round_ticks(time, 5), false)?;
    weights.x_ticks(canvas, &round_ticks(time, 8), false)?;
    weights.labels(canvas, "time of the audio frame (s)", "time of the descriptor token (s)")?;
    weights.frame(canvas, GRID)?;
    let note = [(Swatch::Dashed(SERIES[1]), "same time".to_owned())];
    let at = (right - 110.0, weights.top - 14.0);
    legend::draw(canvas, at, right, &note)?;
    color_bar(canvas, (right + 20.0, weights.top), weights.bottom, (0.0, 100.0 * brightest), "")?;
    canvas.text((right + 14.0, weights.top - 14.0), Align::Left, TICK_TEXT, MUTED, "weight (%)")
}

/// Loud is dark.
fn spectrogram(canvas: &mut Canvas, axes: &Axes, attention: &Attention) {
    let bins = attention.bins.max(1);
    let frames = attention.spectrogram.len() / bins;
    let (lowest, highest) = bounds(attention.spectrogram.iter().map(|&x| x.into()));
    let low = lowest.max(highest - DEPTH);
    canvas.cells((axes.left, axes.top), (axes.right, axes.bottom), (frames, bins), |row, column| {
        let value = attention.spectrogram[(bins - 1 - row) * frames + column];
        let share = ((f64::from(value) - low) / (highest - low)).clamp(0.0, 1.0);
        let grey = if share.is_nan() { 255 } else { (255.0 - 225.0 * share) as u8 };
        RGBColor(grey, grey, grey)
    });
}

fn quantile(values: &[f32], share: f64) -> f64 {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    f64::from(sorted.get(place).copied().unwrap_or(1.0)).max(1e-9)
}
