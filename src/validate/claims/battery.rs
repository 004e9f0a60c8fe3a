//! What the paper claims of trained models by the battery (sections 5.2 to 5.8 and 6), where it takes several runs, or the same test of
//! several.

use super::case::{Case, least_above, open};
use super::{Claim, Length};
use crate::eval::bootstrap::Interval;
use crate::eval::difference::independent;
use crate::validate::findings::{Judgement, Unit, Verdict};
use crate::validate::judge;

/// The four of section 5, and those of them with A4.
const ALL: &[&str] = &["d0", "d4a4", "a4r", "d4-a4r"];
const WITH_A4: &[&str] = &["d4a4", "a4r", "d4-a4r"];

const RETENTION: (&str, &str, &str) = ("04", "transposition", "retention ±3");
const CKA: (&str, &str, &str) = ("06", "alignment", "CKA, mean");
const DEBIASED: (&str, &str, &str) = ("06", "alignment", "CKA debiased, mean");
const CHROMA: (&str, &str, &str) = ("03", "probes", "MIDI → chroma");
const COSINE: (&str, &str, &str) = ("10", "cosines", "mean cosine of matched pairs");
/// The paper's order by alignment, from the least.
const ALIGNED: [&str; 4] = ["d0", "d4a4", "a4r", "d4-a4r"];

const fn claim(
    text: &'static str,
    source: &'static str,
    tables: &'static [usize],
    arms: &'static [&'static str],
    tests: &'static [(&'static str, &'static [&'static str])],
    judge: fn(&Case) -> Option<Judgement>,
) -> Claim {
    Claim { text, source, tables, arms, seeds: 1, length: Length::Any, tests, judge }
}

