//! # Descant
//! One shared embedding space for piano audio and MIDI.

pub mod arms;
pub mod cli;
pub mod config;
pub mod data;
pub mod descriptors;
pub mod device;
pub mod error;
pub mod eval;
#[cfg(test)]
pub(crate) mod golden;
pub mod io;
pub mod linalg;
pub mod model;
pub mod nn;
pub mod npy;
pub mod ops;
pub mod optim;
pub mod progress;
pub mod random;
pub mod report;
pub mod schedule;
pub mod tape;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};
