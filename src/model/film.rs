//! Feature-wise linear modulation (paper, eq. 17–18): a descriptor scales and shifts the output of every Transformer block.
//!
//! F'ₗ = (1 + γₗ)⊙Fₗ + βₗ with [γₗ ‖ βₗ] = W₂·ReLU(W₁·d̄ + b₁) + b₂ of each block's own, d̄ [B, dims] what is left of the
//! descriptor after pooling over its rows.
//!
//! **What A4 tells FiLM.** A4 is standardised over time: the mean of each of its bands is 0, so that γ and β of `film-a4` as the
//! paper writes it are constants, whatever the recording. `film.pool=rms` pools √(mean d²) instead; of a standardised band that is
//! 1 where the band changes at all and 0 where it is silent, so A4 says little in this way either. D4 is not standardised:
//! both pools tell its intervals.

use crate::arms::{Injection, Mechanism};
use crate::error::Result;
use crate::nn::{Builder, Context, Linear};
use crate::ops::Ragged;
use crate::ops::activation::relu;
use crate::ops::film::film;
use crate::ops::pool::{mean_pool, rms_pool};
use crate::tape::Var;

/// Width of the hidden layer of each block's two-layer network.
pub const HIDDEN: usize = 128;

/// How a descriptor's rows become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Their mean (eq. 18).
    Mean,
    /// The root of their mean square.
    Rms,
}

/// What to know before training a model that modulates by a descriptor which pooling leaves constant.
pub fn caveat(injection: &Injection, pool: Pool) -> Option<String> {
    let name = injection.descriptor.name();
    if injection.mechanism != Mechanism::Film || !injection.descriptor.is_standardised() {
        return None;
    }
    let (what, value) = match pool {
        Pool::Mean => ("mean", "0, whatever the recording"),
        Pool::Rms => ("root mean square", "1 where it changes at all and 0 where it is silent"),
    };
    Some(format!(
        "FiLM by {name}: each column is standardised over time, so that its {what} is {value}: γ and β learn constants"
    ))
}

/// The networks that make γ and β, one for each block.
pub struct Film {
    networks: Vec<[Linear; 2]>,
    pool: Pool,
}

impl Film {
    /// Declares `name.i.l1` and `name.i.l2` for each of `layers` blocks of width `d`, for a descriptor of `dims` features.
    pub fn new(b: &mut Builder, name: &str, dims: usize, d: usize, layers: usize, pool: Pool) -> Self {
        let network = |i: usize| {
            let first = Linear::new(b, &format!("{name}.{i}.l1"), dims, HIDDEN);
            [first, Linear::new(b, &format!("{name}.{i}.l2"), HIDDEN, 2 * d)]
        };
        Film { networks: (0..layers).map(network).collect(), pool }
    }

    /// What a descriptor [ΣT_D, dims] does to its samples.
    pub fn modulation(&self, cx: &Context, descriptor: &Var, rows: &Ragged) -> Result<Modulation<'_>> {
        let pooled = match self.pool {
            Pool::Mean => mean_pool(cx.tape, descriptor, rows)?,
            Pool::Rms => rms_pool(cx.tape, descriptor, rows)?,
        };
        Ok(Modulation { film: self, pooled })
    }
}

/// FiLM with the descriptor of a batch.
pub struct Modulation<'a> {
    film: &'a Film,
    /// d̄ [B, dims].
    pooled: Var,
}

impl Modulation<'_> {
    /// The output x [ΣT, d] of block `layer`, scaled and shifted.
    pub fn apply(&self, cx: &Context, layer: usize, x: &Var, rows: &Ragged) -> Result<Var> {
        let [first, second] = &self.film.networks[layer];
        let hidden = relu(cx.tape, &first.apply(cx, &self.pooled)?)?;
        film(cx.tape, x, &second.apply(cx, &hidden)?, rows)
    }
}
