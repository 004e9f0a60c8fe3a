//! Replication over training seeds (section 5.9, table 12): how much S varies from one training to the next, and which differences
//! between arms stand out of that. Answered from runs beside this one.

use std::collections::BTreeSet;

use super::figure::{BarSeries, Figure, Level, Picture};
use super::findings::{Claim, Findings, Judgement, Row, Table, Unit, Verdict};
use super::paper;
use super::siblings::{self, Plan, Siblings};
use super::subject::Subject;
use super::test::Test;
use crate::arms::ARMS;
use crate::error::Result;
use crate::eval::statistics::{Welch, cohen_d, welch};
use crate::report::table::group::Group;

/// Replication over seeds; the paper gives it no number.
pub struct Replication;

/// The arm that the others are measured by, and the one that the paper stakes its headline on.
const BASELINE: &str = "d0";
const FLAGSHIP: &str = "d4a4";
/// Least and greatest S over the paper's five seeds, in per cent, in the order of [`paper::ARMS`].
const RANGES: [(f64, f64); 4] = [(71.8, 77.4), (81.4, 87.6), (79.4, 84.0), (78.4, 83.4)];
/// The flagship's Cohen's d and Welch's t against the baseline.
const EFFECT: (f64, f64) = (3.51, 5.55);
/// Arms by falling mean in table 12.
const ORDER: [&str; 4] = ["d4a4", "d4-a4r", "a4r", "d0"];

/// The arms of table 12, and that of the run.
fn arms(subject: &Subject) -> Vec<&str> {
    let own = Some(subject.arm()).filter(|own| !paper::ARMS.contains(own));
    paper::ARMS.into_iter().chain(own).collect()
}

impl Test for Replication {
    fn number(&self) -> &'static str {
        "14"
    }

    fn name(&self) -> &'static str {
        "replication"
    }

    fn asks(&self) -> &'static str {
        "which differences between arms stand out of how much training varies?"
    }

    fn depends(&self, subject: &Subject) -> String {
        siblings::fingerprint(subject)
    }

    fn skips(&self, subject: &Subject) -> Option<String> {
        let found = Siblings::of(subject, &arms(subject), Plan::Own).ok()?;
        let single = found.groups.iter().all(|group| group.runs.len() < 2);
        let left_out =
            if found.left_out.is_empty() { String::new() } else { format!(" ({})", found.left_out.join("; ")) };
        single.then(|| format!("no arm has a second evaluated seed beside this run{left_out}"))
    }

    fn run(&self, subject: &Subject) -> Result<Findings> {
        let arms = arms(subject);
        let siblings = Siblings::of(subject, &arms, Plan::Own)?;
        let chance = siblings.groups.first().map_or(f64::NAN, |group| group.runs[0].found.chance.s);
        Ok(Findings {
            summary: summary(&arms, &siblings),
            tables: tables(subject, &arms, &siblings, chance),
            figures: vec![figure(&arms, &siblings, chance)],
            claims: claims(&siblings, chance),
            notes: notes(&arms, &siblings),
        })
    }
}

/// What the paper found of an arm over five seeds.
#[derive(Clone, Copy)]
struct Published {
    mean: f64,
    sd: f64,
    range: (f64, f64),
}

fn published(arm: &str) -> Option<Published> {
    let (low, high) = RANGES[paper::ARMS.iter().position(|name| *name == arm)?];
    let (mean, sd) = ARMS.iter().find(|entry| entry.name == arm)?.paper.replication?;
    Some(Published { mean: mean / 100.0, sd: sd / 100.0, range: (low / 100.0, high / 100.0) })
}

/// An arm's runs, of two seeds or more.
fn several<'a>(siblings: &'a Siblings, arm: &str) -> Option<&'a Group> {
    siblings.arm(arm).filter(|group| group.runs.len() > 1)
}

/// Welch's test of two arms, each of two seeds or more.
fn compared(siblings: &Siblings, a: &str, b: &str) -> Option<Welch> {
    welch(&several(siblings, a)?.sample, &several(siblings, b)?.sample)
}

fn missing(siblings: &Siblings, arm: &str) -> String {
    match siblings.arm(arm).map(|group| group.runs.len()) {
        None => format!("no evaluated run of {arm} trained alike lies beside this one"),
        Some(runs) => format!("{runs} seed of {arm}: its spread is not known"),
    }
}

