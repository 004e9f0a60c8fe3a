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
//! | its page | [`report`] |
//! | what the paper found | [`paper`] |
//!
//! Each test is a file here, and a line in [`ALL`].

pub mod bands;
pub mod battery;
pub mod cache;
pub mod causal;
pub mod controls;
pub mod figure;
pub mod findings;
pub mod paper;
pub mod report;
pub mod replication;
pub mod scoreboard;
pub mod siblings;
pub mod subject;
pub mod test;
mod text;

use test::Test;

/// Every test, in the order they are run and reported.
pub static ALL: &[&dyn Test] =
    &[&causal::Causal, &controls::Controls, &bands::Bands, &scoreboard::Scoreboard, &replication::Replication];
