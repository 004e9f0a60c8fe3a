//! A canvas in logical pixels with smooth edges and its own font, saved as PNG or as SVG: what draws a figure need not know which.
//!
//! Pixels are drawn too large and averaged down, which smooths what plotters draws with hard edges.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use plotters::prelude::{BitMapBackend, DrawingBackend, RGBAColor, RGBColor, ShapeStyle};
use plotters::style::Color;

use super::lettering::register_fonts;
use super::svg::Svg;
use crate::error::{Error, Result};
use crate::io::write_atomic;

/// Device pixels along a logical pixel while drawing; all of them are averaged to one.
const SCALE: usize = 3;
/// The same for print, where two pixels of the file stand for a logical one.
const PRINT_SCALE: usize = 4;
const PRINT_AVERAGED: usize = 2;
/// Largest side of a figure, in logical pixels.
const MAX_SIDE: usize = 8192;

/// A place on the sheet: x and y in logical pixels.
pub type Point = (f64, f64);

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
    /// Device pixels along a logical pixel.
    pub(super) scale: usize,
    /// Device pixels along a pixel of the file.
    averaged: usize,
    /// The sheet as RGB, `scale` times as wide and high; texts are measured with its font in either format.
    pixels: Vec<u8>,
    /// Takes the shapes in place of the pixels.
    pub(super) svg: Option<Svg>,
}

impl Canvas {
    /// As [`Canvas::new`], for a figure that is saved as `path`: an SVG where that ends in `.svg`, pixels otherwise.
    pub fn for_file(path: &Path, width: usize, height: usize) -> Result<Self> {
        if is_svg(path) { Canvas::scalable(width, height) } else { Canvas::new(width, height) }
    }

    /// As [`Canvas::for_file`], with twice as many pixels along each side.
    pub fn for_print(path: &Path, width: usize, height: usize) -> Result<Self> {
        if is_svg(path) {
            return Canvas::scalable(width, height);
        }
        Canvas::scaled(width, height, PRINT_SCALE, PRINT_AVERAGED)
    }

    /// As [`Canvas::new`], to become an SVG.
    pub fn scalable(width: usize, height: usize) -> Result<Self> {
        Ok(Canvas { svg: Some(Svg::default()), ..Canvas::new(width, height)? })
    }

    /// A white sheet of `width` × `height` logical pixels, each 1 to 8192.
    pub fn new(width: usize, height: usize) -> Result<Self> {
        Canvas::scaled(width, height, SCALE, SCALE)
    }

