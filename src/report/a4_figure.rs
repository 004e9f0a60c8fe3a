//! A4 drawn over the spectrogram it is computed from.

use std::path::Path;

use plotters::style::{Color, RGBColor};

use super::axes::{Axes, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, GRID, INK, MUTED, SERIES};
use super::draw::ramp;
use crate::data::audio::SAMPLE_RATE;
use crate::descriptors::a4::{BAND_NAMES, BANDS, band_hz};
use crate::descriptors::stft::{HOP_LENGTH, N_FFT, Padding, Stft};
use crate::error::Result;

const WIDTH: usize = 1120;
const HEIGHT: usize = 700;
/// Levels this far below the loudest are white.
const FLOOR_DB: f32 = -60.0;
/// Rows of the picture's frequency axis before it is stretched to its height.
const ROWS: usize = 1200;
/// A z-score that reaches from the middle of a band's stripe to its edge; what is beyond is cut.
const HALF_STRIPE: f32 = 6.0;
const CURVE: RGBColor = SERIES[1];

/// What the figure shows.
pub struct A4Figure<'a> {
    /// Title, and a line of explanation under it.
    pub title: &'a str,
    pub note: &'a str,
    /// The audio of the shown span, 24 kHz.
    pub audio: &'a [f32],
    /// Where the span begins in the recording, in seconds.
    pub start: f64,
    /// A4 [frames, 8] of the span's windows, one after another.
    pub windows: &'a [Vec<f32>],
    /// Seconds from one window to the next.
    pub window_seconds: f64,
    /// Of the spectrogram.
    pub padding: Padding,
}

impl A4Figure<'_> {
    /// Draws the figure as PNG. Frequency is logarithmic, so that the octave bands are stripes of one height, and each
    /// band's curve runs in its own stripe.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut canvas = Canvas::for_file(path, WIDTH, HEIGHT)?;
        let (width, height) = canvas.size();
        let seconds = (self.audio.len() as f64 / f64::from(SAMPLE_RATE)).max(1e-3);
        let axes = Axes {
            left: 72.0,
            top: 118.0,
            right: width - 172.0,
            bottom: height - 54.0,
            x: (self.start, self.start + seconds),
            y: (band_hz(0).0.log2(), band_hz(BANDS - 1).1.log2()),
        };
        self.spectrogram(&mut canvas, &axes);
        stripes(&mut canvas, &axes)?;
        self.curves(&mut canvas, &axes)?;
        title(&mut canvas, axes.left, self.title, self.note)?;
        legend(&mut canvas, axes.left)?;
        axes.x_ticks(&mut canvas, &round_ticks(axes.x, 10), false)?;
        axes.labels(&mut canvas, "time (s)", "frequency (Hz)")?;
        canvas.save(path)
    }

    fn spectrogram(&self, canvas: &mut Canvas, axes: &Axes) {
        let picture = Picture::of(self.audio, self.padding, axes.y);
        canvas.paint((axes.left, axes.top), (axes.right, axes.bottom), |u, v| ramp(picture.share(u, v)));
    }

    fn curves(&self, canvas: &mut Canvas, axes: &Axes) -> Result<()> {
        let frame_seconds = HOP_LENGTH as f64 / f64::from(SAMPLE_RATE);
        for (i, window) in self.windows.iter().enumerate() {
            let start = self.start + i as f64 * self.window_seconds;
            if i > 0 {
                let x = axes.at(start, axes.y.0).0;
                canvas.line(&[(x, axes.top), (x, axes.bottom)], 1.5, INK)?;
            }
            for band in 0..BANDS {
                let (middle, half) = stripe(band);
                let y = |z: f32| middle + half * f64::from((z / HALF_STRIPE).clamp(-1.0, 1.0));
                let point = |(t, row): (usize, &[f32; BANDS])| {
                    // The change from frame t to the next lies between the two.
                    let time = (start + (t as f64 + 0.5) * frame_seconds).min(axes.x.1);
                    axes.at(time, y(row[band]))
                };
                let path: Vec<_> = window.as_chunks::<BANDS>().0.iter().enumerate().map(point).collect();
                canvas.line(&path, 3.6, RGBColor(255, 255, 255).mix(0.55))?;
                canvas.line(&path, 1.5, CURVE)?;
            }
        }
        Ok(())
    }
}

/// Middle and half height of a band's stripe, in octaves (log2 Hz).
fn stripe(band: usize) -> (f64, f64) {
    let (low, high) = band_hz(band);
    ((low.log2() + high.log2()) / 2.0, (high.log2() - low.log2()) / 2.0)
}

