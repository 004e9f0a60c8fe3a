//! One Transformer block: self-attention and a GELU feed-forward network, with residual connections.

use super::{Builder, Context, LayerNorm, Linear, MultiHead};
use crate::error::Result;
use crate::ops::Ragged;
use crate::ops::activation::gelu;
use crate::ops::add::add;
use crate::ops::dropout::dropout;
use crate::random::site;
use crate::tape::Var;

/// Where the normalisation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// x ← n(x + f(x)): PyTorch's default layer.
    Post,
    /// x ← x + f(n(x)).
    Pre,
}

/// Sizes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSpec {
    /// Model width.
    pub d: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward network.
    pub ff: usize,
    /// Where the normalisation stands.
    pub norm: Norm,
}

/// Self-attention and feed-forward network. Dropout stands where PyTorch's layer has it: on attention weights, inside the
/// feed-forward network and on both branches.
pub struct Block {
    attention: MultiHead,
    norms: [LayerNorm; 2],
    feed: [Linear; 2],
    norm: Norm,
    /// Random sites: attention branch, inside the feed-forward network, feed-forward branch.
    sites: [u64; 3],
}

impl Block {
    /// Declares `name.att`, `name.n1`, `name.n2`, `name.ffn.l1`, `name.ffn.l2`.
    pub fn new(b: &mut Builder, name: &str, spec: BlockSpec) -> Self {
        let BlockSpec { d, heads, ff, norm } = spec;
        Block {
            attention: MultiHead::new(b, &format!("{name}.att"), d, heads, true),
            norms: [1, 2].map(|i| LayerNorm::new(b, &format!("{name}.n{i}"), d)),
            feed: [Linear::new(b, &format!("{name}.ffn.l1"), d, ff), Linear::new(b, &format!("{name}.ffn.l2"), ff, d)],
            norm,
            sites: ["branch.att", "ffn", "branch.ffn"].map(|part| site(&format!("dropout.{name}.{part}"))),
        }
    }

    /// x [ΣT, d] → [ΣT, d].
    pub fn apply(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var> {
        let [n1, n2] = &self.norms;
        match self.norm {
            Norm::Post => {
                let x = n1.apply_sum(cx, &self.attend(cx, x, rows)?, x)?;
                n2.apply_sum(cx, &self.feed_forward(cx, &x)?, &x)
            }
            Norm::Pre => {
                let x = add(cx.tape, x, &self.attend(cx, &n1.apply(cx, x)?, rows)?)?;
                add(cx.tape, &x, &self.feed_forward(cx, &n2.apply(cx, &x)?)?)
            }
        }
    }

    fn attend(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var> {
        let y = self.attention.apply(cx, x, rows, x, rows)?;
        dropout(cx.tape, &y, cx.dropout(self.sites[0]))
    }

    fn feed_forward(&self, cx: &Context, x: &Var) -> Result<Var> {
        let hidden = gelu(cx.tape, &self.feed[0].apply(cx, x)?)?;
        let hidden = dropout(cx.tape, &hidden, cx.dropout(self.sites[1]))?;
        dropout(cx.tape, &self.feed[1].apply(cx, &hidden)?, cx.dropout(self.sites[2]))
    }
}
