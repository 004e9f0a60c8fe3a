//! The paper's figures of an arm, as its tables 2, 3, 4 and 12 print them, from the catalogue. Every Δ printed there is the difference
//! from D0's S in the same table, so it is computed.

use super::kind::Kind;
use crate::arms::{ARMS, Entry, LongSchedule};
use crate::config::{Config, ScheduleKind};

/// The arm by which the paper measures the others.
const D0: &str = "d0";

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

/// The paper's figures of an arm in its table of that kind; of long runs those of the same arm and schedule. None for an arm of
/// a user's own.
pub fn figures(arm: &str, config: &Config, kind: Kind) -> Option<Figures> {
    let of = |name: &str| ARMS.iter().find(|entry| entry.name == name).and_then(|entry| reported(entry, config, kind));
    let (s, sd) = of(arm)?;
    let delta = if arm == D0 { None } else { of(D0).map(|(d0, _)| (s - d0) / 100.0) };
    Some(Figures { s: s / 100.0, sd: sd.map(|sd| sd / 100.0), delta })
}

/// S and its SD, in per cent.
fn reported(entry: &Entry, config: &Config, kind: Kind) -> Option<(f64, Option<f64>)> {
    let paper = &entry.paper;
    match kind {
        Kind::Screening | Kind::Families => Some((paper.screening?, None)),
        Kind::Replication => paper.replication.map(|(s, sd)| (s, Some(sd))),
        Kind::Longrun => {
            let same = |schedule| entry.name == D0 || fits(schedule, config.schedule.kind);
            paper.long.iter().find(|run| same(run.schedule)).map(|run| (run.s, None))
        }
    }
}

/// Whether a run with this setting has a schedule of table 4. A plain cosine may be either of the two there: their lengths are those of
/// the runs.
fn fits(schedule: LongSchedule, kind: ScheduleKind) -> bool {
    match kind {
        ScheduleKind::Cosine => matches!(schedule, LongSchedule::Cosine30 | LongSchedule::Cosine60),
        kind => ScheduleKind::from(schedule) == kind,
    }
}
