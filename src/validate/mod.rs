//! The validation battery (paper, section 5): what a trained model does with its descriptors, how alike its encoders are, what it is
//! sensitive to; every figure beside the paper's, its interval, and what chance gives.
//!
//! | what | file |
//! |---|---|
//! | what a test is | [`test`] |
//! | what it asks about | [`subject`] |
//! | what it finds | [`findings`], [`figure`] |
//! | where that is kept | [`cache`] |
//! | the battery | [`battery`] |
//! | what the paper found | [`paper`] |
//!
//! Each test is a file here, and a line in [`ALL`].

pub mod alignment;
pub mod battery;
pub mod cache;
mod clips;
pub mod figure;
pub mod findings;
pub mod maps;
pub mod paper;
pub mod probes;
pub mod scoreboard;
pub mod subject;
pub mod test;
mod text;

use test::Test;

/// Every test, in the order they are run and reported.
pub static ALL: &[&dyn Test] = &[&probes::Probes, &alignment::Alignment, &maps::Maps, &scoreboard::Scoreboard];