fn stripes(canvas: &mut Canvas, axes: &Axes) -> Result<()> {
    for (band, content) in BAND_NAMES.iter().enumerate() {
        let (middle, half) = stripe(band);
        let (left, edge) = axes.at(axes.x.0, middle + half);
        let (right, center) = axes.at(axes.x.1, middle);
        canvas.line(&[(left, edge), (right, edge)], 1.0, MUTED.mix(0.6))?;
        canvas.text((right + 10.0, center - 8.0), Align::Left, TICK_TEXT, INK, &format!("band {band}"))?;
        canvas.text((right + 10.0, center + 8.0), Align::Left, TICK_TEXT, MUTED, content)?;
    }
    let edges = (0..BANDS).map(|band| band_hz(band).0).chain([band_hz(BANDS - 1).1]);
    let ticks: Vec<_> = edges.map(|hz| (hz.log2(), hz_label(hz))).collect();
    axes.y_ticks(canvas, &ticks, false)
}

/// "47", "1.5 k".
fn hz_label(hz: f64) -> String {
    if hz < 1000.0 { format!("{hz:.0}") } else { format!("{} k", hz / 1000.0) }
}

fn legend(canvas: &mut Canvas, left: f64) -> Result<()> {
    const Y: f64 = 76.0;
    canvas.line(&[(left, Y), (left + 22.0, Y)], 2.0, CURVE)?;
    let text = format!("A4, z-score within the window; half a stripe is {HALF_STRIPE}");
    canvas.text((left + 28.0, Y), Align::Left, TICK_TEXT, INK, &text)?;
    let mut x = left + 28.0 + canvas.text_width(TICK_TEXT, &text)? + 30.0;
    let floor = format!("{FLOOR_DB} dB").replace('-', "−");
    canvas.text((x, Y), Align::Left, TICK_TEXT, INK, &floor)?;
    x += canvas.text_width(TICK_TEXT, &floor)? + 8.0;
    canvas.paint((x, Y - 5.0), (x + 90.0, Y + 5.0), |u, _| ramp(u));
    canvas.line(&[(x, Y - 5.0), (x + 90.0, Y - 5.0), (x + 90.0, Y + 5.0), (x, Y + 5.0), (x, Y - 5.0)], 1.0, GRID)?;
    canvas.text((x + 98.0, Y), Align::Left, TICK_TEXT, INK, "0 dB, the loudest")
}

/// Levels over logarithmic frequency and time.
pub(super) struct Picture {
    frames: usize,
    /// dB below the loudest, row-major [ROWS, frames]; row 0 is the highest frequency.
    db: Vec<f32>,
}

impl Picture {
    /// Of audio at 24 kHz between two frequencies, log2 of Hz.
    pub(super) fn of(audio: &[f32], padding: Padding, (low, high): (f64, f64)) -> Self {
        let stft = Stft::paper(padding);
        let magnitudes = stft.magnitudes(audio);
        let frames = stft.frames(audio.len());
        let hz_per_bin = f64::from(SAMPLE_RATE) / N_FFT as f64;
        // Lower edge of a row, in bins.
        let edge = |row: f64| (high + (low - high) * row / ROWS as f64).exp2() / hz_per_bin;
        let mut db = Vec::with_capacity(ROWS * frames);
        for row in 0..ROWS {
            let (from, to) = (edge(row as f64 + 1.0), edge(row as f64));
            let level = |spectrum: &[f32]| 20.0 * level(spectrum, from, to).max(1e-12).log10();
            db.extend(magnitudes.chunks_exact(stft.bins()).map(level));
        }
        // Silence has no loudest level, and stays white against this one.
        let loudest = db.iter().copied().fold(FLOOR_DB, f32::max);
        db.iter_mut().for_each(|x| *x -= loudest);
        Picture { frames, db }
    }

    /// Share 0 to 1 of the colours at the point (u, v) of the picture, interpolated in time.
    pub(super) fn share(&self, u: f64, v: f64) -> f64 {
        let row = ((v * ROWS as f64) as usize).min(ROWS - 1) * self.frames;
        let t = u * (self.frames - 1) as f64;
        let (i, fraction) = (t as usize, t.fract() as f32);
        let at = |i: usize| self.db[row + i.min(self.frames - 1)];
        f64::from(1.0 - (at(i) + fraction * (at(i + 1) - at(i))) / FLOOR_DB)
    }
}

/// Magnitude between two (fractional) bins: the largest of the whole bins inside, else interpolated at the middle.
fn level(spectrum: &[f32], from: f64, to: f64) -> f32 {
    let (first, end) = (from.ceil() as usize, (to.ceil() as usize).min(spectrum.len()));
    match spectrum.get(first..end) {
        Some(inside) if !inside.is_empty() && to - from >= 1.0 => inside.iter().copied().fold(0.0, f32::max),
        _ => {
            let middle = (from + to) / 2.0;
            let at = |i: usize| spectrum.get(i).or(spectrum.last()).copied().unwrap_or(0.0);
            let i = middle as usize;
            at(i) + middle.fract() as f32 * (at(i + 1) - at(i))
        }
    }
}
