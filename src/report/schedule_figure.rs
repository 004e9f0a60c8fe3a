//! Learning rates over a run: as blocks on a terminal, as CSV, as PNG or SVG.

use std::fmt::Write;
use std::path::Path;

use super::axes::{Axes, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, INK, MUTED, SERIES};
use super::draw::{Series, curve as draw_curve, legend};
use crate::error::Result;
use crate::schedule::{Schedule, Shape};

/// Columns and rows of a plot on a terminal.
const COLUMNS: usize = 64;
const ROWS: usize = 6;
/// Points of a curve in a figure.
const POINTS: u64 = 1_200;
const WIDTH: usize = 860;
const HEIGHT: usize = 480;

/// One run's learning rate.
#[derive(Debug, Clone)]
pub struct Curve {
    /// What it is called.
    pub label: String,
    /// The shape, laid over a run.
    pub schedule: Schedule,
    /// The base rate.
    pub lr: f64,
}

impl Curve {
    /// The learning rate of a step.
    pub fn rate(&self, step: u64) -> f64 {
        self.lr * self.schedule.multiplier(step)
    }

    fn epochs(&self, step: u64) -> f64 {
        step as f64 / self.schedule.steps_per_epoch.max(1) as f64
    }

    /// The levels between which the cosine-tail ends, as shares of the base rate.
    fn levels(&self) -> Vec<(&'static str, f64)> {
        match self.schedule.shape {
            Shape::CosineTail { floor, tail_end, .. } => vec![("floor", floor), ("tail ends at", tail_end)],
            Shape::Cosine { .. } | Shape::Trapezoid => Vec::new(),
        }
    }

    /// "warm-up ends at epoch 0.62 (step 500), …".
    fn facts(&self) -> String {
        let marks = self.schedule.marks().into_iter();
        let marks = marks.map(|(name, step)| format!("{name} at epoch {} (step {step})", short(self.epochs(step))));
        let levels = self.levels().into_iter().map(|(name, share)| format!("{name} {:e}", share * self.lr));
        marks.chain(levels).collect::<Vec<_>>().join(", ")
    }

    /// Blocks in a frame, marks as notches of its lower edge, and what they mean.
    pub fn text(&self) -> String {
        let total = self.schedule.total_steps;
        let step = |column: usize| ((column as f64 + 0.5) / COLUMNS as f64 * total as f64) as u64;
        let heights: Vec<f64> =
            (0..COLUMNS).map(|column| ROWS as f64 * self.schedule.multiplier(step(column))).collect();
        let mut text =
            format!("{}: {} epochs, {total} steps, base rate {:e}\n", self.label, short(self.epochs(total)), self.lr);
        for row in (0..ROWS).rev() {
            let label = if row == ROWS - 1 { format!("{:e}", self.lr) } else { String::new() };
            let blocks: String = heights.iter().map(|height| block(height - row as f64)).collect();
            let _ = writeln!(text, "{label:>8} │{}", blocks.trim_end());
        }
        let mut edge = vec!['─'; COLUMNS + 1];
        for (_, step) in self.schedule.marks() {
            edge[(step as f64 / total.max(1) as f64 * COLUMNS as f64).round() as usize] = '┴';
        }
        let _ = writeln!(text, "{:>8} └{}", 0, edge.into_iter().collect::<String>());
        let _ = writeln!(text, "{:>8}  {}", "", self.facts());
        text
    }
}

/// An eighth-block as high as `height` of a row's 1.
fn block(height: f64) -> char {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    BLOCKS[(height.clamp(0.0, 1.0) * 8.0).round() as usize]
}

/// Two decimals at most.
fn short(x: f64) -> String {
    ((x * 100.0).round() / 100.0).to_string()
}

/// A line for each step: step, epoch at its end, the rate of every curve; empty after a run's end.
pub fn csv(curves: &[Curve]) -> String {
    let labels = curves.iter().map(|curve| curve.label.as_str());
    let mut text = ["step", "epoch"].into_iter().chain(labels).collect::<Vec<_>>().join(",") + "\n";
    let longest = curves.iter().max_by_key(|curve| curve.schedule.total_steps);
    for step in 0..longest.map_or(0, |curve| curve.schedule.total_steps) {
        let epoch = longest.map_or(0.0, |curve| curve.epochs(step + 1));
        let _ = write!(text, "{},{epoch}", step + 1);
        for curve in curves {
            let within = step < curve.schedule.total_steps;
            let _ = if within { write!(text, ",{}", curve.rate(step)) } else { write!(text, ",") };
        }
        text.push('\n');
    }
    text
}

