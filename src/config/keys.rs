//! The `keys!` declaration: one list of keys gives the typed struct, the `key=value` parser, the table of `--keys` and the JSON form.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::choices::Preset;
use super::setting::{Limits, Setting, json_text};
use crate::error::{Error, Result};

/// One key of a [`Keyed`] value, with a hand on where its value lies.
pub struct Key<'a> {
    /// Full name with dots, e.g. `model.audio.d`.
    pub name: String,
    /// One sentence, from the doc comment of the field.
    pub meaning: &'static str,
    /// Interval of a number.
    pub limits: Limits,
    /// The value itself.
    pub value: &'a mut dyn Setting,
}

/// A struct declared by `keys!`.
pub trait Keyed: Clone {
    /// Every key at its default; [`Preset::Auto`] stands for a preset not yet chosen and gives the sizes of `small`.
    fn defaults(preset: Preset) -> Self;

    /// Calls `visit` with every key in the order of declaration; `prefix` goes before the names of this struct's keys.
    fn each<'a>(&'a mut self, prefix: &str, visit: &mut dyn FnMut(Key<'a>));

    /// Takes one `key=value`; [`Error::Usage`] with the nearest key, or with what the key expects.
    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let mut names = Vec::new();
        let mut outcome = None;
        self.each("", &mut |key| {
            if key.name == name {
                let expected = key.value.kind(&key.limits);
                let nearest = key.value.nearest(text).map(|near| format!("; the nearest is `{near}`"));
                let told = format!("{name}: expected {expected}; found `{text}`{}", nearest.unwrap_or_default());
                outcome = Some(key.value.set(text, &key.limits).then_some(()).ok_or(told));
            }
            names.push(key.name);
        });
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(told)) => Err(Error::Usage(told)),
            None => Err(Error::Usage(format!("unknown key `{name}`; the nearest is {}", nearest(name, &names)))),
        }
    }

    /// The value as one flat JSON object, dots kept in the names, in the order of declaration.
    fn json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        self.clone().each("", &mut |key| drop(object.insert(key.name, key.value.json())));
        object
    }

    /// Every key as `(name, text)`; each is accepted by [`Keyed::set`].
    fn pairs(&self) -> Vec<(String, String)> {
        self.json().into_iter().map(|(name, value)| (name, json_text(&value))).collect()
    }
}

/// The defaults with `arguments` (each `key=value`; of equal keys the last counts) on top.
pub fn parse<K: Keyed>(arguments: &[String]) -> Result<K> {
    let mut settings = K::defaults(Preset::Auto);
    for argument in arguments {
        let (name, text) = split(argument)?;
        settings.set(name, text)?;
    }
    Ok(settings)
}

/// `key=value` in two.
pub fn split(argument: &str) -> Result<(&str, &str)> {
    argument.split_once('=').ok_or_else(|| Error::Usage(format!("expected key=value; found `{argument}`")))
}

/// The names closest to `wanted` in backquotes; a key whose last part is exactly `wanted` comes before all.
fn nearest(wanted: &str, names: &[String]) -> String {
    let score = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or(name);
        let whole = strsim::normalized_damerau_levenshtein(wanted, name);
        // 0.9: a slip within the last part alone (`beta2` for `adam.beta2`) counts almost like one in the whole name.
        whole.max(0.9 * strsim::normalized_damerau_levenshtein(wanted, last))
    };
    let mut scored: Vec<_> = names.iter().map(|name| (score(name), name)).collect();
    scored.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
    let best = scored.first().map_or(0.0, |first| first.0);
    let ties: Vec<_> =
        scored.iter().take_while(|(score, _)| *score == best).take(3).map(|(_, name)| format!("`{name}`")).collect();
    ties.join(" or ")
}

/// What `--keys` tells of one key.
struct Row {
    name: String,
    kind: String,
    meaning: &'static str,
    /// Default under paper, small and tiny.
    defaults: [Value; 3],
}

