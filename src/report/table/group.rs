//! Runs of one arm under the same settings, one for each seed.

use serde_json::Value;

use super::runs::Run;
use crate::arms::Arm;
use crate::config::keys::Keyed;
use crate::config::setting::json_text;
use crate::config::{Config, among};
use crate::eval::bootstrap::Interval;
use crate::eval::difference;
use crate::eval::ranks::Ranks;
use crate::eval::statistics::{Sample, Welch, cohen_d, welch};

/// Keys in which runs of one group may differ: the seed, where things are, how often they are told, and what only rounds
/// otherwise.
const INCIDENTAL: &[&str] = &[
    "seed",
    "out",
    "resume",
    "device",
    "threads",
    "cuda.",
    "checkpoint.",
    "log.",
    "data.cache",
    "data.synth_dir",
    "data.workers",
    "eval.split",
];

/// Keys that say which arm it is.
const ARM: &[&str] = &["arm", "audio", "midi", "family"];

/// Runs that differ in their seeds alone.
#[derive(Debug, Clone)]
pub struct Group {
    /// What it is called in a table: its arm, and what else tells it from other groups of that arm.
    pub label: String,
    /// Its runs, at least one.
    pub runs: Vec<Run>,
    /// S of each run.
    pub sample: Sample,
    /// S: of one run with its interval over queries, of several their mean with its interval over seeds.
    pub s: Interval,
}

/// How much S of a group exceeds the baseline's.
#[derive(Debug, Clone, Copy)]
pub struct Versus {
    /// The difference; its ends are not numbers where nothing is known of them.
    pub delta: Interval,
    /// How the interval came about.
    pub by: By,
    /// Cohen's d, where both sides have several seeds.
    pub cohen_d: Option<f64>,
    /// Welch's test, where both sides have several seeds.
    pub welch: Option<Welch>,
}

/// Where the interval of a difference is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Welch's test over seeds.
    Seeds,
    /// Bootstrap over the queries that both sides share.
    Queries,
    /// The two intervals.
    Intervals,
}

impl Group {
    /// Groups of `runs`, in the order of their first runs. Keys that the table has columns for (`shown`) are left out of labels.
    pub fn of(runs: Vec<Run>, shown: &[&str]) -> Vec<Group> {
        let mut groups: Vec<Vec<Run>> = Vec::new();
        for run in runs {
            let own = groups.iter_mut().find(|group| {
                let (a, b) = (&group[0], &run);
                a.arm == b.arm && settings(&a.config) == settings(&b.config)
            });
            match own {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        let mut groups: Vec<Group> = groups.into_iter().map(Group::new).collect();
        let labels: Vec<String> = groups.iter().map(|group| group.label_among(&groups, shown)).collect();
        groups.iter_mut().zip(labels).for_each(|(group, label)| group.label = label);
        groups
    }

    fn new(mut runs: Vec<Run>) -> Self {
        runs.sort_by_key(|run| run.config.seed);
        let found: Vec<Interval> = runs.iter().map(|run| run.found.model.canonical.s).collect();
        let sample = Sample::of(&found.iter().map(|s| s.value).collect::<Vec<_>>());
        let s = if let [alone] = found[..] { alone } else { sample.mean_interval() };
        Group { label: runs[0].arm.name.to_string(), sample, s, runs }
    }

    /// Its arm.
    pub fn arm(&self) -> &Arm {
        &self.runs[0].arm
    }

    /// The smallest and the greatest S of its runs.
    pub fn range(&self) -> (f64, f64) {
        let values = self.runs.iter().map(|run| run.found.model.canonical.s.value);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)))
    }

    /// Share of hard negatives won, over both directions and all runs.
    pub fn hard_negatives_won(&self) -> f64 {
        let won = |run: &Run| {
            let found = &run.found.model.canonical;
            (found.audio_to_midi.hard_negatives_won.value + found.midi_to_audio.hard_negatives_won.value) / 2.0
        };
        self.runs.iter().map(won).sum::<f64>() / self.runs.len() as f64
    }

    /// The settings that are not incidental and not the arm's: key and value as text.
    pub fn settings(&self) -> Vec<(String, String)> {
        settings(&self.runs[0].config)
    }

    /// Keys whose values differ from those of `other`, the arm's own left out.
    pub fn differing(&self, other: &Group) -> Vec<String> {
        let theirs = other.settings();
        let differs = |own: &(String, String)| !theirs.contains(own);
        self.settings().into_iter().filter(differs).map(|(key, _)| key).collect()
    }

    /// S of this group less S of `baseline`.
    pub fn versus(&self, baseline: &Group) -> Versus {
        if self.runs.len() > 1 && baseline.runs.len() > 1 {
            let test = welch(&self.sample, &baseline.sample);
            let value = self.s.value - baseline.s.value;
            let delta = test.map_or(Interval { value, low: f64::NAN, high: f64::NAN }, |test| test.difference);
            return Versus {
                delta,
                by: By::Seeds,
                cohen_d: Some(cohen_d(&self.sample, &baseline.sample)),
                welch: test,
            };
        }
        let [ours, theirs] = [self, baseline].map(|group| {
            let systems = group.runs.iter().map(|run| (run.found.pools.as_deref(), run.found.model.ranks.as_ref()));
            systems.collect::<Vec<_>>()
        });
        let (delta, by) = compare(&ours, &theirs, (&self.s, &baseline.s), self.runs[0].found.protocol.seed);
        Versus { delta, by, cohen_d: None, welch: None }
    }

    /// Its arm's name, with the settings that tell it from other groups of that arm.
    fn label_among(&self, groups: &[Group], shown: &[&str]) -> String {
        let namesakes = groups.iter().filter(|other| other.arm().name == self.arm().name);
        let mut keys: Vec<String> = namesakes.flat_map(|other| self.differing(other)).collect();
        keys.sort();
        keys.dedup();
        let settings = self.settings().into_iter().filter(|(key, _)| keys.contains(key) && !among(shown, key));
        let words = settings.map(|(key, value)| format!("{key}={value}"));
        std::iter::once(self.label.clone()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// The pools of an evaluation and the ranks of one system on them.
pub type Ranked<'a> = (Option<&'a str>, Option<&'a Ranks>);

/// The difference of two systems, each the mean over its evaluations: query by query where all share their pools, else from the
/// intervals of the two.
pub fn compare(ours: &[Ranked], theirs: &[Ranked], (a, b): (&Interval, &Interval), seed: u64) -> (Interval, By) {
    let pools = ours.first().and_then(|(pools, _)| *pools);
    let shared = pools.is_some() && ours.iter().chain(theirs).all(|(other, _)| *other == pools);
    let ours: Option<Vec<&Ranks>> = ours.iter().map(|(_, ranks)| *ranks).collect();
    let theirs: Option<Vec<&Ranks>> = theirs.iter().map(|(_, ranks)| *ranks).collect();
    if shared
        && let (Some(ours), Some(theirs)) = (ours, theirs)
        && let Some(delta) = difference::paired(&ours, &theirs, seed)
    {
        return (delta, By::Queries);
    }
    (difference::independent(a, b), By::Intervals)
}

/// Key and value of the settings of a run that are neither incidental nor its arm's.
pub fn settings(config: &Config) -> Vec<(String, String)> {
    let counts = |key: &String| !among(INCIDENTAL, key) && !among(ARM, key);
    let text = |(key, value): (String, Value)| (key, json_text(&value));
    config.json().into_iter().filter(|(key, _)| counts(key)).map(text).collect()
}
