//! Rules between keys, checked before anything is built.

use super::choices::Preset;
use super::declare::Config;
use crate::arms::Family;
use crate::error::{Error, Result};

impl Preset {
    /// The preset itself, or what `auto` stands for here.
    pub(super) fn settled(self, gpu: bool) -> Preset {
        match (self, gpu) {
            (Preset::Auto, true) => Preset::Paper,
            (Preset::Auto, false) => Preset::Small,
            (other, _) => other,
        }
    }
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Usage(message())) }
}

/// `number` (the value of key `name`) must be a multiple of `divisor` (the value of key `by`).
fn divides(name: &str, number: usize, by: &str, divisor: usize) -> Result<()> {
    require(number.is_multiple_of(divisor), || format!("{name}={number}: expected a multiple of {by}={divisor}"))
}

impl Config {
    /// Checks the values against each other.
    pub(super) fn validate(&self) -> Result<()> {
        let arm = self.arm()?;
        require(!matches!(arm.family, Family::ThirdTower(_)) || arm.audio.is_some(), || {
            "family: a third tower reads the descriptor of the audio encoder: expected audio=DESCRIPTOR:MECHANISM, found none".into()
        })?;
        let (audio, midi) = (&self.model.audio, &self.model.midi);
        for channels in audio.cnn {
            divides("model.audio.cnn", channels, "model.audio.groups", audio.groups)?;
        }
        require(audio.cnn[3] == audio.d, || {
            format!("model.audio.d={}: expected the last of model.audio.cnn, which is {}", audio.d, audio.cnn[3])
        })?;
        divides("model.audio.d", audio.d, "model.audio.heads", audio.heads)?;
        divides("model.midi.d", midi.d, "model.midi.heads", midi.heads)?;
        // Pitch, velocity and duration embeddings take d/2, d/4 and d/4 (paper, table 17).
        require(midi.d.is_multiple_of(4), || format!("model.midi.d={}: expected a multiple of 4", midi.d))?;
        divides("tower.d", self.tower.d, "tower.heads", self.tower.heads)?;
        divides("model.audio.d", audio.d, "inject.heads", self.inject.heads)?;
        divides("model.midi.d", midi.d, "inject.heads", self.inject.heads)?;
        require(self.resume.is_none() || self.init.is_none(), || {
            "init: expected none beside resume, which brings its own parameters".into()
        })
    }
}
