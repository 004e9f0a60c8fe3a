//! THE catalogue: every system the paper trains as one declarative entry, and ours beside them.
//!
//! An arm is audio injection × MIDI injection × family × default schedule. Nothing else in the code knows an arm by name;
//! [`custom`] is how a user puts one together that is not here.

pub mod custom;
mod entry;
mod groups;

pub use entry::{Arm, Control, Entry, Family, Injection, LongRun, LongSchedule, Mechanism, Moe, Paper, TowerLoss};
pub use groups::{GROUPS, group};

use crate::descriptors::{A4, A4_LEARNED, A7, A8, A9, D4};
use crate::error::{Error, Result};
use entry::{arm, inject};

use Family::ThirdTower;
use LongSchedule::{Cosine30, Cosine60, CosineTail, Trapezoid};
use Mechanism::{Concat, Cross, Film, Reverse};

/// Every arm: table 13, the one table 4 adds, table 3, the controls of test 02, and what goes beyond the paper.
pub static ARMS: &[Entry] = &[
    arm("d0", "no descriptor: the VICReg baseline")
        .screened(60.2, 90.0)
        .long(&[LongRun { schedule: CosineTail, epochs: 60, s: 73.4, best_epoch: 50 }])
        .replicated(75.2, 2.3),
    arm("d4", "D4 concatenated in the MIDI encoder").midi(inject(&D4, Concat)).screened(63.6, 91.2),
    arm("a4", "A4 concatenated in the audio encoder").audio(inject(&A4, Concat)).screened(63.6, 92.4),
    arm("a7", "A7 concatenated in the audio encoder").audio(inject(&A7, Concat)).screened(58.8, 90.2),
    arm("a8", "A8 concatenated in the audio encoder").audio(inject(&A8, Concat)).screened(57.4, 90.6),
    arm("a9", "A9 concatenated in the audio encoder").audio(inject(&A9, Concat)).screened(58.8, 90.4),
    arm("d4x", "MIDI notes attend to D4").midi(inject(&D4, Cross)).screened(60.0, 91.4),
    arm("a4x", "audio frames attend to A4").audio(inject(&A4, Cross)).screened(62.6, 92.4),
    arm("a7x", "audio frames attend to A7").audio(inject(&A7, Cross)).screened(62.2, 92.0),
    arm("d4r", "D4 attends to MIDI notes").midi(inject(&D4, Reverse)).screened(64.2, 93.2),
    arm("a4r", "A4 attends to audio frames")
        .audio(inject(&A4, Reverse))
        .screened(68.6, 91.6)
        .long(&[
            LongRun { schedule: Cosine30, epochs: 30, s: 82.0, best_epoch: 29 },
            LongRun { schedule: CosineTail, epochs: 60, s: 80.6, best_epoch: 60 },
        ])
        .replicated(80.7, 1.9),
    arm("d4a4", "D4 and A4, both concatenated")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .screened(69.8, 91.6)
        .long(&[LongRun { schedule: Cosine60, epochs: 60, s: 83.8, best_epoch: 50 }])
        .replicated(84.0, 2.7),
    arm("d4a4cm", "crosswise: A4 concatenated in the MIDI encoder, D4 in the audio encoder")
        .audio(inject(&D4, Concat))
        .midi(inject(&A4, Concat))
        .screened(52.4, 89.6),
    arm("d4-a4r", "D4 concatenated, A4 attends to audio frames")
        .audio(inject(&A4, Reverse))
        .midi(inject(&D4, Concat))
        .long(&[LongRun { schedule: Cosine30, epochs: 30, s: 79.8, best_epoch: 30 }])
        .replicated(81.2, 2.5),
    arm("film-a4", "A4 modulates the audio layers").audio(inject(&A4, Film)).tried(59.2),
    arm("film-d4", "D4 modulates the MIDI layers").midi(inject(&D4, Film)).tried(58.6),
    arm("film-dual", "A4 modulates the audio layers, D4 the MIDI layers")
        .audio(inject(&A4, Film))
        .midi(inject(&D4, Film))
        .tried(59.4),
    arm("moe-a4", "a4 with 4 experts in the last audio layer")
        .audio(inject(&A4, Concat))
        .family(experts(4, false, false))
        .tried(58.2),
    arm("moe-dual", "d4a4 with 4 experts in the last layer of both encoders")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .family(experts(4, false, true))
        .tried(59.2),
    arm("moe-a4-v2", "a4 with 8 experts").audio(inject(&A4, Concat)).family(experts(8, false, false)).tried(60.2),
    arm("moe-a4-v3", "a4 with 4 experts, their weights renormalised")
        .audio(inject(&A4, Concat))
        .family(experts(4, true, false))
        .tried(59.2),
    arm("moe-a4-v4", "a4 with 8 experts, their weights renormalised")
        .audio(inject(&A4, Concat))
        .family(experts(8, true, false))
        .tried(59.4),
    arm("t3-wt", "d4a4 with a tower for A4, aligned with both sides")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .family(ThirdTower(TowerLoss::Weighted))
        .tried(67.6)
        .long(&[LongRun { schedule: Trapezoid, epochs: 50, s: 81.2, best_epoch: 50 }]),
    arm("t3-tri", "d4a4 with a tower for A4, as anchor of triplets")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .family(ThirdTower(TowerLoss::Triplet))
        .tried(65.0),
    arm("t3-anc", "d4a4 that meets only in a tower for A4: audio and MIDI are not aligned with each other")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .family(ThirdTower(TowerLoss::Anchor))
        .tried(42.2),
    arm("d4a4-zero", "d4a4 that is given zeros for its descriptors")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .controlled(Control::Zero, 75.0),
    arm("d4a4-random", "d4a4 that is given fixed random values for its descriptors")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .controlled(Control::Random, 73.6),
    arm("d4a4-shuffled", "d4a4 that is given the descriptors of other samples of the batch")
        .audio(inject(&A4, Concat))
        .midi(inject(&D4, Concat))
        .controlled(Control::Shuffled, 73.6),
    arm("a4-learned-r", "a4r whose bands and temporal difference are trained").audio(inject(&A4_LEARNED, Reverse)),
];

