//! One Transformer block: self-attention and a feed-forward network, with residual connections.

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

/// What a block does to every row by itself.
pub trait FeedForward: Send + Sync {
    /// x [ΣT, d] → [ΣT, d].
    fn apply(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var>;
}

/// l2(dropout(GELU(l1(x)))): the feed-forward network of most blocks.
pub struct Dense {
    layers: [Linear; 2],
    /// Random site of the dropout between them.
    site: u64,
}

impl Dense {
    /// Declares `name.l1`, `name.l2` of a network of width `ff`; `site` is the random site of its dropout.
    fn new(b: &mut Builder, name: &str, d: usize, ff: usize, site: u64) -> Self {
        Dense {
            layers: [Linear::new(b, &format!("{name}.l1"), d, ff), Linear::new(b, &format!("{name}.l2"), ff, d)],
            site,
        }
    }
}

impl FeedForward for Dense {
    fn apply(&self, cx: &Context, x: &Var, _: &Ragged) -> Result<Var> {
        let hidden = gelu(cx.tape, &self.layers[0].apply(cx, x)?)?;
        self.layers[1].apply(cx, &dropout(cx.tape, &hidden, cx.dropout(self.site))?)
    }
}

/// Self-attention and feed-forward network. Dropout stands where PyTorch's layer has it: on attention weights, inside the
/// feed-forward network and on both branches.
pub struct Block {
    attention: MultiHead,
    norms: [LayerNorm; 2],
    feed: Box<dyn FeedForward>,
    norm: Norm,
    /// Random sites: attention branch, feed-forward branch.
    sites: [u64; 2],
}

impl Block {
    /// Declares `name.att`, `name.n1`, `name.n2`, `name.ffn.l1`, `name.ffn.l2`.
    pub fn new(b: &mut Builder, name: &str, spec: BlockSpec) -> Self {
        Self::with(b, name, spec, |b, ffn, site| Box::new(Dense::new(b, ffn, spec.d, spec.ff, site)))
    }

    /// A block whose feed-forward network is what `feed` makes of the name `name.ffn` and the random site of its dropout.
    pub fn with(
        b: &mut Builder,
        name: &str,
        spec: BlockSpec,
        feed: impl FnOnce(&mut Builder, &str, u64) -> Box<dyn FeedForward>,
    ) -> Self {
        let BlockSpec { d, heads, norm, .. } = spec;
        let site = |part: &str| site(&format!("dropout.{name}.{part}"));
        Block {
            attention: MultiHead::new(b, &format!("{name}.att"), d, heads, true),
            norms: [1, 2].map(|i| LayerNorm::new(b, &format!("{name}.n{i}"), d)),
            feed: feed(b, &format!("{name}.ffn"), site("ffn")),
            norm,
            sites: ["branch.att", "branch.ffn"].map(site),
        }
    }

    /// x [ΣT, d] → [ΣT, d].
    pub fn apply(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var> {
        let [n1, n2] = &self.norms;
        match self.norm {
            Norm::Post => {
                let x = n1.apply_sum(cx, &self.attend(cx, x, rows)?, x)?;
                n2.apply_sum(cx, &self.feed_forward(cx, &x, rows)?, &x)
            }
            Norm::Pre => {
                let x = add(cx.tape, x, &self.attend(cx, &n1.apply(cx, x)?, rows)?)?;
                add(cx.tape, &x, &self.feed_forward(cx, &n2.apply(cx, &x)?, rows)?)
            }
        }
    }

    fn attend(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var> {
        let y = self.attention.apply(cx, x, rows, x, rows)?;
        dropout(cx.tape, &y, cx.dropout(self.sites[0]))
    }

    fn feed_forward(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var> {
        dropout(cx.tape, &self.feed.apply(cx, x, rows)?, cx.dropout(self.sites[1]))
    }
}
