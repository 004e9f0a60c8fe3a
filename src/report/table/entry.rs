//! What the rows of every kind of table are made of: each arm, ranked, beside its baseline, then what nothing was learned for.

use super::arm::is_baseline;
use super::group::{By, Group, Versus, compare};
use super::sheet::Part;
use crate::eval::bootstrap::Interval;

/// One row's content.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Where it belongs.
    pub part: Part,
    /// What it is called.
    pub name: String,
    /// 1 for the highest S; equal ones share a rank.
    pub rank: Option<usize>,
    /// Its runs; none for what nothing was learned for.
    pub group: Option<&'a Group>,
    /// S with its interval, whose ends are not numbers for chance.
    pub s: Interval,
    /// Share of hard negatives won.
    pub hard: f64,
    /// Beside the baseline; none for the baseline itself.
    pub versus: Option<Versus>,
}

/// The rows: arms by falling S, then the pitch-class baselines and chance.
pub fn entries(groups: &[Group]) -> Vec<Entry<'_>> {
    let mut sorted: Vec<&Group> = groups.iter().collect();
    sorted.sort_by(|a, b| b.s.value.total_cmp(&a.s.value));
    let mut entries: Vec<Entry> = sorted.iter().map(|group| of_group(group, groups)).collect();
    entries.iter_mut().for_each(|entry| {
        entry.rank = Some(1 + groups.iter().filter(|other| other.s.value > entry.s.value).count());
    });
    if let Some(first) = baseline_among(groups).or(groups.first()) {
        entries.extend(unlearned(first, baseline_among(groups)));
    }
    entries
}

/// The baseline that `group` is measured by: of several the one that differs from it in fewest settings.
pub fn baseline_of<'a>(group: &Group, groups: &'a [Group]) -> Option<&'a Group> {
    groups.iter().filter(|other| is_baseline(other.arm())).min_by_key(|other| group.differing(other).len())
}

/// The first baseline.
pub fn baseline_among(groups: &[Group]) -> Option<&Group> {
    groups.iter().find(|group| is_baseline(group.arm()))
}

fn of_group<'a>(group: &'a Group, groups: &[Group]) -> Entry<'a> {
    let baseline = baseline_of(group, groups).filter(|_| !is_baseline(group.arm()));
    let part = match baseline {
        _ if is_baseline(group.arm()) => Part::Baseline,
        Some(baseline) if group.s.value > baseline.s.value => Part::Above,
        Some(_) => Part::Below,
        None => Part::Alone,
    };
    let versus = baseline.map(|baseline| group.versus(baseline));
    let hard = group.hard_negatives_won();
    Entry { part, name: group.label.clone(), rank: None, group: Some(group), s: group.s, hard, versus }
}

/// The pitch-class baselines and chance, from the first evaluation of `group`.
fn unlearned<'a>(group: &Group, baseline: Option<&Group>) -> Vec<Entry<'a>> {
    let found = &group.runs[0].found;
    let mut entries = Vec::new();
    for system in &found.baselines {
        let own = [(found.pools.as_deref(), system.ranks.as_ref())];
        let versus = baseline.map(|baseline| {
            let runs = baseline.runs.iter();
            let theirs: Vec<_> = runs.map(|run| (run.found.pools.as_deref(), run.found.model.ranks.as_ref())).collect();
            let (delta, by) = compare(&own, &theirs, (&system.canonical.s, &baseline.s), found.protocol.seed);
            Versus { delta, by, cohen_d: None, welch: None }
        });
        let [a, b] = [&system.canonical.audio_to_midi, &system.canonical.midi_to_audio];
        let hard = (a.hard_negatives_won.value + b.hard_negatives_won.value) / 2.0;
        let (name, s) = (system.name.clone(), system.canonical.s);
        entries.push(Entry { part: Part::Unlearned, name, rank: None, group: None, s, hard, versus });
    }
    let exactly = |value: f64| Interval { value, low: f64::NAN, high: f64::NAN };
    let s = exactly(found.chance.s);
    let versus = baseline.map(|baseline| Versus {
        delta: exactly(s.value - baseline.s.value),
        by: By::Intervals,
        cohen_d: None,
        welch: None,
    });
    let hard = found.chance.audio_to_midi.hard_negatives_won;
    entries.push(Entry { part: Part::Unlearned, name: "chance".into(), rank: None, group: None, s, hard, versus });
    entries
}
