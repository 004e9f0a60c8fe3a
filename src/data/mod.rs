//! Audio and MIDI in, training segments out.
//!
//! | step | file |
//! |---|---|
//! | which recording belongs to which MIDI, piece and split | [`maestro`] |
//! | decode any audio file, bring it to 24 kHz mono | [`audio`], [`resample`] |
//! | keep it on disk, mapped into memory | [`cache`] |
//! | MIDI bytes to timed events to notes, mending what is odd | [`midi`], [`pairing`] |
//! | four-second windows | [`segments`] |
//! | all of that for a folder | [`prepare`] |
//! | what was left out and why | [`quarantine`] |
//! | windows changed at random in training | [`augment`] |
//! | MIDI made audible, by a piano of our own or a SoundFont | [`render`], [`midi_write`] |
//! | a corpus composed from a seed | [`synth`], [`rng`] |
//! | is a folder what its metadata says | [`check`] |

pub mod audio;
pub mod augment;
pub mod cache;
pub mod check;
pub mod maestro;
pub mod midi;
pub mod midi_write;
pub mod note;
pub mod pairing;
pub mod prepare;
pub mod quarantine;
pub mod render;
pub mod resample;
pub mod rng;
pub mod segments;
pub mod synth;

use std::path::Path;

use crate::{Error, Result};

/// Metadata of `path`, which must be a regular file: opening a pipe could wait forever, reading a device never end.
pub(crate) fn regular_file(path: &Path) -> Result<std::fs::Metadata> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "read", e))?;
    if meta.is_file() {
        return Ok(meta);
    }
    Err(Error::input(path, "kind", "a regular file", if meta.is_dir() { "a folder" } else { "a pipe or device" }))
}
