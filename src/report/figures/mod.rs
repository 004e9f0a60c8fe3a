//! Figures of the validation battery, drawn from their data as PNG or SVG for print: colours that differ in lightness, units on the
//! axes, intervals as whiskers, published values as diamonds, levels to compare with as dashed lines.

mod area;
mod attention;
mod bars;
mod csv;
mod histogram;
mod lines;
mod map;
mod matrix;

use std::path::Path;

use area::Area;
pub use csv::csv;

use super::axes::TITLE_TEXT;
use super::canvas::{Align, Canvas, INK};
use crate::error::Result;
use crate::validate::figure::{Figure, Picture};

/// Width of a figure, in logical pixels.
const WIDTH: f64 = 860.0;
/// Size of a picture of a [`sheet`].
const SMALL: (f64, f64) = (460.0, 330.0);
/// Around a picture.
const MARGIN: f64 = 20.0;
/// Height of a title with the space under it.
const TITLE: f64 = 34.0;

/// Draws a figure with its title, as SVG where `path` ends in `.svg` and as PNG otherwise.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be written.
pub fn draw(figure: &Figure, path: &Path) -> Result<()> {
    let (width, height) = size(&figure.picture)?;
    let mut canvas = Canvas::for_print(path, width as usize, (height + TITLE) as usize)?;
    let area = Area { left: MARGIN, top: MARGIN, right: width - MARGIN, bottom: height + TITLE - MARGIN };
    titled(&mut canvas, area, figure)?;
    canvas.save(path)
}

/// The figure without its title, as SVG text for a page that has it; small ones are as those of a [`sheet`].
pub fn svg(figure: &Figure, small: bool) -> Result<String> {
    let (width, height) = if small { SMALL } else { size(&figure.picture)? };
    let mut canvas = Canvas::scalable(width as usize, height as usize)?;
    let margin = if small { 8.0 } else { MARGIN };
    let area = Area { left: margin, top: margin, right: width - margin, bottom: height - margin };
    picture(&mut canvas, area, &figure.picture)?;
    Ok(canvas.document().unwrap_or_default())
}

/// Draws several figures on one sheet, so many in a row.
pub fn sheet(figures: &[Figure], columns: usize, path: &Path) -> Result<()> {
    let columns = columns.clamp(1, figures.len().max(1));
    let rows = figures.len().div_ceil(columns).max(1);
    let (width, height) = (SMALL.0 + MARGIN, SMALL.1 + TITLE + MARGIN);
    let size = (columns as f64 * width + MARGIN, rows as f64 * height + MARGIN);
    let mut canvas = Canvas::for_print(path, size.0 as usize, size.1 as usize)?;
    for (i, figure) in figures.iter().enumerate() {
        let (left, top) = ((i % columns) as f64 * width + MARGIN, (i / columns) as f64 * height + MARGIN);
        let area = Area { left, top, right: left + SMALL.0, bottom: top + SMALL.1 + TITLE };
        titled(&mut canvas, area, figure)?;
    }
    canvas.save(path)
}

fn titled(canvas: &mut Canvas, area: Area, figure: &Figure) -> Result<()> {
    // A title too long for its figure is set smaller.
    let width = canvas.text_width(TITLE_TEXT, &figure.title)?.max(1.0);
    let height = TITLE_TEXT * ((area.right - area.left) / (1.05 * width)).clamp(0.4, 1.0);
    canvas.text((area.left, area.top + TITLE_TEXT / 2.0), Align::Left, height, INK, &figure.title)?;
    picture(canvas, Area { top: area.top + TITLE, ..area }, &figure.picture)
}

/// Width and height that a picture needs, in logical pixels.
fn size(picture: &Picture) -> Result<(f64, f64)> {
    Ok(match picture {
        Picture::Bars { groups, series, .. } => (WIDTH, bars::height(WIDTH, groups, series)?),
        Picture::Lines { .. } => (WIDTH, 480.0),
        Picture::Matrix { rows, columns, .. } => (WIDTH, matrix::height(WIDTH, rows.len(), columns)?),
        Picture::Map { .. } => (WIDTH, 760.0),
        Picture::Histogram { .. } => (WIDTH, 420.0),
        Picture::Attention(_) => (WIDTH, 700.0),
    })
}

fn picture(canvas: &mut Canvas, area: Area, picture: &Picture) -> Result<()> {
    match picture {
        Picture::Bars { axis, unit, groups, series, lines } => {
            bars::Chart { axis, unit: *unit, groups, series, lines }.draw(canvas, area)
        }
        Picture::Lines { x_axis, y_axis, unit, x_labels, series, lines } => {
            lines::Chart { x_axis, y_axis, unit: *unit, x_labels, series, lines }.draw(canvas, area)
        }
        Picture::Matrix { x_axis, y_axis, axis, unit, rows, columns, values, range, blocks } => {
            let shown = matrix::Shown { values, range: *range, unit: *unit, axis };
            matrix::Matrix { x_axis, y_axis, rows, columns, shown, blocks }.draw(canvas, area)
        }
        Picture::Map { method, pairs } => map::draw(canvas, area, method, pairs),
        Picture::Histogram { axis, edges, series } => histogram::draw(canvas, area, axis, edges, series),
        Picture::Attention(attention) => attention::draw(canvas, area, attention),
    }
}

#[cfg(test)]
pub(in crate::report) mod tests;
