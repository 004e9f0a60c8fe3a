//! Text on a [`Canvas`]: one font, and another for the few signs that it lacks.

use std::sync::Once;

use epaint_default_fonts::{HACK_REGULAR, UBUNTU_LIGHT};
use plotters::prelude::{DrawingBackend, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, register_font};

use super::canvas::{Align, Canvas};
use crate::error::Result;

/// The registered names of the fonts.
const FONT: &str = "engine";
const SIGNS_FONT: &str = "engine-signs";
/// What the font lacks and the other has.
const SIGNS: [char; 5] = ['→', '←', '↔', '∈', '⟂'];

/// Makes the fonts known to what draws.
pub(super) fn register_fonts() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // A font that is not a font is found at the first text.
        let _ = register_font(FONT, FontStyle::Normal, UBUNTU_LIGHT);
        let _ = register_font(SIGNS_FONT, FontStyle::Normal, HACK_REGULAR);
    });
}

impl Canvas {
    /// One line of text, `size` logical pixels high.
    pub fn text(&mut self, at: (f64, f64), align: Align, size: f64, color: impl Color, text: &str) -> Result<()> {
        self.write(at, align, size, color, text, false)
    }

    /// One line of text from below upwards: its left end is the lower one.
    pub fn text_upwards(
        &mut self,
        at: (f64, f64),
        align: Align,
        size: f64,
        color: impl Color,
        text: &str,
    ) -> Result<()> {
        self.write(at, align, size, color, text, true)
    }

    /// Width of a text in logical pixels.
    pub fn text_width(&mut self, size: f64, text: &str) -> Result<f64> {
        runs(text).into_iter().map(|(font, run)| self.run_width(font, size, run)).sum()
    }

    fn run_width(&mut self, font: &str, size: f64, run: &str) -> Result<f64> {
        let scale = self.scale as f64;
        let (width, _) =
            self.draw(|backend| backend.estimate_text_size(run, &TextStyle::from((font, size * scale))))?;
        Ok(f64::from(width) / scale)
    }

    fn write(
        &mut self,
        at: (f64, f64),
        align: Align,
        size: f64,
        color: impl Color,
        text: &str,
        upwards: bool,
    ) -> Result<()> {
        if let Some(svg) = &mut self.svg {
            svg.text(at, align, size, color.to_rgba(), text, upwards);
            return Ok(());
        }
        let (scale, color) = (self.scale as f64, color.to_rgba());
        let runs = runs(text);
        // One run is anchored as it is; several are laid end to end.
        let (anchor, mut gone) = match (align, runs.len()) {
            (Align::Left, _) => (HPos::Left, 0.0),
            (Align::Center, 0 | 1) => (HPos::Center, 0.0),
            (Align::Right, 0 | 1) => (HPos::Right, 0.0),
            (Align::Center, _) => (HPos::Left, -self.text_width(size, text)? / 2.0),
            (Align::Right, _) => (HPos::Left, -self.text_width(size, text)?),
        };
        for (font, run) in runs {
            let style = TextStyle::from((font, size * scale)).color(&color).pos(Pos::new(anchor, VPos::Center));
            let style = if upwards { style.transform(FontTransform::Rotate270) } else { style };
            let place = if upwards { (at.0, at.1 - gone) } else { (at.0 + gone, at.1) };
            let place = self.device_point(place);
            self.draw(|backend| backend.draw_text(run, &style, place))?;
            gone += self.run_width(font, size, run)?;
        }
        Ok(())
    }
}

/// The text in pieces of one font each.
fn runs(text: &str) -> Vec<(&'static str, &str)> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let signs = SIGNS.contains(&first);
        let end = rest.find(|c| SIGNS.contains(&c) != signs).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        runs.push((if signs { SIGNS_FONT } else { FONT }, run));
        rest = after;
    }
    runs
}
