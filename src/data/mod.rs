//! Audio and MIDI in, training segments out.
pub mod note;
