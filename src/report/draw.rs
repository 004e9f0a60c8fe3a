//! Ready-made figures: curves with baselines, and maps of values as colour.

use std::path::Path;

use plotters::style::{Color, RGBColor};

use super::axes::{Axes, LABEL_TEXT, TICK_TEXT, round_ticks, title as draw_title};
use super::canvas::{Align, Canvas, GRID, INK, MUTED, SERIES};
use super::legend::{self, Swatch};
use crate::error::Result;

/// Width of a line chart, in pixels.
const WIDTH: usize = 860;
/// Height of a line chart, in pixels.
const HEIGHT: usize = 480;
/// Up to this many points a series shows each of them as a dot.
const DOTS: usize = 40;

/// One curve of a [`line_chart`].
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// (x, y); a point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
    /// Half the height of a shaded band about each point (a standard deviation, say); empty = none.
    pub spread: Vec<f64>,
}

/// A dashed horizontal line of a [`line_chart`]: a baseline or a level to reach.
#[derive(Clone, Debug)]
pub struct HLine {
    /// Written on the line.
    pub label: String,
    /// Where it lies.
    pub y: f64,
}

/// Draws curves over a common x, with dashed baselines, as PNG.
pub fn line_chart(
    path: &Path,
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[Series],
    hlines: &[HLine],
) -> Result<()> {
    let mut canvas = Canvas::for_file(path, WIDTH, HEIGHT)?;
    let (width, height) = canvas.size();
    let axes = Axes {
        left: 64.0,
        top: 92.0,
        right: width - 28.0,
        bottom: height - 52.0,
        x: range(series.iter().flat_map(|s| s.points.iter().map(|p| p.0)), 0.0),
        y: y_range(series, hlines),
    };
    draw_title(&mut canvas, axes.left, title, "")?;
    legend(&mut canvas, axes.left, series)?;
    axes.y_ticks(&mut canvas, &round_ticks(axes.y, 5), true)?;
    axes.x_ticks(&mut canvas, &round_ticks(axes.x, 10), false)?;
    axes.labels(&mut canvas, x_label, y_label)?;
    for line in hlines.iter().filter(|h| h.y.is_finite()) {
        canvas.dashed(axes.at(axes.x.0, line.y), axes.at(axes.x.1, line.y), 1.5, MUTED)?;
    }
    for (s, color) in series.iter().zip(SERIES.iter().cycle()) {
        curve(&mut canvas, &axes, s, *color)?;
    }
    baseline_labels(&mut canvas, &axes, series, hlines)?;
    canvas.save(path)
}

/// The smallest range that holds every finite value, with a margin on either side.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let (low, high) = values
        .filter(|x| x.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return (0.0, 1.0);
    }
    let slack = if high > low { margin * (high - low) } else { 0.5 };
    (low - slack, high + slack)
}

/// The range of a chart's y axis: from 0 where no value is below and 0 is not far.
fn y_range(series: &[Series], hlines: &[HLine]) -> (f64, f64) {
    let levels = || hlines.iter().map(|h| h.y);
    let (lowest, highest) = range(series.iter().flat_map(|s| s.points.iter().map(|p| p.1)).chain(levels()), 0.0);
    let (low, high) = range(series.iter().flat_map(extent).chain(levels()), 0.06);
    if lowest >= 0.0 && lowest < 0.6 * highest { (0.0, high) } else { (low, high) }
}

/// Every y that a series reaches, its band included.
fn extent(series: &Series) -> impl Iterator<Item = f64> + '_ {
    let spread = series.spread.iter().copied().chain(std::iter::repeat(0.0));
    series.points.iter().zip(spread).flat_map(|(p, s)| [p.1 - s, p.1 + s])
}

pub(super) fn legend(canvas: &mut Canvas, left: f64, series: &[Series]) -> Result<()> {
    let colors = SERIES.iter().cycle();
    let entries: Vec<_> = series.iter().zip(colors).map(|(s, color)| (Swatch::Line(*color), s.label.clone())).collect();
    let right = canvas.size().0 - left / 2.0;
    legend::draw(canvas, (left, 54.0), right, &entries).map(drop)
}

pub(super) fn curve(canvas: &mut Canvas, axes: &Axes, series: &Series, color: RGBColor) -> Result<()> {
    let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let banded: Vec<_> = series.points.iter().copied().zip(series.spread.iter().copied()).collect();
    for run in banded.split(|(p, s)| !finite(p) || !s.is_finite()).filter(|run| run.len() > 1) {
        let upper = run.iter().map(|((x, y), s)| axes.at(*x, y + s));
        let lower = run.iter().rev().map(|((x, y), s)| axes.at(*x, (y - s).max(axes.y.0)));
        canvas.polygon(&upper.chain(lower).collect::<Vec<_>>(), color.mix(0.18))?;
    }
    for run in series.points.split(|p| !finite(p)) {
        let path: Vec<_> = run.iter().map(|&(x, y)| axes.at(x, y)).collect();
        canvas.line(&path, 2.5, color)?;
        if series.points.len() <= DOTS {
            path.iter().try_for_each(|&p| canvas.dot(p, 4.0, color))?;
        }
    }
    Ok(())
}

