//! The paper's figures beside ours, from the catalogue. Every Δ the paper prints is the difference from its S of the baseline in the
//! same table, so it is computed.

use super::arm::is_baseline;
use super::kind::Kind;
use crate::arms::{ARMS, Entry, LongSchedule};
use crate::config::{Config, ScheduleKind};

/// What the paper reports of an arm; shares are fractions of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// S, or its mean over five seeds.
    pub s: f64,
    /// Standard deviation over five seeds.
    pub sd: Option<f64>,
    /// S less S of the baseline; none for the baseline itself.
    pub delta: Option<f64>,
}

/// The paper's figures of an arm in its table of that kind; of long runs those with the same schedule, if possible of the same length.
/// Nothing for a user's own arm.
pub fn figures(arm: &str, config: &Config, kind: Kind) -> Option<Figures> {
    let entry = ARMS.iter().find(|entry| entry.name == arm)?;
    let s = match kind {
        Kind::Longrun => long(entry, config)?,
        _ => of(entry, kind)?,
    };
    let base = ARMS.iter().find(|entry| is_baseline(&entry.arm())).filter(|base| base.name != entry.name);
    let delta = base.and_then(|base| of(base, kind)).map(|base| (s - base) / 100.0);
    let sd = entry.paper.replication.filter(|_| kind == Kind::Replication).map(|(_, sd)| sd / 100.0);
    Some(Figures { s: s / 100.0, sd, delta })
}

/// S in per cent; of long runs the arm's own.
fn of(entry: &Entry, kind: Kind) -> Option<f64> {
    match kind {
        Kind::Screening | Kind::Families => entry.paper.screening,
        Kind::Longrun => entry.paper.long.first().map(|run| run.s),
        Kind::Replication => entry.paper.replication.map(|(mean, _)| mean),
    }
}

fn long(entry: &Entry, config: &Config) -> Option<f64> {
    let kind = |schedule| match schedule {
        LongSchedule::Cosine30 | LongSchedule::Cosine60 => ScheduleKind::Cosine,
        LongSchedule::CosineTail => ScheduleKind::CosineTail,
        LongSchedule::Trapezoid => ScheduleKind::Trapezoid,
    };
    let same = entry.paper.long.iter().filter(|run| kind(run.schedule) == config.schedule.kind);
    same.min_by_key(|run| run.epochs.abs_diff(config.epochs)).map(|run| run.s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::parse;

    #[test]
    fn differences_are_those_that_the_paper_prints() {
        let config = |schedule: &str, epochs: usize| -> Config {
            parse(&[format!("schedule={schedule}"), format!("epochs={epochs}")]).unwrap()
        };
        let short = config("cosine", 5);
        for (arm, kind, config, delta) in [
            ("d4a4", Kind::Screening, &short, 9.6),
            ("t3-anc", Kind::Families, &short, -18.0),
            ("a4r", Kind::Replication, &short, 5.5),
            ("a4r", Kind::Longrun, &config("cosine", 30), 8.6),
            ("a4r", Kind::Longrun, &config("cosine-tail", 60), 7.2),
            ("t3-wt", Kind::Longrun, &config("trapezoid", 50), 7.8),
        ] {
            let found = figures(arm, config, kind).unwrap();
            assert!((100.0 * found.delta.unwrap() - delta).abs() < 1e-9, "{arm} {kind:?}: {found:?}");
        }
        let base = figures("d0", &short, Kind::Replication).unwrap();
        assert_eq!((base.delta, base.sd), (None, Some(0.023)));
        assert!(
            figures("d0", &short, Kind::Longrun).is_none()
                && figures("d4+a7:reverse", &short, Kind::Screening).is_none()
        );
    }
}
