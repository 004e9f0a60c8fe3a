//! A stack of Transformer blocks, with what an arm does inside it: FiLM after every block, experts in the last.

use super::film::Modulation;
use super::moe::Experts;
use crate::arms::{Arm, Family, Moe};
use crate::error::Result;
use crate::loss::Side;
use crate::nn::{Block, BlockSpec, Builder, Context};
use crate::ops::Ragged;
use crate::tape::Var;

/// The experts of the encoder of one side, where the arm has any.
pub fn experts(arm: &Arm, side: Side) -> Option<(Moe, Side)> {
    match arm.family {
        Family::Moe(moe) if (side == Side::Audio && moe.audio) || (side == Side::Midi && moe.midi) => Some((moe, side)),
        _ => None,
    }
}

/// Blocks, one after the other.
pub struct Stack {
    name: String,
    blocks: Vec<Block>,
}

impl Stack {
    /// Declares `layers` blocks `name.i`; with `experts`, those of one side's encoder, the last block's feed-forward network is a
    /// mixture.
    pub fn new(b: &mut Builder, name: &str, layers: usize, spec: BlockSpec, experts: Option<(Moe, Side)>) -> Self {
        let block = |i: usize| {
            let place = format!("{name}.{i}");
            match experts {
                Some((moe, side)) if i + 1 == layers => Block::with(b, &place, spec, |b, name, site| {
                    Box::new(Experts::new(b, name, spec.d, spec.ff, moe, side, site))
                }),
                _ => Block::new(b, &place, spec),
            }
        };
        Stack { name: name.into(), blocks: (0..layers).map(block).collect() }
    }

    /// x [ΣT, d] → [ΣT, d], every block's output modulated where there is a modulation.
    pub fn apply(&self, cx: &Context, x: &Var, rows: &Ragged, modulation: Option<&Modulation>) -> Result<Var> {
        let mut x = x.clone();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.apply(cx, &x, rows)?;
            if let Some(modulation) = modulation {
                x = modulation.apply(cx, i, &x, rows)?;
            }
            cx.probe(&format!("{}.{i}", self.name), &x);
            cx.probe_mean(&format!("{}.{i}.mean", self.name), &x, rows)?;
        }
        Ok(x)
    }
}
