//! What a model is shown of a segment where it is not simply the segment: one side changed, or the descriptors of one side replaced.

use std::sync::Arc;

use crate::data::note::Note;
use crate::data::segments::{Dataset, Segment};
use crate::loss::Side;

/// Which inputs a [`View`] changes; what it leaves alone need not be computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// The recording, and with it every descriptor of audio.
    pub recording: bool,
    /// The notes, and with them every descriptor of MIDI.
    pub notes: bool,
    /// What is injected into the audio encoder and into the MIDI encoder.
    pub descriptors: [bool; 2],
}

/// A way to look at segments. Every function is one of its arguments alone: the same segment always looks the same.
pub trait View: Send + Sync {
    /// What is changed.
    fn changes(&self) -> Changes;

    /// The recording's window, 96,000 samples at 24 kHz.
    fn recording(&self, dataset: &Dataset, segment: &Segment) -> Vec<f32> {
        dataset.audio(segment)
    }

    /// The notes of the window by onset then pitch, onsets in seconds from its start. Never none.
    fn notes(&self, dataset: &Dataset, segment: &Segment) -> Vec<Note> {
        dataset.notes(segment)
    }

    /// The segment whose descriptor is injected into the encoder of `side`: itself, where nothing is shuffled.
    fn described(&self, _side: Side, segment: &Segment) -> Segment {
        *segment
    }

    /// What is injected into the encoder of `side` in the place of `own`, row-major [rows, dims]; as many rows.
    fn descriptor(&self, _side: Side, _segment: &Segment, own: Arc<[f32]>, _dims: usize) -> Arc<[f32]> {
        own
    }
}
