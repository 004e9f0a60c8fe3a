//! What A4 divides by, which its own values no longer show: the level of each octave band and how much it changes.

use serde_json::{Value, json};

use super::Moments;
use crate::descriptors::a4::{BAND_NAMES, BANDS, band_hz, difference, log_energies};
use crate::descriptors::stft::Padding;

/// Mean log-magnitudes, and their change from frame to frame, of all windows [.., 8].
#[derive(Default)]
pub struct Octaves {
    levels: Vec<f32>,
    changes: Vec<f32>,
}

impl Octaves {
    /// Takes one more window.
    pub fn push(&mut self, audio: &[f32], padding: Padding) {
        let mut rows = log_energies(audio, padding);
        self.levels.extend_from_slice(&rows);
        difference(&mut rows);
        self.changes.extend_from_slice(&rows);
    }

    /// The moments of A4's `values` beside those of what it is made of, as lines under a heading and as objects.
    pub fn table(&self, values: &[f32]) -> (String, Vec<Value>) {
        let mut text = String::from(
            "level: mean of ln(1 + |X|); change: SD of its difference from frame to frame, which a4 divides by\n\n\
             band   frequency (Hz)   content               level   change |  a4: mean       sd      min      max\n",
        );
        let mut bands = Vec::new();
        for (band, content) in BAND_NAMES.iter().enumerate() {
            let (low, high) = band_hz(band);
            let moments = Moments::of(values, BANDS, band);
            let level = Moments::of(&self.levels, BANDS, band).mean;
            let change = Moments::of(&self.changes, BANDS, band).sd;
            text += &format!(
                "{band:>4}   {low:>6.0} - {high:<6.0} {content:<20} {level:8.3} {change:8.3} |    {moments}\n"
            );
            let mut entry =
                json!({ "band": band, "hz": [low, high], "content": content, "level": level, "change": change });
            moments.add_to(&mut entry);
            bands.push(entry);
        }
        (text, bands)
    }
}
