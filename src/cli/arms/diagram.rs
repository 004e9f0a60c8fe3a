//! The way of a sample through a model, with the shape after every stage.

use serde_json::{Value, json};

use crate::arms::{Arm, Control, Family, Injection, Mechanism};
use crate::data::segments::WINDOW_SAMPLES;
use crate::descriptors::Domain;
use crate::model::audio::frames;
use crate::model::{ModelSpec, Onset, Positions};
use crate::nn::Norm;

/// One stage.
pub(super) struct Stage {
    /// What is done.
    pub what: String,
    /// What comes out; N = the segment's notes.
    pub shape: String,
    /// How.
    pub how: String,
}

impl Stage {
    pub(super) fn json(&self) -> Value {
        json!({ "stage": self.what, "shape": self.shape, "how": self.how })
    }
}

fn stage(what: impl Into<String>, shape: impl Into<String>, how: impl Into<String>) -> Stage {
    Stage { what: what.into(), shape: shape.into(), how: how.into() }
}

/// The audio side.
pub(super) fn audio(arm: &Arm, spec: &ModelSpec) -> Vec<Stage> {
    let audio = &spec.audio;
    let lengths = frames(WINDOW_SAMPLES);
    let [.., last] = lengths;
    let mut rows = last.to_string();
    let shape = |rows: &str| format!("[{rows}, {}]", audio.d);
    let mut stages = vec![
        stage("samples", format!("[{WINDOW_SAMPLES}]"), "four seconds at 24 kHz"),
        stage("CNN", shape(&rows), format!("four convolutions with GroupNorm and GELU: {lengths:?} rows")),
    ];
    let positions = |rows: &str| stage("+ positions", shape(rows), "learnable");
    if audio.positions == Positions::Before {
        stages.push(positions(&rows));
    }
    inject(&mut stages, arm, arm.audio, audio.d, &mut rows, spec);
    if audio.positions == Positions::After {
        stages.push(positions(&rows));
    }
    let norm = if audio.norm == Norm::Post { "post-norm" } else { "pre-norm" };
    let modulated = arm.audio.is_some_and(|i| i.mechanism == Mechanism::Film);
    let experts = matches!(arm.family, Family::Moe(moe) if moe.audio);
    let how = format!("{} heads, feed-forward {}, {norm}", audio.heads, audio.ff);
    stages.push(blocks(arm, audio.layers, shape(&rows), how, modulated, experts));
    stages.push(stage("mean", format!("[{}]", audio.d), "over rows"));
    stages.push(head(spec));
    stages
}

/// The MIDI side.
pub(super) fn midi(arm: &Arm, spec: &ModelSpec) -> Vec<Stage> {
    let midi = &spec.midi;
    let d = midi.d;
    let mut rows = "N".to_string();
    let mut stages = vec![
        stage(
            "notes",
            "[N]",
            format!("pitch, velocity, duration bucket; the first {} of four seconds", midi.max_notes),
        ),
        stage("embed", format!("[N, {d}]"), format!("LayerNorm(W·[{} ‖ {} ‖ {}] + b)", d / 2, d / 4, d / 4)),
    ];
    inject(&mut stages, arm, arm.midi, d, &mut rows, spec);
    let what = match midi.onset {
        Onset::Index => "sinusoids of the row's index",
        Onset::Seconds => "sinusoids of the note's onset",
    };
    stages.push(stage("+ positions", format!("[{rows}, {d}]"), what));
    let modulated = arm.midi.is_some_and(|i| i.mechanism == Mechanism::Film);
    let experts = matches!(arm.family, Family::Moe(moe) if moe.midi);
    let how = format!("{} heads, feed-forward {}, pre-norm", midi.heads, midi.ff);
    stages.push(blocks(arm, midi.layers, format!("[{rows}, {d}]"), how, modulated, experts));
    stages.push(stage("mean, norm", format!("[{d}]"), "over rows, then LayerNorm"));
    stages.push(head(spec));
    stages
}

/// The third tower, where the arm has one.
pub(super) fn tower(arm: &Arm, spec: &ModelSpec) -> Vec<Stage> {
    let (Family::ThirdTower(_), Some(injection)) = (arm.family, arm.audio) else { return Vec::new() };
    let tower = spec.tower;
    let rows = descriptor_rows(injection, spec);
    let shape = format!("[{rows}, {}]", tower.d);
    let how = format!("{} heads, feed-forward {}, pre-norm", tower.heads, tower.ff);
    vec![
        stage(
            injection.descriptor.name(),
            format!("[{rows}, {}]", injection.descriptor.dims()),
            "as the encoder gets it",
        ),
        stage("linear", shape.clone(), ""),
        stage("+ positions", shape.clone(), "learnable"),
        stage(format!("{} blocks", tower.layers), shape, how),
        stage("mean, norm", format!("[{}]", tower.d), "over rows, then LayerNorm"),
        head(spec),
    ]
}

fn descriptor_rows(injection: Injection, spec: &ModelSpec) -> String {
    match injection.descriptor.domain() {
        Domain::Audio => spec.audio.descriptor_frames.to_string(),
        Domain::Midi => "N".into(),
    }
}

/// The injection, which leaves `rows` as many as the mechanism does.
fn inject(
    stages: &mut Vec<Stage>,
    arm: &Arm,
    injection: Option<Injection>,
    d: usize,
    rows: &mut String,
    spec: &ModelSpec,
) {
    let Some(injection) = injection else { return };
    let Injection { descriptor, mechanism } = injection;
    let own = descriptor_rows(injection, spec);
    let (name, dims, raw) = (descriptor.name(), descriptor.dims(), descriptor.raw_dims());
    if raw != dims {
        stages.push(stage("learned front end", format!("[{own}, {dims}]"), format!("of a spectrogram [{own}, {raw}]")));
    }
    let how = match mechanism {
        Mechanism::Concat if own == *rows => "concat: a row of the descriptor for each row".to_string(),
        Mechanism::Concat => format!("concat: {own} rows stretched to {rows}"),
        Mechanism::Cross => format!("{rows} rows attend to {own}, {} heads", spec.inject_heads),
        Mechanism::Reverse => format!("{own} rows attend to {rows} and replace them, {} heads", spec.inject_heads),
        Mechanism::Film => "pooled over its rows; acts after every block".into(),
    };
    if mechanism == Mechanism::Reverse {
        rows.clone_from(&own);
    }
    let instead = match arm.control {
        None => "",
        Some(Control::Zero) => "; zeros in its place",
        Some(Control::Random) => "; random values in its place",
        Some(Control::Shuffled) => "; that of another sample in its place",
    };
    let what = format!("inject {name} [{own}, {dims}]");
    stages.push(stage(what, format!("[{rows}, {d}]"), how + instead));
}

fn blocks(arm: &Arm, layers: usize, shape: String, how: String, modulated: bool, experts: bool) -> Stage {
    let modulation = if modulated { ", each output scaled and shifted" } else { "" };
    let experts = match arm.family {
        Family::Moe(moe) if experts => format!(", the last with {} of {} experts a row", moe.top_k, moe.experts),
        _ => String::new(),
    };
    let plural = if layers == 1 { "" } else { "s" };
    stage(format!("{layers} block{plural}"), shape, format!("{how}{modulation}{experts}"))
}

fn head(spec: &ModelSpec) -> Stage {
    let (hidden, out) = (spec.head.hidden, spec.head.out);
    stage("head", format!("[{out}]"), format!("{hidden} → {hidden} → {out}, BatchNorm and ReLU between"))
}