/// Writes each baseline's label above or below its line, where it hides least of the curves, other labels and other lines.
fn baseline_labels(canvas: &mut Canvas, axes: &Axes, series: &[Series], hlines: &[HLine]) -> Result<()> {
    const HALF_HEIGHT: f64 = 10.0;
    let heights: Vec<f64> = hlines.iter().map(|line| axes.at(axes.x.0, line.y).1).filter(|y| y.is_finite()).collect();
    let mut taken: Vec<(f64, f64)> = series.iter().flat_map(|s| dense(axes, &s.points)).collect();
    for line in hlines.iter().filter(|h| h.y.is_finite()) {
        let (_, y) = axes.at(axes.x.0, line.y);
        let width = canvas.text_width(TICK_TEXT, &line.label)?;
        let clashes = |&(left, middle): &(f64, f64)| {
            let hit = |p: &&(f64, f64)| (left..left + width).contains(&p.0) && (p.1 - middle).abs() < 1.5 * HALF_HEIGHT;
            let struck = heights.iter().filter(|&&other| (other - middle).abs() < 0.8 * HALF_HEIGHT).count();
            taken.iter().filter(hit).count() + struck * width as usize
        };
        let lefts = [axes.left + 8.0, axes.right - 8.0 - width, (axes.left + axes.right - width) / 2.0];
        let sides = [y - HALF_HEIGHT, y + HALF_HEIGHT];
        let places = sides.into_iter().flat_map(|middle| lefts.map(|left| (left, middle)));
        let (left, middle) = places.min_by_key(clashes).unwrap_or((axes.left, y));
        canvas.text((left, middle), Align::Left, TICK_TEXT, INK, &line.label)?;
        taken.extend((0..=width as usize).map(|i| (left + i as f64, middle)));
    }
    Ok(())
}

/// Canvas points a few pixels apart along a curve.
fn dense(axes: &Axes, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const STEPS: usize = 32;
    let between = |pair: &[(f64, f64)], i: usize| {
        let u = i as f64 / STEPS as f64;
        axes.at(pair[0].0 + u * (pair[1].0 - pair[0].0), pair[0].1 + u * (pair[1].1 - pair[0].1))
    };
    points.windows(2).flat_map(|pair| (0..=STEPS).map(move |i| between(pair, i))).collect()
}

/// Values in a rectangle, to be shown as colour.
pub struct HeatMap<'a> {
    /// Row-major [rows, columns]; row 0 is drawn at the top.
    pub values: &'a [f32],
    /// Number of columns.
    pub columns: usize,
    /// Names of the rows, or empty.
    pub row_labels: &'a [String],
    /// Names of the columns, or empty.
    pub column_labels: &'a [String],
    /// Values at the pale and at the dark end of the colours.
    pub range: (f64, f64),
}

/// Draws a matrix as colour with a bar that explains it, as PNG; a cell that is not finite stays grey.
pub fn heat_map(path: &Path, title: &str, x_label: &str, y_label: &str, unit: &str, map: &HeatMap) -> Result<()> {
    let columns = map.columns.max(1);
    let rows = (map.values.len() / columns).max(1);
    let mut canvas = Canvas::for_file(path, WIDTH, HEIGHT)?;
    let (width, height) = canvas.size();
    let axes = Axes {
        left: 110.0,
        top: 76.0,
        right: width - 96.0,
        bottom: height - 52.0,
        x: (0.0, columns as f64),
        y: (rows as f64, 0.0),
    };
    let (low, high) = map.range;
    canvas.cells((axes.left, axes.top), (axes.right, axes.bottom), (columns, rows), |row, column| {
        match map.values.get(row * columns + column) {
            Some(value) if value.is_finite() => ramp((f64::from(*value) - low) / (high - low)),
            _ => GRID,
        }
    });
    draw_title(&mut canvas, axes.left, title, "")?;
    let centred = |labels: &[String]| labels.iter().enumerate().map(|(i, l)| (i as f64 + 0.5, l.clone())).collect();
    let ticks = |labels: &[String], range: (f64, f64)| -> Vec<(f64, String)> {
        if labels.is_empty() { round_ticks(range, 8) } else { centred(labels) }
    };
    axes.x_ticks(&mut canvas, &ticks(map.column_labels, axes.x), false)?;
    axes.y_ticks(&mut canvas, &ticks(map.row_labels, (0.0, rows as f64)), false)?;
    axes.labels(&mut canvas, x_label, y_label)?;
    color_bar(&mut canvas, (axes.right + 18.0, axes.top), axes.bottom, map.range, unit)?;
    canvas.save(path)
}

