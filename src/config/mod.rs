//! Settings: `key=value` on the command line → one typed, validated [`Config`], saved beside the run it made.
//!
//! [`declare`] lists every key once; the struct, the parser, `engine train --keys` and `config.json` all come from that list.
//! The same `keys!` form declares the few settings of other verbs.

pub mod choices;
pub mod declare;
pub mod keys;
pub mod setting;
mod span;
mod typed;
mod validate;

use std::path::Path;

pub use choices::{
    DeviceChoice, Norm, Onset, Padding, PedalMode, PerPerformance, Positions, Precision, Preset, ScheduleKind, Size,
    Source, Split, TransposeOf, Variant,
};
pub use declare::*;
use keys::{Keyed, split};
use serde_json::{Map, Value};
pub use span::Span;
pub use typed::corpus_dir;

use crate::arms::{self, Arm, custom};
use crate::error::{Error, Result};

/// Whether key `name` is in `list`, which holds names and sections (`eval.`).
pub fn among(list: &[&str], name: &str) -> bool {
    list.iter().any(|entry| *entry == name || (entry.ends_with('.') && name.starts_with(entry)))
}

/// Name of the resolved configuration in a run folder.
pub const CONFIG_FILE: &str = "config.json";

impl Config {
    /// Resolves `key=value` arguments: the preset gives the defaults, explicit keys stand above it in whatever order they come
    /// (of equal keys the last counts). `gpu` = a GPU can be used here; it decides `preset=auto` unless `device=cpu`.
    ///
    /// The result holds no `auto` in `preset` and `out`, and no `arm` in `schedule`. [`Error::Usage`] on an unknown key, a bad value, or values that do not fit together.
    pub fn resolve(arguments: &[String], gpu: bool) -> Result<Config> {
        let asked: Config = keys::parse(arguments)?;
        let preset = asked.preset.settled(gpu && asked.device != DeviceChoice::Cpu);
        let mut config = Config::defaults(preset);
        for argument in arguments {
            let (name, text) = split(argument)?;
            config.set(name, text)?;
        }
        config.preset = preset;
        if config.out == Path::new("auto") {
            config.out = Path::new("runs").join(format!("{}-{}", config.arm()?.name, config.seed));
        }
        config.settle_schedule()?;
        config.validate()?;
        Ok(config)
    }

    /// What the model is built from: the arm, under the user's own injections and family.
    pub fn arm(&self) -> Result<Arm> {
        Ok(custom::combine(arms::find(&self.arm)?, self.audio, self.midi_injection, self.family))
    }

    /// Puts the arm's own schedule in place of `schedule=arm`. A combination of a user's own has none in the paper: cosine.
    fn settle_schedule(&mut self) -> Result<()> {
        if self.schedule.kind == ScheduleKind::Arm {
            let entry = arms::find(&self.arm)?;
            let own = if entry.arm() == self.arm()? { entry.schedule() } else { None };
            self.schedule.kind = own.map_or(ScheduleKind::Cosine, ScheduleKind::from);
        }
        Ok(())
    }

    /// Changes keys of a finished configuration; only those named in `allowed` (a name, or a section as `eval.`).
    pub fn adjust(&mut self, arguments: &[String], allowed: &[&str]) -> Result<()> {
        for argument in arguments {
            let (name, text) = split(argument)?;
            let mut changed = self.clone();
            changed.set(name, text)?;
            if !among(allowed, name) {
                let list = allowed.join(", ");
                return Err(Error::Usage(format!("{name} was settled when the run began; what can change: {list}")));
            }
            *self = changed;
        }
        self.settle_schedule()?;
        self.validate()
    }

