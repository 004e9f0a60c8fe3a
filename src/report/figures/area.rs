//! What the charts share: the rectangle they are drawn in, ranges, labels in lines.

use crate::error::Result;
use crate::report::axes::{TICK_TEXT, round_ticks};
use crate::report::canvas::{Align, Canvas, MUTED};
use crate::report::marks::LINE_HEIGHT;
use crate::validate::figure::Level;
use crate::validate::findings::Unit;

/// A rectangle of the canvas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// Most lines of a label.
const LINES: usize = 3;
/// Widest label beside a level.
const BESIDE: f64 = 150.0;

/// What a value of this unit is multiplied by to be shown on an axis whose label has the unit.
pub(super) fn factor(unit: Unit) -> f64 {
    match unit {
        Unit::Share | Unit::Points => 100.0,
        Unit::Number(_) => 1.0,
    }
}

/// A value over its bar: with no unit, the axis says it.
pub(super) fn bare(unit: Unit, value: f64) -> String {
    let text = unit.text(value);
    text.trim_end_matches(" %").trim_end_matches(" pp").to_owned()
}

/// A range with a little air that holds `values` and 0; shares end at 100 where they can.
pub(super) fn from_zero(values: impl Iterator<Item = f64>, unit: Unit) -> (f64, f64) {
    const AIR: f64 = 0.08;
    let (low, high) = bounds(values.chain([0.0]));
    if low == high {
        return (0.0, if matches!(unit, Unit::Number(_)) { 1.0 } else { 100.0 });
    }
    let air = AIR * (high - low);
    let top = high + air;
    let top = if unit == Unit::Share && high <= 100.0 { top.min(100.0) } else { top };
    (if low < 0.0 { low - air } else { 0.0 }, if high > 0.0 { top } else { 0.0 })
}

/// A range with a little air that holds `values`, and 0 where that is not far.
pub(super) fn near(values: impl Iterator<Item = f64>, unit: Unit) -> (f64, f64) {
    let (low, high) = bounds(values);
    if low > high || (low >= 0.0 && low < 0.6 * high) || (high <= 0.0 && high > 0.6 * low) {
        return from_zero([low, high].into_iter().filter(|x| x.is_finite()), unit);
    }
    let air = if high > low { 0.08 * (high - low) } else { 0.5 };
    (low - air, high + air)
}

/// The lowest and the highest finite value.
pub(super) fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .filter(|x| x.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

/// The room that tick labels of a value axis need left of it.
pub(super) fn tick_width(canvas: &mut Canvas, range: (f64, f64)) -> Result<f64> {
    let mut width: f64 = 0.0;
    for (_, label) in round_ticks(range, 5) {
        width = width.max(canvas.text_width(TICK_TEXT, &label)?);
    }
    Ok(1.1 * width + 14.0)
}

/// A label in at most three lines no wider than `width`, broken at spaces; nothing where it does not fit.
pub(super) fn wrapped(canvas: &mut Canvas, label: &str, width: f64) -> Result<Option<Vec<String>>> {
    let mut lines: Vec<String> = Vec::new();
    for word in label.split_whitespace() {
        if 1.08 * canvas.text_width(TICK_TEXT, word)? > width {
            return Ok(None);
        }
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match longer {
            Some(longer) if 1.08 * canvas.text_width(TICK_TEXT, &longer)? <= width => {
                lines.pop();
                lines.push(longer);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    Ok((lines.len() <= LINES).then_some(lines))
}

/// All labels [`wrapped`], or nothing where one does not fit.
pub(super) fn all_wrapped(canvas: &mut Canvas, labels: &[String], width: f64) -> Result<Option<Vec<Vec<String>>>> {
    let mut all = Vec::with_capacity(labels.len());
    for label in labels {
        match wrapped(canvas, label, width)? {
            Some(lines) => all.push(lines),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// Lines of text centred under a point.
pub(super) fn lines_under(canvas: &mut Canvas, (x, y): (f64, f64), lines: &[String]) -> Result<()> {
    lines
        .iter()
        .enumerate()
        .try_for_each(|(i, line)| canvas.text((x, y + i as f64 * LINE_HEIGHT), Align::Center, TICK_TEXT, MUTED, line))
}

/// Levels with their labels, values included, in lines narrow enough to stand beside a chart.
pub(super) fn beside(canvas: &mut Canvas, levels: &[Level], unit: Unit) -> Result<Vec<(f64, Vec<String>)>> {
    let finite = levels.iter().filter(|level| level.value.is_finite());
    finite
        .map(|level| {
            let label = labelled(level, unit);
            let lines = wrapped(canvas, &label, BESIDE)?.unwrap_or_else(|| vec![label]);
            Ok((factor(unit) * level.value, lines))
        })
        .collect()
}

/// A level's label and value.
pub(super) fn labelled(level: &Level, unit: Unit) -> String {
    // The value stays in one piece.
    format!("{} {}", level.label, unit.text(level.value).replace(' ', "\u{a0}")).trim().to_owned()
}
