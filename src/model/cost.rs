//! What a sample costs: floating-point operations of the matrix products, from the sizes alone.
//!
//! A multiply–add is 2 operations. Counted are convolutions, projections and scores of attention, feed-forward networks (of experts those
//! a row is sent to, and the gate), injections and heads; normalisations, activations and the loss are not. The backward pass makes two
//! products of each forward one, so that training costs three times as much as the forward pass.

use super::ModelSpec;
use super::audio::{CONVOLUTIONS, frames};
use super::components::Component;
use super::film::HIDDEN;
use crate::arms::{Arm, Family, Injection, Mechanism, Moe};
use crate::data::segments::WINDOW_SAMPLES;
use crate::descriptors::{Descriptor, Domain};

/// Notes of the sample that is counted.
pub const NOTES: usize = 128;
/// Passes over the products in training: forward, gradient of the input, gradient of the weights.
const TRAINING: f64 = 3.0;

/// Operations of one sample's forward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Those of the components the model has, in the order of [`Component::ALL`].
    pub components: Vec<(Component, f64)>,
}

impl Cost {
    /// Of a model of `arm` at the sizes of `spec`: four seconds of audio and [`NOTES`] notes.
    pub fn of(arm: &Arm, spec: &ModelSpec) -> Self {
        let mut counts = Counts { spec, parts: Vec::new() };
        counts.audio(arm);
        counts.midi(arm);
        counts.parts.push((Component::AudioHead, head(spec.audio.d, spec)));
        counts.parts.push((Component::MidiHead, head(spec.midi.d, spec)));
        counts.tower(arm);
        let of = |component| counts.parts.iter().filter(|(own, _)| *own == component).map(|(_, count)| count).sum();
        let all = Component::ALL.map(|component| (component, of(component)));
        Cost { components: all.into_iter().filter(|(_, count)| *count > 0.0).collect() }
    }

    /// Embedding both sides. The third tower has no part in it.
    pub fn forward(&self) -> f64 {
        self.components.iter().filter(|(component, _)| *component != Component::Tower).map(|(_, count)| count).sum()
    }

    /// A training step's share of one sample, the third tower's included.
    pub fn training(&self) -> f64 {
        TRAINING * self.components.iter().map(|(_, count)| count).sum::<f64>()
    }
}

/// Rows a descriptor has for the sample that is counted.
fn descriptor_rows(descriptor: &dyn Descriptor, spec: &ModelSpec) -> usize {
    match descriptor.domain() {
        Domain::Audio => spec.audio.descriptor_frames,
        Domain::Midi => notes(spec),
    }
}

fn notes(spec: &ModelSpec) -> usize {
    NOTES.min(spec.midi.max_notes)
}

/// A product [rows, inputs]·[inputs, outputs].
fn product(rows: usize, inputs: usize, outputs: usize) -> f64 {
    2.0 * rows as f64 * inputs as f64 * outputs as f64
}

/// Attention of `queries` rows to `keys` rows at width d: four projections, scores, weighted values.
fn attention(queries: usize, keys: usize, d: usize) -> f64 {
    2.0 * product(queries, d, d) + 2.0 * product(keys, d, d) + 2.0 * product(queries, d, keys)
}

/// A two-layer network.
fn feed_forward(rows: usize, d: usize, ff: usize) -> f64 {
    product(rows, d, ff) + product(rows, ff, d)
}

fn head(d: usize, spec: &ModelSpec) -> f64 {
    let (hidden, out) = (spec.head.hidden, spec.head.out);
    product(1, d, hidden) + product(1, hidden, hidden) + product(1, hidden, out)
}

/// Width, feed-forward width and number of a stack's blocks.
#[derive(Clone, Copy)]
struct Blocks {
    d: usize,
    ff: usize,
    layers: usize,
}

/// Where an encoder's operations are booked.
struct Places {
    front_end: Component,
    injection: Component,
    film: Component,
    layers: Component,
    experts: Component,
}

struct Counts<'a> {
    spec: &'a ModelSpec,
    parts: Vec<(Component, f64)>,
}

