//! A matrix as colour, its numbers in the cells where there is room, blocks framed.

use plotters::style::RGBColor;

use super::area::{Area, all_wrapped, bare, factor, lines_under};
use crate::error::Result;
use crate::report::axes::{Axes, LABEL_TEXT, TICK_TEXT};
use crate::report::canvas::{Align, Canvas, GRID, INK, SERIES};
use crate::report::draw::{color_bar, ramp};
use crate::report::legend::{self, Swatch};
use crate::report::marks::LINE_HEIGHT;
use crate::validate::figure::Block;
use crate::validate::findings::Unit;

/// Tallest and lowest row of cells.
const CELL: (f64, f64) = (6.0, 40.0);
/// Most height that cells take together.
const CELLS: f64 = 560.0;
/// Room right of the cells, for the scale.
const SCALE: f64 = 96.0;
/// Frames of blocks: after the ramp's blue, what stands off it.
const FRAMES: [RGBColor; 3] = [SERIES[1], SERIES[2], SERIES[3]];

/// A picture of a matrix.
pub(super) struct Matrix<'a> {
    pub x_axis: &'a str,
    pub y_axis: &'a str,
    pub rows: &'a [String],
    pub columns: &'a [String],
    pub shown: Shown<'a>,
    pub blocks: &'a [Block],
}

/// What the cells show.
pub(super) struct Shown<'a> {
    /// Row-major.
    pub values: &'a [f64],
    pub range: (f64, f64),
    pub unit: Unit,
    pub axis: &'a str,
}

/// Height that a matrix of this width needs.
pub(super) fn height(width: f64, rows: usize, columns: &[String]) -> Result<f64> {
    let count = rows.max(1) as f64;
    let cells = (count * CELL.1).min(CELLS).max(count * CELL.0).max(150.0);
    let mut canvas = Canvas::new(1, 1)?;
    let slot = 0.7 * width / columns.len().max(1) as f64;
    let labels = if all_wrapped(&mut canvas, columns, slot - 6.0)?.is_some() {
        3.0 * LINE_HEIGHT
    } else {
        longest(&mut canvas, columns)?
    };
    Ok((cells + labels + 140.0).min(2_000.0))
}

fn longest(canvas: &mut Canvas, labels: &[String]) -> Result<f64> {
    let mut width: f64 = 0.0;
    for label in labels {
        width = width.max(1.08 * canvas.text_width(TICK_TEXT, label)?);
    }
    Ok(width.min(220.0))
}

