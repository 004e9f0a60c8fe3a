//! Differentiable operations, one file each: formula and shapes, forward, backward, test cases.
//!
//! Every operation takes the [`Tape`](crate::tape::Tape) first, checks its arguments, computes its value and records how
//! gradients flow back. `cases()` of each file lists what the gradient suite runs (`tests/ops.rs`).

mod case;
mod choice;
pub mod gram;
mod parallel;
mod ragged;
mod reduce;

pub mod activation;
pub mod add;
pub mod attention;
pub mod batchnorm;
pub mod concat;
pub mod conv_block;
pub mod dropout;
pub mod embedding;
pub mod film;
pub mod gemm;
pub mod interpolate;
pub mod layernorm;
pub mod linear;
pub mod moe;
pub mod pool;
pub mod positions;
pub mod temporal;
pub mod triplet;
pub mod vicreg;
pub mod weighted_sum;

pub use case::{Case, Input, all_cases};
pub(crate) use parallel::{column_sums, elementwise, for_rows, parallel_map, parallel_zip, rowwise};
pub use ragged::Ragged;
