//! Horizontal bars with intervals, published values as marks, and levels to compare with as dashed lines.

use std::path::Path;

use plotters::style::{Color, RGBColor};

use super::axes::{Axes, LABEL_TEXT, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, GRID, INK, MUTED, SERIES};
use crate::error::Result;

const WIDTH: usize = 860;
/// Height of a bar with the space around it, in logical pixels.
const PITCH: f64 = 27.0;
const HALF_BAR: f64 = 8.5;
/// Above and below the plotting rectangle.
const TOP: f64 = 116.0;
const BOTTOM: f64 = 54.0;

/// A chart of bars; values and their unit are the axis's.
#[derive(Debug, Clone, Default)]
pub struct BarChart {
    pub title: String,
    /// Label of the axis, with its unit.
    pub axis: String,
    /// From above.
    pub bars: Vec<Bar>,
    /// Dashed lines.
    pub lines: Vec<Line>,
}

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    pub label: String,
    pub value: f64,
    /// Drawn where both ends are numbers.
    pub interval: (f64, f64),
    /// A published value.
    pub mark: Option<f64>,
    pub tone: Tone,
}

/// What a bar is; colours differ in hue and in lightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Above,
    Baseline,
    Below,
    /// With no baseline to compare with.
    Alone,
    Unlearned,
}

/// A level to compare with.
#[derive(Debug, Clone)]
pub struct Line {
    pub label: String,
    pub value: f64,
}

impl Tone {
    const ALL: [Tone; 5] = [Tone::Above, Tone::Baseline, Tone::Below, Tone::Alone, Tone::Unlearned];

    fn color(self) -> RGBColor {
        match self {
            Tone::Above | Tone::Alone => SERIES[0],
            Tone::Baseline => RGBColor(70, 76, 90),
            Tone::Below => RGBColor(240, 160, 90),
            Tone::Unlearned => RGBColor(190, 196, 206),
        }
    }

    fn about(self) -> &'static str {
        match self {
            Tone::Above => "above the baseline",
            Tone::Baseline => "baseline",
            Tone::Below => "not above it",
            Tone::Alone => "arm",
            Tone::Unlearned => "nothing learned",
        }
    }
}

impl BarChart {
    /// Draws the chart as PNG or SVG, whichever the name of `path` says.
    pub fn save(&self, path: &Path) -> Result<()> {
        let height = TOP + PITCH * self.bars.len().max(1) as f64 + BOTTOM;
        let mut canvas = Canvas::for_file(path, WIDTH, height.ceil() as usize)?;
        let mut left: f64 = 60.0;
        for bar in &self.bars {
            left = left.max(canvas.text_width(LABEL_TEXT, &bar.label)? + 28.0);
        }
        let (width, height) = canvas.size();
        let count = self.bars.len().max(1) as f64;
        let axes = Axes {
            left,
            top: TOP,
            right: width - 70.0,
            bottom: height - BOTTOM,
            x: (0.0, self.end()),
            y: (count, 0.0),
        };
        title(&mut canvas, 24.0, &self.title, "")?;
        self.legend(&mut canvas)?;
        axes.x_ticks(&mut canvas, &round_ticks(axes.x, 8), true)?;
        axes.labels(&mut canvas, &self.axis, "")?;
        for (i, bar) in self.bars.iter().enumerate() {
            bar.draw(&mut canvas, &axes, i as f64 + 0.5)?;
        }
        self.levels(&mut canvas, &axes)?;
        canvas.save(path)
    }

    /// The right end of the axis: past all that is shown, and no further than 100 where nothing is.
    fn end(&self) -> f64 {
        let shown = self.bars.iter().flat_map(|bar| [bar.value, bar.interval.1, bar.mark.unwrap_or(0.0)]);
        let highest =
            shown.chain(self.lines.iter().map(|line| line.value)).filter(|x| x.is_finite()).fold(0.0, f64::max);
        if highest <= 0.0 { 100.0 } else { (1.04 * highest).min(highest.max(100.0)) }
    }

