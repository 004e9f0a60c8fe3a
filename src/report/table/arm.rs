//! What tables say of an arm.

use crate::arms::{Arm, Family, Injection, Mechanism};

/// Whether the arm is what the others are measured by: nothing is injected and nothing else added.
pub fn is_baseline(arm: &Arm) -> bool {
    arm.audio.is_none() && arm.midi.is_none() && arm.family == Family::Plain
}

/// "A4", "D4+A4"; nothing where nothing is injected.
pub fn descriptors(arm: &Arm) -> Option<String> {
    words([arm.midi, arm.audio], |injection| injection.descriptor.name())
}

/// "concat", "concat + reverse cross-attention"; nothing where nothing is injected.
pub fn mechanisms(arm: &Arm) -> Option<String> {
    words([arm.midi, arm.audio], |injection| injection.mechanism.name())
}

/// One word for each injection, a word that both sides share once.
fn words(sides: [Option<Injection>; 2], word: impl Fn(Injection) -> &'static str) -> Option<String> {
    let mut words: Vec<&str> = sides.into_iter().flatten().map(word).collect();
    words.dedup();
    (!words.is_empty()).then(|| words.join(" + "))
}

/// "FiLM", "Third Tower"; of an arm of no family its injections.
pub fn family(arm: &Arm) -> Option<String> {
    let film = [arm.audio, arm.midi].into_iter().flatten().any(|injection| injection.mechanism == Mechanism::Film);
    match arm.family {
        Family::Moe(_) => Some("MoE".into()),
        Family::ThirdTower(_) => Some("Third Tower".into()),
        Family::Plain if film => Some(Mechanism::Film.name().into()),
        Family::Plain => mechanisms(arm),
    }
}