fn tables(subject: &Subject, arms: &[&str], siblings: &Siblings, chance: f64) -> Vec<Table> {
    let table = |id: &str, title: &str, unit, null: &str, rows| Table {
        id: id.into(),
        title: title.into(),
        source: "table 12".into(),
        unit,
        null: null.into(),
        rows,
    };
    let levels = |arm: &&str| {
        let published = published(arm);
        let Some(group) = siblings.arm(arm) else {
            return vec![Row::missing(*arm, missing(siblings, arm)).paper(published.map(|p| p.mean))];
        };
        let verdict = paper::judge(subject, published.map(|p| p.mean), (group.s.low, group.s.high));
        let mean = Row { verdict, ..Row::measured(*arm, group.s).paper(published.map(|p| p.mean)).null(chance) };
        let mut rows = vec![mean];
        if group.runs.len() > 1 {
            let (low, high) = group.range();
            rows.push(Row::new(format!("{arm}, lowest seed"), low).paper(published.map(|p| p.range.0)));
            rows.push(Row::new(format!("{arm}, highest seed"), high).paper(published.map(|p| p.range.1)));
        }
        rows
    };
    let spread = |arm: &&str| {
        let row = match several(siblings, arm) {
            Some(group) => Row::new(*arm, 100.0 * group.sample.sd),
            None => Row::missing(*arm, missing(siblings, arm)),
        };
        row.paper(published(arm).map(|p| 100.0 * p.sd))
    };
    let others = || arms.iter().filter(|arm| **arm != BASELINE);
    let difference = |arm: &&str| {
        let (name, paper) = (format!("{arm} − {BASELINE}"), published(arm).zip(published(BASELINE)));
        let paper = paper.map(|(ours, theirs)| ours.mean - theirs.mean);
        match compared(siblings, arm, BASELINE) {
            None => {
                let lacking = if several(siblings, arm).is_none() { arm } else { BASELINE };
                Row::missing(name, missing(siblings, lacking)).paper(paper)
            }
            Some(test) => {
                let verdict = paper::judge(subject, paper, (test.difference.low, test.difference.high));
                Row { verdict, ..Row::measured(name, test.difference).paper(paper) }
            }
        }
    };
    let statistics = |arm: &&str| {
        let Some(((ours, theirs), test)) =
            several(siblings, arm).zip(several(siblings, BASELINE)).zip(compared(siblings, arm, BASELINE))
        else {
            return Vec::new();
        };
        let effect = (**arm == *FLAGSHIP).then_some(EFFECT);
        let name = |what: &str| format!("{arm} − {BASELINE}, {what}");
        vec![
            Row::new(name("Cohen’s d"), cohen_d(&ours.sample, &theirs.sample)).paper(effect.map(|(d, _)| d)),
            Row::new(name("Welch’s t"), test.t).paper(effect.map(|(_, t)| t)),
            Row::new(name("degrees of freedom"), test.df),
            Row::new(name("p"), test.p),
        ]
    };
    let mut tables = vec![
        table("replication", "Mean S over seeds", Unit::Share, "chance", arms.iter().flat_map(levels).collect()),
        table(
            "replication-spread",
            "Standard deviation of S over seeds, in points",
            Unit::Number(1),
            "",
            arms.iter().map(spread).collect(),
        ),
        table("replication-difference", "Mean S beside D0", Unit::Points, "", others().map(difference).collect()),
    ];
    let rows: Vec<Row> = others().flat_map(statistics).collect();
    if !rows.is_empty() {
        tables.push(table("replication-tests", "Effect sizes and tests beside D0", Unit::Number(4), "", rows));
    }
    tables
}

fn figure(arms: &[&str], siblings: &Siblings, chance: f64) -> Figure {
    let present: Vec<&Group> = arms.iter().filter_map(|arm| siblings.arm(arm)).collect();
    let interval = |group: &&Group| (group.s.low.is_finite()).then_some((group.s.low, group.s.high));
    Figure {
        id: "replication".into(),
        title: "Replication over seeds".into(),
        source: String::new(),
        caption: "Mean S over training seeds with 95 % intervals by Student's t (of a single seed: over queries); marks are the paper's \
                  means over five."
            .into(),
        picture: Picture::Bars {
            axis: "S (%)".into(),
            unit: Unit::Share,
            groups: present.iter().map(|group| format!("{} ({})", group.arm().name, group.runs.len())).collect(),
            series: vec![BarSeries {
                label: "S".into(),
                values: present.iter().map(|group| Some(group.s.value)).collect(),
                intervals: present.iter().map(interval).collect(),
                marks: present.iter().map(|group| Some(published(&group.arm().name)?.mean)).collect(),
            }],
            lines: vec![Level { label: "chance".into(), value: chance }],
        },
    }
}

fn summary(arms: &[&str], siblings: &Siblings) -> String {
    let each = arms.iter().filter_map(|arm| {
        let group = siblings.arm(arm)?;
        let (percent, runs) = (100.0 * group.s.value, group.runs.len());
        let spread = if runs > 1 { format!(" ± {:.1}", 100.0 * group.sample.sd) } else { String::new() };
        let seeds = if runs == 1 { "1 seed".into() } else { format!("{runs} seeds") };
        Some(format!("{arm} {percent:.1}{spread} % ({seeds})"))
    });
    format!("Mean S ± SD: {}.", each.collect::<Vec<_>>().join(", "))
}

