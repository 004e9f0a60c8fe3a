//! Does a recording find its MIDI, and a MIDI its recording?
//!
//! | step | file |
//! |---|---|
//! | what each query is compared with | [`pools`] |
//! | rank the candidates, count what is won | [`retrieval`], [`scores`] |
//! | how sure the figures are | [`bootstrap`] |
//! | the same task without learning anything | [`baselines`] |
//! | the same where recording and notes do not quite fit | [`condition`], [`under`] |
//! | how alike two representations are | [`cka`] |
//! | all of it in one report, and as text | [`canonical`] |

pub mod baselines;
pub mod bootstrap;
pub mod canonical;
pub mod cka;
pub mod condition;
pub mod pools;
pub mod retrieval;
mod retrieval_device;
pub mod scores;
mod table;
pub mod under;
