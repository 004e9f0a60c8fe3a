//! A third tower (paper, section C.3): an encoder of the descriptor itself, whose embeddings z_d draw those of audio and MIDI
//! together in training. It has no part in evaluation.
//!
//! Linear → learnable positions → pre-norm Transformer blocks → mean over rows → LayerNorm → projection head.

use super::stack::Stack;
use super::{Head, ModelSpec};
use crate::arms::TowerLoss;
use crate::error::Result;
use crate::loss::{LossSpec, Side, Term};
use crate::nn::{BlockSpec, Builder, Context, Init, LayerNorm, Linear, Norm, ParamId};
use crate::ops::Ragged;
use crate::ops::pool::mean_pool;
use crate::ops::positions::add_positions;
use crate::ops::triplet::triplet_margin;
use crate::ops::vicreg::vicreg;
use crate::tape::Var;

/// Sizes of the tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TowerSpec {
    /// Width.
    pub d: usize,
    /// Attention heads.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Feed-forward width.
    pub ff: usize,
}

/// The tower with its head.
pub struct ThirdTower {
    input: Linear,
    positions: ParamId,
    stack: Stack,
    norm: LayerNorm,
    head: Head,
    loss: TowerLoss,
}

impl ThirdTower {
    /// Declares `tower.inp`, `tower.pos`, `tower.layers.i`, `tower.final` and `thead` for a descriptor of `dims` features and at
    /// most `longest` rows.
    pub fn new(b: &mut Builder, loss: TowerLoss, dims: usize, longest: usize, spec: &ModelSpec) -> Self {
        let TowerSpec { d, heads, layers, ff } = spec.tower;
        ThirdTower {
            input: Linear::new(b, "tower.inp", dims, d),
            positions: b.parameter("tower.pos", &[longest, d], Init::Normal(super::audio::POSITION_SD)),
            stack: Stack::new(b, "tower.layers", layers, BlockSpec { d, heads, ff, norm: Norm::Pre }, None),
            norm: LayerNorm::new(b, "tower.final", d),
            head: Head::new(b, "thead", d, &spec.head),
            loss,
        }
    }

    /// Whether the loss has no term between audio and MIDI.
    pub fn without_direct(&self) -> bool {
        self.loss == TowerLoss::Anchor
    }

    /// A descriptor [ΣT_D, dims] → embeddings [B, D] of the shared space.
    pub fn embed(&self, cx: &Context, descriptor: &Var, rows: &Ragged) -> Result<Var> {
        let x = self.input.apply(cx, descriptor)?;
        let x = add_positions(cx.tape, &x, cx.var(self.positions), rows)?;
        let x = self.stack.apply(cx, &x, rows, None)?;
        let pooled = self.norm.apply(cx, &mean_pool(cx.tape, &x, rows)?)?;
        cx.probe("zd", &pooled);
        self.head.apply(cx, &pooled)
    }

    /// Adds the terms between the tower's embeddings and those of audio and MIDI, each [B, D], to the loss.
    pub fn add_terms(&self, cx: &Context, tower: &Var, [audio, midi]: [&Var; 2], spec: &LossSpec) -> Result<()> {
        for (side, other) in [(Side::Audio, audio), (Side::Midi, midi)] {
            let term = match self.loss {
                TowerLoss::Weighted | TowerLoss::Anchor => vicreg(cx.tape, other, tower, &spec.vicreg)?.loss,
                TowerLoss::Triplet => triplet_margin(cx.tape, tower, other, spec.margin)?,
            };
            cx.add_term(Term::Tower(side), term);
        }
        Ok(())
    }
}
