//! What tables say of an arm.

use crate::arms::{Arm, Control, Family, Injection, Mechanism};

/// Whether the arm is what the others are measured by: nothing is injected and nothing else added.
pub fn is_baseline(arm: &Arm) -> bool {
    arm.audio.is_none() && arm.midi.is_none() && arm.family == Family::Plain && arm.control.is_none()
}

/// "A4", "D4 + A4"; nothing where nothing is injected.
pub fn descriptors(arm: &Arm) -> Option<String> {
    words([arm.midi, arm.audio], |injection| injection.descriptor.name())
}

/// "concat", "concat + reverse cross-attention", "concat, crosswise", "concat, zeros"; nothing where nothing is injected.
pub fn mechanisms(arm: &Arm) -> Option<String> {
    let mechanisms = words([arm.midi, arm.audio], |injection| injection.mechanism.name())?;
    let control = arm.control.map(|control| match control {
        Control::Zero => "zeros",
        Control::Random => "random",
        Control::Shuffled => "shuffled",
    });
    let crosswise = (!arm.sides_stand_alone()).then_some("crosswise");
    Some(std::iter::once(mechanisms.as_str()).chain(crosswise).chain(control).collect::<Vec<_>>().join(", "))
}

/// "MoE", "Third Tower", "FiLM"; of any other arm how it injects.
pub fn family(arm: &Arm) -> Option<String> {
    let film = |side: Option<Injection>| side.is_some_and(|injection| injection.mechanism == Mechanism::Film);
    match arm.family {
        Family::Moe(_) => Some("MoE".into()),
        Family::ThirdTower(_) => Some("Third Tower".into()),
        Family::Plain if film(arm.audio) || film(arm.midi) => Some("FiLM".into()),
        Family::Plain => mechanisms(arm),
    }
}

/// One word for each injection, a word that both sides share once.
fn words(sides: [Option<Injection>; 2], word: impl Fn(Injection) -> &'static str) -> Option<String> {
    let mut words: Vec<&str> = sides.into_iter().flatten().map(word).collect();
    words.dedup();
    (!words.is_empty()).then(|| words.join(" + "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::ARMS;

    #[test]
    fn words_are_those_of_the_papers_tables_and_one_arm_is_the_baseline() {
        let said = |name: &str| {
            let arm = crate::arms::find(name).unwrap().arm();
            [descriptors(&arm), mechanisms(&arm), family(&arm)].map(Option::unwrap_or_default)
        };
        assert_eq!(said("d4a4"), ["D4 + A4", "concat", "concat"]);
        assert_eq!(said("d4-a4r")[1], "concat + reverse cross-attention");
        assert_eq!(said("d4a4cm")[1], "concat, crosswise");
        assert_eq!(said("d4a4-zero")[1], "concat, zeros");
        assert_eq!(["t3-wt", "moe-dual", "film-d4"].map(|name| said(name)[2].clone()), ["Third Tower", "MoE", "FiLM"]);
        assert_eq!(ARMS.iter().filter(|entry| is_baseline(&entry.arm())).count(), 1);
    }
}
