//! Descriptor injection: concatenation, cross-attention, reverse cross-attention (paper, section 3.5; spec) and FiLM
//! (section C.1).
//!
//! Any descriptor may enter either encoder. Where one of MIDI enters the audio encoder, or one of audio the MIDI encoder, both
//! sides of a pair are needed to embed that side.

use super::ModelSpec;
use super::film::{Film, Modulation};
use super::learned::LearnedA4;
use crate::arms::{Injection, Mechanism};
use crate::descriptors::{Descriptor, Domain};
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
    descriptor: &'static dyn Descriptor,
    kind: Kind,
    /// Numbers in a row of what is injected.
    dims: usize,
    /// What makes the descriptor of the batch's rows; `None`: they are the descriptor.
    front: Option<LearnedA4>,
}

enum Kind {
    /// LayerNorm(proj([h ‖ d])).
    Concat { proj: Linear, norm: LayerNorm },
    /// norm(F + attention(F, inp(D))).
    Cross { inp: Linear, attention: MultiHead, norm: Option<LayerNorm> },
    /// Q = inp(D) + positions; norm(Q + attention(Q, F)).
    Reverse { inp: Linear, positions: ParamId, attention: MultiHead, norm: Option<LayerNorm> },
    /// Modulates the output of every block.
    Film(Film),
}

/// What an injection makes of an encoder's rows.
pub struct Injected<'a> {
    /// The encoder's new rows.
    pub x: Var,
    /// How they group into samples.
    pub rows: Ragged,
    /// What happens to the output of every block.
    pub modulation: Option<Modulation<'a>>,
}

/// The most rows a sample's descriptor can have.
pub fn longest(domain: Domain, spec: &ModelSpec) -> usize {
    match domain {
        Domain::Audio => spec.audio.descriptor_frames,
        Domain::Midi => spec.midi.max_notes,
    }
}

impl Injector {
    /// Declares the parameters of `injection` under `name` (`audio.inj` or `midi.inj`) for an encoder of `layers` blocks of
    /// width `d`.
    pub fn new(
        b: &mut Builder,
        name: &str,
        injection: Injection,
        (d, layers): (usize, usize),
        spec: &ModelSpec,
    ) -> Self {
        let descriptor = injection.descriptor;
        let dims = descriptor.dims();
        let front = (descriptor.raw_dims() != dims).then(|| LearnedA4::new(b, &format!("{name}.a4")));
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
                let positions = b.parameter(
                    format!("{name}.pos"),
                    &[longest(descriptor.domain(), spec), d],
                    Init::Normal(super::audio::POSITION_SD),
                );
                let attention = attention(b).shown_as(name);
                Kind::Reverse { inp, positions, attention, norm: norm(b) }
            }
            Mechanism::Film => Kind::Film(Film::new(b, name, dims, d, layers, spec.film)),
        };
        Injector { descriptor, kind, dims, front }
    }

    /// Numbers in a row of [`Injector::descriptor`].
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// What a batch holds for `encoder`, or an error that names the descriptor.
    pub fn given<'a>(
        &self,
        encoder: &'static str,
        batch: &'a Option<(Tensor, Ragged)>,
    ) -> Result<&'a (Tensor, Ragged)> {
        let missing = || {
            let source = match self.descriptor.domain() {
                Domain::Audio => "recordings",
                Domain::Midi => "notes",
            };
            let expected = format!("{} of the {source}", self.descriptor.name());
            Error::op(encoder, "descriptor", expected, "none (a crosswise arm needs both sides of a pair)")
        };
        batch.as_ref().ok_or_else(missing)
    }

    /// The descriptor [ΣT_D, dims] of what a batch holds.
    pub fn descriptor(&self, cx: &Context, (values, rows): &(Tensor, Ragged)) -> Result<Var> {
        let values = Var::constant(values.clone());
        let descriptor = match &self.front {
            Some(front) => front.apply(cx, &values, rows)?,
            None => values,
        };
        if descriptor.shape() != [rows.total(), self.dims] {
            let got = format!("{:?}", descriptor.shape());
            return Err(Error::op("inject", "descriptor", format!("[{}, {}]", rows.total(), self.dims), got));
        }
        Ok(descriptor)
    }

    /// Encoder rows x, and a descriptor with the rows of each sample.
    pub fn apply(
        &self,
        cx: &Context,
        x: &Var,
        rows: &Ragged,
        descriptor: &Var,
        descriptor_rows: &Ragged,
    ) -> Result<Injected<'_>> {
        let injected = |x, rows: &Ragged| Injected { x, rows: rows.clone(), modulation: None };
        match &self.kind {
            Kind::Concat { proj, norm } => {
                let stretched = if rows == descriptor_rows {
                    descriptor.clone()
                } else {
                    interpolate(cx.tape, descriptor, descriptor_rows, rows)?
                };
                let joined = concat(cx.tape, &[x, &stretched])?;
                Ok(injected(norm.apply(cx, &proj.apply(cx, &joined)?)?, rows))
            }
            Kind::Cross { inp, attention, norm } => {
                fit(rows, descriptor_rows)?;
                let keys = inp.apply(cx, descriptor)?;
                let attended = attention.apply(cx, x, rows, &keys, descriptor_rows)?;
                Ok(injected(finish(cx, attended, x, norm)?, rows))
            }
            Kind::Reverse { inp, positions, attention, norm } => {
                fit(rows, descriptor_rows)?;
                let queries = inp.apply(cx, descriptor)?;
                let queries = add_positions(cx.tape, &queries, cx.var(*positions), descriptor_rows)?;
                let attended = attention.apply(cx, &queries, descriptor_rows, x, rows)?;
                Ok(injected(finish(cx, attended, &queries, norm)?, descriptor_rows))
            }
            Kind::Film(film) => {
                let modulation = Some(film.modulation(cx, descriptor, descriptor_rows)?);
                Ok(Injected { x: x.clone(), rows: rows.clone(), modulation })
            }
        }
    }
}

/// Attention runs between groups of rows: where notes are filled up, on a device, those that fill up are a group which the frames
/// of a recording lack.
fn fit(rows: &Ragged, descriptor_rows: &Ragged) -> Result<()> {
    if rows.batch() == descriptor_rows.batch() {
        return Ok(());
    }
    let got = "attention between frames and notes that are filled up";
    Err(Error::op("inject", "mechanism", "concat or film for a descriptor of the other side on a GPU", got))
}

/// norm(attended + queries), or what was attended alone where eq. 8–9 are taken literally.
fn finish(cx: &Context, attended: Var, queries: &Var, norm: &Option<LayerNorm>) -> Result<Var> {
    match norm {
        Some(norm) => norm.apply_sum(cx, &attended, queries),
        None => Ok(attended),
    }
}
