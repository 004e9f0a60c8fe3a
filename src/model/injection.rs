//! Descriptor injection: concatenation, cross-attention, reverse cross-attention (paper, section 3.5; spec).

use super::ModelSpec;
use crate::arms::{Injection, Mechanism};
use crate::error::{Error, Result};
use crate::nn::{Builder, Context, Init, LayerNorm, Linear, MultiHead, ParamId};
use crate::ops::Ragged;
use crate::ops::concat::concat;
use crate::ops::interpolate::interpolate;
use crate::ops::positions::add_positions;
use crate::tape::Var;
use crate::tensor::Tensor;

/// An injection with its parameters.
pub struct Injector {
    kind: Kind,
    dims: usize,
}

enum Kind {
    /// LayerNorm(proj([h ‖ d])).
    Concat { proj: Linear, norm: LayerNorm },
    /// norm(F + attention(F, inp(D))).
    Cross { inp: Linear, attention: MultiHead, norm: Option<LayerNorm> },
    /// Q = inp(D) + positions; norm(Q + attention(Q, F)).
    Reverse { inp: Linear, positions: ParamId, attention: MultiHead, norm: Option<LayerNorm> },
}

impl Injector {
    /// Declares the parameters of `injection` under `name` (`audio.inj` or `midi.inj`) for an encoder of width `d`;
    /// `longest` is the most descriptor rows a sample can have.
    pub fn new(b: &mut Builder, name: &str, injection: Injection, d: usize, longest: usize, spec: &ModelSpec) -> Self {
        let dims = injection.descriptor.dims();
        let attention = |b: &mut Builder| MultiHead::new(b, &format!("{name}.mha"), d, spec.inject_heads, false);
        let norm = |b: &mut Builder| spec.inject_residual.then(|| LayerNorm::new(b, &format!("{name}.norm"), d));
        let kind = match injection.mechanism {
            Mechanism::Concat => Kind::Concat {
                proj: Linear::new(b, &format!("{name}.proj"), d + dims, d),
                norm: LayerNorm::new(b, &format!("{name}.norm"), d),
            },
            Mechanism::Cross => {
                let inp = Linear::new(b, &format!("{name}.inp"), dims, d);
                Kind::Cross { inp, attention: attention(b), norm: norm(b) }
            }
            Mechanism::Reverse => {
                let inp = Linear::new(b, &format!("{name}.inp"), dims, d);
                let positions =
                    b.parameter(format!("{name}.pos"), &[longest, d], Init::Normal(super::audio::POSITION_SD));
                Kind::Reverse { inp, positions, attention: attention(b), norm: norm(b) }
            }
        };
        Injector { kind, dims }
    }

    /// Encoder rows x and a descriptor [ΣT_D, dims] → the encoder's new rows and how they group.
    pub fn apply(
        &self,
        cx: &Context,
        x: &Var,
        rows: &Ragged,
        descriptor: &Tensor,
        descriptor_rows: &Ragged,
    ) -> Result<(Var, Ragged)> {
        if descriptor.cols() != self.dims {
            let got = format!("{:?}", descriptor.shape());
            return Err(Error::op("inject", "descriptor", format!("[rows, {}]", self.dims), got));
        }
        let descriptor = Var::constant(descriptor.clone());
        match &self.kind {
            Kind::Concat { proj, norm } => {
                let stretched = if rows == descriptor_rows {
                    descriptor
                } else {
                    interpolate(cx.tape, &descriptor, descriptor_rows, rows)?
                };
                let joined = concat(cx.tape, &[x, &stretched])?;
                Ok((norm.apply(cx, &proj.apply(cx, &joined)?)?, rows.clone()))
            }
            Kind::Cross { inp, attention, norm } => {
                let keys = inp.apply(cx, &descriptor)?;
                let attended = attention.apply(cx, x, rows, &keys, descriptor_rows)?;
                Ok((finish(cx, attended, x, norm)?, rows.clone()))
            }
            Kind::Reverse { inp, positions, attention, norm } => {
                let queries = inp.apply(cx, &descriptor)?;
                let queries = add_positions(cx.tape, &queries, cx.var(*positions), descriptor_rows)?;
                let attended = attention.apply(cx, &queries, descriptor_rows, x, rows)?;
                Ok((finish(cx, attended, &queries, norm)?, descriptor_rows.clone()))
            }
        }
    }
}

/// norm(attended + queries), or what was attended alone where eq. 8–9 are taken literally.
fn finish(cx: &Context, attended: Var, queries: &Var, norm: &Option<LayerNorm>) -> Result<Var> {
    match norm {
        Some(norm) => norm.apply_sum(cx, &attended, queries),
        None => Ok(attended),
    }
}
