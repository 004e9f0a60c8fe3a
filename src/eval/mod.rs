//! Does a recording find its MIDI, and a MIDI its recording?
//!
//! | step | file |
//! |---|---|
//! | what each query is compared with | [`pools`] |
//! | rank the candidates, count what is won | [`retrieval`], [`scores`] |
//! | how sure the figures are | [`bootstrap`] |
//! | how two systems compare, query by query or over seeds | [`ranks`], [`difference`], [`statistics`] |
//! | the same task without learning anything | [`baselines`] |
//! | the same where recording and notes do not quite fit | [`condition`], [`under`] |
//! | what else a model may be shown in a segment's place | [`view`] |
//! | how alike two representations are, and all layers of two encoders | [`cka`], [`rsa`], [`alignment`] |
//! | what can be read off an embedding | [`probe`], [`targets`] |
//! | all of it in one report, and as text | [`canonical`] |

pub mod alignment;
pub mod baselines;
pub mod bootstrap;
pub mod canonical;
pub mod cka;
pub mod condition;
pub mod difference;
pub mod maps;
pub mod pools;
pub mod probe;
pub mod ranks;
pub mod retrieval;
mod retrieval_device;
pub mod rsa;
pub mod scores;
pub mod statistics;
mod table;
pub mod targets;
pub mod under;
pub mod view;