const fn experts(experts: usize, renormalise: bool, midi: bool) -> Family {
    Family::Moe(Moe { experts, top_k: 2, renormalise, audio: true, midi })
}

/// The entry of this name, in any case; [`Error::Usage`] names the nearest one otherwise.
pub fn find(name: &str) -> Result<&'static Entry> {
    ARMS.iter().find(|arm| arm.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let nearest = nearest(name, ARMS.iter().map(|arm| arm.name));
        Error::Usage(format!("unknown arm `{name}`; the nearest is `{nearest}` (engine arms lists them all)"))
    })
}

/// The one of `names` closest to `name`, whatever the case.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> &'a str {
    let name = name.to_lowercase();
    let score = |other: &str| strsim::jaro_winkler(&name, other);
    names.max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        for (i, entry) in ARMS.iter().enumerate() {
            assert!(ARMS[..i].iter().all(|other| !other.name.eq_ignore_ascii_case(entry.name)), "{}", entry.name);
            assert_eq!(find(&entry.name.to_uppercase()).unwrap().name, entry.name);
        }
        assert!(find("a4q").unwrap_err().to_string().contains("nearest is `a4"));
    }

    #[test]
    fn groups_are_those_of_the_paper() {
        let sizes = ["all13", "families", "all24", "controls", "canonical"].map(|name| group(name).unwrap().len());
        assert_eq!(sizes, [13, 11, 24, 3, 4]);
        assert_eq!(group("ALL").unwrap().len(), ARMS.len());
        assert!(group("a4r").is_none());
    }
}
