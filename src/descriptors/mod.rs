//! Hand-designed views of the music that are injected into the encoders (paper section 3.4 and appendix A).
//!
//! A descriptor is one file with one type that implements [`Descriptor`], and one line in [`ALL`]; everything else (arms,
//! training, `engine describe`) finds it there. `docs/adding-a-descriptor.md` adds one step by step.
//!
//! | descriptor | of | shape | tells |
//! |---|---|---|---|
//! | [`a4`] | audio | [188, 8] | how the energy of each octave changes from frame to frame |
//! | [`d4`] | MIDI | [N, 4] | the intervals from each note to its neighbours |
//!
//! [`stft`] is the spectrum under every audio descriptor, [`duration`] the buckets of a note's length.

pub mod a4;
pub mod d4;
pub mod device;
pub mod duration;
pub mod stft;

pub use a4::A4;
pub use d4::D4;

use crate::data::note::Note;
use crate::error::{Error, Result};
use stft::Padding;

/// STFT frames of a 4-s segment: 96,000 samples, hop 512, centred.
pub const FRAMES: usize = 188;

/// Every descriptor there is. Names are looked up here and nowhere else.
pub static ALL: &[&dyn Descriptor] = &[&A4, &D4];

/// A sequence of feature rows computed from a segment.
///
/// # Examples
/// ```
/// use descant::descriptors::stft::Padding;
/// use descant::descriptors::{Domain, Source, find};
///
/// let a4 = find("a4")?;
/// assert_eq!((a4.name(), a4.dims(), a4.domain()), ("A4", 8, Domain::Audio));
/// let rows = a4.compute(Source::Audio { samples: &[0.0; 96_000], padding: Padding::Reflect })?;
/// assert_eq!(rows.len(), 188 * 8);
/// # Ok::<(), descant::error::Error>(())
/// ```
pub trait Descriptor: Sync {
    /// Name for tables; its lower case is what `descriptor=` and `audio=` take.
    fn name(&self) -> &'static str;

    /// One line that says what the rows tell.
    fn about(&self) -> &'static str;

    /// What each column of what enters an encoder means.
    fn columns(&self) -> Vec<String>;

    /// The computation itself, of audio or of notes.
    fn function(&self) -> Function;

    /// The trainable layers that turn the rows of [`Descriptor::compute`] into those that enter an encoder, where there are any.
    fn learned(&self) -> Option<FrontEnd> {
        None
    }

    /// Columns of what enters an encoder.
    fn dims(&self) -> usize {
        self.columns().len()
    }

    /// Columns of [`Descriptor::compute`]: [`Descriptor::dims`], unless layers are trained in between.
    fn computed_dims(&self) -> usize {
        self.learned().map_or(self.dims(), FrontEnd::inputs)
    }

    /// What it describes.
    fn domain(&self) -> Domain {
        match self.function() {
            Function::Audio(_) => Domain::Audio,
            Function::Midi(_) => Domain::Midi,
        }
    }

    /// The rows of a segment, row-major [rows, [`Descriptor::computed_dims`]]: a row for each STFT frame, or for each note.
    ///
    /// # Errors
    /// A source of the other domain.
    fn compute(&self, source: Source<'_>) -> Result<Vec<f32>> {
        match (self.function(), source) {
            (Function::Audio(f), Source::Audio { samples, padding }) => Ok(f(samples, padding)),
            (Function::Midi(f), Source::Midi { notes }) => Ok(f(notes)),
            (_, source) => Err(Error::op(self.name(), "source", self.domain().name(), source.domain().name())),
        }
    }
}

/// What a descriptor computes from, and how: rows by columns, row-major. Any length is valid, and every value is finite.
#[derive(Clone, Copy)]
pub enum Function {
    /// Of samples at 24 kHz, and what the STFT sees beyond their ends.
    Audio(fn(&[f32], Padding) -> Vec<f32>),
    /// Of notes in order of onset, then pitch.
    Midi(fn(&[Note]) -> Vec<f32>),
}

