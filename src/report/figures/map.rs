//! Pairs of points in a plane, joined by thin lines.

use plotters::style::Color;

use super::area::{Area, bounds};
use crate::error::Result;
use crate::report::axes::{Axes, TICK_TEXT};
use crate::report::canvas::{Align, Canvas, GRID, MUTED, SERIES};
use crate::report::legend::{self, Swatch};
use crate::validate::figure::MapPair;

/// Recordings and notes: the hues of the page's map.
const AUDIO: plotters::style::RGBColor = SERIES[0];
const MIDI: plotters::style::RGBColor = SERIES[1];

pub(super) fn draw(canvas: &mut Canvas, area: Area, method: &str, pairs: &[MapPair]) -> Result<()> {
    let entries = [
        (Swatch::Dot(AUDIO), "recording".to_owned()),
        (Swatch::Dot(MIDI), "its MIDI".to_owned()),
        (Swatch::Line(MUTED), "a matching pair".to_owned()),
    ];
    let top = area.top + 8.0 + legend::draw(canvas, (area.left, area.top + 10.0), area.right, &entries)?;
    let note = format!("{method}, {} pairs; distances have no unit", pairs.len());
    canvas.text((area.right, area.top + 10.0), Align::Right, TICK_TEXT, MUTED, &note)?;
    let points = || pairs.iter().flat_map(|pair| [pair.audio, pair.midi]);
    let range = |(low, high): (f64, f64)| {
        let air = if high > low { 0.03 * (high - low) } else { 0.5 };
        if low > high { (0.0, 1.0) } else { (low - air, high + air) }
    };
    let x = range(bounds(points().map(|point| point.0.into())));
    let y = range(bounds(points().map(|point| point.1.into())));
    let axes = Axes { left: area.left, top, right: area.right, bottom: area.bottom, x, y };
    axes.frame(canvas, GRID)?;
    let at = |(x, y): (f32, f32)| axes.at(x.into(), y.into());
    let finite = |(x, y): (f32, f32)| x.is_finite() && y.is_finite();
    let whole: Vec<&MapPair> = pairs.iter().filter(|pair| finite(pair.audio) && finite(pair.midi)).collect();
    // Fewer pairs are drawn larger.
    let radius = (70.0 / (whole.len().max(1) as f64).sqrt()).clamp(1.8, 5.0);
    let lines: Vec<_> = whole.iter().map(|pair| (at(pair.audio), at(pair.midi))).collect();
    canvas.segments(&lines, 0.7, MUTED.mix(0.45))?;
    let dots = |side: fn(&MapPair) -> (f32, f32)| whole.iter().map(|pair| at(side(pair))).collect::<Vec<_>>();
    canvas.dots(&dots(|pair| pair.audio), radius, AUDIO.mix(0.8))?;
    canvas.dots(&dots(|pair| pair.midi), radius, MIDI.mix(0.8))
}
