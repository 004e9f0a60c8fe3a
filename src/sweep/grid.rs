//! Grids: every combination of the values of some keys, each a cell with a name.

use std::collections::BTreeSet;

use crate::arms;
use crate::config::keys::{Keyed, split};
use crate::config::{Config, Preset};
use crate::error::{Error, Result};

/// Cells a grid may have; more is a slip of the hand.
const MOST: usize = 10_000;

/// Bytes of a name; file systems allow 255, of which a log's ending takes some.
const LONGEST_NAME: usize = 200;

/// One combination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `ARM-SEED`, then `-KEY=VALUE` for every other key with several values; fit for a file's name and unlike all others.
    pub name: String,
    /// `key=value` for every key that was named.
    pub settings: Vec<(String, String)>,
}

/// The grid of `arguments`, each `key=values`; the first key changes slowest.
///
/// Values: a value that the key accepts as it stands (so `model.audio.cnn=8,8,16,16` is one), else a list with commas, whose parts
/// are values or integers `1..5` with both ends; for `arm` names and groups ([`arms::GROUPS`]) with commas. A key named again adds
/// its values to those before: the way to several values where the key itself takes commas, as paths do.
///
/// # Errors
/// [`Error::Usage`] for an unknown key, a value that its key does not accept, or settings of a cell that do not fit together.
pub fn expand(arguments: &[String]) -> Result<Vec<Point>> {
    let mut axes: Vec<(String, Vec<String>)> = Vec::new();
    for argument in arguments {
        let (key, text) = split(argument)?;
        let more = values(key, text)?;
        let at = axes.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            axes.push((key.to_string(), Vec::new()));
            axes.len() - 1
        });
        for value in more {
            if !axes[at].1.contains(&value) {
                axes[at].1.push(value);
            }
        }
    }
    let cells = axes.iter().try_fold(1_usize, |product, (_, values)| product.checked_mul(values.len()));
    if cells.is_none_or(|cells| cells > MOST) {
        return Err(Error::Usage(format!("a grid of more than {MOST} cells")));
    }
    let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (key, values) in &axes {
        let with = |before: &Vec<(String, String)>, value: &String| {
            before.iter().cloned().chain([(key.clone(), value.clone())]).collect()
        };
        combinations =
            combinations.iter().flat_map(|before| values.iter().map(move |value| with(before, value))).collect();
    }
    let varied: BTreeSet<&str> =
        axes.iter().filter(|(_, values)| values.len() > 1).map(|(key, _)| key.as_str()).collect();
    let mut taken = BTreeSet::new();
    combinations
        .into_iter()
        .map(|settings| {
            let config = resolved(&settings)?;
            let name = unlike(name(&config, &settings, &varied), &mut taken);
            Ok(Point { name, settings })
        })
        .collect()
}

/// The configuration of a cell. Its process settles for itself whether there is a GPU, so that it is enough here that the settings
/// fit together with or without one.
pub fn resolved(settings: &[(String, String)]) -> Result<Config> {
    let arguments: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Config::resolve(&arguments, false).or_else(|error| Config::resolve(&arguments, true).map_err(|_| error))
}

