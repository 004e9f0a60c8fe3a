//! A user's own arm: `audio=a7:reverse`, `midi=d4:concat`, `family=moe-8` over what the arm says.

use serde_json::Value;

use super::{Arm, Entry, Family, Injection, Mechanism, Moe, TowerLoss, nearest};
use crate::config::setting::{Limits, Setting};
use crate::descriptors;

/// What enters an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InjectionChoice {
    /// As the arm has it.
    AsArm,
    /// Nothing.
    None,
    /// This.
    Own(Injection),
}

impl InjectionChoice {
    fn over(self, arm: Option<Injection>) -> Option<Injection> {
        match self {
            InjectionChoice::AsArm => arm,
            InjectionChoice::None => None,
            InjectionChoice::Own(injection) => Some(injection),
        }
    }

    fn text(self) -> String {
        match self {
            InjectionChoice::AsArm => "arm".into(),
            InjectionChoice::None => "none".into(),
            InjectionChoice::Own(injection) => text(injection),
        }
    }
}

/// `a7:reverse`
fn text(injection: Injection) -> String {
    format!("{}:{}", injection.descriptor.name().to_lowercase(), injection.mechanism.word())
}

impl Setting for InjectionChoice {
    fn kind(&self, _: &Limits) -> String {
        let names: Vec<String> = descriptors::ALL.iter().map(|d| d.name().to_lowercase()).collect();
        format!("arm|none|({}):({})", names.join("|"), Mechanism::ALL.map(Mechanism::word).join("|"))
    }

    fn set(&mut self, value: &str, _: &Limits) -> bool {
        let own = |value: &str| {
            let (descriptor, mechanism) = value.split_once(':')?;
            let mechanism = Mechanism::ALL.into_iter().find(|m| m.word().eq_ignore_ascii_case(mechanism))?;
            Some(Injection { descriptor: descriptors::find(descriptor).ok()?, mechanism })
        };
        *self = match (value, own(value)) {
            ("arm", _) => InjectionChoice::AsArm,
            ("none", _) => InjectionChoice::None,
            (_, Some(injection)) => InjectionChoice::Own(injection),
            _ => return false,
        };
        true
    }

    fn nearest(&self, text: &str) -> Option<String> {
        let (descriptor, mechanism) = text.split_once(':')?;
        let names: Vec<String> = descriptors::ALL.iter().map(|d| d.name().to_lowercase()).collect();
        let descriptor = nearest(descriptor, names.iter().map(String::as_str));
        let mechanism = nearest(mechanism, Mechanism::ALL.into_iter().map(Mechanism::word));
        Some(format!("{descriptor}:{mechanism}"))
    }

    fn json(&self) -> Value {
        Value::from(self.text())
    }
}

/// What stands around the encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyChoice {
    /// As the arm has it.
    AsArm,
    /// This.
    Own(Family),
}

/// Words of `family=…`; experts in the audio encoder, or in both.
const FAMILIES: [(&str, Family); 8] = [
    ("plain", Family::Plain),
    ("moe-4", moe(4, false)),
    ("moe-8", moe(8, false)),
    ("moe-4-dual", moe(4, true)),
    ("moe-8-dual", moe(8, true)),
    ("t3-wt", Family::ThirdTower(TowerLoss::Weighted)),
    ("t3-tri", Family::ThirdTower(TowerLoss::Triplet)),
    ("t3-anc", Family::ThirdTower(TowerLoss::Anchor)),
];

const fn moe(experts: usize, midi: bool) -> Family {
    Family::Moe(Moe { experts, top_k: 2, renormalise: false, audio: true, midi })
}

impl FamilyChoice {
    fn text(self) -> &'static str {
        match self {
            FamilyChoice::AsArm => "arm",
            FamilyChoice::Own(family) => {
                FAMILIES.iter().find(|(_, known)| *known == family).map_or("plain", |(word, _)| word)
            }
        }
    }
}

impl Setting for FamilyChoice {
    fn kind(&self, _: &Limits) -> String {
        format!("arm|{}", FAMILIES.map(|(word, _)| word).join("|"))
    }

    fn set(&mut self, value: &str, _: &Limits) -> bool {
        *self = match FAMILIES.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)) {
            Some(&(_, family)) => FamilyChoice::Own(family),
            None if value == "arm" => FamilyChoice::AsArm,
            None => return false,
        };
        true
    }

    fn nearest(&self, text: &str) -> Option<String> {
        Some(nearest(text, FAMILIES.iter().map(|(word, _)| *word)).to_string())
    }

    fn json(&self) -> Value {
        Value::from(self.text())
    }
}

/// The arm that `entry` and the choices over it make, named by what it is: `a7-reverse+d4-concat`, or as the entry where
/// nothing differs from it.
pub fn combine(entry: &Entry, audio: InjectionChoice, midi: InjectionChoice, family: FamilyChoice) -> Arm {
    let mut arm = entry.arm();
    arm.audio = audio.over(arm.audio);
    arm.midi = midi.over(arm.midi);
    if let FamilyChoice::Own(family) = family {
        arm.family = family;
    }
    if arm != entry.arm() {
        let side = |injection: Option<Injection>| injection.map_or("none".into(), |i| text(i).replace(':', "-"));
        arm.name = format!("{}+{}", side(arm.audio), side(arm.midi));
        if arm.family != Family::Plain {
            let family = FAMILIES.iter().find(|(_, known)| *known == arm.family).map_or(entry.name, |(word, _)| word);
            arm.name += &format!("+{family}");
        }
        if arm.control.is_some() {
            arm.name += &format!("+{}", entry.name);
        }
    }
    arm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::find;

    #[test]
    fn choices_stand_over_the_arm_and_name_the_result() {
        let choice = |text: &str| {
            let mut choice = InjectionChoice::AsArm;
            assert!(choice.set(text, &Limits::NONE), "{text}");
            assert_eq!(choice.json(), text.to_lowercase());
            choice
        };
        let mut family = FamilyChoice::AsArm;
        let (d0, a4r) = (find("d0").unwrap(), find("a4r").unwrap());
        let own = combine(d0, choice("A7:reverse"), choice("d4:concat"), family);
        assert_eq!(own.name, "a7-reverse+d4-concat");
        assert_eq!(own.audio.map(|i| (i.descriptor.name(), i.mechanism)), Some(("A7", Mechanism::Reverse)));
        assert_eq!(combine(a4r, choice("a4:reverse"), choice("arm"), family), a4r.arm());
        assert_eq!(combine(a4r, choice("none"), choice("none"), family).name, "none+none");
        assert!(family.set("T3-WT", &Limits::NONE) && !family.set("t4", &Limits::NONE));
        assert_eq!(combine(a4r, choice("arm"), choice("arm"), family).name, "a4-reverse+none+t3-wt");
        let mut wrong = InjectionChoice::AsArm;
        assert!(["a7:sideways", "a77:concat", "a7", ""].iter().all(|text| !wrong.set(text, &Limits::NONE)));
        assert_eq!(wrong.nearest("A7:revers").as_deref(), Some("a7:reverse"));
        assert!(wrong.nearest("a7:sideways").unwrap().starts_with("a7:") && wrong.nearest("a7").is_none());
        assert_eq!(family.nearest("t3-wr").as_deref(), Some("t3-wt"));
        assert!(wrong.kind(&Limits::NONE).contains("a4|d4|a7|a8|a9|a4-learned):(concat|cross|reverse|film)"));
    }
}
