//! Sizes and choices of the model, apart from the arm (paper, tables 15–18; spec "Shapes and model").

use super::film::Pool;
use super::third_tower::TowerSpec;
use crate::config::Config;
use crate::nn::Norm;

/// When frame positions are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// To the CNN's output, so that injection sees time.
    Before,
    /// To the Transformer's input.
    After,
}

/// What a note's position encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onset {
    /// The note's index (the paper: time is never encoded).
    Index,
    /// The note's onset in the segment.
    Seconds,
}

/// The audio encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioSpec {
    /// Channels of the four convolutions; the last is `d`.
    pub cnn: [usize; 4],
    /// Groups of each GroupNorm.
    pub groups: usize,
    /// Width.
    pub d: usize,
    /// Attention heads.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Feed-forward width.
    pub ff: usize,
    /// Where blocks normalise.
    pub norm: Norm,
    /// When frame positions are added.
    pub positions: Positions,
    /// Rows of the frame-position table.
    pub max_frames: usize,
    /// Rows of the descriptor-position table of reverse cross-attention.
    pub descriptor_frames: usize,
}

/// The MIDI encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct MidiSpec {
    /// Width: half of it for pitch, a quarter each for velocity and duration.
    pub d: usize,
    /// Attention heads.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Feed-forward width.
    pub ff: usize,
    /// Most notes in a segment.
    pub max_notes: usize,
    /// What positions encode.
    pub onset: Onset,
}

/// A projection head.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSpec {
    /// Hidden width.
    pub hidden: usize,
    /// Dimensions of the shared space.
    pub out: usize,
}

/// Everything but the arm.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The audio encoder.
    pub audio: AudioSpec,
    /// The MIDI encoder.
    pub midi: MidiSpec,
    /// Both heads.
    pub head: HeadSpec,
    /// Heads of injecting attention.
    pub inject_heads: usize,
    /// Residual and LayerNorm around injecting attention; `false`: eq. 8–9 literally.
    pub inject_residual: bool,
    /// How FiLM pools the descriptor.
    pub film: Pool,
    /// The third tower.
    pub tower: TowerSpec,
}

impl ModelSpec {
    /// From a resolved configuration.
    pub fn from_config(config: &Config) -> Self {
        let (a, m, t) = (&config.model.audio, &config.model.midi, &config.tower);
        ModelSpec {
            audio: AudioSpec {
                cnn: a.cnn,
                groups: a.groups,
                d: a.d,
                heads: a.heads,
                layers: a.layers,
                ff: a.ff,
                norm: a.norm,
                positions: a.positions,
                max_frames: a.max_frames,
                descriptor_frames: crate::descriptors::FRAMES,
            },
            midi: MidiSpec {
                d: m.d,
                heads: m.heads,
                layers: m.layers,
                ff: m.ff,
                max_notes: config.midi.max_notes,
                onset: config.midi.onset,
            },
            head: HeadSpec { hidden: config.model.head.hidden, out: config.model.head.out },
            inject_heads: config.inject.heads,
            inject_residual: config.inject.residual,
            film: config.film.pool,
            tower: TowerSpec { d: t.d, heads: t.heads, layers: t.layers, ff: t.ff },
        }
    }
}
