//! Training: the loop, and what it leaves behind.
//!
//! | step | file |
//! |---|---|
//! | where the data comes from | [`corpus`] |
//! | segments to batches, ahead of the step | [`batches`] |
//! | descriptors replaced by what tells nothing | [`controls`] |
//! | model, parameters, configuration and data together | [`study`] |
//! | the loop, one step | [`run`], [`step`] |
//! | what is saved | [`checkpoint`], [`meta`], [`tensor_file`] |
//! | what is told | [`log`], [`tensorboard`], [`progress`] |
//! | being asked to stop | [`signal`] |

pub mod batches;
pub mod checkpoint;
pub mod controls;
pub mod corpus;
pub mod inputs;
pub mod log;
pub mod meta;
pub mod progress;
pub mod run;
pub mod signal;
pub mod step;
pub mod stepper;
pub mod study;
pub mod tensor_file;
pub mod tensorboard;