pub(super) const CLAIMS: &[Claim] = &[
    claim(
        "A4 is completely causal: with zeros for it S collapses by 75 to 78 pp",
        "abstract, sections 5.2 and 6.1",
        &[6],
        WITH_A4,
        &[("01", WITH_A4)],
        |case| case.said(WITH_A4, "01", "A4 is completely causal"),
    ),
    claim(
        "Without A4 performance is below random chance",
        "sections 5.2 and 6.1",
        &[6],
        WITH_A4,
        &[("01", WITH_A4)],
        |case| case.said(WITH_A4, "01", "below random chance"),
    ),
    claim(
        "Without A4 a model that was trained with it is far worse than D0, which never had it",
        "section 6.1",
        &[6],
        ALL,
        &[("01", WITH_A4)],
        worse_than_never,
    ),
    claim(
        "A4 of another sample is milder than zeros, and still costs 32 to 37 pp",
        "section 5.2",
        &[6],
        WITH_A4,
        &[("01", WITH_A4)],
        |case| case.said(WITH_A4, "01", "A4 of another sample"),
    ),
    claim(
        "The D4 paradox: D4 has next to no effect at inference in dual models (−0.4 to +0.6 pp)",
        "abstract, sections 5.2 and 6.2",
        &[6],
        &["d4a4", "d4-a4r"],
        &[("01", &["d4a4", "d4-a4r"])],
        |case| case.said(&["d4a4", "d4-a4r"], "01", "D4 has a weak effect"),
    ),
    claim(
        "D4 alone has a small effect at inference (0.8 to 1.2 pp)",
        "section 5.2",
        &[6],
        &["d4"],
        &[("01", &["d4"])],
        |case| case.said(&["d4"], "01", "D4 has a weak effect"),
    ),
    claim(
        "All models degrade with transposition: the further, the more",
        "section 5.3",
        &[7],
        ALL,
        &[("04", ALL)],
        |case| case.said(ALL, "04", "The further the MIDI is transposed"),
    ),
    claim(
        "Reverse cross-attention retains most under transposition: at ±3 semitones a4r and d4-a4r 59 %, d4a4 51 %, D0 37 %",
        "sections 5.3 and 6.3",
        &[7],
        ALL,
        &[("04", ALL)],
        |case| {
            let pairs = [("a4r", "d4a4"), ("d4-a4r", "d4a4"), ("d4a4", "d0")];
            apart(case, &pairs, RETENTION, "retention at ±3", Unit::Points)
        },
    ),
    claim(
        "At ±3 semitones a4r is above D0 in S (+23.6 pp at +3)",
        "sections 5.3 and 6.3",
        &[7],
        &["d0", "a4r"],
        &[("04", &["d0", "a4r"])],
        |case| {
            let at = |sign: &'static str| {
                let figure = case.apart("a4r", "d0", ("04", "transposition", sign))?;
                Some((format!("S of a4r less S of d0 at {sign}"), figure))
            };
            least_above(vec![at("−3")?, at("+3")?], 0.0, Unit::Points)
        },
    ),
    claim(
        "Descriptors raise the alignment of the encoders: mean CKA of D0 (0.435), d4a4 (0.659), a4r (0.766), d4-a4r (0.794), as eq. 11 and \
         debiased",
        "abstract, section 5.4",
        &[8],
        ALL,
        &[("06", ALL)],
        |case| {
            let pairs: Vec<(&str, &str)> = ALIGNED.windows(2).map(|pair| (pair[1], pair[0])).collect();
            let biased = apart(case, &pairs, CKA, "CKA", Unit::Number(3))?;
            Some(judge::all([biased, apart(case, &pairs, DEBIASED, "debiased CKA", Unit::Number(3))?]))
        },
    ),
    claim(
        "Alignment is not retrieval: the arm with the highest CKA (d4-a4r) is not the one with the highest S (d4a4)",
        "sections 5.4 and 6.4",
        &[5, 8],
        ALL,
        &[("06", ALL)],
        alignment_is_not_retrieval,
    ),
    claim("CKA grows with the depth of the layers, in all models", "section 5.4", &[8], ALL, &[("06", ALL)], |case| {
        case.said(ALL, "06", "CKA grows with depth")
    }),
    claim(
        "High bands carry most: bands 4–7 carry 2 to 10 times as much as bands 0–3",
        "abstract, section 5.5",
        &[9],
        WITH_A4,
        &[("08", WITH_A4)],
        |case| case.said(WITH_A4, "08", "Bands 4–7 carry"),
    ),
    claim(
        "Each mechanism listens elsewhere: d4a4 is most sensitive to bands 4–5, a4r to 6–7, d4-a4r to 6",
        "section 5.5",
        &[9],
        WITH_A4,
        &[("08", WITH_A4)],
        |case| case.said(WITH_A4, "08", "is most sensitive to"),
    ),
    claim(
        "Band values and dimensions of the embedding hardly correlate (|r| < 0.05)",
        "abstract, section 5.5",
        &[9],
        WITH_A4,
        &[("08", WITH_A4)],
        |case| case.said(WITH_A4, "08", "|r| < 0.05"),
    ),
    claim(
        "All models withstand a third of a second of misalignment (more than 90 % of S)",
        "section 5.6",
        &[10],
        ALL,
        &[("09", ALL)],
        |case| case.said(ALL, "09", "A third of a second"),
    ),
    claim("All models collapse with velocities × 0.5 and × 1.5", "section 5.6", &[10], ALL, &[("09", ALL)], |case| {
        case.said(ALL, "09", "S collapses with velocities")
    }),
    claim(
        "Quieter notes cost more than louder ones (× 0.8 against × 1.2)",
        "section 5.6",
        &[10],
        ALL,
        &[("09", ALL)],
        |case| case.said(ALL, "09", "Quieter notes cost more"),
    ),
    claim(
        "All models collapse an octave off: they learn absolute pitch",
        "section 5.6",
        &[10],
        ALL,
        &[("09", ALL)],
        |case| case.said(ALL, "09", "S collapses an octave"),
    ),
    claim(
        "At moderate noise (20 dB) D0 is the most robust: it loses 0.4 pp, d4a4 29 pp",
        "sections 5.6 and 6.5",
        &[10],
        ALL,
        &[("09", ALL)],
        |case| {
            let pairs: Vec<(&str, &str)> = WITH_A4.iter().map(|arm| ("d0", *arm)).collect();
            apart(case, &pairs, ("09", "invariance-changes", "noise 20 dB"), "change of S at 20 dB", Unit::Points)
        },
    ),
    claim(
        "At 5 dB the ranking reverses: d4-a4r (33.0 %), a4r (31.8 %), d4a4 (25.0 %), D0 (17.8 %)",
        "sections 5.6 and 6.5",
        &[10],
        ALL,
        &[("09", ALL)],
        |case| {
            let pairs = [("d4-a4r", "a4r"), ("a4r", "d4a4"), ("d4a4", "d0")];
            apart(case, &pairs, ("09", "invariance-noise", "5 dB"), "S at 5 dB", Unit::Points)
        },
    ),
    claim(
        "Without descriptors more can be read off linearly: D0 has the highest R² of MIDI → chroma (0.330, others 0.245 to 0.255)",
        "section 5.7",
        &[11],
        ALL,
        &[("03", ALL)],
        |case| {
            let pairs: Vec<(&str, &str)> = WITH_A4.iter().map(|arm| ("d0", *arm)).collect();
            apart(case, &pairs, CHROMA, "R² of MIDI → chroma", Unit::Number(3))
        },
    ),
    claim(
        "Matched pairs lie closer with descriptors: mean cosine 0.72 in d4a4, 0.58 in D0",
        "section 5.8",
        &[],
        &["d0", "d4a4"],
        &[("10", &["d0", "d4a4"])],
        |case| apart(case, &[("d4a4", "d0")], COSINE, "mean cosine of matched pairs", Unit::Number(3)),
    ),
];

