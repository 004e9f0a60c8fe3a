//! `engine arms`: the catalogue with exact parameter counts, by component and in all.

use serde_json::{Value, json};

use super::Settings;
use super::output::{print, print_json};
use crate::arms::{ARMS, Entry, Injection};
use crate::config::Config;
use crate::error::Result;
use crate::model::{Model, ModelSpec};
use crate::nn::Builder;

/// Components in the order of the table: name, and how the names of its parameters begin.
const COMPONENTS: [(&str, &[&str]); 10] = [
    ("audio.cnn", &["audio.cnn"]),
    (".positions", &["audio.pos"]),
    (".injection", &["audio.inj"]),
    (".layers", &["audio.layers"]),
    ("midi.notes", &["midi.pitch", "midi.vel", "midi.dur", "midi.lin", "midi.norm"]),
    (".injection", &["midi.inj"]),
    (".layers", &["midi.layers", "midi.final"]),
    ("audio head", &["ahead"]),
    ("midi head", &["mhead"]),
    ("tower", &["tower", "thead"]),
];

/// An arm and the trainable parameters of its model.
struct Counted {
    arm: &'static Entry,
    components: [usize; COMPONENTS.len()],
    total: usize,
}

impl Counted {
    fn new(arm: &'static Entry, spec: &ModelSpec) -> Self {
        let mut builder = Builder::default();
        Model::declare(&mut builder, &arm.arm(), spec);
        let parts = builder.counts(2);
        let of = |starts: &[&str]| {
            let own = parts
                .iter()
                .filter(|(name, _)| starts.iter().any(|start| name.split('.').next() == Some(start) || name == start));
            own.map(|(_, count)| count).sum()
        };
        Counted { arm, components: COMPONENTS.map(|(_, starts)| of(starts)), total: builder.len() }
    }

    fn line(&self) -> String {
        let counts: String = self.components.iter().map(|&count| format!("{:>12}", thousands(count))).collect();
        format!("{:<14}{:>12}{counts}\n", self.arm.name, thousands(self.total))
    }

    fn json(&self) -> Value {
        let injection = |injection: Option<Injection>| {
            injection.map(|i| json!({ "descriptor": i.descriptor.name(), "mechanism": i.mechanism.name() }))
        };
        let [
            cnn,
            positions,
            audio_injection,
            audio_layers,
            notes,
            midi_injection,
            midi_layers,
            audio_head,
            midi_head,
            tower,
        ] = self.components;
        json!({
            "arm": self.arm.name,
            "about": self.arm.about,
            "audio": injection(self.arm.audio),
            "midi": injection(self.arm.midi),
            "parameters": {
                "total": self.total,
                "audio": { "cnn": cnn, "positions": positions, "injection": audio_injection, "layers": audio_layers },
                "midi": { "notes": notes, "injection": midi_injection, "layers": midi_layers },
                "audio_head": audio_head,
                "midi_head": midi_head,
                "tower": tower,
            },
        })
    }
}

/// 78596608 → 78,596,608
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// Prints every arm, at the sizes of `preset=paper` unless the settings say otherwise.
pub fn run(args: &Settings) -> Result<()> {
    if args.listed::<Config>()? {
        return Ok(());
    }
    let mut settings = vec!["preset=paper".to_string()];
    settings.extend(args.settings.iter().cloned());
    let spec = ModelSpec::from_config(&Config::resolve(&settings, false)?);
    let arms: Vec<Counted> = ARMS.iter().map(|arm| Counted::new(arm, &spec)).collect();
    if args.json {
        return print_json(&arms.iter().map(Counted::json).collect::<Vec<_>>());
    }
    let about: String = ARMS.iter().map(|arm| format!("{:<14}{}\n", arm.name, arm.about)).collect();
    let heading: String = COMPONENTS.iter().map(|(name, _)| format!("{name:>12}")).collect();
    let lines: String = arms.iter().map(Counted::line).collect();
    print(&format!("{about}\nTrainable parameters:\n{:<14}{:>12}{heading}\n{lines}", "arm", "total"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_add_up_to_the_totals_of_the_specification() {
        let spec = ModelSpec::from_config(&Config::resolve(&["preset=paper".into()], false).unwrap());
        for arm in ARMS {
            let counted = Counted::new(arm, &spec);
            assert_eq!(counted.components.iter().sum::<usize>(), counted.total, "{}", arm.name);
            let exact = [("d0", 74_194_432), ("d4a4", 75_520_000), ("a4r", 78_596_608), ("d4-a4r", 78_862_336)];
            for (name, total) in exact {
                assert!(arm.name != name || counted.total == total, "{name}: {}", counted.total);
            }
        }
        let millions = [
            ("d4", 74.460),
            ("a4", 75.254),
            ("a7", 75.258),
            ("a8", 75.258),
            ("a9", 75.258),
            ("d4x", 75.249),
            ("a4x", 78.404),
            ("a7x", 78.408),
            ("d4r", 76.297),
            ("d4a4cm", 75.518),
        ];
        for (name, expected) in millions {
            let total = Counted::new(crate::arms::find(name).unwrap(), &spec).total as f64 / 1e6;
            assert!((total - expected).abs() < 6e-4, "{name}: {total} M, expected {expected} M");
        }
        assert_eq!(thousands(78_596_608), "78,596,608");
        assert_eq!(thousands(12), "12");
    }
}
