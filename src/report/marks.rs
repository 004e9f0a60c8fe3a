//! Marks of charts: intervals, published values, levels to compare with.

use plotters::style::RGBColor;

use super::axes::{Axes, TICK_TEXT};
use super::canvas::{Align, Canvas, GRID, INK, MUTED};
use crate::error::Result;

/// Between the baselines of two lines of small text.
pub const LINE_HEIGHT: f64 = 16.0;

/// An interval: a line with caps, on a pale rim that keeps it visible over any bar.
pub fn whisker(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64)) -> Result<()> {
    const CAP: f64 = 4.0;
    canvas.line(&[from, to], 4.0, GRID)?;
    canvas.line(&[from, to], 1.6, INK)?;
    let (dx, dy) = if from.0 == to.0 { (CAP, 0.0) } else { (0.0, CAP) };
    [from, to].into_iter().try_for_each(|(x, y)| canvas.line(&[(x - dx, y - dy), (x + dx, y + dy)], 1.6, INK))
}

/// The mark of a published value: white with a dark rim.
pub fn diamond(canvas: &mut Canvas, (x, y): (f64, f64)) -> Result<()> {
    let corners = |r: f64| [(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
    canvas.polygon(&corners(6.5), INK)?;
    canvas.polygon(&corners(4.2), RGBColor(255, 255, 255))
}

/// Labels over vertical lines at `places` (x, label), in as few rows as keep them apart; the lowest row is 0.
pub fn rows_above(canvas: &mut Canvas, places: &[(f64, String)]) -> Result<Vec<(f64, usize)>> {
    const APART: f64 = 10.0;
    let mut rows: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut placed = Vec::with_capacity(places.len());
    for (x, label) in places {
        let half = canvas.text_width(TICK_TEXT, label)? / 2.0 + APART / 2.0;
        let free = |row: &Vec<(f64, f64)>| row.iter().all(|&(other, reach)| (other - x).abs() >= half + reach);
        let row = rows.iter().position(free).unwrap_or(rows.len());
        if row == rows.len() {
            rows.push(Vec::new());
        }
        rows[row].push((*x, half));
        placed.push((*x, row));
    }
    Ok(placed)
}

/// Dashed vertical lines through the axes with their labels above, placed by [`rows_above`].
pub fn levels_above(canvas: &mut Canvas, axes: &Axes, places: &[(f64, String)]) -> Result<()> {
    for ((x, row), (_, label)) in rows_above(canvas, places)?.into_iter().zip(places) {
        let y = axes.top - 12.0 - row as f64 * LINE_HEIGHT;
        canvas.dashed((x, y + 8.0), (x, axes.bottom), 1.5, INK)?;
        canvas.text((x, y), Align::Center, TICK_TEXT, INK, label)?;
    }
    Ok(())
}

/// Room right of the axes that the labels of [`levels_beside`] need.
pub fn width_beside(canvas: &mut Canvas, labels: &[Vec<String>]) -> Result<f64> {
    let mut width: f64 = 0.0;
    for line in labels.iter().flatten() {
        width = width.max(canvas.text_width(TICK_TEXT, line)?);
    }
    Ok(if labels.is_empty() { 0.0 } else { 1.1 * width + 26.0 })
}

/// Dashed horizontal lines at `values` through the axes, labels (in lines) right of them, moved apart where they would overlap.
pub fn levels_beside(canvas: &mut Canvas, axes: &Axes, levels: &[(f64, Vec<String>)]) -> Result<()> {
    let mut sorted: Vec<(f64, &Vec<String>)> =
        levels.iter().map(|(value, lines)| (axes.at(axes.x.0, *value).1, lines)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let heights: Vec<f64> = sorted.iter().map(|(_, lines)| lines.len() as f64 * LINE_HEIGHT).collect();
    let centres = apart(&sorted.iter().map(|(y, _)| *y).collect::<Vec<_>>(), &heights, (axes.top, axes.bottom));
    for ((y, lines), centre) in sorted.into_iter().zip(centres) {
        canvas.dashed((axes.left, y), (axes.right, y), 1.5, INK)?;
        canvas.line(&[(axes.right, y), (axes.right + 10.0, centre)], 1.0, MUTED)?;
        let first = centre - (lines.len() as f64 - 1.0) / 2.0 * LINE_HEIGHT;
        for (i, line) in lines.iter().enumerate() {
            canvas.text((axes.right + 14.0, first + i as f64 * LINE_HEIGHT), Align::Left, TICK_TEXT, INK, line)?;
        }
    }
    Ok(())
}

/// Centres near the wanted ones (ascending) at which things of such heights do not overlap; inside the range where they fit.
fn apart(wanted: &[f64], heights: &[f64], (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut centres = wanted.to_vec();
    let gap = |i: usize| (heights[i] + heights[i + 1]) / 2.0;
    for i in 0..centres.len() {
        let least = if i == 0 { top + heights[0] / 2.0 } else { centres[i - 1] + gap(i - 1) };
        centres[i] = centres[i].max(least);
    }
    for i in (0..centres.len()).rev() {
        let most = if i + 1 == centres.len() { bottom } else { centres[i + 1] - gap(i) };
        centres[i] = centres[i].min(most);
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart() {
        let centres = apart(&[50.0, 52.0, 54.0, 99.0], &[16.0, 32.0, 16.0, 16.0], (0.0, 100.0));
        assert_eq!(centres, [35.0, 59.0, 83.0, 99.0].map(|y| y + (centres[3] - 99.0)));
        assert!(centres.windows(2).all(|pair| pair[1] - pair[0] >= 16.0));
        let mut canvas = Canvas::new(100, 100).unwrap();
        let places = [(10.0, "chance".to_owned()), (20.0, "a baseline".to_owned()), (300.0, "far".to_owned())];
        let rows: Vec<usize> = rows_above(&mut canvas, &places).unwrap().into_iter().map(|(_, row)| row).collect();
        assert_eq!(rows, [0, 1, 0]);
    }
}
