//! A descriptor as a picture: a stripe for each feature, its values as shades over time.

use std::path::Path;

use super::axes::{Axes, TICK_TEXT, round_ticks, title};
use super::canvas::{Align, Canvas, MUTED};
use super::draw::ramp;
use crate::error::Result;

const WIDTH: usize = 1120;
const HEIGHT: usize = 560;

/// What the figure shows.
pub struct FeatureFigure<'a> {
    /// Title, and a line of explanation under it.
    pub title: &'a str,
    pub note: &'a str,
    /// Row-major [frames, features], the frames evenly spread over the time.
    pub values: &'a [f32],
    /// What each feature is.
    pub columns: &'a [String],
    /// Seconds, from and to.
    pub time: (f64, f64),
}

impl FeatureFigure<'_> {
    /// Draws the figure as PNG: white is the smallest value of all features, the darkest shade the largest.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut canvas = Canvas::for_file(path, WIDTH, HEIGHT)?;
        let (width, height) = canvas.size();
        let dims = self.columns.len();
        let axes = Axes {
            left: 220.0,
            top: 96.0,
            right: width - 40.0,
            bottom: height - 54.0,
            x: self.time,
            y: (0.0, dims as f64),
        };
        let frames = self.values.len() / dims;
        let finite = || self.values.iter().copied();
        let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
        canvas.paint((axes.left, axes.top), (axes.right, axes.bottom), |u, v| {
            // The first feature is the lowest stripe.
            let feature = (((1.0 - v) * dims as f64) as usize).min(dims - 1);
            let frame = ((u * frames as f64) as usize).min(frames - 1);
            ramp(f64::from((self.values[frame * dims + feature] - low) / (high - low).max(f32::MIN_POSITIVE)))
        });
        for (i, column) in self.columns.iter().enumerate() {
            let (left, edge) = axes.at(axes.x.0, i as f64);
            let (right, middle) = axes.at(axes.x.1, i as f64 + 0.5);
            canvas.line(&[(left, edge), (right, edge)], 1.0, MUTED)?;
            canvas.text((left - 10.0, middle), Align::Right, TICK_TEXT, MUTED, column)?;
        }
        title(&mut canvas, 20.0, self.title, self.note)?;
        axes.x_ticks(&mut canvas, &round_ticks(axes.x, 10), false)?;
        axes.labels(&mut canvas, "time (s)", "")?;
        canvas.save(path)
    }
}
