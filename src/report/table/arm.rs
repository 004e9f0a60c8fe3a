//! What tables say of an arm: its words, and the paper's figures of it.

use super::kind::Kind;
use crate::arms::{Arm, Injection};
use crate::config::Config;

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

/// What the paper reports of an arm; shares are fractions of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// S, or its mean over five seeds.
    pub s: f64,
    /// Standard deviation over five seeds.
    pub sd: Option<f64>,
    /// S less S of D0; none for D0 itself.
    pub delta: Option<f64>,
}

/// "FiLM", "Third Tower"; of an arm of no family its injections.
pub fn family(arm: &Arm) -> Option<String> {
    mechanisms(arm)
}

/// The paper's figures of an arm in its table of that kind.
pub fn paper(_arm: &Arm, _config: &Config, _kind: Kind) -> Option<Figures> {
    None
}
