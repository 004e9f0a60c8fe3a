//! `engine schedule`: draws how the learning rate moves over a run.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Settings;
use super::output::{print, print_json};
use crate::arms::{self, ARMS};
use crate::config::keys::{keys, parse};
use crate::config::setting::{Limits, Setting};
use crate::config::{ScheduleConfig, ScheduleKind};
use crate::error::{Error, Result};
use crate::io::write_atomic;
use crate::progress::say;
use crate::report::schedule_figure::{self, Curve};
use crate::schedule::Schedule;

keys! {
    /// Settings of `engine schedule`.
    Keys {
        /// Arms whose long runs in the paper are drawn (table 4).
        arm: Vec<String> = Vec::new();
        /// Schedules to draw: cosine, cosine-tail, trapezoid, or cosine-N with a reference period of N epochs.
        schedule: Vec<String> = Vec::new();
        /// Epochs of the run; 0 = those of the paper's run of an arm, else 60.
        epochs: usize [0..=100_000] = 0;
        /// Steps of an epoch; the paper's 13,000 segments in batches of 16 make 812.
        steps_per_epoch: usize [1..=100_000_000] = 812;
        /// Base learning rate.
        lr: f64 [0.0..=10.0] => 2e-4, 1e-3, 1e-3;
        /// Steps of linear warm-up; a run shorter than 4,000 steps warms up for an eighth of it at most.
        warmup: usize [0..=1_000_000_000] = 500;
        /// Epochs after which the cosine ends; 0 = the whole run (cosine-tail: half of it).
        ref_epochs as "schedule.ref_epochs": usize [0..=100_000] = 0;
        /// cosine-tail: smallest share of the base rate before the tail.
        floor as "schedule.floor": f64 [0.0..=1.0] = 0.10;
        /// cosine-tail: share of the base rate at the very end.
        tail_end as "schedule.tail_end": f64 [0.0..=1.0] = 0.02;
        /// File to write: .png or .svg (a figure), .csv (the rate of every step).
        out: Option<PathBuf> = None;
    }
}

/// Draws the schedules on the terminal, and into a file where one is wanted.
pub fn run(args: &Settings) -> Result<()> {
    if args.listed::<Keys>()? {
        return Ok(());
    }
    let keys: Keys = parse(&args.settings)?;
    let curves = curves(&keys)?;
    if let Some(path) = &keys.out {
        save(path, &curves)?;
        say(&format!("wrote {}", path.display()));
    }
    if args.json {
        return print_json(&curves.iter().map(described).collect::<Vec<_>>());
    }
    print(&curves.iter().map(Curve::text).collect::<Vec<_>>().join("\n"))
}

/// The long runs of the arms asked for, then the schedules asked for; a cosine where nothing is.
fn curves(keys: &Keys) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for arm in &keys.arm {
        let entry = arms::find(arm)?;
        if entry.paper.long.is_empty() {
            let trained = ARMS.iter().filter(|entry| !entry.paper.long.is_empty()).map(|entry| entry.name);
            let list = trained.collect::<Vec<_>>().join(", ");
            return Err(Error::Usage(format!("arm: expected arms that the paper trains long, {list}; found `{arm}`")));
        }
        for run in entry.paper.long {
            let word = run.schedule.word();
            curves.push(curve(word, format!("{} {word}", entry.name), run.epochs, keys)?);
        }
    }
    let default = ["cosine".to_owned()];
    let schedules = if keys.schedule.is_empty() && curves.is_empty() { &default[..] } else { &keys.schedule[..] };
    for name in schedules {
        curves.push(curve(name, name.clone(), 60, keys)?);
    }
    Ok(curves)
}

/// The schedule called `name` over so many `epochs`, unless the settings say how many.
fn curve(name: &str, label: String, epochs: usize, keys: &Keys) -> Result<Curve> {
    let Keys { ref_epochs, floor, tail_end, .. } = *keys;
    let mut config = ScheduleConfig { kind: ScheduleKind::Cosine, ref_epochs, floor, tail_end };
    let of_reference = || name.strip_prefix("cosine-")?.parse().ok().filter(|&epochs: &usize| epochs > 0);
    if !config.kind.set(name, &Limits::NONE) {
        config.ref_epochs = of_reference().ok_or_else(|| {
            let expected = format!("{}|cosine-N, with commas", config.kind.kind(&Limits::NONE));
            Error::Usage(format!("schedule: expected {expected}; found `{name}`"))
        })?;
    }
    let steps_per_epoch = keys.steps_per_epoch as u64;
    let total_steps = steps_per_epoch * if keys.epochs > 0 { keys.epochs } else { epochs } as u64;
    let schedule = Schedule { shape: config.shape(), warmup: keys.warmup as u64, steps_per_epoch, total_steps };
    Ok(Curve { label, schedule, lr: keys.lr })
}

fn save(path: &Path, curves: &[Curve]) -> Result<()> {
    match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("png" | "svg") => schedule_figure::save(path, curves),
        Some("csv") => write_atomic(path, |file| file.write_all(schedule_figure::csv(curves).as_bytes())),
        _ => Err(Error::Usage(format!(
            "out: expected a name that ends in .png, .svg or .csv; found `{}`",
            path.display()
        ))),
    }
}

/// The rate at the end of every epoch, and the steps that matter.
fn described(curve: &Curve) -> serde_json::Value {
    let Schedule { steps_per_epoch, total_steps, .. } = curve.schedule;
    let ends = (1..=total_steps / steps_per_epoch).map(|epoch| curve.rate(epoch * steps_per_epoch - 1));
    let marks: serde_json::Map<_, _> =
        curve.schedule.marks().into_iter().map(|(name, step)| (name.replace(' ', "_"), step.into())).collect();
    json!({
        "schedule": curve.label, "lr": curve.lr, "steps_per_epoch": steps_per_epoch, "steps": total_steps, "marks": marks,
        "at_the_end_of_each_epoch": ends.collect::<Vec<_>>(),
    })
}