/// What a descriptor describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// Recordings.
    Audio,
    /// Notes.
    Midi,
}

impl Domain {
    /// Name for messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Domain::Audio => "audio",
            Domain::Midi => "MIDI",
        }
    }
}

/// A segment, as one or the other.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Samples at 24 kHz, and what the STFT sees beyond their ends.
    Audio {
        /// In ±1.
        samples: &'a [f32],
        /// Silence, or the mirrored signal.
        padding: Padding,
    },
    /// Notes in order of onset, then pitch.
    Midi {
        /// Only their pitches, velocities, onsets and durations count.
        notes: &'a [Note],
    },
}

impl Source<'_> {
    /// Which of the two it is.
    pub fn domain(self) -> Domain {
        match self {
            Source::Audio { .. } => Domain::Audio,
            Source::Midi { .. } => Domain::Midi,
        }
    }
}

/// Layers between what is computed once and what enters an encoder, trained with the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    /// Filters over the spectrum, their change from frame to frame, and the z-score over the segment.
    OctaveBands,
}

impl FrontEnd {
    /// Columns it reads.
    pub fn inputs(self) -> usize {
        match self {
            FrontEnd::OctaveBands => stft::N_FFT / 2 + 1,
        }
    }
}

/// The descriptor of this name in any case; [`Error::Usage`] names the nearest one otherwise.
pub fn find(name: &str) -> Result<&'static dyn Descriptor> {
    let wanted = name.to_ascii_lowercase();
    let lower = |d: &dyn Descriptor| d.name().to_ascii_lowercase();
    ALL.iter().copied().find(|&d| lower(d) == wanted).ok_or_else(|| {
        let score = |d: &dyn Descriptor| strsim::jaro_winkler(&wanted, &lower(d));
        let nearest = ALL.iter().copied().max_by(|&a, &b| score(a).total_cmp(&score(b))).map_or(String::new(), lower);
        let names: Vec<String> = ALL.iter().map(|&d| lower(d)).collect();
        Error::Usage(format!("unknown descriptor `{name}`; the nearest is `{nearest}` ({})", names.join(", ")))
    })
}

/// Descriptors are told apart by their names.
impl PartialEq for dyn Descriptor {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Descriptor {}

impl std::fmt::Debug for dyn Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_keeps_its_word() {
        let note = |i: u8| Note { pitch: 60 + i, velocity: 64, onset: f64::from(i) * 0.1, duration: 0.2 };
        let notes: Vec<Note> = (0..20).map(note).collect();
        for &descriptor in ALL {
            let width = descriptor.computed_dims();
            assert_eq!(find(&descriptor.name().to_lowercase()).unwrap(), descriptor);
            assert_eq!(descriptor.columns().len(), descriptor.dims(), "{descriptor:?}");
            for n in [0, 1, 2, 20] {
                let audio: Vec<f32> = (0..n * 150).map(|i| (i as f32 * 0.3).sin()).collect();
                let audio = Source::Audio { samples: &audio, padding: Padding::Reflect };
                let midi = Source::Midi { notes: &notes[..n] };
                let (own, other, rows) = match descriptor.domain() {
                    Domain::Audio => (audio, midi, 1 + n * 150 / 512),
                    Domain::Midi => (midi, audio, n),
                };
                let values = descriptor.compute(own).unwrap();
                assert_eq!(values.len(), rows * width, "{descriptor:?} of {n}");
                assert!(values.iter().all(|x| x.is_finite()), "{descriptor:?} of {n}");
                assert!(descriptor.compute(other).is_err());
            }
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_the_nearest_is_named() {
        assert_eq!(find("D4").unwrap().name(), "D4");
        let Err(error) = find("a44") else { panic!("there is none of that name") };
        assert!(error.exit_code() == 2 && error.to_string().contains("`a4`"), "{error}");
    }
}
