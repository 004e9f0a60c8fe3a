//! What tables say of an arm.

use crate::arms::{Arm, Injection};

/// Whether the arm is what the others are measured by: nothing is injected and nothing else added.
pub fn is_baseline(arm: &Arm) -> bool {
    arm.audio.is_none() && arm.midi.is_none()
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
    mechanisms(arm)
}
