//! A corpus for whoever has none: composed, performed and rendered here, the same bytes for the same seed.
//!
//! [`style`] declares the composers; [`compose`] writes a piece in one's style from [`theory`], [`tune`] and
//! [`texture`]; [`perform`] plays it; [`crate::data::render`] makes it audible; [`corpus`] lays it out as a data set.

pub mod compose;
pub mod corpus;
pub mod perform;
pub mod score;
pub mod style;
pub mod texture;
pub mod theory;
pub mod tune;

pub use corpus::{Options, Size, Summary, compose_corpus};
