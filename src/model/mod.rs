//! The model: two encoders with optional descriptor injection, and two projection heads into one space.
//!
//! | part | file | in → out |
//! |---|---|---|
//! | audio encoder | [`audio`] | samples [B, T] → [B, d_a] |
//! | MIDI encoder | [`midi`] | notes `[ΣN]` → [B, d_m] |
//! | descriptor injection | [`injection`] | rows and descriptor → rows |
//! | learned descriptor | [`learned`] | spectrogram → descriptor |
//! | Transformer blocks | [`stack`] | rows → rows |
//! | FiLM | [`film`] | rows and descriptor → rows, after every block |
//! | mixture of experts | [`moe`] | rows → rows, in the last block |
//! | third tower | [`third_tower`] | descriptor → [B, 256], in training |
//! | projection heads | [`head`] | [B, d] → [B, 256] |
//!
//! [`components`] counts a model's parameters, [`cost`] its operations.

pub mod audio;
pub mod batch;
pub mod components;
pub mod cost;
pub mod film;
#[cfg(test)]
mod golden_tests;
pub mod head;
pub mod injection;
pub mod learned;
pub mod midi;
pub mod moe;
mod spec;
pub mod stack;
pub mod third_tower;

pub use audio::AudioEncoder;
pub use batch::{AudioBatch, MidiBatch};
pub use head::Head;
pub use midi::MidiEncoder;
pub use spec::{AudioSpec, HeadSpec, MidiSpec, ModelSpec, Onset, Positions};
pub use third_tower::{ThirdTower, TowerSpec};

use crate::arms::{Arm, Family, Moe};
use crate::descriptors::Domain;
use crate::device::DType;
use crate::error::{Error, Result};
use crate::loss::{Loss, LossSpec, Side, Term};
use crate::nn::{Builder, Context, Parameters};
use crate::ops::vicreg::vicreg;
use crate::tape::Var;

/// Structure of the model; its values are in [`Parameters`].
pub struct Model {
    /// Audio encoder.
    pub audio: AudioEncoder,
    /// MIDI encoder.
    pub midi: MidiEncoder,
    audio_head: Head,
    midi_head: Head,
    /// In training only.
    tower: Option<ThirdTower>,
    /// Terms of the loss beside that between audio and MIDI, in the order of [`Loss::terms`].
    terms: Vec<Term>,
    /// What the descriptors injected into the audio and the MIDI encoder are of.
    domains: [Option<Domain>; 2],
}

impl Model {
    /// Declares every parameter of `arm` at the sizes of `spec`.
    pub fn declare(b: &mut Builder, arm: &Arm, spec: &ModelSpec) -> Self {
        let audio = AudioEncoder::new(b, arm, spec);
        let midi = MidiEncoder::new(b, arm, spec);
        let audio_head = Head::new(b, "ahead", spec.audio.d, &spec.head);
        let midi_head = Head::new(b, "mhead", spec.midi.d, &spec.head);
        let domains = [arm.audio, arm.midi].map(|injection| injection.map(|i| i.descriptor.domain()));
        let tower = match (arm.family, audio.injector(), domains[0]) {
            (Family::ThirdTower(loss), Some(injector), Some(domain)) => {
                let longest = injection::longest(domain, spec);
                Some(ThirdTower::new(b, loss, injector.dims(), longest, spec))
            }
            _ => None,
        };
        let terms = match arm.family {
            Family::ThirdTower(_) if tower.is_none() => Vec::new(),
            family => terms(family),
        };
        Model { audio, midi, audio_head, midi_head, tower, terms, domains }
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

    /// The loss of a batch whose embeddings, made in the same pass, are `audio` and `midi`.
    pub fn loss(&self, cx: &Context, batch: &AudioBatch, [audio, midi]: [&Var; 2], spec: &LossSpec) -> Result<Loss> {
        let direct = vicreg(cx.tape, audio, midi, &spec.vicreg)?;
        if let Some(tower) = &self.tower {
            let missing = || Error::op("third tower", "descriptor", "one injected into the audio encoder", "none");
            let injector = self.audio.injector().ok_or_else(missing)?;
            let given = injector.given("third tower", &batch.descriptor)?;
            let embedded = tower.embed(cx, &injector.descriptor(cx, given)?, &given.1)?;
            tower.add_terms(cx, &embedded, [audio, midi], spec)?;
        }
        let without_direct = self.tower.as_ref().is_some_and(ThirdTower::without_direct);
        Loss::sum(cx.tape, direct, without_direct, cx.take_terms(), spec)
    }

    /// Terms of the loss beside that between audio and MIDI, in the order of [`Loss::terms`].
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// What the descriptors injected into the audio and the MIDI encoder are of.
    pub fn domains(&self) -> [Option<Domain>; 2] {
        self.domains
    }
}

/// What a family adds to the loss.
fn terms(family: Family) -> Vec<Term> {
    let sides =
        |audio, midi| [(audio, Side::Audio), (midi, Side::Midi)].into_iter().filter(|(has, _)| *has).map(|(_, s)| s);
    match family {
        Family::Plain => Vec::new(),
        Family::Moe(Moe { audio, midi, .. }) => {
            sides(audio, midi).flat_map(|side| [Term::Balance(side), Term::Entropy(side)]).collect()
        }
        Family::ThirdTower(_) => sides(true, true).map(Term::Tower).collect(),
    }
}
