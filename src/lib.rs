//! # Descant
//! One shared embedding space for piano audio and MIDI.

pub mod data;
pub mod error;
pub mod io;
pub mod random;
pub mod schedule;

pub use error::{Error, Result};
