//! A canvas in logical pixels with smooth edges and its own font, saved as PNG or as SVG: what draws a figure need not know which.
//!
//! Pixels are drawn `SCALE` times too large and averaged down, which smooths what plotters draws with hard edges.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Once;

use epaint_default_fonts::UBUNTU_LIGHT;
use plotters::prelude::{BitMapBackend, DrawingBackend, RGBAColor, RGBColor, ShapeStyle, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, register_font};

use super::svg::Svg;
use crate::error::{Error, Result};
use crate::io::write_atomic;

/// Device pixels along a logical pixel while drawing.
const SCALE: usize = 3;
/// Largest side of a figure, in logical pixels.
const MAX_SIDE: usize = 8192;
/// The registered name of the one font.
const FONT: &str = "engine";

/// Text and axes.
pub const INK: RGBColor = RGBColor(38, 43, 54);
/// Secondary text: units, ticks, notes.
pub const MUTED: RGBColor = RGBColor(98, 106, 122);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(226, 229, 235);
/// Colours of series in order, apart in hue and in lightness.
pub const SERIES: [RGBColor; 6] = [
    RGBColor(28, 100, 190),
    RGBColor(222, 98, 20),
    RGBColor(20, 138, 110),
    RGBColor(160, 60, 150),
    RGBColor(120, 92, 50),
    RGBColor(205, 45, 75),
];

/// Which part of a text lies at the given point; vertically it is the middle of the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Center,
    Right,
}

/// A white sheet; coordinates are logical pixels from the upper left corner, y downwards.
pub struct Canvas {
    width: usize,
    height: usize,
    /// The sheet as RGB, `SCALE` times as wide and high; texts are measured with its font in either format.
    pixels: Vec<u8>,
    /// Takes the shapes in place of the pixels.
    svg: Option<Svg>,
}

