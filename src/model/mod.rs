//! The model: two encoders with optional descriptor injection, and two projection heads into one space.
//!
//! | part | file | in → out |
//! |---|---|---|
//! | audio encoder | [`audio`] | samples [B, T] → [B, d_a] |
//! | MIDI encoder | [`midi`] | notes `[ΣN]` → [B, d_m] |
//! | descriptor injection | [`injection`] | rows and descriptor → rows |
//! | projection heads | [`head`] | [B, d] → [B, 256] |

pub mod audio;
pub mod batch;
#[cfg(test)]
mod golden_tests;
pub mod head;
pub mod injection;
pub mod midi;
mod spec;

pub use audio::AudioEncoder;
pub use batch::{AudioBatch, MidiBatch};
pub use head::Head;
pub use midi::MidiEncoder;
pub use spec::{AudioSpec, HeadSpec, MidiSpec, ModelSpec, Onset, Positions};

use crate::arms::Arm;
use crate::device::DType;
use crate::error::Result;
use crate::nn::{Builder, Context, Parameters};
use crate::tape::Var;

/// Structure of the model; its values are in [`Parameters`].
pub struct Model {
    /// Audio encoder.
    pub audio: AudioEncoder,
    /// MIDI encoder.
    pub midi: MidiEncoder,
    audio_head: Head,
    midi_head: Head,
}

impl Model {
    /// Declares every parameter of `arm` at the sizes of `spec`.
    pub fn declare(b: &mut Builder, arm: &Arm, spec: &ModelSpec) -> Self {
        Model {
            audio: AudioEncoder::new(b, arm.audio, spec),
            midi: MidiEncoder::new(b, arm.midi, spec),
            audio_head: Head::new(b, "ahead", spec.audio.d, &spec.head),
            midi_head: Head::new(b, "mhead", spec.midi.d, &spec.head),
        }
    }

    /// The model of `arm` with freshly drawn parameters.
    pub fn new(arm: &Arm, spec: &ModelSpec, seed: u64, dtype: DType) -> (Self, Parameters) {
        let mut builder = Builder::default();
        let model = Self::declare(&mut builder, arm, spec);
        (model, builder.initialise(seed, dtype))
    }

    /// Recordings → embeddings [B, D] of the shared space.
    pub fn embed_audio(&self, cx: &Context, batch: &AudioBatch) -> Result<Var> {
        let pooled = self.audio.apply(cx, batch)?;
        cx.probe("za", &pooled);
        self.audio_head.apply(cx, &pooled)
    }

    /// Notes → embeddings [B, D] of the shared space.
    pub fn embed_midi(&self, cx: &Context, batch: &MidiBatch) -> Result<Var> {
        let pooled = self.midi.apply(cx, batch)?;
        cx.probe("zm", &pooled);
        self.midi_head.apply(cx, &pooled)
    }
}
