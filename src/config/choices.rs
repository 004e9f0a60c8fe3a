//! The closed sets of words that keys choose from: those of settings alone, and the words for enums of other modules.

use std::path::PathBuf;

use serde_json::Value;

use super::setting::{Limits, Setting, choices, json_text};
use crate::arms::LongSchedule;
pub use crate::arms::custom::{FamilyChoice, InjectionChoice};
pub use crate::data::maestro::Split;
pub use crate::data::midi::PedalMode;
pub use crate::data::synth::corpus::Size;
pub use crate::descriptors::stft::Padding;
use crate::eval::condition::Condition;
pub use crate::model::film::Pool;
pub use crate::model::{Onset, Positions};
pub use crate::nn::Norm;
pub use crate::ops::vicreg::Variant;

/// Which defaults the size keys take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `small` on the CPU, `paper` on a GPU.
    Auto,
    /// The sizes of the paper (tables 15–18).
    Paper,
    /// Trains on two CPU cores in minutes.
    Small,
    /// For tests: seconds.
    Tiny,
}
choices!(Preset { Auto = "auto", Paper = "paper", Small = "small", Tiny = "tiny" });

impl Preset {
    /// As settings, checkpoints and reports write it.
    pub fn name(self) -> String {
        json_text(&self.json())
    }
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, or an error.
    Cuda,
}
choices!(DeviceChoice { Auto = "auto", Cpu = "cpu", Cuda = "cuda" });

/// What matrices of parameters and activations are stored as; parameters themselves, statistics and sums are `f32` everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// `bf16` on a GPU, `f32` on the CPU.
    Auto,
    /// The upper half of an `f32`.
    Bf16,
    /// 32-bit floats.
    F32,
}
choices!(Precision { Auto = "auto", Bf16 = "bf16", F32 = "f32" });

/// How the learning rate moves (paper, section D).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Cosine from the base rate to 0.
    Cosine,
    /// The same over 30 epochs.
    Cosine30,
    /// The same over 60 epochs.
    Cosine60,
    /// Cosine down to a floor, then a linear tail in the last epoch.
    CosineTail,
    /// Hold, then a linear fall to 0.
    Trapezoid,
    /// That of the arm's own long run in the paper (table 4), cosine where it has none; a resolved configuration holds what
    /// this stands for.
    Arm,
}
choices!(ScheduleKind {
    Cosine = "cosine",
    Cosine30 = "cosine-30",
    Cosine60 = "cosine-60",
    CosineTail = "cosine-tail",
    Trapezoid = "trapezoid",
    Arm = "arm",
});

impl From<LongSchedule> for ScheduleKind {
    fn from(schedule: LongSchedule) -> Self {
        match schedule {
            LongSchedule::Cosine30 => ScheduleKind::Cosine30,
            LongSchedule::Cosine60 => ScheduleKind::Cosine60,
            LongSchedule::CosineTail => ScheduleKind::CosineTail,
            LongSchedule::Trapezoid => ScheduleKind::Trapezoid,
        }
    }
}

choices!(Variant { Code = "code", Sum = "sum", Bardes = "bardes" });

choices!(Size { Default = "default", Tiny = "tiny" });

choices!(Split { Train = "train", Validation = "validation", Test = "test" });

/// What transposition moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransposeOf {
    /// The notes, against the recording.
    Midi,
    /// The notes and the recording, which is resampled: tempo moves with it, on both sides.
    Both,
}
choices!(TransposeOf { Midi = "midi", Both = "both" });

choices!(PedalMode { Ignore = "ignore", Extend = "extend" });

choices!(Onset { Index = "index", Seconds = "seconds" });

choices!(Norm { Post = "post", Pre = "pre" });

choices!(Positions { Before = "before", After = "after" });

choices!(Pool { Mean = "mean", Rms = "rms" });

choices!(Padding { Reflect = "reflect", Zero = "zero" });

/// Under which conditions a split is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// One of them.
    Only(Condition),
    /// Each in turn.
    All,
}

impl Conditions {
    /// The conditions, in the order they are reported in.
    pub fn list(self) -> Vec<Condition> {
        match self {
            Conditions::Only(condition) => vec![condition],
            Conditions::All => Condition::ALL.to_vec(),
        }
    }
}

impl Setting for Conditions {
    fn kind(&self, _: &Limits) -> String {
        Condition::ALL.map(Condition::name).join("|") + "|all"
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        let one = || Condition::ALL.into_iter().find(|c| c.name() == text).map(Conditions::Only);
        let value = if text == "all" { Some(Conditions::All) } else { one() };
        value.map(|value| *self = value).is_some()
    }

    fn json(&self) -> Value {
        match self {
            Conditions::Only(condition) => Value::from(condition.name()),
            Conditions::All => Value::from("all"),
        }
    }
}

/// Where the performances come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The corpus the engine composes and renders itself.
    Synth,
    /// A folder in MAESTRO's layout.
    Folder(PathBuf),
}

impl Setting for Source {
    fn kind(&self, _: &Limits) -> String {
        "synth|folder".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        *self = match text {
            "" => return false,
            "synth" => Source::Synth,
            folder => Source::Folder(folder.into()),
        };
        true
    }

    fn json(&self) -> Value {
        match self {
            Source::Synth => Value::from("synth"),
            // A folder whose name is the word itself keeps apart from the word.
            Source::Folder(folder) if folder.as_os_str() == "synth" => Value::from("./synth"),
            Source::Folder(folder) => Value::from(folder.to_string_lossy()),
        }
    }
}

/// How many training segments a performance gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerPerformance {
    /// As many as make about 13,000 in all, and never fewer than 14 (the paper's number on the whole of MAESTRO).
    Auto,
    /// Every window.
    All,
    /// So many, evenly spread.
    Count(usize),
}

impl PerPerformance {
    /// The cap for each of `performances` training performances; `None` = every window.
    pub fn cap(self, performances: usize) -> Option<usize> {
        match self {
            PerPerformance::Auto => Some(13_000_usize.div_ceil(performances.max(1)).max(14)),
            PerPerformance::All => None,
            PerPerformance::Count(count) => Some(count),
        }
    }
}

impl Setting for PerPerformance {
    fn kind(&self, _: &Limits) -> String {
        "auto|all|integer, at least 1".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        *self = match (text, text.parse()) {
            ("auto", _) => PerPerformance::Auto,
            ("all", _) => PerPerformance::All,
            (_, Ok(count)) if count > 0 => PerPerformance::Count(count),
            _ => return false,
        };
        true
    }

    fn json(&self) -> Value {
        match self {
            PerPerformance::Auto => Value::from("auto"),
            PerPerformance::All => Value::from("all"),
            PerPerformance::Count(count) => Value::from(*count),
        }
    }
}
