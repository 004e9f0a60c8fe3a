//! The validation battery (paper, section 5): what a trained model does with its descriptors, how alike its encoders are, what it is
//! sensitive to; every figure beside the paper's, its interval, and what chance gives.
//!
//! | what | file |
//! |---|---|
//! | what a test is | [`test`](mod@test) |
//! | what it asks about | [`subject`] |
//! | what it finds | [`findings`], [`figure`] |
//! | where that is kept | [`cache`] |
//! | the battery | [`battery`] |
//! | its page | [`report`] |
//! | what the paper found, and claims | [`paper`], [`claims`] |
//!
//! Each test is a file here, and a line in [`ALL`].

mod alignment;
mod attention;
pub mod bands;
pub mod battery;
pub mod cache;
pub mod causal;
pub mod claims;
mod clips;
pub mod controls;
pub mod figure;
pub mod findings;
mod invariance;
mod judge;
mod maps;
pub mod paper;
mod perturbation;
mod probes;
pub mod replication;
pub mod report;
pub mod scoreboard;
pub mod siblings;
mod space;
pub mod subject;
pub mod test;
mod text;
mod transposition;

use test::Test;

/// Every test, in the order they are run and reported.
pub static ALL: &[&dyn Test] = &[
    &causal::Causal,
    &controls::Controls,
    &probes::Probes,
    &transposition::Transposition,
    &alignment::Alignment,
    &bands::Bands,
    &invariance::Invariance,
    &maps::Maps,
    &scoreboard::Scoreboard,
    &attention::AttentionMaps,
    &replication::Replication,
];