/// The values that `text` stands for.
fn values(key: &str, text: &str) -> Result<Vec<String>> {
    if key == "arm" {
        return Ok(text.split(',').map(arm_names).collect::<Result<Vec<_>>>()?.concat());
    }
    let accepted = |text: &str| Config::defaults(Preset::Auto).set(key, text);
    if accepted(text).is_ok() {
        return Ok(vec![text.to_string()]);
    }
    let mut all = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        match (accepted(part), integers(part)) {
            (Ok(()), _) => all.push(part.to_string()),
            (Err(_), Some((first, last))) if last - first < MOST as u64 => {
                for value in first..=last {
                    let value = value.to_string();
                    accepted(&value)?;
                    all.push(value);
                }
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(all)
}

/// The arms that one word stands for: a group's, or the arm of that name.
fn arm_names(word: &str) -> Result<Vec<String>> {
    let word = word.trim();
    let entries = match arms::group(word) {
        Some(group) => group,
        None => vec![arms::find(word)?],
    };
    Ok(entries.into_iter().map(|entry| entry.name.to_string()).collect())
}

/// `1..5` as (1, 5); `None` where it is no such range, or runs backwards.
fn integers(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once("..")?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn name(config: &Config, settings: &[(String, String)], varied: &BTreeSet<&str>) -> String {
    let mut name = format!("{}-{}", config.arm, config.seed);
    for (key, value) in settings {
        if varied.contains(key.as_str()) && key != "arm" && key != "seed" {
            // Of a path its last part tells most.
            let value = value.rsplit('/').find(|part| !part.is_empty()).unwrap_or("root");
            name += &format!("-{key}={value}");
        }
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.,+=".contains(c) { c } else { '_' };
    let mut name: String = name.chars().map(plain).collect();
    name.truncate(LONGEST_NAME);
    name
}

/// `name`, with a number behind where another cell has it; upper and lower case count as the same, as on some file systems.
fn unlike(name: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| taken.insert(name.to_lowercase()));
    free.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(arguments: &[&str]) -> Result<Vec<Point>> {
        expand(&arguments.iter().map(|text| text.to_string()).collect::<Vec<_>>())
    }

    fn names(arguments: &[&str]) -> Vec<String> {
        grid(arguments).unwrap().into_iter().map(|point| point.name).collect()
    }

    #[test]
    fn every_combination_once_the_first_key_slowest() {
        assert_eq!(names(&["arm=A4R,d0", "seed=1..2"]), ["a4r-1", "a4r-2", "d0-1", "d0-2"]);
        assert_eq!(names(&["seed=1..3,7,2"]), ["a4r-1", "a4r-2", "a4r-3", "a4r-7"]);
        assert_eq!(names(&["lr=1e-3,2e-3", "preset=tiny"]), ["a4r-42-lr=1e-3", "a4r-42-lr=2e-3"]);
        assert_eq!(names(&[]), ["a4r-42"]);
        let points = grid(&["preset=tiny", "arm=d0", "lr=1e-3,2e-3"]).unwrap();
        let settings = [("preset", "tiny"), ("arm", "d0"), ("lr", "2e-3")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(points[1].settings, settings);
    }

    #[test]
    fn groups_of_arms_mix_with_names() {
        let mut mixed = names(&["arm=canonical,d0,a4"]);
        assert_eq!(mixed.pop().as_deref(), Some("a4-42"));
        mixed.sort();
        assert_eq!(mixed, ["a4r-42", "d0-42", "d4-a4r-42", "d4a4-42"]);
        assert_eq!(names(&["arm=all13"]).len(), 13);
        assert_eq!(names(&["arm=all24"]).len(), 24);
    }

    #[test]
    fn commas_and_dots_that_belong_to_a_value_stay_in_it() {
        let whole = "model.audio.cnn=32,32,64,128";
        assert_eq!(grid(&[whole]).unwrap()[0].settings, [("model.audio.cnn".into(), "32,32,64,128".into())]);
        assert_eq!(
            names(&[whole, "model.audio.cnn=64,64,96,128"]),
            ["a4r-42-model.audio.cnn=32,32,64,128", "a4r-42-model.audio.cnn=64,64,96,128"]
        );
        assert_eq!(
            names(&["augment.room=0.2..0.4,0.5..1"]),
            ["a4r-42-augment.room=0.2..0.4", "a4r-42-augment.room=0.5..1"]
        );
        assert_eq!(names(&["init=x/m", "init=y/m"]), ["a4r-42-init=m", "a4r-42-init=m-2"]);
    }

    #[test]
    fn what_is_wrong_with_any_cell_is_said_before_one_begins() {
        let message = |arguments: &[&str]| {
            let error = grid(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        assert_eq!(message(&["seeds=1,2"]), "unknown key `seeds`; the nearest is `seed`");
        assert!(message(&["seed=5..1"]).starts_with("seed: expected integer"));
        assert_eq!(message(&["batch=16,1"]), "batch: expected integer, 2 to 65536; found `1`");
        assert!(message(&["arm=a4r,a4q"]).contains("a4q"));
        assert!(message(&["model.midi.heads=4,3"]).contains("model.midi"));
        assert!(message(&["seed=1..1000", "epochs=1..1000"]).contains("10000 cells"));
        assert!(message(&["seed=1,"]).starts_with("seed: expected integer"));
    }
}
