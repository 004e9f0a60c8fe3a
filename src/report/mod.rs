//! Figures: a small canvas with good type and smooth edges, charts on top of it.

pub mod axes;
pub mod canvas;
pub mod draw;
