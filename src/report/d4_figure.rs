//! D4 drawn over the piano roll it is computed from.

use std::path::Path;

use plotters::style::{Color, RGBColor};

use super::axes::{Axes, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, GRID, INK, MUTED, SERIES};
use super::draw::ramp;
use crate::data::note::Note;
use crate::error::Result;

const WIDTH: usize = 1120;
const HEIGHT: usize = 700;
/// Fewest semitones the roll shows, so that a narrow melody is not blown up.
const FEWEST_SEMITONES: f64 = 30.0;
/// Intervals upwards and downwards.
const UP: RGBColor = SERIES[1];
const DOWN: RGBColor = SERIES[2];

/// What the figure shows.
pub struct D4Figure<'a> {
    /// Title, and a line of explanation under it.
    pub title: &'a str,
    pub note: &'a str,
    /// Notes by onset, then pitch; those beyond the span are left out.
    pub notes: &'a [Note],
    /// D4 [N, 4] of the notes.
    pub d4: &'a [f32],
    /// The shown span, in seconds.
    pub span: (f64, f64),
}

impl D4Figure<'_> {
    /// Draws the figure as PNG: above, the notes joined in order, coloured by the direction of the interval; below, each
    /// note's interval to the next.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut canvas = Canvas::for_file(path, WIDTH, HEIGHT)?;
        let (width, height) = canvas.size();
        let shown: Vec<(&Note, &[f32; 4])> =
            self.notes.iter().zip(self.d4.as_chunks::<4>().0).filter(|(note, _)| note.onset < self.span.1).collect();
        let roll = Axes {
            left: 72.0,
            top: 118.0,
            right: width - 28.0,
            bottom: height - 250.0,
            x: self.span,
            y: pitch_range(shown.iter().map(|(note, _)| note.pitch)),
        };
        let largest = shown.iter().map(|(_, d)| f64::from(d[1].abs())).fold(1.0, f64::max);
        let intervals =
            Axes { top: roll.bottom + 62.0, bottom: height - 54.0, y: (-1.1 * largest, 1.1 * largest), ..roll };
        title(&mut canvas, roll.left, self.title, self.note)?;
        legend(&mut canvas, roll.left)?;
        draw_roll(&mut canvas, &roll, &shown)?;
        draw_intervals(&mut canvas, &intervals, &shown)?;
        canvas.save(path)
    }
}

/// The pitches of the roll with some air, at least [`FEWEST_SEMITONES`].
fn pitch_range(pitches: impl Iterator<Item = u8>) -> (f64, f64) {
    let (low, high) = pitches.map(f64::from).fold((128.0_f64, -1.0_f64), |(low, high), p| (low.min(p), high.max(p)));
    let (low, high) = if low > high { (60.0, 60.0) } else { (low, high) };
    let missing = (FEWEST_SEMITONES - (high - low)).max(4.0) / 2.0;
    (low - missing, high + missing)
}

fn draw_roll(canvas: &mut Canvas, axes: &Axes, notes: &[(&Note, &[f32; 4])]) -> Result<()> {
    // Black keys as faint stripes, C as a named line.
    for pitch in 0..128 {
        let (low, high) = (f64::from(pitch) - 0.5, f64::from(pitch) + 0.5);
        if [1, 3, 6, 8, 10].contains(&(pitch % 12)) && low > axes.y.0 && high < axes.y.1 {
            let color = RGBColor(246, 247, 250).to_rgba();
            canvas.rectangle(axes.at(axes.x.0, low), axes.at(axes.x.1, high), color)?;
        }
    }
    let octaves = (0..11).map(|octave| (f64::from(octave * 12), format!("C{}", octave - 1).replace('-', "−")));
    let inside: Vec<_> = octaves.filter(|(pitch, _)| (axes.y.0..=axes.y.1).contains(pitch)).collect();
    axes.y_ticks(canvas, &inside, true)?;
    let dot = |note: &Note| axes.at(note.onset.max(axes.x.0), f64::from(note.pitch));
    for (note, _) in notes {
        let end = (note.onset + note.duration).min(axes.x.1);
        let (low, high) = (f64::from(note.pitch) - 0.42, f64::from(note.pitch) + 0.42);
        let color = velocity_color(f64::from(note.velocity));
        let (left, bottom) = axes.at(note.onset.max(axes.x.0), low);
        let (right, top) = axes.at(end, high);
        canvas.rectangle((left, bottom), (right.max(left + 1.5), top), color.to_rgba())?;
    }
    for pair in notes.windows(2) {
        canvas.line(&[dot(pair[0].0), dot(pair[1].0)], 1.4, direction(pair[0].1[1]).mix(0.85))?;
    }
    notes.iter().try_for_each(|(note, _)| canvas.dot(dot(note), 2.2, INK))?;
    axes.frame(canvas, GRID)?;
    axes.x_ticks(canvas, &round_ticks(axes.x, 10), false)?;
    axes.labels(canvas, "", "pitch")
}

fn draw_intervals(canvas: &mut Canvas, axes: &Axes, notes: &[(&Note, &[f32; 4])]) -> Result<()> {
    axes.y_ticks(canvas, &round_ticks(axes.y, 4), true)?;
    for edge in [-1.0, 1.0] {
        canvas.dashed(axes.at(axes.x.0, edge), axes.at(axes.x.1, edge), 1.2, MUTED)?;
    }
    for (note, d4) in notes {
        let interval = f64::from(d4[1]);
        let color = direction(d4[1]);
        let tip = axes.at(note.onset, interval);
        canvas.line(&[axes.at(note.onset, 0.0), tip], 1.4, color)?;
        canvas.dot(tip, 2.6, color)?;
    }
    axes.x_ticks(canvas, &round_ticks(axes.x, 10), false)?;
    axes.labels(
        canvas,
        "time (s)",
        "interval to the next note / 24 semitones (column 2; column 1 is that of the note before; 3 and 4 are 1 and 2 clamped at the dashed lines)",
    )
}

fn direction(interval: f32) -> RGBColor {
    match interval {
        i if i > 0.0 => UP,
        i if i < 0.0 => DOWN,
        _ => MUTED,
    }
}

fn velocity_color(velocity: f64) -> RGBColor {
    // From 0.2: the softest note still stands out from the paper.
    ramp(0.2 + 0.7 * velocity / 127.0)
}

fn legend(canvas: &mut Canvas, left: f64) -> Result<()> {
    const Y: f64 = 76.0;
    let mut x = left;
    for (color, text) in [(UP, "upwards to the next note"), (DOWN, "downwards")] {
        canvas.line(&[(x, Y), (x + 22.0, Y)], 2.0, color)?;
        canvas.text((x + 28.0, Y), Align::Left, TICK_TEXT, INK, text)?;
        x += 28.0 + canvas.text_width(TICK_TEXT, text)? + 26.0;
    }
    canvas.text((x, Y), Align::Left, TICK_TEXT, INK, "velocity 0")?;
    x += canvas.text_width(TICK_TEXT, "velocity 0")? + 8.0;
    canvas.paint((x, Y - 5.0), (x + 90.0, Y + 5.0), |u, _| velocity_color(u * 127.0));
    canvas.text((x + 98.0, Y), Align::Left, TICK_TEXT, INK, "127")
}
