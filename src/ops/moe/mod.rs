//! Mixture of experts (paper, eq. 19): choose experts for each row, sort the rows by expert, let each expert see only its own,
//! and add up what they say.
//!
//! | step | function | file |
//! |---|---|---|
//! | softmax, the k largest | [`gate`] | `gate.rs` |
//! | who goes where | [`Routing`] | `routing.rs` |
//! | rows to experts and back | [`dispatch`], [`combine`] | `route.rs` |
//! | each expert's affine map | [`expert_linear`] | `experts.rs` |
//! | terms that keep all experts in use | [`load_balance`], [`utilisation_entropy`] | `balance.rs` |

mod balance;
mod experts;
mod gate;
mod route;
mod routing;

pub use balance::{load_balance, utilisation_entropy};
pub use experts::expert_linear;
pub use gate::{Gated, gate};
pub use route::{combine, dispatch};
pub use routing::Routing;

use super::add::add;
use super::{Case, Input};
use crate::device::DType;
use crate::error::Result;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    [gate::cases(), route::cases(), experts::cases(), balance::cases()].into_iter().flatten().collect()
}

/// Logits [T, E] that no rounding reorders: the input, small beside the gaps of a pattern that differs from row to row.
fn clear(tape: &Tape, x: &Var) -> Result<Var> {
    let (rows, experts) = (x.value().rows(), x.value().cols());
    let gap = |i: usize| (((i % experts + (i / experts).pow(2)) * 3) % experts) as f64 + 0.01 * (i % experts) as f64;
    let pattern: Vec<f64> = (0..rows * experts).map(|i| 0.5 * gap(i)).collect();
    let device = x.value().device();
    let pattern = if device.is_cpu() {
        Tensor::from_f64(&[rows, experts], &pattern, x.dtype())
    } else {
        Tensor::from_f64(&[rows, experts], &pattern, DType::F32).to_device(device, x.dtype())?
    };
    add(tape, x, &Var::constant(pattern))
}

/// Input of [`clear`].
fn small(rows: usize, experts: usize) -> Input {
    Input::within(&[rows, experts], -0.1, 0.1)
}
