//! Shapes of a [`Canvas`](super::canvas::Canvas) as SVG: text stays text, lines stay lines, at any size.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plotters::prelude::RGBAColor;

use super::canvas::{Align, Point, write_png};

/// The canvas measures with Ubuntu; where a reader has none, these are about as wide.
const FONTS: &str = "Ubuntu, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif";

/// The shapes so far.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
}

impl Svg {
    pub(super) fn rectangle(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), color: RGBAColor) {
        let (x, y, width, height) = (number(x0), number(y0), number(x1 - x0), number(y1 - y0));
        let fill = paint("fill", color);
        self.push(format_args!(r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" {fill}/>"#));
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], width: f64, color: RGBAColor) {
        let (points, width, stroke) = (list(points), number(width), paint("stroke", color));
        self.push(format_args!(
            r#"<polyline points="{points}" fill="none" stroke-width="{width}" stroke-linejoin="round" {stroke}/>"#
        ));
    }

    /// Lines of their own as one path; a line without length is a dot.
    pub(super) fn segments(&mut self, ends: &[(Point, Point)], width: f64, color: RGBAColor) {
        // A tenth of a pixel is enough where there are so many, and steps are shorter than places.
        let tenth = |x: f64| number((x * 10.0).round() / 10.0);
        let step = |from: f64, to: f64| number((to * 10.0).round() / 10.0 - (from * 10.0).round() / 10.0);
        let mut path = String::new();
        for &((x0, y0), (x1, y1)) in ends {
            let _ = write!(path, "M{} {}l{} {}", tenth(x0), tenth(y0), step(x0, x1), step(y0, y1));
        }
        let (width, stroke) = (number(width), paint("stroke", color));
        self.push(format_args!(
            r#"<path d="{path}" fill="none" stroke-width="{width}" stroke-linecap="round" {stroke}/>"#
        ));
    }

    pub(super) fn polygon(&mut self, corners: &[(f64, f64)], color: RGBAColor) {
        self.push(format_args!(r#"<polygon points="{}" {}/>"#, list(corners), paint("fill", color)));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, color: RGBAColor) {
        let (x, y, radius, fill) = (number(x), number(y), number(radius), paint("fill", color));
        self.push(format_args!(r#"<circle cx="{x}" cy="{y}" r="{radius}" {fill}/>"#));
    }

    /// One line of text, turned by a quarter to the left about `at` where `upwards`.
    pub(super) fn text(
        &mut self,
        at: (f64, f64),
        align: Align,
        size: f64,
        color: RGBAColor,
        text: &str,
        upwards: bool,
    ) {
        let anchor = match align {
            Align::Left => "start",
            Align::Center => "middle",
            Align::Right => "end",
        };
        // A third of its height under the middle is where the letters of a text stand.
        let turn = if upwards {
            format!(" transform=\"rotate(-90 {} {})\"", number(at.0), number(at.1))
        } else {
            String::new()
        };
        let (x, y, size, fill) = (number(at.0), number(at.1 + size / 3.0), number(size), paint("fill", color));
        let text = escaped(text);
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" {fill}{turn}>{text}</text>"#
        ));
    }

    /// An image of `size` pixels, RGB row by row, stretched between two corners.
    pub(super) fn image(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), size: (usize, usize), pixels: &[u8]) {
        let mut png = Vec::new();
        // Memory takes every byte; an image that could not be encoded would only be absent.
        let _ = write_png(&mut png, size, pixels);
        let (x, y, width, height) = (number(x0), number(y0), number(x1 - x0), number(y1 - y0));
        let data = BASE64_STANDARD.encode(png);
        self.push(format_args!(
            r#"<image x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none" image-rendering="pixelated" href="data:image/png;base64,{data}"/>"#
        ));
    }

    /// The file of a sheet of `width` × `height` logical pixels.
    pub(super) fn document(&self, width: usize, height: usize) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"{FONTS}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        )
    }

    fn push(&mut self, shape: std::fmt::Arguments) {
        let _ = writeln!(self.body, "{shape}");
    }
}

/// Two decimals at most; far outside the sheet, where nothing is seen, what is not finite goes too.
fn number(x: f64) -> String {
    const FAR: f64 = 1e6;
    let x = if x.is_nan() { FAR } else { x.clamp(-FAR, FAR) };
    ((x * 100.0).round() / 100.0 + 0.0).to_string()
}

fn list(points: &[(f64, f64)]) -> String {
    points.iter().map(|&(x, y)| format!("{},{}", number(x), number(y))).collect::<Vec<_>>().join(" ")
}

/// The colour of attribute `name`, with its opacity where that is not 1.
fn paint(name: &str, RGBAColor(r, g, b, alpha): RGBAColor) -> String {
    let opacity = if alpha < 1.0 { format!(" {name}-opacity=\"{}\"", number(alpha)) } else { String::new() };
    format!("{name}=\"#{r:02x}{g:02x}{b:02x}\"{opacity}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::report::canvas::{Align, Canvas, INK};
    use plotters::style::{Color, RGBColor};

    #[test]
    fn shapes_become_elements_and_text_is_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        let mut canvas = Canvas::for_file(&path, 100, 50).unwrap();
        canvas.line(&[(1.0, 2.0), (3.24159, f64::NAN)], 1.5, INK).unwrap();
        canvas.rectangle((9.0, 8.0), (4.0, 5.0), INK.mix(0.5)).unwrap();
        canvas.text((10.0, 10.0), Align::Right, 12.0, INK, "S < 5 & \"é\"").unwrap();
        canvas.paint((0.0, 0.0), (2.0, 1.0), |u, _| if u < 0.5 { RGBColor(255, 0, 0) } else { INK });
        canvas.paint((5.0, 5.0), (5.0, 9.0), |_, _| INK);
        canvas.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n") && text.contains("viewBox=\"0 0 100 50\""));
        assert!(text.contains("points=\"1,2 3.24,1000000\""), "{text}");
        assert!(
            text.contains("x=\"4\" y=\"5\" width=\"5\" height=\"3\" fill=\"#262b36\" fill-opacity=\"0.5\""),
            "{text}"
        );
        assert!(
            text.contains("text-anchor=\"end\"") && text.contains(">S &lt; 5 &amp; &quot;é&quot;</text>"),
            "{text}"
        );
        assert_eq!(text.matches("<image ").count(), 1);
    }
}
