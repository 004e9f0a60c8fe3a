//! Distributions as outlines over common bins, with their means.

use plotters::style::Color;

use super::area::{Area, bounds, from_zero, tick_width};
use crate::error::Result;
use crate::report::axes::{Axes, LABEL_TEXT, TICK_TEXT, round_ticks};
use crate::report::canvas::{Align, Canvas, INK, SERIES};
use crate::report::legend::{self, Swatch};
use crate::report::marks::{LINE_HEIGHT, rows_above};
use crate::validate::figure::Shares;
use crate::validate::findings::Unit;

pub(super) fn draw(canvas: &mut Canvas, area: Area, axis: &str, edges: &[f64], series: &[Shares]) -> Result<()> {
    let colors = SERIES.iter().cycle();
    let entries: Vec<_> =
        series.iter().zip(colors.clone()).map(|(s, color)| (Swatch::Line(*color), s.label.clone())).collect();
    let legend = legend::draw(canvas, (area.left, area.top + 10.0), area.right, &entries)?;
    let y = from_zero(series.iter().flat_map(|s| s.values.iter().map(|share| 100.0 * share)), Unit::Share);
    let x = match bounds(edges.iter().copied()) {
        (low, high) if low < high => (low, high),
        _ => (0.0, 1.0),
    };
    let left = area.left + tick_width(canvas, y)?;
    let mut axes =
        Axes { left, top: area.top + legend + 36.0, right: area.right - 14.0, bottom: area.bottom - 44.0, x, y };
    let inside = |s: &&Shares| (x.0..=x.1).contains(&s.mean);
    let means: Vec<_> = series.iter().filter(inside).map(|s| (axes.at(s.mean, 0.0).0, mean(s))).collect();
    let rows = rows_above(canvas, &means)?;
    axes.top += rows.iter().map(|(_, row)| row + 1).max().unwrap_or(0) as f64 * LINE_HEIGHT;
    axes.y_ticks(canvas, &round_ticks(y, 5), true)?;
    axes.x_ticks(canvas, &round_ticks(x, 8), false)?;
    axes.labels(canvas, axis, "")?;
    canvas.text((area.left, area.top + legend + 12.0), Align::Left, LABEL_TEXT, INK, "share (%)")?;
    for (s, color) in series.iter().zip(colors.clone()) {
        // Up, along and down again at each bin.
        let sides = |(i, share): (usize, &f64)| [(edges[i], 100.0 * share), (edges[i + 1], 100.0 * share)];
        let bins = s.values.iter().take(edges.len().saturating_sub(1)).enumerate();
        let outline: Vec<_> =
            bins.flat_map(sides).map(|(x, y)| axes.at(x, if y.is_finite() { y } else { 0.0 })).collect();
        let (Some(first), Some(last)) = (outline.first(), outline.last()) else { continue };
        let (first, last) = ((first.0, axes.bottom), (last.0, axes.bottom));
        let closed: Vec<_> = std::iter::once(first).chain(outline).chain([last]).collect();
        canvas.polygon(&closed, color.mix(0.12))?;
        canvas.line(&closed, 2.0, color)?;
    }
    let shown = series.iter().zip(colors).filter(|(s, _)| inside(s));
    for ((s, color), (x, row)) in shown.zip(rows) {
        let y = axes.top - 10.0 - row as f64 * LINE_HEIGHT;
        canvas.dashed((x, y + 8.0), (x, axes.bottom), 1.5, color)?;
        canvas.text((x, y), Align::Center, TICK_TEXT, INK, &mean(s))?;
    }
    Ok(())
}

fn mean(shares: &Shares) -> String {
    format!("mean {:.2}", shares.mean).replace('-', "−")
}
