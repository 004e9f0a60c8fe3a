//! What to know of an arm before training it.

use super::Subject;
use crate::arms::{Control, Family, Injection, Mechanism, TowerLoss};
use crate::model::{ModelSpec, film};

/// Notes on what the arm is made of.
pub(super) fn notes(Subject { arm, .. }: &Subject, spec: &ModelSpec) -> Vec<String> {
    let mut notes = Vec::new();
    let injections: Vec<Injection> = [arm.audio, arm.midi].into_iter().flatten().collect();
    notes.extend(injections.iter().filter_map(|injection| film::caveat(injection, spec.film)));
    let injects = |name: &str| injections.iter().any(|i| i.descriptor.name() == name);
    if injections.iter().any(|i| i.mechanism == Mechanism::Film && i.descriptor.is_standardised()) {
        notes.push("film.pool=rms pools otherwise".into());
    }
    if injects("A8") {
        notes.push("A8: its last normalisation divides each frame by its sum, which cancels the onset gate".into());
    }
    if !arm.sides_stand_alone() {
        notes.push(
            "A descriptor of one side enters the encoder of the other: both sides of a pair are needed to embed either, \
             so that the model cannot search"
                .into(),
        );
    }
    if arm.audio.is_some_and(|i| i.mechanism == Mechanism::Reverse)
        || arm.midi.is_some_and(|i| i.mechanism == Mechanism::Reverse)
    {
        notes.push(
            "inject.residual=false takes eq. 9 literally: without the residual, and the LayerNorm around it".into(),
        );
    }
    match arm.family {
        Family::Plain => {}
        Family::Moe(_) => notes.push(
            "Training adds the load balance of the experts (moe.balance) and how far from even they are used (moe.entropy)".into(),
        ),
        Family::ThirdTower(TowerLoss::Anchor) => notes.push(
            "The loss has no term between audio and MIDI: they meet only through the tower, which evaluation leaves out"
                .into(),
        ),
        Family::ThirdTower(_) => notes.push("The tower takes part in training alone".into()),
    }
    if let Some(control) = arm.control {
        let what = match control {
            Control::Zero => "zeros",
            Control::Random => "random values, always the same for a segment",
            Control::Shuffled => "those of another sample of the batch",
        };
        notes.push(format!("A control: same parameters, but {what} for descriptors, in training and in evaluation"));
    }
    notes
}
