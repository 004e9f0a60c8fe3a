//! The paper's figures, as its tables 2, 3, 4 and 12 print them: S in per cent. Every Δ printed there is the difference from D0's
//! S in the same table, so it is computed.

use super::kind::Kind;
use crate::config::{Config, ScheduleKind};

/// The arm by which the paper measures the others.
const D0: &str = "d0";

/// After five epochs (tables 2 and 3).
const FIVE_EPOCHS: [(&str, f64); 24] = [
    ("d4a4", 69.8),
    ("a4r", 68.6),
    ("d4r", 64.2),
    ("d4", 63.6),
    ("a4", 63.6),
    ("a4x", 62.6),
    ("a7x", 62.2),
    (D0, 60.2),
    ("d4x", 60.0),
    ("a7", 58.8),
    ("a9", 58.8),
    ("a8", 57.4),
    ("d4a4cm", 52.4),
    ("t3-wt", 67.6),
    ("t3-tri", 65.0),
    ("moe-a4-v2", 60.2),
    ("film-dual", 59.4),
    ("moe-a4-v4", 59.4),
    ("film-a4", 59.2),
    ("moe-dual", 59.2),
    ("moe-a4-v3", 59.2),
    ("film-d4", 58.6),
    ("moe-a4", 58.2),
    ("t3-anc", 42.2),
];

/// Best S of 30 to 60 epochs, and the schedule it was trained with (table 4).
const LONG: [(&str, ScheduleKind, f64); 6] = [
    ("d4a4", ScheduleKind::Cosine, 83.8),
    ("a4r", ScheduleKind::Cosine, 82.0),
    ("t3-wt", ScheduleKind::Trapezoid, 81.2),
    ("a4r", ScheduleKind::CosineTail, 80.6),
    ("d4-a4r", ScheduleKind::Cosine, 79.8),
    (D0, ScheduleKind::CosineTail, 73.4),
];

/// Mean and standard deviation over five seeds (table 12).
const FIVE_SEEDS: [(&str, f64, f64); 4] =
    [("d4a4", 84.0, 2.7), ("d4-a4r", 81.2, 2.5), ("a4r", 80.7, 1.9), (D0, 75.2, 2.3)];

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

/// The paper's figures of an arm in its table of that kind; of long runs those of the same arm and schedule.
pub fn figures(arm: &str, config: &Config, kind: Kind) -> Option<Figures> {
    let rows: Vec<(&str, f64, Option<f64>)> = match kind {
        Kind::Screening | Kind::Families => FIVE_EPOCHS.iter().map(|&(name, s)| (name, s, None)).collect(),
        Kind::Replication => FIVE_SEEDS.iter().map(|&(name, s, sd)| (name, s, Some(sd / 100.0))).collect(),
        Kind::Longrun => {
            let same = |row: &&(&str, ScheduleKind, f64)| row.0 == D0 || row.1 == config.schedule.kind;
            LONG.iter().filter(same).map(|&(name, _, s)| (name, s, None)).collect()
        }
    };
    let of = |wanted: &str| rows.iter().find(|(name, ..)| *name == wanted);
    let &(name, s, sd) = of(arm)?;
    let delta = if name == D0 { None } else { of(D0).map(|&(_, d0, _)| (s - d0) / 100.0) };
    Some(Figures { s: s / 100.0, sd, delta })
}
