//! Legends: swatches with what they stand for, in rows.

use plotters::style::{Color, RGBColor};

use super::axes::TICK_TEXT;
use super::canvas::{Align, Canvas, INK};
use super::marks::{diamond, whisker};
use crate::error::Result;

/// Between two rows.
pub const ROW: f64 = 22.0;
/// From one entry to the next.
const APART: f64 = 22.0;

/// What stands for something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Swatch {
    Bar(RGBColor),
    Line(RGBColor),
    Dashed(RGBColor),
    Dot(RGBColor),
    Frame(RGBColor),
    Interval,
    Published,
}

/// A swatch and its meaning; one with no meaning is left out.
pub type Entry = (Swatch, String);

/// Draws entries from `left` on, their middle at `y`, in rows up to `right`; returns the height of the rows.
pub fn draw(canvas: &mut Canvas, (left, y): (f64, f64), right: f64, entries: &[Entry]) -> Result<f64> {
    let places = places(canvas, left, right, entries)?;
    for ((swatch, label), &(x, row)) in entries.iter().filter(shown).zip(&places) {
        let y = y + row as f64 * ROW;
        swatch.draw(canvas, x, y)?;
        canvas.text((x + swatch.width() + 6.0, y), Align::Left, TICK_TEXT, INK, label)?;
    }
    Ok(places.last().map_or(0.0, |&(_, row)| (row + 1) as f64 * ROW))
}

/// The height of the rows that [`draw`] would take.
pub fn height(canvas: &mut Canvas, left: f64, right: f64, entries: &[Entry]) -> Result<f64> {
    Ok(places(canvas, left, right, entries)?.last().map_or(0.0, |&(_, row)| (row + 1) as f64 * ROW))
}

fn shown((_, label): &&Entry) -> bool {
    !label.is_empty()
}

/// Left edge and row of each entry that is shown.
fn places(canvas: &mut Canvas, left: f64, right: f64, entries: &[Entry]) -> Result<Vec<(f64, usize)>> {
    let (mut x, mut row) = (left, 0);
    let mut places = Vec::with_capacity(entries.len());
    for (swatch, label) in entries.iter().filter(shown) {
        let width = swatch.width() + 6.0 + 1.05 * canvas.text_width(TICK_TEXT, label)?;
        if x > left && x + width > right {
            (x, row) = (left, row + 1);
        }
        places.push((x, row));
        x += width + APART;
    }
    Ok(places)
}

impl Swatch {
    fn width(self) -> f64 {
        match self {
            Swatch::Bar(_) | Swatch::Frame(_) => 18.0,
            Swatch::Line(_) | Swatch::Dashed(_) | Swatch::Interval => 22.0,
            Swatch::Dot(_) | Swatch::Published => 12.0,
        }
    }

    fn draw(self, canvas: &mut Canvas, x: f64, y: f64) -> Result<()> {
        let end = x + self.width();
        match self {
            Swatch::Bar(color) => canvas.rectangle((x, y - 6.0), (end, y + 6.0), color.to_rgba()),
            Swatch::Line(color) => canvas.line(&[(x, y), (end, y)], 2.5, color),
            Swatch::Dashed(color) => canvas.dashed((x, y), (end, y), 1.6, color),
            Swatch::Dot(color) => canvas.dot((x + 6.0, y), 4.5, color),
            Swatch::Frame(color) => {
                let corners = [(x, y - 6.0), (end, y - 6.0), (end, y + 6.0), (x, y + 6.0), (x, y - 6.0)];
                canvas.line(&corners, 2.0, color)
            }
            Swatch::Interval => whisker(canvas, (x, y), (end, y)),
            Swatch::Published => diamond(canvas, (x + 6.0, y)),
        }
    }
}
