//! The runs that answer one claim, and what is missing for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::{Claim, Length};
use crate::arms::ARMS;
use crate::config::{Config, among};
use crate::eval::bootstrap::Interval;
use crate::eval::difference;
use crate::report::table::group::{Group, settings};
use crate::report::table::runs::Run;
use crate::validate::findings::{Findings, Judgement, Unit, Verdict};
use crate::validate::judge;

/// Keys with their values.
type Setting = Vec<(String, String)>;

/// The seed whose checkpoint the paper's tests are asked of; where it lacks, the first.
const SEED: u64 = 42;
/// Epochs of the paper's screening.
const SHORT: f64 = 5.0;
/// Epochs from which a training is long: the paper's shortest in table 4.
const LONG: usize = 30;
/// What each arm has of its own in long trainings.
const OWN: &[&str] = &["epochs", "schedule", "schedule.", "eval.every"];

/// The runs that answer a claim: one group for each of its arms, all trained alike.
pub struct Case<'a> {
    evidence: &'a Evidence,
    groups: BTreeMap<&'static str, &'a Group>,
}

/// What a claim lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Runs that were not trained.
    pub trainings: Vec<Training>,
    /// Tests that were not asked: the run and the test's number.
    pub tests: Vec<(PathBuf, &'static str)>,
}

/// Runs to be trained: each arm with each seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Training {
    /// The arms.
    pub arms: Vec<&'static str>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// `key=value` beside them.
    pub settings: Vec<String>,
}

impl<'a> Case<'a> {
    /// Of the ways in which runs were trained, the one that has most of the claim's arms with seeds enough, then the most like the
    /// paper's in length; and what it lacks.
    pub(super) fn of(claim: &Claim, evidence: &'a Evidence) -> (Self, Missing) {
        let fits = |group: &&Group| {
            claim.arms.contains(&&*group.arm().name)
                && (claim.length != Length::Long || group.runs[0].config.epochs >= LONG)
        };
        let candidates: Vec<&Group> = evidence.groups.iter().filter(fits).collect();
        let alike = |group: &Group| -> Vec<(String, String)> {
            let own = |key: &str| claim.length == Length::Long && among(OWN, key);
            settings(&group.runs[0].config).into_iter().filter(|(key, _)| !own(key)).collect()
        };
        let mut ways: Vec<(Setting, Vec<&Group>)> = Vec::new();
        for group in candidates {
            let way = alike(group);
            match ways.iter_mut().find(|(other, _)| *other == way) {
                Some((_, groups)) => groups.push(group),
                None => ways.push((way, vec![group])),
            }
        }
        let rank = |groups: &[&Group]| {
            let arms = |least: usize| {
                claim
                    .arms
                    .iter()
                    .filter(|arm| groups.iter().any(|g| g.arm().name == **arm && g.runs.len() >= least))
                    .count()
            };
            let epochs = groups[0].runs[0].config.epochs.max(1) as f64;
            let length = match claim.length {
                Length::Short => -(epochs / SHORT).ln().abs(),
                Length::Long | Length::Any => epochs.ln(),
            };
            (arms(claim.seeds), arms(1), length)
        };
        // Of equal ones the first.
        let best = ways.into_iter().rev().max_by(|(_, a), (_, b)| {
            let (a, b) = (rank(a), rank(b));
            (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
        });
        let groups = best.map(|(_, groups)| groups).unwrap_or_default();
        // Of long trainings of one arm the one with more seeds.
        let group = |arm: &&'static str| {
            let own = groups.iter().copied().filter(|group| group.arm().name == **arm);
            own.max_by_key(|group| group.runs.len()).map(|group| (*arm, group))
        };
        let case = Case { evidence, groups: claim.arms.iter().filter_map(group).collect() };
        let missing = case.missing(claim);
        (case, missing)
    }