impl Counts<'_> {
    fn audio(&mut self, arm: &Arm) {
        let audio = &self.spec.audio;
        let lengths = frames(WINDOW_SAMPLES);
        let mut inputs = 1;
        for ((&(kernel, ..), rows), &channels) in CONVOLUTIONS.iter().zip(lengths).zip(&audio.cnn) {
            self.parts.push((Component::Cnn, product(rows, kernel * inputs, channels)));
            inputs = channels;
        }
        let places = Places {
            front_end: Component::AudioFrontEnd,
            injection: Component::AudioInjection,
            film: Component::AudioFilm,
            layers: Component::AudioLayers,
            experts: Component::AudioExperts,
        };
        let blocks = Blocks { d: audio.d, ff: audio.ff, layers: audio.layers };
        let experts = match arm.family {
            Family::Moe(moe) if moe.audio => Some(moe),
            _ => None,
        };
        self.encoder(lengths[lengths.len() - 1], arm.audio, blocks, experts, &places);
    }

    fn midi(&mut self, arm: &Arm) {
        let midi = &self.spec.midi;
        let rows = notes(self.spec);
        self.parts.push((Component::Notes, product(rows, midi.d, midi.d)));
        let places = Places {
            front_end: Component::MidiFrontEnd,
            injection: Component::MidiInjection,
            film: Component::MidiFilm,
            layers: Component::MidiLayers,
            experts: Component::MidiExperts,
        };
        let blocks = Blocks { d: midi.d, ff: midi.ff, layers: midi.layers };
        let experts = match arm.family {
            Family::Moe(moe) if moe.midi => Some(moe),
            _ => None,
        };
        self.encoder(rows, arm.midi, blocks, experts, &places);
    }

    /// What follows an encoder's first `rows` rows: the injection and the blocks.
    fn encoder(&mut self, rows: usize, injected: Option<Injection>, blocks: Blocks, moe: Option<Moe>, places: &Places) {
        let d = blocks.d;
        let mut rows = rows;
        if let Some(Injection { descriptor, mechanism }) = injected {
            let (own, dims) = (descriptor_rows(descriptor, self.spec), descriptor.dims());
            if descriptor.raw_dims() != dims {
                self.parts.push((places.front_end, product(own, descriptor.raw_dims(), dims)));
            }
            let count = match mechanism {
                Mechanism::Concat => product(rows, d + dims, d),
                Mechanism::Cross => product(own, dims, d) + attention(rows, own, d),
                Mechanism::Reverse => product(own, dims, d) + attention(own, rows, d),
                Mechanism::Film => blocks.layers as f64 * (product(1, dims, HIDDEN) + product(1, HIDDEN, 2 * d)),
            };
            let place = if mechanism == Mechanism::Film { places.film } else { places.injection };
            self.parts.push((place, count));
            if mechanism == Mechanism::Reverse {
                rows = own;
            }
        }
        self.stack(rows, blocks, moe, [places.layers, places.experts]);
    }

    fn stack(&mut self, rows: usize, Blocks { d, ff, layers }: Blocks, moe: Option<Moe>, places: [Component; 2]) {
        let dense = layers - usize::from(moe.is_some());
        let blocks = layers as f64 * attention(rows, rows, d) + dense as f64 * feed_forward(rows, d, ff);
        self.parts.push((places[0], blocks));
        if let Some(moe) = moe {
            let chosen = moe.top_k.min(moe.experts) as f64;
            self.parts.push((places[1], product(rows, d, moe.experts) + chosen * feed_forward(rows, d, ff)));
        }
    }

    /// The third tower, which reads the descriptor of the audio encoder.
    fn tower(&mut self, arm: &Arm) {
        let (Family::ThirdTower(_), Some(Injection { descriptor, .. })) = (arm.family, arm.audio) else { return };
        let tower = self.spec.tower;
        let rows = descriptor_rows(descriptor, self.spec);
        let blocks = Blocks { d: tower.d, ff: tower.ff, layers: tower.layers };
        self.parts.push((Component::Tower, product(rows, descriptor.dims(), tower.d) + head(tower.d, self.spec)));
        self.stack(rows, blocks, None, [Component::Tower; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::{ARMS, find};
    use crate::config::Config;

    fn cost(arm: &str, preset: &str) -> Cost {
        let spec = ModelSpec::from_config(&Config::resolve(&[format!("preset={preset}")], false).unwrap());
        Cost::of(&find(arm).unwrap().arm(), &spec)
    }

    #[test]
    fn costs_are_those_of_the_specification() {
        for (arm, preset, forward, training) in [
            ("d0", "paper", 369.8, 1109.0),
            ("d4a4", "paper", 374.9, 1125.0),
            ("a4r", "paper", 66.0, 198.0),
            ("d4-a4r", "paper", 66.1, 198.0),
            ("d0", "small", 8.41, 25.2),
            ("a4r", "small", 1.205, 3.59),
            ("d4a4", "small", 8.49, 25.5),
        ] {
            let cost = cost(arm, preset);
            for (got, want) in [(cost.forward() / 1e9, forward), (cost.training() / 1e9, training)] {
                assert!((got / want - 1.0).abs() < 0.15, "{arm} {preset}: {got} instead of {want}");
            }
        }
    }

    #[test]
    fn experts_cost_by_the_chosen_ones_and_the_tower_in_training_alone() {
        let of = |cost: &Cost, component| cost.components.iter().find(|(own, _)| *own == component).map(|(_, n)| *n);
        let (four, eight, a4) = (cost("moe-a4", "paper"), cost("moe-a4-v2", "paper"), cost("a4", "paper"));
        // Two experts where a4 has one network, and the gate.
        let more = four.forward() - a4.forward();
        assert_eq!(more, feed_forward(2400, 1024, 4096) + product(2400, 1024, 4));
        assert_eq!(eight.forward() - four.forward(), product(2400, 1024, 4));
        let (tower, d4a4) = (cost("t3-wt", "paper"), cost("d4a4", "paper"));
        assert_eq!(tower.forward(), d4a4.forward());
        assert!(tower.training() > d4a4.training() && of(&tower, Component::Tower).is_some());
        for entry in ARMS {
            assert!(cost(entry.name, "tiny").forward() > 0.0, "{}", entry.name);
        }
    }
}