    fn scaled(width: usize, height: usize, scale: usize, averaged: usize) -> Result<Self> {
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(Error::op("canvas", "size", format!("1 to {MAX_SIDE}"), format!("{width} x {height}")));
        }
        register_fonts();
        Ok(Canvas { width, height, scale, averaged, pixels: vec![255; width * height * scale * scale * 3], svg: None })
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
        let (left, right) = (self.device(x0.min(x1)), self.device(x0.max(x1)) - 1);
        let (top, bottom) = (self.device(y0.min(y1)), self.device(y0.max(y1)) - 1);
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
        let path: Vec<_> = points.iter().map(|&p| self.device_point(p)).collect();
        let style =
            ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: self.device(width).max(1) as u32 };
        self.draw(|backend| backend.draw_path(path, &style))
    }

    /// Lines of their own between pairs of points: many of them take little room in an SVG.
    pub fn segments(&mut self, ends: &[(Point, Point)], width: f64, color: impl Color + Copy) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.segments(ends, width, color.to_rgba());
            return Ok(());
        }
        ends.iter().try_for_each(|&(from, to)| self.line(&[from, to], width, color))
    }

    /// A dashed line from `from` to `to`.
    pub fn dashed(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: impl Color + Copy) -> Result<()> {
        self.dashed_path(&[from, to], width, color)
    }

    /// A dashed line through `points`; the dashes run on over its corners.
    pub fn dashed_path(&mut self, points: &[(f64, f64)], width: f64, color: impl Color + Copy) -> Result<()> {
        const DASH: f64 = 6.0;
        const PERIOD: f64 = 10.0;
        let mut gone = 0.0;
        for pair in points.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if !(length > 0.0 && length < 1e5) {
                continue;
            }
            let at = |s: f64| (from.0 + s / length * (to.0 - from.0), from.1 + s / length * (to.1 - from.1));
            let first = (gone / PERIOD).floor() as usize;
            for dash in first..=((gone + length) / PERIOD).floor() as usize {
                let begin = dash as f64 * PERIOD - gone;
                let (begin, end) = (begin.max(0.0), (begin + DASH).min(length));
                if end > begin {
                    self.line(&[at(begin), at(end)], width, color)?;
                }
            }
            gone += length;
        }
        Ok(())
    }

    /// A filled dot.
    pub fn dot(&mut self, center: (f64, f64), radius: f64, color: impl Color) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.dot(center, radius, color.to_rgba());
            return Ok(());
        }
        let (center, radius) = (self.device_point(center), self.device(radius).max(1) as u32);
        self.draw(|backend| backend.draw_circle(center, radius, &ShapeStyle::from(color.to_rgba()).filled(), true))
    }

    /// Filled dots: many of them take little room in an SVG.
    pub fn dots(&mut self, centers: &[(f64, f64)], radius: f64, color: impl Color + Copy) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            // Lines without length have round ends.
            let ends: Vec<_> = centers.iter().map(|&center| (center, center)).collect();
            svg.segments(&ends, 2.0 * radius, color.to_rgba());
            return Ok(());
        }
        centers.iter().try_for_each(|&center| self.dot(center, radius, color))
    }

    /// A filled polygon.
    pub fn polygon(&mut self, corners: &[(f64, f64)], color: impl Color) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.polygon(corners, color.to_rgba());
            return Ok(());
        }
        let corners: Vec<_> = corners.iter().map(|&p| self.device_point(p)).collect();
        self.draw(|backend| backend.fill_polygon(corners, &ShapeStyle::from(color.to_rgba()).filled()))
    }

    /// Paints every device pixel of the rectangle with `color(u, v)`, u and v in 0..1 from its left and upper edge.
    pub fn paint(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), color: impl Fn(f64, f64) -> RGBColor) {
        let clip = |x: i32, side: usize| (x.max(0) as usize).min(side * self.scale);
        let (left, right) = (clip(self.device(x0), self.width), clip(self.device(x1), self.width));
        let (top, bottom) = (clip(self.device(y0), self.height), clip(self.device(y1), self.height));
        if right <= left || bottom <= top {
            return;
        }
        let stride = self.width * self.scale;
        let share = |i: usize, from: usize, to: usize| (i as f64 + 0.5) / (to - from) as f64;
        for y in top..bottom {
            let row = &mut self.pixels[(y * stride + left) * 3..][..(right - left) * 3];
            for (i, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let RGBColor(r, g, b) = color(share(i, left, right), share(y - top, top, bottom));
                *pixel = [r, g, b];
            }
        }
        if let Some(svg) = &mut self.svg {
            let rows = (top..bottom).map(|y| &self.pixels[(y * stride + left) * 3..][..(right - left) * 3]);
            let size = (right - left, bottom - top);
            svg.image((x0.min(x1), y0.min(y1)), (x0.max(x1), y0.max(y1)), size, &rows.collect::<Vec<_>>().concat());
        }
    }

    /// Fills the rectangle with `columns` × `rows` equal cells of `color(row, column)`, row 0 on top; an SVG holds one pixel for each.
    pub fn cells(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        (columns, rows): (usize, usize),
        color: impl Fn(usize, usize) -> RGBColor,
    ) {
        if columns == 0 || rows == 0 {
            return;
        }
        if let Some(svg) = &mut self.svg {
            let colors = (0..rows * columns).map(|i| color(i / columns, i % columns));
            let pixels: Vec<u8> = colors.flat_map(|RGBColor(r, g, b)| [r, g, b]).collect();
            svg.image(from, to, (columns, rows), &pixels);
            return;
        }
        let index = |share: f64, count: usize| ((share * count as f64) as usize).min(count - 1);
        self.paint(from, to, |u, v| color(index(v, rows), index(u, columns)));
    }

    /// Saves the figure as PNG, or as SVG where it was made [for such a file](Canvas::for_file); atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(document) = self.document() {
            return write_atomic(path, |out| out.write_all(document.as_bytes()));
        }
        let size = (self.width * self.scale / self.averaged, self.height * self.scale / self.averaged);
        let pixels = self.averaged(size);
        write_atomic(path, |out| write_png(out, size, &pixels))
    }

    /// The SVG, where it becomes one.
    pub fn document(&self) -> Option<String> {
        self.svg.as_ref().map(|svg| svg.document(self.width, self.height))
    }

    /// The sheet at the size of its file, each pixel the mean of its device pixels.
    fn averaged(&self, (width, height): (usize, usize)) -> Vec<u8> {
        let side = self.averaged;
        let mut out = Vec::with_capacity(width * height * 3);
        let row = self.width * self.scale * 3;
        for rows in self.pixels.chunks_exact(row * side) {
            for x in 0..width {
                for channel in 0..3 {
                    let first = x * side * 3 + channel;
                    let cells = (0..side * side).map(|i| rows[(i / side) * row + first + (i % side) * 3]);
                    out.push((cells.map(usize::from).sum::<usize>() / (side * side)) as u8);
                }
            }
        }
        out
    }

    pub(super) fn draw<T, E: Display>(&mut self, f: impl FnOnce(&mut BitMapBackend) -> Result<T, E>) -> Result<T> {
        let size = ((self.width * self.scale) as u32, (self.height * self.scale) as u32);
        f(&mut BitMapBackend::with_buffer(&mut self.pixels, size))
            .map_err(|e| Error::op("canvas", "shape", "something that can be drawn", e.to_string()))
    }

    /// Logical to device pixels; saturates far outside the sheet, where shapes are clipped.
    fn device(&self, x: f64) -> i32 {
        const FAR: f64 = 1e6;
        (x * self.scale as f64).round().clamp(-FAR, FAR) as i32
    }

    pub(super) fn device_point(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (self.device(x), self.device(y))
    }
}

/// Writes RGB pixels [height, width, 3] as PNG.
pub(super) fn write_png(out: impl Write, (width, height): (usize, usize), pixels: &[u8]) -> std::io::Result<()> {
    let mut encoder = png::Encoder::new(out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}

fn is_svg(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"))
}