fn claims(siblings: &Siblings, chance: f64) -> Vec<Claim> {
    let claim =
        |claim: &str, judgement| Claim { claim: claim.into(), source: "section 5.9, table 12".into(), judgement };
    vec![
        claim("d4a4 exceeds D0 by 8.8 points of mean S (d = 3.51, t = 5.55, p < 0.001)", exceeds(siblings, chance)),
        claim("The worst seed of d4a4 is above the best of D0, by 4.0 points", apart(siblings)),
        claim("The order over seeds is d4a4, d4-a4r, a4r, D0", ordered(siblings)),
    ]
}

fn cannot_tell(siblings: &Siblings, arms: &[&str]) -> Option<Judgement> {
    let lacking = arms.iter().find(|arm| several(siblings, arm).is_none())?;
    Some(Verdict::NotComparable.because(missing(siblings, lacking)))
}

fn exceeds(siblings: &Siblings, chance: f64) -> Judgement {
    if let Some(judgement) = cannot_tell(siblings, &[FLAGSHIP, BASELINE]) {
        return judgement;
    }
    let above = siblings.arm(FLAGSHIP).is_some_and(|group| group.s.low > chance);
    let Some(Welch { t, df, p, difference }) = compared(siblings, FLAGSHIP, BASELINE) else {
        return Verdict::NotComparable.because("all seeds of both arms are alike");
    };
    let verdict = if above { Verdict::above(0.0, (difference.low, difference.high)) } else { Verdict::NotComparable };
    let points = |x: f64| Unit::Points.text(x);
    let (value, low, high) = (points(difference.value), points(difference.low), points(difference.high));
    let but = if above { "" } else { "; d4a4 is not surely above chance" };
    verdict.because(format!("{value} [{low}, {high}], t = {t:.2} with {df:.1} degrees of freedom, p = {p:.2e}{but}"))
}

fn apart(siblings: &Siblings) -> Judgement {
    if let Some(judgement) = cannot_tell(siblings, &[FLAGSHIP, BASELINE]) {
        return judgement;
    }
    let range = |arm| siblings.arm(arm).map_or((f64::NAN, f64::NAN), Group::range);
    let ((worst, _), (_, best)) = (range(FLAGSHIP), range(BASELINE));
    Verdict::of(worst > best).because(format!("{:.1} % against {:.1} %", 100.0 * worst, 100.0 * best))
}

/// Held where every arm surely exceeds the next, not held where one surely does not.
fn ordered(siblings: &Siblings) -> Judgement {
    if let Some(judgement) = cannot_tell(siblings, &ORDER) {
        return judgement;
    }
    let tests: Vec<_> = ORDER.windows(2).map(|pair| (pair, compared(siblings, pair[0], pair[1]))).collect();
    let sure = |holds: fn(&Welch) -> bool| move |(_, test): &(&[&str], Option<Welch>)| test.as_ref().is_some_and(holds);
    let (ahead, behind) = (sure(|test| test.difference.low > 0.0), sure(|test| test.difference.high < 0.0));
    let close = tests.iter().filter(|test| !ahead(test) && !behind(test));
    let close = close.map(|(pair, _)| format!("{} and {}", pair[0], pair[1])).collect::<Vec<_>>().join(", ");
    let means = ORDER.iter().filter_map(|arm| Some(format!("{arm} {:.1}", 100.0 * siblings.arm(arm)?.s.value)));
    let means = means.collect::<Vec<_>>().join(", ");
    let verdict = match () {
        () if tests.iter().any(&behind) => Verdict::NotHeld,
        () if tests.iter().all(&ahead) => Verdict::Held,
        () => Verdict::NotComparable,
    };
    let but = if close.is_empty() { String::new() } else { format!("; not separated: {close}") };
    verdict.because(format!("{means} %{but}"))
}

