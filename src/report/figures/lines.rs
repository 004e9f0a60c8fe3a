//! Curves over a common x, with bands; the paper's are dashed.

use plotters::style::{Color, RGBColor};

use super::area::{Area, all_wrapped, bare, beside, bounds, factor, lines_under, near, tick_width};
use crate::error::Result;
use crate::report::axes::{Axes, TICK_TEXT, round_ticks};
use crate::report::canvas::{Align, Canvas, INK, MUTED, SERIES};
use crate::report::legend::{self, Swatch};
use crate::report::marks::{LINE_HEIGHT, levels_beside, width_beside};
use crate::validate::figure::{Curve, Level};
use crate::validate::findings::Unit;

/// Up to this many points a curve shows each of them as a dot.
const DOTS: usize = 40;

/// A picture of curves.
pub(super) struct Chart<'a> {
    pub x_axis: &'a str,
    pub y_axis: &'a str,
    pub unit: Unit,
    pub x_labels: &'a [String],
    pub series: &'a [Curve],
    pub lines: &'a [Level],
}

impl Chart<'_> {
    pub(super) fn draw(&self, canvas: &mut Canvas, area: Area) -> Result<()> {
        let levels = beside(canvas, self.lines, self.unit)?;
        let texts: Vec<_> = levels.iter().map(|(_, lines)| lines.clone()).collect();
        let right = area.right - width_beside(canvas, &texts)?.max(18.0);
        let entries: Vec<legend::Entry> = self.series.iter().zip(self.colors()).map(entry).collect();
        let top = area.top + 30.0 + legend::draw(canvas, (area.left, area.top + 10.0), area.right, &entries)?;
        let y = self.range();
        let left = area.left + tick_width(canvas, y)?;
        let places = self.places();
        let even = !self.x_labels.is_empty();
        let xs = if even { (-0.3, places.len().max(1) as f64 - 0.7) } else { span(&places) };
        let labels = self.labels(canvas, (right - left) / places.len().max(1) as f64)?;
        let deepest = labels.iter().map(Vec::len).max().unwrap_or(1).max(1) as f64;
        let below = deepest * LINE_HEIGHT + if self.x_axis.is_empty() { 8.0 } else { 28.0 };
        let axes = Axes { left, top, right, bottom: area.bottom - below, x: xs, y };
        axes.y_ticks(canvas, &round_ticks(y, 5), true)?;
        if even {
            for (i, lines) in labels.iter().enumerate() {
                lines_under(canvas, (axes.at(i as f64, y.0).0, axes.bottom + 14.0), lines)?;
            }
        } else {
            axes.x_ticks(canvas, &round_ticks(xs, 8), false)?;
        }
        axes.labels(canvas, "", self.y_axis)?;
        canvas.text((axes.right, area.bottom - 6.0), Align::Right, 14.0, INK, self.x_axis)?;
        if y.0 < 0.0 && y.1 > 0.0 {
            canvas.line(&[axes.at(xs.0, 0.0), axes.at(xs.1, 0.0)], 1.0, MUTED)?;
        }
        let at = |x: f64| if even { places.iter().position(|place| *place == x).unwrap_or(0) as f64 } else { x };
        for (curve, color) in self.series.iter().zip(self.colors()) {
            self.curve(canvas, &axes, &at, curve, color)?;
        }
        self.values(canvas, &axes, &at)?;
        levels_beside(canvas, &axes, &levels)
    }

    fn curve(
        &self,
        canvas: &mut Canvas,
        axes: &Axes,
        at: &impl Fn(f64) -> f64,
        curve: &Curve,
        color: RGBColor,
    ) -> Result<()> {
        let scale = factor(self.unit);
        let banded: Vec<_> = curve.points.iter().zip(&curve.band).map(|(p, band)| (at(p.0), *band)).collect();
        let whole = |(x, (low, high)): &(f64, (f64, f64))| x.is_finite() && low.is_finite() && high.is_finite();
        for run in banded.split(|point| !whole(point)).filter(|run| run.len() > 1) {
            let upper = run.iter().map(|(x, (_, high))| axes.at(*x, scale * high));
            let lower = run.iter().rev().map(|(x, (low, _))| axes.at(*x, scale * low));
            canvas.polygon(&upper.chain(lower).collect::<Vec<_>>(), color.mix(0.18))?;
        }
        for run in curve.points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
            let path: Vec<_> = run.iter().map(|&(x, y)| axes.at(at(x), scale * y)).collect();
            if curve.published {
                canvas.dashed_path(&path, 1.6, color)?;
            } else {
                canvas.line(&path, 2.5, color)?;
            }
            if curve.points.len() <= DOTS {
                let radius = if curve.published { 2.6 } else { 4.0 };
                path.iter().try_for_each(|&point| canvas.dot(point, radius, color))?;
            }
        }
        Ok(())
    }

    /// Numbers over the points of a single curve.
    fn values(&self, canvas: &mut Canvas, axes: &Axes, at: &impl Fn(f64) -> f64) -> Result<()> {
        let mut own = self.series.iter().filter(|curve| !curve.published);
        let (Some(curve), None) = (own.next(), own.next()) else { return Ok(()) };
        if curve.points.len() > 14 || self.x_labels.is_empty() {
            return Ok(());
        }
        for (i, &(x, y)) in curve.points.iter().enumerate().filter(|(_, (_, y))| y.is_finite()) {
            let top = curve.band.get(i).map_or(y, |band| band.1.max(y));
            let (x, y_top) = axes.at(at(x), factor(self.unit) * top);
            canvas.text((x, (y_top - 14.0).max(axes.top - 2.0)), Align::Center, TICK_TEXT, INK, &bare(self.unit, y))?;
        }
        Ok(())
    }

    /// A colour for each curve: a published one takes that of the curve it belongs to by its name, else grey.
    fn colors(&self) -> Vec<RGBColor> {
        let own: Vec<&Curve> = self.series.iter().filter(|curve| !curve.published).collect();
        let place = |curve: &Curve| own.iter().position(|other| curve.label.contains(other.label.as_str()));
        let mut next = 0;
        let color = |curve: &Curve| {
            if curve.published {
                return place(curve).map_or(MUTED, |i| SERIES[i % SERIES.len()]);
            }
            next += 1;
            SERIES[(next - 1) % SERIES.len()]
        };
        self.series.iter().map(color).collect()
    }

    /// Every x once, in order.
    fn places(&self) -> Vec<f64> {
        let points = self.series.iter().flat_map(|curve| &curve.points);
        let mut places: Vec<f64> = points.map(|point| point.0).filter(|x| x.is_finite()).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        places
    }

    /// Labels of even places in lines; those that would not fit side by side are left out in turn.
    fn labels(&self, canvas: &mut Canvas, slot: f64) -> Result<Vec<Vec<String>>> {
        for step in 1..=self.x_labels.len() {
            let kept: Vec<String> = self.x_labels.iter().step_by(step).cloned().collect();
            if let Some(lines) = all_wrapped(canvas, &kept, step as f64 * slot - 6.0)? {
                let mut lines = lines.into_iter();
                let label =
                    |i: usize| if i.is_multiple_of(step) { lines.next().unwrap_or_default() } else { Vec::new() };
                return Ok((0..self.x_labels.len()).map(label).collect());
            }
        }
        Ok(self.x_labels.iter().map(|label| vec![label.clone()]).take(1).collect())
    }

    fn range(&self) -> (f64, f64) {
        let scale = factor(self.unit);
        let bands = self.series.iter().flat_map(|curve| curve.band.iter().flat_map(|(low, high)| [*low, *high]));
        let points = self.series.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
        near(points.chain(bands).chain(self.lines.iter().map(|line| line.value)).map(|y| scale * y), self.unit)
    }
}

fn entry((curve, color): (&Curve, RGBColor)) -> legend::Entry {
    let swatch = if curve.published { Swatch::Dashed(color) } else { Swatch::Line(color) };
    (swatch, curve.label.clone())
}

fn span(places: &[f64]) -> (f64, f64) {
    match bounds(places.iter().copied()) {
        (low, high) if low < high => (low, high),
        (low, high) if low == high => (low - 0.5, high + 0.5),
        _ => (0.0, 1.0),
    }
}