/// The scale of [`ramp`] as a bar 14 pixels wide, from `top` down to `bottom`.
pub fn color_bar(canvas: &mut Canvas, top: (f64, f64), bottom: f64, range: (f64, f64), unit: &str) -> Result<()> {
    let bar = Axes { left: top.0, top: top.1, right: top.0 + 14.0, bottom, x: (0.0, 1.0), y: range };
    canvas.paint((bar.left, bar.top), (bar.right, bar.bottom), |_, v| ramp(1.0 - v));
    for (value, label) in round_ticks(range, 5) {
        let (x, y) = bar.at(1.0, value);
        canvas.text((x + 6.0, y), Align::Left, TICK_TEXT, MUTED, &label)?;
    }
    canvas.text((bar.left, bar.top - 14.0), Align::Left, LABEL_TEXT, INK, unit)
}

/// The colour of a share 0 to 1 (clamped; NaN is 0): white through blue to near black, ever darker so that it also prints.
pub fn ramp(share: f64) -> RGBColor {
    const STOPS: [[f64; 3]; 5] =
        [[255.0, 255.0, 255.0], [206.0, 221.0, 240.0], [120.0, 164.0, 214.0], [48.0, 94.0, 160.0], [14.0, 28.0, 66.0]];
    let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
    let at = share * (STOPS.len() - 1) as f64;
    let i = (at as usize).min(STOPS.len() - 2);
    let channel = |c: usize| (STOPS[i][c] + (at - i as f64) * (STOPS[i + 1][c] - STOPS[i][c])).round() as u8;
    RGBColor(channel(0), channel(1), channel(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where figures are kept for looking at, if the developer names a folder.
    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let kept = std::env::var_os("DESCANT_FIGURES").map(Into::into);
        let path = kept.unwrap_or_else(|| temp.path().to_path_buf());
        (temp, path)
    }

    /// Width and height of a PNG, and how many of its pixels are not white.
    fn png_ink(path: &Path) -> (u32, u32, usize) {
        let mut reader = png::Decoder::new(std::fs::File::open(path).unwrap()).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels.chunks(3).filter(|p| *p != [255, 255, 255]).count())
    }

    #[test]
    fn line_charts_draw_even_what_is_odd() {
        let (_temp, folder) = folder();
        let path = folder.join("line.png");
        let curve = |label: &str, offset: f64| Series {
            label: label.into(),
            points: (1..=12).map(|e| (e.into(), 90.0 * (1.0 - (-f64::from(e) / 3.0 - offset).exp()))).collect(),
            spread: vec![3.0; 12],
        };
        let series = [curve("a4r, mean ± SD of 3 seeds", 0.0), curve("d0", -0.3)];
        let hline = |label: &str, y| HLine { label: label.into(), y };
        let hlines = [hline("chance", 3.9), hline("pitch classes", 54.0), hline("pitch classes × 8 time slices", 98.0)];
        line_chart(&path, "Retrieval of unseen pieces", "epoch", "S (%)", &series, &hlines).unwrap();
        let (width, height, ink) = png_ink(&path);
        assert_eq!((width, height), (WIDTH as u32, HEIGHT as u32));
        assert!(ink > 5_000, "{ink}");

        let odd = Series { points: vec![(0.0, f64::NAN), (1e300, -1e300), (2.0, f64::INFINITY)], ..Series::default() };
        line_chart(&folder.join("odd.png"), "", "", "", &[odd, Series::default()], &[hline("", f64::NAN)]).unwrap();
    }

    #[test]
    fn heat_maps_draw() {
        let (_temp, folder) = folder();
        let path = folder.join("heat.png");
        let values: Vec<f32> = (0..6 * 9).map(|i| (i as f32 * 0.7).sin()).chain([f32::NAN; 9]).collect();
        let rows: Vec<String> = (0..7).map(|i| format!("row {i}")).collect();
        let map = HeatMap { values: &values, columns: 9, row_labels: &rows, column_labels: &[], range: (-1.0, 1.0) };
        heat_map(&path, "A map", "column", "", "value", &map).unwrap();
        assert!(png_ink(&path).2 > 100_000);
    }

    #[test]
    fn ramp_only_darkens() {
        let lightness = |share| {
            let RGBColor(r, g, b) = ramp(share);
            u32::from(r) + u32::from(g) + u32::from(b)
        };
        assert!((0..100).all(|i| lightness(f64::from(i) / 100.0) > lightness(f64::from(i + 1) / 100.0)));
        assert_eq!((lightness(f64::NAN), lightness(-3.0)), (765, 765));
    }
}