/// A row for each key whose name `keep` accepts.
fn rows<K: Keyed>(keep: impl Fn(&str) -> bool) -> Vec<Row> {
    let [paper, small, tiny] = [Preset::Paper, Preset::Small, Preset::Tiny].map(|preset| K::defaults(preset).json());
    let mut rows = Vec::new();
    K::defaults(Preset::Auto).each("", &mut |key| {
        if !keep(&key.name) {
            return;
        }
        let default = |of: &Map<String, Value>| of.get(&key.name).cloned().unwrap_or(Value::Null);
        rows.push(Row {
            kind: key.value.kind(&key.limits),
            meaning: key.meaning,
            defaults: [default(&paper), default(&small), default(&tiny)],
            name: key.name,
        });
    });
    rows
}

/// The table of `--keys`, of the keys that `keep` accepts: a line with name and default (for paper, small and tiny where
/// they differ), then meaning and type.
pub fn table<K: Keyed>(keep: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for Row { name, kind, meaning, defaults } in rows::<K>(keep) {
        let [paper, small, tiny] = defaults.map(|value| json_text(&value));
        let default = if paper == small && small == tiny {
            small
        } else {
            format!("{paper} (paper) / {small} (small) / {tiny} (tiny)")
        };
        text += &format!("{name}={default}\n    {meaning} [{kind}]\n");
    }
    text
}

/// The same for programs: a list of `{key, type, default: {paper, small, tiny}, meaning}`.
pub fn table_json<K: Keyed>(keep: impl Fn(&str) -> bool) -> Value {
    let rows = rows::<K>(keep).into_iter().map(|Row { name, kind, meaning, defaults: [paper, small, tiny] }| {
        json!({ "key": name, "type": kind, "default": { "paper": paper, "small": small, "tiny": tiny }, "meaning": meaning })
    });
    Value::Array(rows.collect())
}

/// `prefix.name`, or the `full` name where the declaration gives one.
pub fn full_name(prefix: &str, name: &str, full: Option<&str>) -> String {
    match full {
        Some(full) => full.to_string(),
        None if prefix.is_empty() => name.to_string(),
        None => format!("{prefix}.{name}"),
    }
}

/// Declares a struct of keys:
///
/// ```text
/// keys! {
///     /// Doc of the struct.
///     Name {
///         /// Meaning of the key.
///         field: type [range] = default;                  // the range only for numbers
///         /// Meaning.
///         field as "full.name": type => paper, small, tiny;   // a default for each preset
///     }
///     sections { part: OtherKeyed }                       // its keys are `part.…`
/// }
/// ```
macro_rules! keys {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field:ident $(as $full:literal)? : $ty:ty $([$range:expr])?
                $(= $default:expr)? $(=> $paper:expr, $small:expr, $tiny:expr)?;
            )*
        }
        $(sections { $($(#[$note:meta])* $section:ident : $part:ty),* $(,)? })?
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $meaning])+ pub $field: $ty,)*
            $($($(#[$note])* pub $section: $part,)*)?
        }

        impl $crate::config::keys::Keyed for $name {
            #[allow(unused_variables, reason = "only some structs have defaults that differ between presets")]
            fn defaults(preset: $crate::config::Preset) -> Self {
                Self {
                    $($field: {
                        $($default)?
                        $(match preset {
                            $crate::config::Preset::Paper => $paper,
                            $crate::config::Preset::Tiny => $tiny,
                            $crate::config::Preset::Small | $crate::config::Preset::Auto => $small,
                        })?
                    },)*
                    $($($section: <$part as $crate::config::keys::Keyed>::defaults(preset),)*)?
                }
            }

            fn each<'a>(&'a mut self, prefix: &str, visit: &mut dyn FnMut($crate::config::keys::Key<'a>)) {
                $(visit($crate::config::keys::Key {
                    name: $crate::config::keys::full_name(prefix, stringify!($field), [$($full)?].first().copied()),
                    meaning: concat!($($meaning),+).trim(),
                    limits: [$($crate::config::setting::Limits::of($range))?]
                        .first().copied().unwrap_or($crate::config::setting::Limits::NONE),
                    value: &mut self.$field,
                });)*
                $($(self.$section.each(&$crate::config::keys::full_name(prefix, stringify!($section), None), visit);)*)?
            }
        }
    };
}
pub(crate) use keys;
