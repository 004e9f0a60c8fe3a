//! Axes of a chart: a rectangle of the canvas with a range on either side, ticks, grid and labels.

use plotters::style::Color;

use super::canvas::{Align, Canvas, GRID, INK, MUTED};
use crate::error::Result;

/// Height of tick labels, in logical pixels.
pub const TICK_TEXT: f64 = 13.0;
/// Height of axis labels.
pub const LABEL_TEXT: f64 = 14.0;
/// Height of titles.
pub const TITLE_TEXT: f64 = 20.0;

/// A plotting rectangle: x runs from `x.0` at the left edge to `x.1` at the right, y from `y.0` at the bottom to `y.1` at the top.
#[derive(Clone, Copy, Debug)]
pub struct Axes {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Axes {
    /// The canvas point of a value; may lie outside the rectangle.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, (from, to): (f64, f64)| (value - from) / (to - from);
        let (u, v) = (share(x, self.x), share(y, self.y));
        (self.left + u * (self.right - self.left), self.bottom - v * (self.bottom - self.top))
    }

    /// Tick labels below the rectangle, with a grid line each where `grid`.
    pub fn x_ticks(&self, canvas: &mut Canvas, ticks: &[(f64, String)], grid: bool) -> Result<()> {
        for (value, label) in ticks {
            let (x, _) = self.at(*value, self.y.0);
            if grid {
                canvas.line(&[(x, self.top), (x, self.bottom)], 1.0, GRID)?;
            }
            canvas.line(&[(x, self.bottom), (x, self.bottom + 4.0)], 1.0, MUTED)?;
            canvas.text((x, self.bottom + 14.0), Align::Center, TICK_TEXT, MUTED, label)?;
        }
        Ok(())
    }

    /// Tick labels left of the rectangle, with a grid line each where `grid`.
    pub fn y_ticks(&self, canvas: &mut Canvas, ticks: &[(f64, String)], grid: bool) -> Result<()> {
        for (value, label) in ticks {
            let (_, y) = self.at(self.x.0, *value);
            if grid {
                canvas.line(&[(self.left, y), (self.right, y)], 1.0, GRID)?;
            }
            canvas.text((self.left - 8.0, y), Align::Right, TICK_TEXT, MUTED, label)?;
        }
        Ok(())
    }

    /// The x label below the ticks at the right end, the y label above the upper left corner: both read without turning the head.
    pub fn labels(&self, canvas: &mut Canvas, x_label: &str, y_label: &str) -> Result<()> {
        canvas.line(&[(self.left, self.bottom), (self.right, self.bottom)], 1.0, MUTED)?;
        canvas.text((self.right, self.bottom + 33.0), Align::Right, LABEL_TEXT, INK, x_label)?;
        canvas.text((self.left, self.top - 14.0), Align::Left, LABEL_TEXT, INK, y_label)
    }

    /// A thin frame around the rectangle.
    pub fn frame(&self, canvas: &mut Canvas, color: impl Color + Copy) -> Result<()> {
        let corner =
            [(self.left, self.top), (self.right, self.top), (self.right, self.bottom), (self.left, self.bottom)];
        canvas.line(&[corner[0], corner[1], corner[2], corner[3], corner[0]], 1.0, color)
    }
}

/// A title at the upper left, and under it a smaller line where `subtitle` is not empty.
pub fn title(canvas: &mut Canvas, left: f64, title: &str, subtitle: &str) -> Result<()> {
    canvas.text((left, 24.0), Align::Left, TITLE_TEXT, INK, title)?;
    if subtitle.is_empty() {
        return Ok(());
    }
    canvas.text((left, 48.0), Align::Left, TICK_TEXT, MUTED, subtitle)
}

/// Round numbers (steps of 1, 2 or 5 times a power of ten) from `low` to `high`, about `count` of them, with their labels.
pub fn round_ticks((low, high): (f64, f64), count: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / count.max(1) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return vec![];
    }
    let power = 10f64.powf(rough.log10().floor());
    // The multiple nearest in ratio: the bounds are the geometric means of neighbours.
    let multiple = match rough / power {
        m if m < 2f64.sqrt() => 1.0,
        m if m < 10f64.sqrt() => 2.0,
        m if m < 50f64.sqrt() => 5.0,
        _ => 10.0,
    };
    let step = power * multiple;
    if !(1e-6..1e9).contains(&step) {
        return vec![(low, format!("{low:.2e}")), (high, format!("{high:.2e}"))];
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    // Adding 0 turns a negative zero into zero.
    let value = |i: i64| i as f64 * step + 0.0;
    (first..=last).map(|i| (value(i), with_commas(&format!("{:.decimals$}", value(i))))).collect()
}

/// "12345.5" → "12,345.5"; the minus becomes a real one.
fn with_commas(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("−", rest));
    let whole = rest.split('.').next().unwrap_or(rest);
    let mut text = String::from(sign);
    for (i, c) in rest.char_indices() {
        if i > 0 && i < whole.len() && (whole.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(range: (f64, f64), count: usize) -> Vec<String> {
        round_ticks(range, count).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels((0.0, 100.0), 5), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels((-0.1, 0.31), 4), ["−0.1", "0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels((0.0, 24_000.0), 3), ["0", "10,000", "20,000"]);
        assert_eq!(labels((4.0, 8.0), 4), ["4", "5", "6", "7", "8"]);
        assert!(labels((1.0, 1.0), 4).is_empty());
        assert!(labels((f64::NAN, 1.0), 4).is_empty());
    }
}
