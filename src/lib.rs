//! # Descant
//! One shared embedding space for piano audio and MIDI.

pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod error;
pub mod io;
pub mod linalg;
pub mod ops;
pub mod random;
pub mod schedule;
pub mod tape;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};
