//! Hand-designed views of the music that are injected into the encoders (paper section 3.4).
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

/// STFT frames of a 4-s segment: 96,000 samples, hop 512, centred.
pub const FRAMES: usize = 188;