    fn legend(&self, canvas: &mut Canvas) -> Result<()> {
        const Y: f64 = 54.0;
        let mut x = 24.0;
        for tone in Tone::ALL.into_iter().filter(|tone| self.bars.iter().any(|bar| bar.tone == *tone)) {
            canvas.rectangle((x, Y - 6.0), (x + 18.0, Y + 6.0), tone.color().to_rgba())?;
            canvas.text((x + 24.0, Y), Align::Left, TICK_TEXT, INK, tone.about())?;
            x += 24.0 + canvas.text_width(TICK_TEXT, tone.about())? + 22.0;
        }
        if self.bars.iter().any(|bar| bar.interval.0.is_finite()) {
            whisker(canvas, (x, x + 20.0), Y)?;
            canvas.text((x + 28.0, Y), Align::Left, TICK_TEXT, INK, "95 % interval")?;
            x += 28.0 + canvas.text_width(TICK_TEXT, "95 % interval")? + 22.0;
        }
        if self.bars.iter().any(|bar| bar.mark.is_some()) {
            diamond(canvas, (x + 6.0, Y))?;
            canvas.text((x + 18.0, Y), Align::Left, TICK_TEXT, INK, "the paper's")?;
        }
        Ok(())
    }

    /// Dashed lines, labels above them; a label that would run into the one before goes a line higher.
    fn levels(&self, canvas: &mut Canvas, axes: &Axes) -> Result<()> {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for line in self.lines.iter().filter(|line| line.value.is_finite()) {
            let (x, _) = axes.at(line.value, 0.0);
            let label = format!("{} {:.1}", line.label, line.value);
            let half = canvas.text_width(TICK_TEXT, &label)? / 2.0;
            let clash = taken.iter().any(|&(other, reach)| (other - x).abs() < half + reach + 10.0);
            let y = axes.top - if clash { 28.0 } else { 12.0 };
            canvas.dashed((x, axes.top - 4.0), (x, axes.bottom), 1.5, INK)?;
            canvas.text((x, y), Align::Center, TICK_TEXT, INK, &label)?;
            taken.push((x, half));
        }
        Ok(())
    }
}

impl Bar {
    fn draw(&self, canvas: &mut Canvas, axes: &Axes, row: f64) -> Result<()> {
        let ((x0, y), (x1, _)) = (axes.at(0.0, row), axes.at(self.value, row));
        canvas.text((axes.left - 10.0, y), Align::Right, LABEL_TEXT, INK, &self.label)?;
        if !self.value.is_finite() {
            return canvas.text((axes.right + 10.0, y), Align::Left, TICK_TEXT, MUTED, "none");
        }
        canvas.rectangle((x0, y - HALF_BAR), (x1, y + HALF_BAR), self.tone.color().to_rgba())?;
        let (low, high) = self.interval;
        if low.is_finite() && high.is_finite() {
            whisker(canvas, (axes.at(low, row).0, axes.at(high, row).0), y)?;
        }
        if let Some(mark) = self.mark {
            diamond(canvas, axes.at(mark, row))?;
        }
        canvas.text((axes.right + 10.0, y), Align::Left, TICK_TEXT, INK, &format!("{:.1}", self.value))
    }
}

/// An interval: a line with caps, on a pale rim that keeps it visible over any bar.
fn whisker(canvas: &mut Canvas, (from, to): (f64, f64), y: f64) -> Result<()> {
    const CAP: f64 = 4.0;
    canvas.line(&[(from, y), (to, y)], 4.0, GRID)?;
    canvas.line(&[(from, y), (to, y)], 1.6, INK)?;
    [from, to].into_iter().try_for_each(|x| canvas.line(&[(x, y - CAP), (x, y + CAP)], 1.6, INK))
}

/// The mark of a published value: white with a dark rim.
fn diamond(canvas: &mut Canvas, (x, y): (f64, f64)) -> Result<()> {
    let corners = |r: f64| [(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
    canvas.polygon(&corners(6.5), INK)?;
    canvas.polygon(&corners(4.2), RGBColor(255, 255, 255))
}
