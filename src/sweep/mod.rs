//! Sweeps: one run for every combination of the values that some keys of `engine train` take.
//!
//! [`grid`] turns the values into cells, [`state`] keeps the account of them in `sweep.json`. [`local`] trains them in processes of
//! their own on this machine, as many at a time as [`jobs`] says; [`slurm`] gives them to a cluster. [`outcome`] is what a cell left
//! behind.

pub mod grid;
pub mod jobs;
pub mod local;
pub mod outcome;
pub mod slurm;
pub mod state;
