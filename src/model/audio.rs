//! MERTEncoderLite (paper, section 3.2, tables 15 and 16): four convolutions that shorten 40-fold, frame positions,
//! descriptor injection, Transformer blocks, mean over time.

use super::injection::{Injected, Injector};
use super::stack::{Stack, experts};
use super::{AudioBatch, ModelSpec, Positions};
use crate::arms::Arm;
use crate::error::{Error, Result};
use crate::loss::Side;
use crate::nn::{BlockSpec, Builder, Context, Init, ParamId};
use crate::ops::Ragged;
use crate::ops::conv_block::{ConvLayer, ConvSpec, conv_stack};
use crate::ops::layernorm::EPSILON;
use crate::ops::pool::mean_pool;
use crate::ops::positions::add_positions;
use crate::tape::Var;

/// Standard deviation of freshly drawn positions.
pub const POSITION_SD: f64 = 0.02;
/// (kernel, stride, padding) of the four convolutions (table 15; spec for the padding).
pub const CONVOLUTIONS: [(usize, usize, usize); 4] = [(10, 5, 0), (3, 2, 1), (3, 2, 1), (3, 2, 1)];

/// Rows after each convolution for a recording of so many samples: 96,000 become 19,199, 9,600, 4,800 and 2,400.
pub fn frames(samples: usize) -> [usize; 4] {
    let mut rows = samples;
    CONVOLUTIONS.map(|(kernel, stride, padding)| {
        rows = (rows + 2 * padding).checked_sub(kernel).map_or(0, |room| room / stride + 1);
        rows
    })
}

/// One convolution with its GroupNorm.
struct Convolution {
    weight: ParamId,
    bias: ParamId,
    gamma: ParamId,
    beta: ParamId,
    spec: ConvSpec,
}

/// The audio encoder.
pub struct AudioEncoder {
    convolutions: Vec<Convolution>,
    positions: ParamId,
    when: Positions,
    injector: Option<Injector>,
    stack: Stack,
}

impl AudioEncoder {
    /// Declares `audio.cnn.convs.i`, `audio.cnn.norms.i`, `audio.pos`, `audio.inj`, `audio.layers.i`.
    pub fn new(b: &mut Builder, arm: &Arm, spec: &ModelSpec) -> Self {
        let audio = &spec.audio;
        let mut inputs = 1;
        let mut convolutions = Vec::new();
        for (i, (&(kernel, stride, padding), &channels)) in CONVOLUTIONS.iter().zip(&audio.cnn).enumerate() {
            let init = Init::fan_in(inputs * kernel);
            convolutions.push(Convolution {
                weight: b.parameter(format!("audio.cnn.convs.{i}.weight"), &[channels, inputs, kernel], init),
                bias: b.parameter(format!("audio.cnn.convs.{i}.bias"), &[channels], init),
                gamma: b.parameter(format!("audio.cnn.norms.{i}.weight"), &[channels], Init::Constant(1.0)),
                beta: b.parameter(format!("audio.cnn.norms.{i}.bias"), &[channels], Init::Constant(0.0)),
                spec: ConvSpec { kernel, stride, padding, groups: audio.groups, eps: EPSILON },
            });
            inputs = channels;
        }
        let block = BlockSpec { d: audio.d, heads: audio.heads, ff: audio.ff, norm: audio.norm };
        AudioEncoder {
            convolutions,
            positions: b.parameter("audio.pos", &[audio.max_frames, audio.d], Init::Normal(POSITION_SD)),
            when: audio.positions,
            injector: arm.audio.map(|i| Injector::new(b, "audio.inj", i, (audio.d, audio.layers), spec)),
            stack: Stack::new(b, "audio.layers", audio.layers, block, experts(arm, Side::Audio)),
        }
    }

    /// The injection.
    pub fn injector(&self) -> Option<&Injector> {
        self.injector.as_ref()
    }

    /// [B, T] samples → [B, d].
    pub fn apply(&self, cx: &Context, batch: &AudioBatch) -> Result<Var> {
        let layers: Vec<ConvLayer> = self
            .convolutions
            .iter()
            .map(|c| {
                let [weight, bias, gamma, beta] = [c.weight, c.bias, c.gamma, c.beta].map(|id| cx.var(id));
                ConvLayer { weight, bias, gamma, beta, spec: &c.spec }
            })
            .collect();
        let x = conv_stack(cx.tape, &Var::constant(batch.samples.clone()), &layers)?;
        cx.probe("audio.cnn", &x);
        let &[samples, frames, d] = x.shape() else {
            return Err(Error::op("audio encoder", "samples", "[B, T, 1]", format!("{:?}", batch.samples.shape())));
        };
        let mut rows = Ragged::uniform(samples, frames);
        let mut x = x.reshape(&[samples * frames, d]);
        let positions = cx.var(self.positions);
        if self.when == Positions::Before {
            x = add_positions(cx.tape, &x, positions, &rows)?;
        }
        let mut modulation = None;
        if let Some(injector) = &self.injector {
            let given = injector.given("audio encoder", &batch.descriptor)?;
            let descriptor = injector.descriptor(cx, given)?;
            Injected { x, rows, modulation } = injector.apply(cx, &x, &rows, &descriptor, &given.1)?;
        }
        if self.when == Positions::After {
            x = add_positions(cx.tape, &x, positions, &rows)?;
        }
        x = self.stack.apply(cx, &x, &rows, modulation.as_ref())?;
        mean_pool(cx.tape, &x, &rows)
    }
}