    /// The flat JSON object of `config.json`, pretty-printed with a final newline.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", Value::Object(self.json()))
    }

    /// Reads what [`Config::to_json`] wrote; a key that is absent takes its default under the file's preset.
    pub fn load(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, "read", source))?;
        let object: Map<String, Value> = serde_json::from_str(&text)
            .map_err(|error| Error::input(path, "file", "a JSON object of keys and values", error.to_string()))?;
        let mut config = Config::defaults(Preset::Auto);
        let set = |config: &mut Config, name: &str, value: &Value| {
            let text = setting::json_text(value);
            config
                .set(name, &text)
                .map_err(|error| Error::input(path, name, "a known key and a value it allows", error.to_string()))
        };
        if let Some(value) = object.get("preset") {
            set(&mut config, "preset", value)?;
            config = Config::defaults(config.preset);
        }
        for (name, value) in &object {
            set(&mut config, name, value)?;
        }
        let fits = config.settle_schedule().and_then(|()| config.validate());
        fits.map_err(|error| Error::input(path, "values", "keys that fit together", error.to_string()))?;
        Ok(config)
    }

    /// The resolved configuration for people: `key=value`, a line for each section.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for (name, value) in self.pairs() {
            let section = name.rsplit_once('.').map_or("", |(section, _)| section).to_string();
            if last.as_ref() != Some(&section) {
                text += if last.is_some() { "\n " } else { " " };
                last = Some(section);
            }
            text += &format!(" {name}={value}");
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Shape;

    fn resolve(arguments: &[&str]) -> Result<Config> {
        Config::resolve(&arguments.iter().map(|text| text.to_string()).collect::<Vec<_>>(), false)
    }

    fn message(arguments: &[&str]) -> String {
        let error = resolve(arguments).expect_err("should be refused");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn presets_give_defaults_and_explicit_keys_stand_above_them_in_any_order() {
        let config = resolve(&[]).unwrap();
        assert_eq!((config.preset, config.model.audio.d, config.lr, config.dropout), (Preset::Small, 128, 1e-3, 0.0));
        assert_eq!(config.out, Path::new("runs/a4r-42"));
        let before = resolve(&["model.audio.layers=3", "preset=paper"]).unwrap();
        assert_eq!(before, resolve(&["preset=paper", "model.audio.layers=3"]).unwrap());
        assert_eq!((before.model.audio.layers, before.model.midi.d, before.lr, before.dropout), (3, 512, 2e-4, 0.1));
        assert_eq!(Config::resolve(&[], true).unwrap().preset, Preset::Paper);
        assert_eq!(Config::resolve(&["device=cpu".into()], true).unwrap().preset, Preset::Small);
    }

    #[test]
    fn a_schedule_is_the_arms_own_where_asked_for() {
        let schedule = |arguments: &[&str]| resolve(arguments).unwrap().schedule;
        let own = |arm: &str| schedule(&["schedule=arm", &format!("arm={arm}")]).kind;
        assert_eq!(own("a4r"), ScheduleKind::Cosine30);
        assert_eq!(own("d4a4"), ScheduleKind::Cosine60);
        assert_eq!(own("D0"), ScheduleKind::CosineTail);
        assert_eq!(own("t3-wt"), ScheduleKind::Trapezoid);
        assert_eq!(own("a7x"), ScheduleKind::Cosine);
        assert_eq!(schedule(&["schedule=arm", "midi=d4:concat"]).kind, ScheduleKind::Cosine, "no arm of the paper");
        assert_eq!(schedule(&[]).kind, ScheduleKind::Cosine);
        let cosine = |epochs: f64| Shape::Cosine { ref_epochs: Some(epochs) };
        assert_eq!(schedule(&["schedule=cosine-30"]).shape(), cosine(30.0));
        assert_eq!(schedule(&["schedule=cosine-60"]).shape(), cosine(60.0));
        assert_eq!(schedule(&["schedule=cosine-60", "schedule.ref_epochs=45"]).shape(), cosine(45.0));
    }

    #[test]
    fn errors_name_the_key_what_it_expects_and_the_nearest_name() {
        assert_eq!(message(&["epoch=3"]), "unknown key `epoch`; the nearest is `epochs`");
        assert_eq!(message(&["beta1=3"]), "unknown key `beta1`; the nearest is `adam.beta1`");
        assert_eq!(message(&["batch=1"]), "batch: expected integer, 2 to 65536; found `1`");
        assert_eq!(message(&["lr=nan"]), "lr: expected number, 0 to 10; found `nan`");
        assert_eq!(message(&["device=gpu"]), "device: expected auto|cpu|cuda; found `gpu`");
        assert_eq!(
            message(&["model.audio.cnn=1,2,3"]),
            "model.audio.cnn: expected 4 of integer, 1 to 16384, with commas; found `1,2,3`"
        );
        assert_eq!(message(&["a4r"]), "expected key=value; found `a4r`");
        assert!(message(&["model.audio.d=64"]).contains("model.audio.cnn"));
        assert!(message(&["model.midi.heads=3"]).contains("model.midi.d=128"));
    }

    #[test]
    fn a_saved_configuration_comes_back_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG_FILE);
        let odd = [
            "lr=0.00010000000000000003",
            "seed=18446744073709551615",
            "data=./synth",
            "init=a b.safetensors",
            "preset=tiny",
            "data.train_per_performance=all",
            "schedule=cosine-tail",
            "inject.residual=false",
        ];
        let config = resolve(&odd).unwrap();
        std::fs::write(&path, config.to_json()).unwrap();
        let back = Config::load(&path).unwrap();
        assert_eq!(back, config);
        assert_eq!(back.to_json(), config.to_json());
        std::fs::write(&path, r#"{"preset": "small", "lr": "fast"}"#).unwrap();
        assert_eq!(Config::load(&path).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn every_default_is_a_value_its_own_key_accepts() {
        for preset in [Preset::Paper, Preset::Small, Preset::Tiny] {
            let config = Config::defaults(preset);
            config.validate().unwrap();
            let mut copy = Config::defaults(Preset::Auto);
            for (name, text) in config.pairs() {
                copy.set(&name, &text).unwrap();
            }
            assert_eq!(copy, config);
        }
    }

    #[test]
    fn the_automatic_cap_is_the_papers_on_maestro() {
        assert_eq!(PerPerformance::Auto.cap(962), Some(14));
        assert_eq!(PerPerformance::Auto.cap(35), Some(372));
        assert_eq!(PerPerformance::All.cap(35), None);
    }
}
