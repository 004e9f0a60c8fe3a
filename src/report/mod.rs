//! Figures: a small canvas with good type and smooth edges, charts on top of it.

pub mod a4_figure;
pub mod axes;
pub mod bars;
pub mod canvas;
pub mod d4_figure;
pub mod draw;
pub mod figures;
mod legend;
mod lettering;
mod marks;
pub mod page;
pub mod rows_figure;
pub mod run;
pub mod schedule_figure;
mod svg;
pub mod table;