/// Whether `figure` of the first of each pair is above that of the second.
fn apart(case: &Case, pairs: &[(&str, &str)], figure: (&str, &str, &str), name: &str, unit: Unit) -> Option<Judgement> {
    let each =
        pairs.iter().map(|(arm, other)| Some((format!("{name}: {arm} less {other}"), case.apart(arm, other, figure)?)));
    least_above(each.collect::<Option<_>>()?, 0.0, unit)
}

fn worse_than_never(case: &Case) -> Option<Judgement> {
    let baseline = case.group("d0")?.s;
    let each = WITH_A4.iter().map(|arm| {
        let left = case.figure(arm, ("01", "causal-s", "A4, zero"))?;
        Some((format!("S of d0 less S of {arm} without A4"), independent(&baseline, &left)))
    });
    least_above(each.collect::<Option<_>>()?, 0.0, Unit::Points)
}

fn alignment_is_not_retrieval(case: &Case) -> Option<Judgement> {
    let aligned: Vec<(&str, Interval)> =
        ALL.iter().map(|arm| Some((*arm, case.figure(arm, DEBIASED)?))).collect::<Option<_>>()?;
    let highest = aligned.iter().max_by(|a, b| a.1.value.total_cmp(&b.1.value))?.0;
    let best = ALL.iter().copied().max_by(|a, b| {
        let s = |arm: &str| case.group(arm).map_or(f64::NAN, |group| group.s.value);
        s(a).total_cmp(&s(b))
    })?;
    if highest == best {
        return Some(Verdict::NotHeld.because(format!("{best} has both the highest debiased CKA and the highest S")));
    }
    let lead = case.delta(best, highest)?;
    let more = case.apart(highest, best, DEBIASED)?;
    if lead.value.is_nan() || more.value.is_nan() {
        return Some(open("figures that are no numbers"));
    }
    Some(judge::all([
        judge::above(&format!("S of {best} less S of {highest}"), lead, 0.0, Unit::Points),
        judge::above(&format!("debiased CKA of {highest} less that of {best}"), more, 0.0, Unit::Number(3)),
    ]))
}
