//! What the encoders read.

use std::sync::Arc;

use crate::ops::Ragged;
use crate::tensor::Tensor;

/// Recordings of equal length.
#[derive(Clone)]
pub struct AudioBatch {
    /// Samples [B, T, 1] at 24 kHz.
    pub samples: Tensor,
    /// The descriptor the arm injects, [ΣT_D, dims], and its rows per sample; `None` where it injects none.
    pub descriptor: Option<(Tensor, Ragged)>,
}

/// Notes of segments, packed.
#[derive(Clone)]
pub struct MidiBatch {
    /// Rows of each sample.
    pub rows: Ragged,
    /// MIDI pitches `[ΣN]`, 0–127.
    pub pitch: Arc<[u32]>,
    /// MIDI velocities `[ΣN]`, 0–127.
    pub velocity: Arc<[u32]>,
    /// Duration buckets `[ΣN]`, 0–31.
    pub duration: Arc<[u32]>,
    /// Onsets `[ΣN]` in seconds from the start of the segment.
    pub onset: Arc<[f32]>,
    /// The descriptor the arm injects, [ΣN, dims]; `None` where it injects none.
    pub descriptor: Option<Tensor>,
}
