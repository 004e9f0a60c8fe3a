//! Hand-designed views of the music that are injected into the encoders (paper, section 3.4 and appendix A).
//!
//! | descriptor | of | shape | tells |
//! |---|---|---|---|
//! | [`a4`] | audio | [188, 8] | how the energy of each octave changes from frame to frame |
//! | [`a7`] | audio | [188, 12] | which just intervals stand between spectral peaks |
//! | [`a8`] | audio | [188, 12] | the energy of each pitch class |
//! | [`a9`] | audio | [188, 12] | A7, rare intervals weighted up |
//! | [`a4_learned`] | audio | [188, 8] | A4 whose filterbank and temporal difference are trained |
//! | [`d4`] | MIDI | [N, 4] | the intervals from each note to its neighbours |
//!
//! A descriptor is one file, one [`Descriptor`], one line in [`ALL`]. [`stft`] is the spectrum under every audio
//! descriptor, [`duration`] the buckets of a note's length.

pub mod a4;
pub mod a4_learned;
pub mod a7;
pub mod a8;
pub mod a9;
pub mod d4;
pub mod device;
pub mod duration;
pub mod stft;

use std::fmt;

pub use a4::A4;
pub use a4_learned::{A4_LEARNED, A4Learned};
pub use a7::A7;
pub use a8::A8;
pub use a9::A9;
pub use d4::D4;

use crate::data::note::Note;
use crate::error::{Error, Result};
use stft::Padding;

/// STFT frames of a 4-s segment: 96,000 samples, hop 512, centred.
pub const FRAMES: usize = 188;

/// Every descriptor, in the order of the paper.
pub static ALL: &[&dyn Descriptor] = &[&A4, &D4, &A7, &A8, &A9, &A4_LEARNED];

/// What a descriptor is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A recording.
    Audio,
    /// Notes.
    Midi,
}

/// Both sides of a segment; a descriptor reads the one of its [`Domain`].
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Samples at 24 kHz.
    pub samples: &'a [f32],
    /// What the STFT sees beyond the ends of the samples.
    pub padding: Padding,
    /// Notes by onset, then pitch.
    pub notes: &'a [Note],
}

impl<'a> Source<'a> {
    /// A recording alone.
    pub fn audio(samples: &'a [f32], padding: Padding) -> Self {
        Source { samples, padding, notes: &[] }
    }

    /// Notes alone.
    pub fn midi(notes: &'a [Note]) -> Self {
        Source { samples: &[], padding: Padding::Reflect, notes }
    }
}

/// A feature sequence of audio (a row per STFT frame) or of MIDI (a row per note).
pub trait Descriptor: Sync {
    /// Name for tables and JSON; settings take it in any case.
    fn name(&self) -> &'static str;

    /// What it is computed from.
    fn domain(&self) -> Domain;

    /// What each column holds; as many as there are features per row.
    fn columns(&self) -> Vec<String>;

    /// One line: what it tells, and where it is defined.
    fn about(&self) -> &'static str;

    /// Row-major [rows, features]: a row per frame (1 + ⌊samples/512⌋) or per note.
    fn compute(&self, source: Source<'_>) -> Vec<f32>;

    /// Features per row as they enter an encoder.
    fn dims(&self) -> usize {
        self.columns().len()
    }

    /// Whether each column is brought to mean 0 and variance 1 over the rows of a sample: what pools over them learns little.
    fn is_standardised(&self) -> bool {
        false
    }

    /// Values per row of what [`Descriptor::compute`] returns; differs from [`Descriptor::dims`] where a trainable front end
    /// makes the features of it.
    fn raw_dims(&self) -> usize {
        self.dims()
    }
}

impl fmt::Debug for dyn Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Descriptor {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// The descriptor of this name in any case; [`Error::Usage`] names the nearest one otherwise.
pub fn find(name: &str) -> Result<&'static dyn Descriptor> {
    let known = ALL.iter().copied().find(|d| d.name().eq_ignore_ascii_case(name));
    known.ok_or_else(|| {
        let names: Vec<String> = ALL.iter().map(|d| d.name().to_lowercase()).collect();
        let nearest = crate::arms::nearest(name, names.iter().map(String::as_str));
        Error::Usage(format!("unknown descriptor `{name}`; the nearest is `{nearest}`; there are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_is_found_has_its_columns_and_stays_finite() {
        for &descriptor in ALL {
            assert!(find(&descriptor.name().to_uppercase()).unwrap() == descriptor);
            for samples in [0, 1, 511, 512, 5000] {
                let audio: Vec<f32> =
                    (0..samples).map(|n| if samples == 5000 { (n as f32).sin() } else { 0.0 }).collect();
                let notes = [Note { pitch: 60, velocity: 64, onset: 0.0, duration: 1.0 }];
                let source = Source { samples: &audio, padding: Padding::Reflect, notes: &notes };
                let rows = if descriptor.domain() == Domain::Audio { 1 + samples / 512 } else { 1 };
                let got = descriptor.compute(source);
                assert_eq!(got.len(), rows * descriptor.raw_dims(), "{}", descriptor.name());
                assert!(got.iter().all(|x| x.is_finite()), "{}", descriptor.name());
            }
        }
        assert!(find("a44").unwrap_err().to_string().contains("nearest is `a4`"));
    }
}
