//! Groups of bars, upright where their labels fit under them and lying otherwise.

use plotters::style::Color;

use super::area::{Area, all_wrapped, bare, beside, factor, from_zero, labelled, lines_under, tick_width};
use crate::error::Result;
use crate::report::axes::{Axes, TICK_TEXT, round_ticks};
use crate::report::canvas::{Align, Canvas, INK, MUTED, SERIES};
use crate::report::legend::{self, Swatch};
use crate::report::marks::{LINE_HEIGHT, diamond, levels_above, levels_beside, rows_above, whisker, width_beside};
use crate::validate::figure::{BarSeries, Level};
use crate::validate::findings::Unit;

/// Height of an upright chart.
const UPRIGHT: f64 = 460.0;
/// Height of a lying bar with its share of the space around it, and least height of a group of them.
const PITCH: f64 = 17.0;
const LEAST_GROUP: f64 = 27.0;
/// Share of a group that its bars take.
const FILLED: f64 = 0.76;
/// Widest names of groups beside lying bars.
const NAMES: f64 = 0.42;

/// A picture of bars.
pub(super) struct Chart<'a> {
    pub axis: &'a str,
    pub unit: Unit,
    pub groups: &'a [String],
    pub series: &'a [BarSeries],
    pub lines: &'a [Level],
}

/// Where bars are: their axes and whether they stand.
struct Place {
    axes: Axes,
    upright: bool,
}

impl Place {
    fn at(&self, across: f64, value: f64) -> (f64, f64) {
        if self.upright { self.axes.at(across, value) } else { self.axes.at(value, across) }
    }
}

/// Height that a chart of this width needs.
pub(super) fn height(width: f64, groups: &[String], series: &[BarSeries]) -> Result<f64> {
    let upright = upright_labels(&mut Canvas::new(1, 1)?, 0.84 * width, groups, series.len())?.is_some();
    Ok(if upright { UPRIGHT } else { 170.0 + groups.len() as f64 * group_height(series.len()) })
}

fn group_height(series: usize) -> f64 {
    (series as f64 * PITCH + 8.0).max(LEAST_GROUP)
}

/// The names of groups in lines, where they fit under upright bars that are wide enough themselves.
fn upright_labels(
    canvas: &mut Canvas,
    width: f64,
    groups: &[String],
    series: usize,
) -> Result<Option<Vec<Vec<String>>>> {
    let slot = width / groups.len().max(1) as f64;
    if slot * FILLED / (series.max(1) as f64) < 7.0 {
        return Ok(None);
    }
    all_wrapped(canvas, groups, slot - 8.0)
}