    fn missing(&self, claim: &Claim) -> Missing {
        let mut missing = Missing::default();
        // As its other arms were trained, else as whatever was.
        let known = self.groups.values().copied().next().or(self.evidence.groups.first());
        let mut base = match known {
            Some(group) => settings_beside(&group.runs[0].config, claim.length),
            None => self.evidence.settings.clone(),
        };
        if claim.length == Length::Short && known.is_some_and(|group| group.runs[0].config.epochs >= LONG) {
            base.retain(|setting| !setting.starts_with("epochs="));
        }
        for arm in claim.arms {
            let seeds =
                self.groups.get(arm).map_or(Vec::new(), |group| group.runs.iter().map(|run| run.config.seed).collect());
            let lacking = (SEED..).filter(|seed| !seeds.contains(seed)).take(claim.seeds.saturating_sub(seeds.len()));
            let (seeds, settings) = (lacking.collect::<Vec<_>>(), with_length(&base, arm, claim.length));
            if seeds.is_empty() {
                continue;
            }
            match missing.trainings.iter_mut().find(|other| other.seeds == seeds && other.settings == settings) {
                Some(other) => other.arms.push(arm),
                None => missing.trainings.push(Training { arms: vec![arm], seeds, settings }),
            }
        }
        for (number, arms) in claim.tests {
            let unasked =
                arms.iter().filter_map(|arm| self.run(arm)).filter(|run| self.findings(run, number).is_none());
            missing.tests.extend(unasked.map(|run| (run.folder.clone(), *number)));
        }
        missing
    }

    /// Folders of the runs.
    pub fn folders(&self) -> Vec<String> {
        let runs = self.groups.values().flat_map(|group| &group.runs);
        runs.map(|run| run.folder.display().to_string()).collect()
    }

    /// All runs of an arm.
    pub fn group(&self, arm: &str) -> Option<&'a Group> {
        self.groups.get(arm).copied()
    }

    /// The run of an arm that tests are asked of.
    fn run(&self, arm: &str) -> Option<&'a Run> {
        let runs = &self.group(arm)?.runs;
        runs.iter().find(|run| run.config.seed == SEED).or(runs.first())
    }

    fn findings(&self, run: &Run, number: &str) -> Option<&'a Findings> {
        self.evidence.findings(&run.folder, number)
    }

    /// S of one arm less S of another, over seeds or else over queries.
    pub fn delta(&self, arm: &str, other: &str) -> Option<Interval> {
        Some(self.group(arm)?.versus(self.group(other)?).delta)
    }

    /// A figure that a test found of an arm, with its interval.
    pub fn figure(&self, arm: &str, (number, table, quantity): (&str, &str, &str)) -> Option<Interval> {
        let findings = self.findings(self.run(arm)?, number)?;
        let table = findings.tables.iter().find(|found| found.id == table)?;
        let row = table.rows.iter().find(|row| row.quantity == quantity)?;
        let (low, high) = row.interval.unwrap_or((f64::NAN, f64::NAN));
        Some(Interval { value: row.ours?, low, high })
    }

    /// The same of one arm less that of another, from both intervals.
    pub fn apart(&self, arm: &str, other: &str, figure: (&str, &str, &str)) -> Option<Interval> {
        Some(difference::independent(&self.figure(arm, figure)?, &self.figure(other, figure)?))
    }

    /// What test `number` itself said of each of `arms` about the claim that contains `words`: it holds where it holds for all.
    pub fn said(&self, arms: &[&str], number: &str, words: &str) -> Option<Judgement> {
        let each = arms.iter().map(|arm| {
            let findings = self.findings(self.run(arm)?, number)?;
            let claim = findings.claims.iter().find(|claim| claim.claim.contains(words))?;
            let Judgement { verdict, because } = claim.judgement.clone();
            Some(verdict.because(format!("{arm} {}: {because}", verdict.words())))
        });
        Some(judge::all(each.collect::<Option<Vec<_>>>()?))
    }
}

/// Whether each figure lies above `bound`, told of the least alone.
pub fn least_above(figures: Vec<(String, Interval)>, bound: f64, unit: Unit) -> Option<Judgement> {
    extreme(figures, unit, bound, judge::above, |found| found.value)
}

/// Whether each figure lies below `bound`, told of the greatest alone.
pub fn most_below(figures: Vec<(String, Interval)>, bound: f64, unit: Unit) -> Option<Judgement> {
    extreme(figures, unit, bound, judge::below, |found| -found.value)
}

