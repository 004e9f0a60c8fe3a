//! Sweeps: one run for every combination of the values that some keys of `engine train` take.
//!
//! [`grid`] turns the values into cells, [`state`] keeps the account of them in `sweep.json`, [`local`] trains them in processes of
//! their own on this machine.

pub mod grid;
pub mod local;
pub mod state;