impl Chart<'_> {
    pub(super) fn draw(&self, canvas: &mut Canvas, area: Area) -> Result<()> {
        let levels = beside(canvas, self.lines, self.unit)?;
        let texts: Vec<_> = levels.iter().map(|(_, lines)| lines.clone()).collect();
        let room = width_beside(canvas, &texts)?.max(10.0);
        let entries = self.legend();
        let legend = legend::height(canvas, area.left, area.right, &entries)?;
        let top = area.top + 8.0 + legend + 22.0;
        legend::draw(canvas, (area.left, area.top + 10.0), area.right, &entries)?;
        let values = self.range();
        let left = area.left + tick_width(canvas, values)?;
        let width = area.right - room - left;
        let across = self.groups.len().max(1) as f64;
        if let Some(labels) = upright_labels(canvas, width, self.groups, self.series.len())? {
            let deepest = labels.iter().map(Vec::len).max().unwrap_or(1) as f64;
            let bottom = area.bottom - 8.0 - deepest * LINE_HEIGHT;
            let axes = Axes { left, top, right: area.right - room, bottom, x: (0.0, across), y: values };
            axes.y_ticks(canvas, &round_ticks(values, 5), true)?;
            axes.labels(canvas, "", self.axis)?;
            for (i, lines) in labels.iter().enumerate() {
                lines_under(canvas, (axes.at(i as f64 + 0.5, 0.0).0, bottom + 14.0), lines)?;
            }
            self.bars(canvas, &Place { axes, upright: true })?;
            return levels_beside(canvas, &axes, &levels);
        }
        self.lying(canvas, Area { top: area.top + legend, ..area }, values)
    }

    /// Bars from left to right, groups from above.
    fn lying(&self, canvas: &mut Canvas, area: Area, values: (f64, f64)) -> Result<()> {
        let mut names: f64 = 20.0;
        for group in self.groups {
            names = names.max(1.08 * canvas.text_width(TICK_TEXT, group)? + 14.0);
        }
        let names = names.min(NAMES * (area.right - area.left));
        let count = self.groups.len().max(1) as f64;
        let (left, right) = (area.left + names, area.right - 52.0);
        let mut axes =
            Axes { left, top: area.top + 10.0, right, bottom: area.bottom - 44.0, x: values, y: (count, 0.0) };
        let finite = self.lines.iter().filter(|line| line.value.is_finite());
        let places: Vec<_> =
            finite.map(|line| (axes.at(factor(self.unit) * line.value, 0.0).0, labelled(line, self.unit))).collect();
        let rows = rows_above(canvas, &places)?.iter().map(|(_, row)| row + 1).max().unwrap_or(0);
        axes.top += rows as f64 * LINE_HEIGHT;
        axes.x_ticks(canvas, &round_ticks(values, 7), true)?;
        axes.labels(canvas, self.axis, "")?;
        for (i, group) in self.groups.iter().enumerate() {
            let (_, y) = axes.at(values.0, i as f64 + 0.5);
            let size = TICK_TEXT * (names - 14.0) / (1.08 * canvas.text_width(TICK_TEXT, group)?).max(names - 14.0);
            canvas.text((left - 10.0, y), Align::Right, size, INK, group)?;
        }
        self.bars(canvas, &Place { axes, upright: false })?;
        levels_above(canvas, &axes, &places)
    }

    fn bars(&self, canvas: &mut Canvas, place: &Place) -> Result<()> {
        let scale = factor(self.unit);
        let count = self.series.len().max(1) as f64;
        let thickness = FILLED / count;
        for (j, (series, color)) in self.series.iter().zip(SERIES.iter().cycle()).enumerate() {
            for (i, value) in series.values.iter().enumerate().take(self.groups.len()) {
                let middle = i as f64 + 0.5 + (j as f64 + 0.5 - count / 2.0) * thickness;
                let Some(value) = value.filter(|value| value.is_finite()) else {
                    let (x, y) = place.at(middle, 0.0);
                    let (at, align) =
                        if place.upright { ((x, y - 9.0), Align::Center) } else { ((x + 6.0, y), Align::Left) };
                    canvas.text(at, align, TICK_TEXT, MUTED, "–")?;
                    continue;
                };
                let half = 0.46 * thickness;
                let (from, to) = (place.at(middle - half, 0.0), place.at(middle + half, scale * value));
                canvas.rectangle(from, to, color.to_rgba())?;
                let interval =
                    series.intervals.get(i).copied().flatten().filter(|(a, b)| a.is_finite() && b.is_finite());
                if let Some((low, high)) = interval {
                    whisker(canvas, place.at(middle, scale * low), place.at(middle, scale * high))?;
                }
                let mark = series.marks.get(i).copied().flatten().filter(|mark| mark.is_finite());
                if let Some(mark) = mark {
                    diamond(canvas, place.at(middle, scale * mark))?;
                }
                let reach = [Some(value), interval.map(|i| if value < 0.0 { i.0 } else { i.1 }), mark];
                let ends = reach.into_iter().flatten().map(|x| scale * x);
                let end = if value < 0.0 { ends.fold(0.0, f64::min) } else { ends.fold(0.0, f64::max) };
                self.value(canvas, place, (middle, thickness), (value, end))?;
            }
        }
        let (from, to) = (place.at(0.0, 0.0), place.at(self.groups.len() as f64, 0.0));
        canvas.line(&[from, to], 1.0, MUTED)
    }

    /// The number past the end of its bar, where there is room for it.
    fn value(
        &self,
        canvas: &mut Canvas,
        place: &Place,
        (middle, thickness): (f64, f64),
        (value, end): (f64, f64),
    ) -> Result<()> {
        let text = bare(self.unit, value);
        let (x, y) = place.at(middle, end);
        let away = if value < 0.0 { -1.0 } else { 1.0 };
        if !place.upright {
            let (at, align) = if value < 0.0 { ((x - 9.0, y), Align::Right) } else { ((x + 9.0, y), Align::Left) };
            return canvas.text(at, align, TICK_TEXT, INK, &text);
        }
        let room = (place.at(middle + thickness, 0.0).0 - place.at(middle, 0.0).0).abs();
        if 1.08 * canvas.text_width(TICK_TEXT, &text)? > room + 6.0 {
            return Ok(());
        }
        canvas.text((x, y - 13.0 * away), Align::Center, TICK_TEXT, INK, &text)
    }

    fn legend(&self) -> Vec<legend::Entry> {
        let named = self.series.len() > 1;
        let colors = SERIES.iter().cycle();
        let bars = self.series.iter().zip(colors).map(|(s, color)| (Swatch::Bar(*color), s.label.clone()));
        let mut entries: Vec<_> = bars.filter(|_| named).collect();
        if self.series.iter().any(|s| s.intervals.iter().any(Option::is_some)) {
            entries.push((Swatch::Interval, "95 % interval".into()));
        }
        if self.series.iter().any(|s| s.marks.iter().any(Option::is_some)) {
            entries.push((Swatch::Published, "the paper's".into()));
        }
        entries
    }

    /// The range of the value axis, in the axis's unit.
    fn range(&self) -> (f64, f64) {
        let scale = factor(self.unit);
        let series = self.series.iter().flat_map(|s| {
            let ends = s.intervals.iter().flatten().flat_map(|(low, high)| [*low, *high]);
            s.values.iter().flatten().chain(s.marks.iter().flatten()).copied().chain(ends)
        });
        let all = series.chain(self.lines.iter().map(|line| line.value)).map(|x| scale * x);
        from_zero(all, self.unit)
    }
}