impl Canvas {
    /// As [`Canvas::new`], for a figure that is saved as `path`: an SVG where that ends in `.svg`, pixels otherwise.
    pub fn for_file(path: &Path, width: usize, height: usize) -> Result<Self> {
        let mut canvas = Canvas::new(width, height)?;
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
            canvas.svg = Some(Svg::default());
        }
        Ok(canvas)
    }

    /// A white sheet of `width` × `height` logical pixels, each 1 to 8192.
    pub fn new(width: usize, height: usize) -> Result<Self> {
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(Error::op("canvas", "size", format!("1 to {MAX_SIDE}"), format!("{width} x {height}")));
        }
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            // A font that is not a font is found at the first text.
            let _ = register_font(FONT, FontStyle::Normal, UBUNTU_LIGHT);
        });
        Ok(Canvas { width, height, pixels: vec![255; width * height * SCALE * SCALE * 3], svg: None })
    }

    /// Width and height in logical pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width as f64, self.height as f64)
    }

    /// A filled rectangle between two corners.
    pub fn rectangle(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), color: RGBAColor) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.rectangle((x0.min(x1), y0.min(y1)), (x0.max(x1), y0.max(y1)), color);
            return Ok(());
        }
        let end = |x: f64| device(x) - 1;
        let (left, right) = (device(x0.min(x1)), end(x0.max(x1)));
        let (top, bottom) = (device(y0.min(y1)), end(y0.max(y1)));
        if right < left || bottom < top {
            return Ok(());
        }
        self.draw(|backend| backend.draw_rect((left, top), (right, bottom), &ShapeStyle::from(color).filled(), true))
    }

    /// A line through `points`, `width` logical pixels thick.
    pub fn line(&mut self, points: &[(f64, f64)], width: f64, color: impl Color) -> Result<()> {
        if points.len() < 2 {
            return Ok(());
        }
        if let Some(svg) = &mut self.svg {
            svg.line(points, width, color.to_rgba());
            return Ok(());
        }
        let path: Vec<_> = points.iter().map(|&p| device_point(p)).collect();
        let style = ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: device(width).max(1) as u32 };
        self.draw(|backend| backend.draw_path(path, &style))
    }

    /// A dashed line from `from` to `to`.
    pub fn dashed(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: impl Color + Copy) -> Result<()> {
        const DASH: f64 = 6.0;
        const PERIOD: f64 = 10.0;
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |s: f64| {
            let u = (s / length).min(1.0);
            (from.0 + u * (to.0 - from.0), from.1 + u * (to.1 - from.1))
        };
        let dashes = (length / PERIOD).ceil() as usize;
        (0..dashes).map(|i| i as f64 * PERIOD).try_for_each(|s| self.line(&[at(s), at(s + DASH)], width, color))
    }

    /// A filled dot.
    pub fn dot(&mut self, center: (f64, f64), radius: f64, color: impl Color) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.dot(center, radius, color.to_rgba());
            return Ok(());
        }
        let (center, radius) = (device_point(center), device(radius).max(1) as u32);
        self.draw(|backend| backend.draw_circle(center, radius, &ShapeStyle::from(color.to_rgba()).filled(), true))
    }

    /// A filled polygon.
    pub fn polygon(&mut self, corners: &[(f64, f64)], color: impl Color) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.polygon(corners, color.to_rgba());
            return Ok(());
        }
        let corners: Vec<_> = corners.iter().map(|&p| device_point(p)).collect();
        self.draw(|backend| backend.fill_polygon(corners, &ShapeStyle::from(color.to_rgba()).filled()))
    }

    /// One line of text, `size` logical pixels high.
    pub fn text(&mut self, at: (f64, f64), align: Align, size: f64, color: impl Color, text: &str) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.text(at, align, size, color.to_rgba(), text);
            return Ok(());
        }
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let color = color.to_rgba();
        let style = text_style(size).color(&color).pos(Pos::new(h_pos, VPos::Center));
        let at = device_point(at);
        self.draw(|backend| backend.draw_text(text, &style, at))
    }

    /// Width of a text in logical pixels.
    pub fn text_width(&mut self, size: f64, text: &str) -> Result<f64> {
        let (width, _) = self.draw(|backend| backend.estimate_text_size(text, &text_style(size)))?;
        Ok(f64::from(width) / SCALE as f64)
    }

    /// Paints every device pixel of the rectangle with `color(u, v)`, u and v in 0..1 from its left and upper edge.
    pub fn paint(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), color: impl Fn(f64, f64) -> RGBColor) {
        let clip = |x: f64, side: usize| (device(x).max(0) as usize).min(side * SCALE);
        let (left, right) = (clip(x0, self.width), clip(x1, self.width));
        let (top, bottom) = (clip(y0, self.height), clip(y1, self.height));
        if right <= left || bottom <= top {
            return;
        }
        let share = |i: usize, from: usize, to: usize| (i as f64 + 0.5) / (to - from) as f64;
        for y in top..bottom {
            let row = &mut self.pixels[(y * self.width * SCALE + left) * 3..][..(right - left) * 3];
            for (i, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let RGBColor(r, g, b) = color(share(i, left, right), share(y - top, top, bottom));
                *pixel = [r, g, b];
            }
        }
        if let Some(svg) = &mut self.svg {
            let rows = (top..bottom).map(|y| &self.pixels[(y * self.width * SCALE + left) * 3..][..(right - left) * 3]);
            let size = (right - left, bottom - top);
            svg.image((x0.min(x1), y0.min(y1)), (x0.max(x1), y0.max(y1)), size, &rows.collect::<Vec<_>>().concat());
        }
    }

    /// Saves the figure as PNG, or as SVG where it was made [for such a file](Canvas::for_file); atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(svg) = &self.svg {
            return write_atomic(path, |out| out.write_all(svg.document(self.width, self.height).as_bytes()));
        }
        let pixels = self.averaged();
        write_atomic(path, |out| write_png(out, (self.width, self.height), &pixels))
    }

    /// The sheet at its logical size, each pixel the mean of its device pixels.
    fn averaged(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.width * self.height * 3);
        let row = self.width * SCALE * 3;
        for rows in self.pixels.chunks_exact(row * SCALE) {
            for x in 0..self.width {
                for channel in 0..3 {
                    let first = x * SCALE * 3 + channel;
                    let cells = (0..SCALE * SCALE).map(|i| rows[(i / SCALE) * row + first + (i % SCALE) * 3]);
                    out.push((cells.map(usize::from).sum::<usize>() / (SCALE * SCALE)) as u8);
                }
            }
        }
        out
    }

    fn draw<T, E: Display>(&mut self, f: impl FnOnce(&mut BitMapBackend) -> Result<T, E>) -> Result<T> {
        let size = ((self.width * SCALE) as u32, (self.height * SCALE) as u32);
        f(&mut BitMapBackend::with_buffer(&mut self.pixels, size))
            .map_err(|e| Error::op("canvas", "shape", "something that can be drawn", e.to_string()))
    }
}

/// Writes RGB pixels [height, width, 3] as PNG.
pub(super) fn write_png(out: impl Write, (width, height): (usize, usize), pixels: &[u8]) -> std::io::Result<()> {
    let mut encoder = png::Encoder::new(out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}

/// Logical to device pixels; saturates far outside the sheet, where shapes are clipped.
fn device(x: f64) -> i32 {
    const FAR: f64 = 1e6;
    (x * SCALE as f64).round().clamp(-FAR, FAR) as i32
}

fn device_point((x, y): (f64, f64)) -> (i32, i32) {
    (device(x), device(y))
}

fn text_style(size: f64) -> TextStyle<'static> {
    TextStyle::from((FONT, size * SCALE as f64))
}
