//! Horizontal bars with intervals, published values as marks, and levels to compare with as dashed lines.

use std::path::Path;

use plotters::style::{Color, RGBColor};

use super::axes::{Axes, LABEL_TEXT, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, INK, MUTED, SERIES};
use super::legend::{self, Swatch};
use super::marks::{diamond, levels_above, whisker};
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
        let tones = Tone::ALL.into_iter().filter(|tone| self.bars.iter().any(|bar| bar.tone == *tone));
        let mut entries: Vec<_> = tones.map(|tone| (Swatch::Bar(tone.color()), tone.about().to_owned())).collect();
        if self.bars.iter().any(|bar| bar.interval.0.is_finite()) {
            entries.push((Swatch::Interval, "95 % interval".to_owned()));
        }
        if self.bars.iter().any(|bar| bar.mark.is_some()) {
            entries.push((Swatch::Published, "the paper's".to_owned()));
        }
        legend::draw(canvas, (24.0, 54.0), WIDTH as f64 - 24.0, &entries).map(drop)
    }

    /// Dashed lines, labels above them.
    fn levels(&self, canvas: &mut Canvas, axes: &Axes) -> Result<()> {
        let lines = self.lines.iter().filter(|line| line.value.is_finite());
        let place = |line: &Line| (axes.at(line.value, 0.0).0, format!("{} {:.1}", line.label, line.value));
        levels_above(canvas, axes, &lines.map(place).collect::<Vec<_>>())
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
            whisker(canvas, axes.at(low, row), axes.at(high, row))?;
        }
        if let Some(mark) = self.mark {
            diamond(canvas, axes.at(mark, row))?;
        }
        canvas.text((axes.right + 10.0, y), Align::Left, TICK_TEXT, INK, &format!("{:.1}", self.value))
    }
}