impl Matrix<'_> {
    pub(super) fn draw(&self, canvas: &mut Canvas, area: Area) -> Result<()> {
        let size = (self.columns.len().max(1), self.rows.len().max(1));
        let entries = self.legend();
        let top = area.top + 34.0 + legend::draw(canvas, (area.left, area.top + 10.0), area.right, &entries)?;
        let left = area.left + longest(canvas, self.rows)? + 16.0;
        let right = area.right - SCALE;
        let slot = (right - left) / size.0 as f64;
        let wrapped = all_wrapped(canvas, self.columns, slot - 6.0)?;
        let below = match &wrapped {
            Some(lines) => lines.iter().map(Vec::len).max().unwrap_or(1) as f64 * LINE_HEIGHT + 10.0,
            None => longest(canvas, self.columns)? + 14.0,
        };
        let bottom = area.bottom - below - if self.x_axis.is_empty() { 0.0 } else { 24.0 };
        let axes = Axes { left, top, right, bottom, x: (0.0, size.0 as f64), y: (size.1 as f64, 0.0) };
        let (low, high) = self.shown.range;
        canvas.cells((left, top), (right, bottom), size, |row, column| {
            self.value(row, column).map_or(GRID, |value| ramp((value - low) / (high - low)))
        });
        self.numbers(canvas, &axes)?;
        let step = ((LINE_HEIGHT - 2.0) * size.1 as f64 / (bottom - top)).ceil().max(1.0) as usize;
        for (i, row) in self.rows.iter().enumerate().step_by(step) {
            let (x, y) = axes.at(0.0, i as f64 + 0.5);
            let fits = (left - area.left - 14.0) / (1.08 * canvas.text_width(TICK_TEXT, row)?).max(1.0);
            canvas.text((x - 8.0, y), Align::Right, TICK_TEXT * fits.min(1.0), INK, row)?;
        }
        self.column_labels(canvas, &axes, wrapped)?;
        canvas.text((left, top - 14.0), Align::Left, LABEL_TEXT, INK, self.y_axis)?;
        canvas.text((right, area.bottom - 6.0), Align::Right, LABEL_TEXT, INK, self.x_axis)?;
        self.frames(canvas, &axes)?;
        let factor = factor(self.shown.unit);
        let axis = canvas.text_width(LABEL_TEXT, self.shown.axis)?;
        let start = (right + 20.0).min(area.right - axis);
        color_bar(canvas, (right + 20.0, top), bottom, (factor * low, factor * high), "")?;
        canvas.text((start, top - 14.0), Align::Left, LABEL_TEXT, INK, self.shown.axis)
    }

    fn value(&self, row: usize, column: usize) -> Option<f64> {
        self.shown.values.get(row * self.columns.len().max(1) + column).copied().filter(|value| value.is_finite())
    }

    /// The numbers in their cells, white on dark ones.
    fn numbers(&self, canvas: &mut Canvas, axes: &Axes) -> Result<()> {
        const SIZE: f64 = 12.0;
        let (low, high) = self.shown.range;
        let cell = (
            (axes.right - axes.left) / self.columns.len().max(1) as f64,
            (axes.bottom - axes.top) / self.rows.len().max(1) as f64,
        );
        if cell.1 < SIZE + 3.0 || 1.1 * canvas.text_width(SIZE, &bare(self.shown.unit, low.min(-high.abs())))? > cell.0
        {
            return Ok(());
        }
        for row in 0..self.rows.len() {
            for (column, value) in (0..self.columns.len()).filter_map(|c| self.value(row, c).map(|value| (c, value))) {
                let color = if (value - low) / (high - low) > 0.55 { RGBColor(255, 255, 255) } else { INK };
                let at = axes.at(column as f64 + 0.5, row as f64 + 0.5);
                canvas.text(at, Align::Center, SIZE, color, &bare(self.shown.unit, value))?;
            }
        }
        Ok(())
    }

    /// Under the columns: level where they fit in lines, else from below upwards.
    fn column_labels(&self, canvas: &mut Canvas, axes: &Axes, wrapped: Option<Vec<Vec<String>>>) -> Result<()> {
        let slot = (axes.right - axes.left) / self.columns.len().max(1) as f64;
        if let Some(labels) = wrapped {
            return labels.iter().enumerate().try_for_each(|(i, lines)| {
                lines_under(canvas, (axes.at(i as f64 + 0.5, 0.0).0, axes.bottom + 14.0), lines)
            });
        }
        let step = ((LINE_HEIGHT - 2.0) / slot).ceil().max(1.0) as usize;
        self.columns.iter().enumerate().step_by(step).try_for_each(|(i, label)| {
            let x = axes.at(i as f64 + 0.5, 0.0).0;
            canvas.text_upwards((x, axes.bottom + 8.0), Align::Right, TICK_TEXT, INK, label)
        })
    }

    fn frames(&self, canvas: &mut Canvas, axes: &Axes) -> Result<()> {
        for block in self.blocks {
            let ((x0, y0), (x1, y1)) =
                (axes.at(block.from.1 as f64, block.from.0 as f64), axes.at(block.to.1 as f64, block.to.0 as f64));
            let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)];
            canvas.line(&corners, 5.0, RGBColor(255, 255, 255))?;
            canvas.line(&corners, 2.5, self.frame(&block.label))?;
        }
        Ok(())
    }

    /// One colour for all frames of a name.
    fn frame(&self, label: &str) -> RGBColor {
        let place = self.names().iter().position(|name| *name == label).unwrap_or(0);
        FRAMES[place % FRAMES.len()]
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for block in self.blocks {
            if !names.contains(&block.label.as_str()) {
                names.push(&block.label);
            }
        }
        names
    }

    fn legend(&self) -> Vec<legend::Entry> {
        self.names().into_iter().map(|name| (Swatch::Frame(self.frame(name)), name.to_owned())).collect()
    }
}
