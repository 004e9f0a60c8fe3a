//! The simple layers: affine map, normalisations, table lookup.

use super::{BufferId, Builder, Context, Init, ParamId};
use crate::device::Mirrored;
use crate::error::Result;
use crate::ops::activation::relu;
use crate::ops::batchnorm::{batchnorm_frozen, batchnorm_relu};
use crate::ops::{embedding, layernorm, linear};
use crate::tape::Var;

/// y = x·Wᵀ + b.
pub struct Linear {
    weight: ParamId,
    bias: ParamId,
}

impl Linear {
    /// Declares `name.weight` [outputs, inputs] and `name.bias` `[outputs]`.
    pub fn new(b: &mut Builder, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::fan_in(inputs);
        let weight = b.parameter(format!("{name}.weight"), &[outputs, inputs], init);
        Linear { weight, bias: b.parameter(format!("{name}.bias"), &[outputs], init) }
    }

    /// Applies to the last axis of `x`.
    pub fn apply(&self, cx: &Context, x: &Var) -> Result<Var> {
        linear::linear(cx.tape, x, cx.var(self.weight), cx.var(self.bias))
    }
}

/// Normalises rows.
pub struct LayerNorm {
    weight: ParamId,
    bias: ParamId,
}

impl LayerNorm {
    /// Declares `name.weight` and `name.bias` `[d]`.
    pub fn new(b: &mut Builder, name: &str, d: usize) -> Self {
        let weight = b.parameter(format!("{name}.weight"), &[d], Init::Constant(1.0));
        LayerNorm { weight, bias: b.parameter(format!("{name}.bias"), &[d], Init::Constant(0.0)) }
    }

    /// LayerNorm(x).
    pub fn apply(&self, cx: &Context, x: &Var) -> Result<Var> {
        layernorm::layernorm(cx.tape, x, None, cx.var(self.weight), cx.var(self.bias))
    }

    /// LayerNorm(x + residual).
    pub fn apply_sum(&self, cx: &Context, x: &Var, residual: &Var) -> Result<Var> {
        layernorm::layernorm(cx.tape, x, Some(residual), cx.var(self.weight), cx.var(self.bias))
    }
}

/// Normalises columns over the batch in training, by running statistics in use.
pub struct BatchNorm {
    weight: ParamId,
    bias: ParamId,
    mean: BufferId,
    variance: BufferId,
}

impl BatchNorm {
    /// Declares `name.weight`, `name.bias` and the buffers `name.running_mean`, `name.running_var` `[d]`.
    pub fn new(b: &mut Builder, name: &str, d: usize) -> Self {
        BatchNorm {
            weight: b.parameter(format!("{name}.weight"), &[d], Init::Constant(1.0)),
            bias: b.parameter(format!("{name}.bias"), &[d], Init::Constant(0.0)),
            mean: b.buffer(format!("{name}.running_mean"), d, 0.0),
            variance: b.buffer(format!("{name}.running_var"), d, 1.0),
        }
    }

    /// max(BatchNorm(x), 0) of x [B, d].
    pub fn apply_relu(&self, cx: &Context, x: &Var) -> Result<Var> {
        let (weight, bias) = (cx.var(self.weight), cx.var(self.bias));
        if cx.is_training() {
            let (y, statistics) = batchnorm_relu(cx.tape, x, weight, bias)?;
            cx.observe(self.mean, self.variance, statistics);
            Ok(y)
        } else {
            let y = batchnorm_frozen(x, weight, bias, cx.buffer(self.mean), cx.buffer(self.variance))?;
            relu(cx.tape, &y)
        }
    }
}

/// A learned vector for each of a set of symbols.
pub struct Embedding {
    weight: ParamId,
}

impl Embedding {
    /// Declares `name.weight` [symbols, d].
    pub fn new(b: &mut Builder, name: &str, symbols: usize, d: usize) -> Self {
        Embedding { weight: b.parameter(format!("{name}.weight"), &[symbols, d], Init::Normal(1.0)) }
    }

    /// `[N]` symbols → `[N, d]`.
    pub fn apply(&self, cx: &Context, symbols: &Mirrored<u32>) -> Result<Var> {
        embedding::embedding(cx.tape, cx.var(self.weight), symbols)
    }
}
