//! Which component of a model a parameter belongs to: what counts of parameters and costs are listed by.

use super::{Model, ModelSpec};
use crate::arms::{Arm, Family, Mechanism};
use crate::nn::Builder;

/// A part of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The four convolutions.
    Cnn,
    /// Learnable positions of frames.
    FramePositions,
    /// A learned descriptor's front end, in the audio encoder.
    AudioFrontEnd,
    /// What injects a descriptor into the audio encoder.
    AudioInjection,
    /// The networks that modulate the audio encoder's blocks.
    AudioFilm,
    /// The audio encoder's Transformer blocks, less experts.
    AudioLayers,
    /// Gate and experts of the audio encoder's last block.
    AudioExperts,
    /// Embeddings of notes.
    Notes,
    /// A learned descriptor's front end, in the MIDI encoder.
    MidiFrontEnd,
    /// What injects a descriptor into the MIDI encoder.
    MidiInjection,
    /// The networks that modulate the MIDI encoder's blocks.
    MidiFilm,
    /// The MIDI encoder's Transformer blocks with the final LayerNorm, less experts.
    MidiLayers,
    /// Gate and experts of the MIDI encoder's last block.
    MidiExperts,
    /// The audio projection head.
    AudioHead,
    /// The MIDI projection head.
    MidiHead,
    /// The third tower with its head; in training only.
    Tower,
}

use Component::*;

impl Component {
    /// All of them, in the order of tables.
    pub const ALL: [Component; 16] = [
        Cnn,
        FramePositions,
        AudioFrontEnd,
        AudioInjection,
        AudioFilm,
        AudioLayers,
        AudioExperts,
        Notes,
        MidiFrontEnd,
        MidiInjection,
        MidiFilm,
        MidiLayers,
        MidiExperts,
        AudioHead,
        MidiHead,
        Tower,
    ];

    /// Name for tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Cnn => "audio.cnn",
            FramePositions => "audio.positions",
            AudioFrontEnd => "audio.front_end",
            AudioInjection => "audio.injection",
            AudioFilm => "audio.film",
            AudioLayers => "audio.layers",
            AudioExperts => "audio.experts",
            Notes => "midi.notes",
            MidiFrontEnd => "midi.front_end",
            MidiInjection => "midi.injection",
            MidiFilm => "midi.film",
            MidiLayers => "midi.layers",
            MidiExperts => "midi.experts",
            AudioHead => "audio.head",
            MidiHead => "midi.head",
            Tower => "third_tower",
        }
    }

    /// The component of the parameter called `name` in a model of `arm`; `None` for a name no model declares.
    fn of(name: &str, arm: &Arm, spec: &ModelSpec) -> Option<Component> {
        let within = |part: &str| name.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let film = [arm.audio, arm.midi].map(|i| i.is_some_and(|i| i.mechanism == Mechanism::Film));
        let experts = match arm.family {
            Family::Moe(moe) => [moe.audio, moe.midi],
            _ => [false; 2],
        };
        let last = [("audio", spec.audio.layers), ("midi", spec.midi.layers)]
            .map(|(side, layers)| format!("{side}.layers.{}.ffn", layers.saturating_sub(1)));
        let places = [
            ("audio.cnn", Cnn),
            ("audio.pos", FramePositions),
            ("audio.inj.a4", AudioFrontEnd),
            ("audio.inj", if film[0] { AudioFilm } else { AudioInjection }),
            (&last[0], if experts[0] { AudioExperts } else { AudioLayers }),
            ("audio.layers", AudioLayers),
            ("midi.pitch", Notes),
            ("midi.vel", Notes),
            ("midi.dur", Notes),
            ("midi.lin", Notes),
            ("midi.norm", Notes),
            ("midi.inj.a4", MidiFrontEnd),
            ("midi.inj", if film[1] { MidiFilm } else { MidiInjection }),
            (&last[1], if experts[1] { MidiExperts } else { MidiLayers }),
            ("midi.layers", MidiLayers),
            ("midi.final", MidiLayers),
            ("ahead", AudioHead),
            ("mhead", MidiHead),
            ("tower", Tower),
            ("thead", Tower),
        ];
        places.into_iter().find(|(part, _)| within(part)).map(|(_, component)| component)
    }
}

/// Trainable parameters of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterCount {
    /// Those of the components the model has, in the order of [`Component::ALL`].
    pub components: Vec<(Component, usize)>,
    /// All of them.
    pub total: usize,
}

impl ParameterCount {
    /// Counts what a model of `arm` declares at the sizes of `spec`.
    pub fn of(arm: &Arm, spec: &ModelSpec) -> Self {
        let mut builder = Builder::default();
        Model::declare(&mut builder, arm, spec);
        let parts: Vec<(Option<Component>, usize)> =
            builder.counts(4).iter().map(|(name, count)| (Component::of(name, arm, spec), *count)).collect();
        let of = |component| parts.iter().filter(|(own, _)| *own == Some(component)).map(|(_, count)| count).sum();
        let counts = Component::ALL.map(|component| (component, of(component)));
        ParameterCount {
            components: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
            total: builder.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::{ARMS, find};
    use crate::config::Config;

    fn paper() -> ModelSpec {
        ModelSpec::from_config(&Config::resolve(&["preset=paper".into()], false).unwrap())
    }

    #[test]
    fn components_add_up_whatever_the_arm() {
        for entry in ARMS {
            let counted = ParameterCount::of(&entry.arm(), &paper());
            let sum: usize = counted.components.iter().map(|(_, count)| count).sum();
            assert_eq!(sum, counted.total, "{}", entry.name);
        }
        let has = |arm: &str, component| {
            let counted = ParameterCount::of(&find(arm).unwrap().arm(), &paper());
            counted.components.iter().any(|(own, _)| *own == component)
        };
        for (arm, component) in [
            ("film-dual", AudioFilm),
            ("film-dual", MidiFilm),
            ("moe-dual", AudioExperts),
            ("moe-dual", MidiExperts),
            ("t3-anc", Tower),
            ("a4-learned-r", AudioFrontEnd),
        ] {
            assert!(has(arm, component) && !has("d4a4", component), "{arm}");
        }
    }

    #[test]
    fn totals_are_those_of_the_specification() {
        let total = |arm: &str| ParameterCount::of(&find(arm).unwrap().arm(), &paper()).total;
        for (arm, want) in [("d0", 74_194_432), ("d4a4", 75_520_000), ("a4r", 78_596_608), ("d4-a4r", 78_862_336)] {
            assert_eq!(total(arm), want, "{arm}");
        }
        for (arm, millions) in [
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
        ] {
            let got = total(arm) as f64 / 1e6;
            assert!((got - millions).abs() < 0.001, "{arm}: {got} M instead of {millions}");
        }
    }
}
