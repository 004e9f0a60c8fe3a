//! A sparsely gated mixture of experts in place of a feed-forward network (paper, eq. 19; Shazeer et al. 2017).
//!
//! MoE(x) = Σ g_i(x)·FFN_i(x) over the k experts with the largest g(x) = softmax(W_g·x), whose weights are taken as they are or,
//! renormalised, sum to 1. Rows are sorted by expert, so that each expert sees only its own. In training two terms join the loss:
//! the load balance of Switch Transformers (Fedus et al. 2022) and how far from even the experts are used.

use crate::arms::Moe;
use crate::error::Result;
use crate::loss::{Side, Term};
use crate::nn::{Builder, Context, FeedForward, Init, ParamId};
use crate::ops::Ragged;
use crate::ops::activation::gelu;
use crate::ops::dropout::dropout;
use crate::ops::linear::linear_unbiased;
use crate::ops::moe::{Routing, combine, dispatch, expert_linear, gate, load_balance, utilisation_entropy};
use crate::tape::Var;

/// The experts of one encoder and their gate.
pub struct Experts {
    /// W_g [E, d]; eq. 19 has no bias.
    gate: ParamId,
    layers: [ExpertLinear; 2],
    moe: Moe,
    side: Side,
    /// Random site of the dropout inside the experts.
    site: u64,
}

/// One affine map for each expert.
struct ExpertLinear {
    weight: ParamId,
    bias: ParamId,
}

impl ExpertLinear {
    /// Declares `name.weight` [E, outputs, inputs] and `name.bias` [E, outputs].
    fn new(b: &mut Builder, name: &str, experts: usize, inputs: usize, outputs: usize) -> Self {
        let init = Init::fan_in(inputs);
        let weight = b.parameter(format!("{name}.weight"), &[experts, outputs, inputs], init);
        ExpertLinear { weight, bias: b.parameter(format!("{name}.bias"), &[experts, outputs], init) }
    }

    /// Sorted rows, each through its own expert's map.
    fn apply(&self, cx: &Context, x: &Var, routing: &Routing) -> Result<Var> {
        expert_linear(cx.tape, x, cx.var(self.weight), cx.var(self.bias), routing)
    }
}

impl Experts {
    /// Declares `name.gate.weight` and the experts' `name.l1`, `name.l2` of width `ff`, for rows of width `d`.
    pub fn new(b: &mut Builder, name: &str, d: usize, ff: usize, moe: Moe, side: Side, site: u64) -> Self {
        let gate = b.parameter(format!("{name}.gate.weight"), &[moe.experts, d], Init::fan_in(d));
        let mut layer =
            |part: &str, inputs, outputs| ExpertLinear::new(b, &format!("{name}.{part}"), moe.experts, inputs, outputs);
        Experts { gate, layers: [layer("l1", d, ff), layer("l2", ff, d)], moe, side, site }
    }
}

impl FeedForward for Experts {
    fn apply(&self, cx: &Context, x: &Var, rows: &Ragged) -> Result<Var> {
        let logits = linear_unbiased(cx.tape, x, cx.var(self.gate))?;
        let gated = gate(cx.tape, &logits, self.moe.top_k, self.moe.renormalise)?;
        let [first, second] = &self.layers;
        let sorted = dispatch(cx.tape, x, &gated.routing)?;
        let hidden = gelu(cx.tape, &first.apply(cx, &sorted, &gated.routing)?)?;
        let hidden = dropout(cx.tape, &hidden, cx.dropout(self.site))?;
        let y = combine(cx.tape, &second.apply(cx, &hidden, &gated.routing)?, &gated.weights, &gated.routing)?;
        if cx.is_training() {
            let balance = load_balance(cx.tape, &gated.probabilities, &gated.routing, rows)?;
            cx.add_term(Term::Balance(self.side), balance);
            cx.add_term(Term::Entropy(self.side), utilisation_entropy(cx.tape, &gated.probabilities, rows)?);
        }
        Ok(y)
    }
}