fn extreme(
    figures: Vec<(String, Interval)>,
    unit: Unit,
    bound: f64,
    judge: fn(&str, Interval, f64, Unit) -> Judgement,
    order: fn(&Interval) -> f64,
) -> Option<Judgement> {
    let verdict = judge::all(figures.iter().map(|(name, found)| judge(name, *found, bound, unit))).verdict;
    let (name, found) = figures.iter().min_by(|a, b| order(&a.1).total_cmp(&order(&b.1)))?;
    let Judgement { because, .. } = judge(name, *found, bound, unit);
    let of = if figures.len() > 1 { format!(", the closest of {}", figures.len()) } else { String::new() };
    Some(verdict.because(because + &of))
}

/// Settings in which a run differs from its preset's defaults, the arm's own and its length left out where these are the arm's.
fn settings_beside(config: &Config, length: Length) -> Vec<String> {
    let preset = format!("preset={}", config.preset.name());
    let defaults =
        Config::resolve(std::slice::from_ref(&preset), false).map(|defaults| settings(&defaults)).unwrap_or_default();
    let own = |key: &str| length == Length::Long && among(OWN, key);
    let differs = |setting: &(String, String)| !defaults.contains(setting) && setting.0 != "preset" && !own(&setting.0);
    let differing = settings(config).into_iter().filter(differs).map(|(key, value)| format!("{key}={value}"));
    std::iter::once(preset).chain(differing).collect()
}

/// `base` with the length that the paper gives such a training of `arm`, unless it has one.
fn with_length(base: &[String], arm: &str, length: Length) -> Vec<String> {
    let mut settings = base.to_vec();
    let says = |key: &str| base.iter().any(|setting| setting.split_once('=').is_some_and(|(name, _)| name == key));
    let long = ARMS.iter().find(|entry| entry.name == arm).and_then(|entry| entry.paper.long.first());
    let epochs = match length {
        Length::Short => SHORT as usize,
        Length::Long | Length::Any => long.map_or(LONG, |run| run.epochs),
    };
    if length == Length::Long {
        settings.retain(|setting| !among(OWN, setting.split_once('=').map_or("", |(name, _)| name)));
        settings.extend([format!("epochs={epochs}"), "schedule=arm".into()]);
    } else if !says("epochs") {
        let epochs = if length == Length::Short { epochs } else { LONG };
        settings.push(format!("epochs={epochs}"));
    }
    settings
}

impl Missing {
    /// What is missing, in a few words; nothing where nothing is.
    pub fn words(&self) -> Option<String> {
        let trainings = self.trainings.iter().map(|training| {
            let seeds = training.seeds.len();
            let times = if seeds > 1 { format!(" ({seeds} seeds)") } else { String::new() };
            format!("runs of {}{times}", training.arms.join(", "))
        });
        let tests = self.tests.iter().map(|(run, number)| format!("test {number} of {}", run.display()));
        let words: Vec<String> = trainings.chain(tests).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The commands that make it, new runs below `place`.
    pub fn commands(&self, place: &Path) -> Vec<String> {
        let trainings = self.trainings.iter().map(|training| training.command(place));
        let mut tests: BTreeMap<&PathBuf, Vec<&str>> = BTreeMap::new();
        self.tests.iter().for_each(|(run, number)| tests.entry(run).or_default().push(number));
        let tests = tests
            .into_iter()
            .map(|(run, numbers)| format!("engine validate {} tests={}", run.display(), numbers.join(",")));
        trainings.chain(tests).collect()
    }
}

impl Training {
    /// What `engine sweep` is given for it, but for the folder.
    pub fn grid(&self) -> Vec<String> {
        let seeds = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let own = [format!("arm={}", self.arms.join(",")), format!("seed={seeds}")];
        own.into_iter().chain(self.settings.iter().cloned()).collect()
    }

    /// The folder it goes to: the same for the same grid.
    pub fn folder(&self, place: &Path) -> PathBuf {
        place.join(format!("sweep-{}", &blake3::hash(self.grid().join("\n").as_bytes()).to_hex()[..8]))
    }

    fn command(&self, place: &Path) -> String {
        format!("engine sweep {} out={}", self.grid().join(" "), self.folder(place).display())
    }
}

/// An open verdict for figures that are no numbers.
pub fn open(because: impl Into<String>) -> Judgement {
    Verdict::NotComparable.because(because)
}
