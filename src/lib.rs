//! # Descant
//!
//! One shared embedding space for piano audio and MIDI: a recording finds its MIDI and a MIDI finds its recording.
//!
//! The way through the house:
//!
//! 1. [`data`]: performances (MAESTRO's layout, or composed here) become four-second segments of audio and notes.
//! 2. [`descriptors`]: what musicians would measure by hand, A4 of audio and D4 of MIDI.
//! 3. [`arms`] says which descriptor enters which encoder and how; [`model`] builds it from the layers of [`nn`].
//! 4. [`ops`] are the differentiable operations on [`tensor`]s; [`tape`] runs them backwards; [`device`] is what they run on.
//! 5. [`train`]: batches, the [`loss`], steps of [`optim`] along a [`schedule`], checkpoints, logs.
//! 6. [`eval`] asks whether matches are found, beside chance and what needs no learning; [`report`] draws it.
//! 7. [`validate`] asks a trained model what it does with all that.
//! 8. [`sweep`] trains many of them.
//!
//! [`cli`] puts these behind the verbs of the `engine` program, with the settings of [`config`].

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
pub mod loss;
pub mod model;
pub mod nn;
pub mod npy;
pub mod ops;
pub mod optim;
pub mod progress;
pub mod random;
pub mod report;
pub mod schedule;
pub mod selftest;
pub mod sweep;
pub mod tape;
pub mod tensor;
pub mod train;
pub mod validate;

pub use error::{Error, Result};

/// Compiles and runs what a page of documentation shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/adding-a-descriptor.md")]
pub struct AddingADescriptor;