/// Draws the curves over each other as PNG or SVG, whichever the name of `path` says.
pub fn save(path: &Path, curves: &[Curve]) -> Result<()> {
    let mut canvas = Canvas::for_file(path, WIDTH, HEIGHT)?;
    let (width, height) = canvas.size();
    let most = |of: fn(&Curve) -> f64| curves.iter().map(of).fold(0.0, f64::max);
    let (epochs, rate) = (most(|curve| curve.epochs(curve.schedule.total_steps)), most(|curve| curve.lr));
    let axes = Axes {
        left: 84.0,
        top: 96.0,
        right: width - 28.0,
        bottom: height - 52.0,
        x: (0.0, if epochs > 0.0 { epochs } else { 1.0 }),
        y: (0.0, if rate > 0.0 { 1.06 * rate } else { 1.0 }),
    };
    title(&mut canvas, axes.left, "Learning rate", "")?;
    let series: Vec<Series> = curves.iter().map(series).collect();
    legend(&mut canvas, axes.left, &series)?;
    axes.y_ticks(&mut canvas, &round_ticks(axes.y, 5), true)?;
    axes.x_ticks(&mut canvas, &round_ticks(axes.x, 10), false)?;
    axes.labels(&mut canvas, "epoch", "learning rate")?;
    let mut said = Vec::new();
    for curve in curves {
        for (name, share) in curve.levels() {
            let y = axes.at(0.0, share * curve.lr).1;
            if said.contains(&(name, y as i64)) {
                continue;
            }
            canvas.dashed((axes.left, y), (axes.right, y), 1.2, MUTED)?;
            let label = format!("{name} {} %", short(100.0 * share));
            canvas.text((axes.left + 8.0, y - 9.0), Align::Left, TICK_TEXT, MUTED, &label)?;
            said.push((name, y as i64));
        }
    }
    for (series, color) in series.iter().zip(SERIES.iter().cycle()) {
        draw_curve(&mut canvas, &axes, series, *color)?;
    }
    let mut places: Vec<(f64, f64)> = Vec::new();
    for (curve, color) in curves.iter().zip(SERIES.iter().cycle()) {
        for (name, step) in curve.schedule.marks() {
            let (x, y) = axes.at(curve.epochs(step), curve.rate(step.saturating_sub(1)));
            canvas.dot((x, y), 4.5, color)?;
            // Curves that share a mark name it once; a name that would lie on another goes above it.
            if places.iter().any(|&(px, py)| (px - x).abs() < 2.0 && (py - y).abs() < 2.0) {
                continue;
            }
            let near = places.iter().filter(|&&(px, py)| (px - x).abs() < 130.0 && (py - y).abs() < 14.0).count();
            let align = if x > axes.right - 140.0 { Align::Right } else { Align::Left };
            let offset = if align == Align::Right { -8.0 } else { 8.0 };
            canvas.text((x + offset, y - 11.0 - 14.0 * near as f64), align, TICK_TEXT, INK, name)?;
            places.push((x, y));
        }
    }
    canvas.save(path)
}

/// Enough points for a figure, the marks among them so that corners stay sharp.
fn series(curve: &Curve) -> Series {
    let total = curve.schedule.total_steps;
    let mut steps: Vec<u64> = (0..=POINTS).map(|i| i * total.saturating_sub(1) / POINTS).collect();
    steps.extend(
        curve
            .schedule
            .marks()
            .into_iter()
            .flat_map(|(_, step)| [step.saturating_sub(1), step.min(total.saturating_sub(1))]),
    );
    steps.sort_unstable();
    steps.dedup();
    let points = steps.into_iter().map(|step| (curve.epochs(step), curve.rate(step))).collect();
    Series { label: curve.label.clone(), points, spread: Vec::new() }
}
