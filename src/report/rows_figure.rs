//! Any descriptor as a map: its columns as named stripes over time, under the spectrogram where it is one of audio.

use std::path::Path;

use super::a4_figure::Picture;
use super::axes::{Axes, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, GRID, INK};
use super::draw::ramp;
use crate::descriptors::stft::Padding;
use crate::error::Result;

const WIDTH: usize = 1120;
/// Height of a column's stripe.
const STRIPE: f64 = 26.0;
/// Height of the spectrogram and what lies between it and the stripes.
const SPECTROGRAM: f64 = 300.0;
const GAP: f64 = 34.0;
/// Frequencies of the spectrogram, log2 of Hz: the piano's lowest A to half the sample rate.
const OCTAVES: (f64, f64) = (4.78, 13.55);

/// What the figure shows.
pub struct RowsFigure<'a> {
    /// Title, and a line of explanation under it.
    pub title: &'a str,
    pub note: &'a str,
    /// What each column of the values holds.
    pub columns: &'a [String],
    /// Row-major [rows, columns], the rows spread evenly over the span.
    pub values: &'a [f32],
    /// First and last place on the horizontal axis.
    pub span: (f64, f64),
    /// Places of black lines.
    pub borders: &'a [f64],
    /// What the horizontal axis counts.
    pub along: &'a str,
    /// The audio of the span at 24 kHz, and what its STFT sees beyond its ends.
    pub audio: Option<(&'a [f32], Padding)>,
}

impl RowsFigure<'_> {
    /// Draws the figure as PNG; the first column is the lowest stripe, 0 (or the least value, where it is negative) is white.
    pub fn save(&self, path: &Path) -> Result<()> {
        let above = if self.audio.is_some() { SPECTROGRAM + GAP } else { 0.0 };
        let stripes = STRIPE * self.columns.len() as f64;
        let mut canvas = Canvas::for_file(path, WIDTH, (118.0 + above + stripes + 54.0) as usize)?;
        // An empty span would have no scale.
        let x = (self.span.0, self.span.1.max(self.span.0 + 1e-3));
        let top = 118.0 + above;
        let axes = Axes {
            left: 190.0,
            top,
            right: canvas.size().0 - 28.0,
            bottom: top + stripes,
            x,
            y: (-0.5, self.columns.len() as f64 - 0.5),
        };
        if let Some((audio, padding)) = self.audio {
            let spectrum = Axes { top: 118.0, bottom: 118.0 + SPECTROGRAM, y: OCTAVES, ..axes };
            let picture = Picture::of(audio, padding, OCTAVES);
            paint(&mut canvas, &spectrum, |u, v| picture.share(u, v));
            let hz = [50, 100, 200, 500, 1000, 2000, 5000, 10_000];
            let ticks = hz.map(|hz| (f64::from(hz).log2(), format!("{hz} Hz")));
            spectrum.y_ticks(&mut canvas, &ticks, false)?;
            spectrum.frame(&mut canvas, GRID)?;
            self.divide(&mut canvas, &spectrum)?;
        }
        let (low, high) = self.range();
        let share = |row: usize, column: usize| (self.values[row * self.columns.len() + column] - low) / (high - low);
        let rows = self.values.len() / self.columns.len().max(1);
        if rows > 0 {
            let columns = self.columns.len();
            let cell = |u: f64, count: usize| ((u * count as f64) as usize).min(count - 1);
            paint(&mut canvas, &axes, |u, v| f64::from(share(cell(u, rows), columns - 1 - cell(v, columns))));
        }
        let names: Vec<_> = self.columns.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
        axes.y_ticks(&mut canvas, &names, false)?;
        axes.frame(&mut canvas, GRID)?;
        self.divide(&mut canvas, &axes)?;
        title(&mut canvas, axes.left, self.title, self.note)?;
        legend(&mut canvas, axes.left, low, high)?;
        axes.x_ticks(&mut canvas, &round_ticks(axes.x, 10), false)?;
        axes.labels(&mut canvas, self.along, "")?;
        canvas.save(path)
    }

    /// The values that are white and darkest; apart even where all are alike.
    fn range(&self) -> (f32, f32) {
        let low = self.values.iter().copied().fold(0.0, f32::min);
        let high = self.values.iter().copied().fold(low, f32::max);
        (low, if high > low { high } else { low + 1.0 })
    }

    fn divide(&self, canvas: &mut Canvas, axes: &Axes) -> Result<()> {
        self.borders.iter().try_for_each(|&at| {
            let (x, _) = axes.at(at, axes.y.0);
            canvas.line(&[(x, axes.top), (x, axes.bottom)], 1.5, INK)
        })
    }
}

fn paint(canvas: &mut Canvas, axes: &Axes, share: impl Fn(f64, f64) -> f64) {
    canvas.paint((axes.left, axes.top), (axes.right, axes.bottom), |u, v| ramp(share(u, v)));
}

fn legend(canvas: &mut Canvas, left: f64, low: f32, high: f32) -> Result<()> {
    const Y: f64 = 76.0;
    let text = format!("{low:.2}").replace('-', "−");
    canvas.text((left, Y), Align::Left, TICK_TEXT, INK, &text)?;
    let x = left + canvas.text_width(TICK_TEXT, &text)? + 8.0;
    canvas.paint((x, Y - 5.0), (x + 90.0, Y + 5.0), |u, _| ramp(u));
    canvas.line(&[(x, Y - 5.0), (x + 90.0, Y - 5.0), (x + 90.0, Y + 5.0), (x, Y + 5.0), (x, Y - 5.0)], 1.0, GRID)?;
    canvas.text((x + 98.0, Y), Align::Left, TICK_TEXT, INK, &format!("{high:.2}"))
}