fn notes(arms: &[&str], siblings: &Siblings) -> Vec<String> {
    let mut notes = vec![
        "Intervals of means over seeds are Student's t, SD has n − 1 in its denominator, d is Cohen's with the pooled SD, differences are \
         Welch's. All seeds meet the same queries: intervals tell how training varies, not what other queries would give."
            .to_string(),
    ];
    let seeds = |arm: &str| -> BTreeSet<u64> {
        siblings.arm(arm).map(|group| group.runs.iter().map(|run| run.config.seed).collect()).unwrap_or_default()
    };
    let listed = |seeds: BTreeSet<u64>| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let all: BTreeSet<u64> = arms.iter().flat_map(|arm| seeds(arm)).collect();
    let lacks = arms.iter().filter_map(|arm| {
        let lacking: BTreeSet<u64> = &all - &seeds(arm);
        (!lacking.is_empty()).then(|| format!("{arm} lacks {}", listed(lacking)))
    });
    let lacks = lacks.collect::<Vec<_>>().join("; ");
    let but = if lacks.is_empty() { String::new() } else { format!("; {lacks}") };
    notes.push(format!("Seeds beside this run: {}{but}. The paper has five of each arm.", listed(all)));
    if let Some(baseline) = siblings.arm(BASELINE) {
        let differing = siblings.groups.iter().filter_map(|group| {
            let keys = group.differing(baseline);
            (!keys.is_empty()).then(|| format!("{} in {}", group.arm().name, keys.join(", ")))
        });
        let differing = differing.collect::<Vec<_>>().join("; ");
        if !differing.is_empty() {
            notes.push(format!("Trained as the arms' own long runs are, which differ from D0's: {differing}."));
        }
    }
    notes.extend(siblings.note());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::eval::canonical::{self, Canonical};
    use crate::eval::pools::{Item, Protocol};
    use crate::eval::retrieval::Embeddings;
    use crate::report::table::runs::Run;

    /// Runs of each arm whose S are the given ones.
    fn siblings(arms: &[(&str, &[f64])]) -> Siblings {
        let values: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let items: Vec<Item> = (0..20).map(|i| Item { piece: i / 5, composer: i / 10, performance: i / 5 }).collect();
        let pairs = Embeddings { audio: &values, midi: &values, dim: 2 };
        let found = canonical::evaluate("any", pairs, &items, &[], &Protocol::default()).unwrap();
        let run = |arm: &str, seed: usize, s: f64| {
            let settings = [format!("arm={arm}"), format!("seed={seed}"), "schedule=cosine".into()];
            let config = Config::resolve(&settings, false).unwrap();
            let mut found: Canonical = found.clone();
            found.model.canonical.s.value = s;
            Run { folder: format!("{arm}-{seed}").into(), arm: config.arm().unwrap(), config, found, best_epoch: None }
        };
        let runs = arms.iter().flat_map(|(arm, s)| s.iter().enumerate().map(|(seed, s)| run(arm, seed, *s)));
        Siblings {
            groups: Group::of(runs.collect(), &[]),
            left_out: vec!["d0-9: no evaluation on the test split".into()],
        }
    }

    #[test]
    fn what_seeds_can_tell_is_told_and_no_more() {
        let d0 = [0.72, 0.74, 0.75, 0.77, 0.76];
        let clear = siblings(&[
            ("d0", &d0),
            ("d4a4", &[0.82, 0.84, 0.85, 0.86, 0.83]),
            ("a4r", &[0.80, 0.81, 0.80, 0.82, 0.81]),
            ("d4-a4r", &[0.81, 0.80, 0.82, 0.80, 0.81]),
        ]);
        let verdicts =
            |siblings: &Siblings| claims(siblings, 0.04).iter().map(|c| c.judgement.verdict).collect::<Vec<_>>();
        assert_eq!(verdicts(&clear), [Verdict::Held, Verdict::Held, Verdict::NotComparable]);
        assert!(ordered(&clear).because.ends_with("not separated: d4-a4r and a4r"), "{}", ordered(&clear).because);
        let reversed =
            siblings(&[("d0", &d0), ("d4a4", &[0.60, 0.61]), ("a4r", &[0.8, 0.81]), ("d4-a4r", &[0.7, 0.71])]);
        assert_eq!(verdicts(&reversed), [Verdict::NotHeld; 3]);
        let single = siblings(&[("d0", &d0), ("d4a4", &[0.83])]);
        assert_eq!(verdicts(&single), [Verdict::NotComparable; 3]);
        let notes = notes(&paper::ARMS, &single);
        assert!(notes[1].contains("d4a4 lacks 1, 2, 3, 4; a4r lacks 0, 1, 2, 3, 4"), "{notes:?}");
        assert!(notes.last().unwrap().contains("d0-9: no evaluation"), "{notes:?}");
    }

    #[test]
    fn the_papers_figures_are_those_of_table_12() {
        let shares = paper::ARMS.map(|arm| published(arm).unwrap());
        assert!(shares.iter().all(|p| p.range.0 < p.mean && p.mean < p.range.1));
        let by_mean = |a: &&str, b: &&str| published(b).unwrap().mean.total_cmp(&published(a).unwrap().mean);
        let mut order = paper::ARMS.to_vec();
        order.sort_by(by_mean);
        assert_eq!(order, ORDER);
    }
}
