//! Whole tiny models against the reference: forward, loss, running statistics, the gradient of every parameter, five steps
//! of training.

use std::collections::BTreeMap;

use super::*;
use crate::arms;
use crate::device::{DType, Mirrored};
use crate::golden::Golden;
use crate::nn::{Mode, Norm};
use crate::ops::Ragged;
use crate::ops::vicreg::{Variant, VicregSpec, vicreg};
use crate::optim::{AdamW, AdamWSpec};
use crate::tape::Tape;
use crate::tensor::Tensor;

const LOSS: VicregSpec = VicregSpec { invariance: 10.0, variance: 10.0, covariance: 1.0, variant: Variant::Code };
const TRAIN: Mode = Mode::Train { dropout: 0.0, seed: 0, step: 0 };
/// Largest allowed difference, relative to the largest element (at least 1): double precision, single precision.
const TOLERANCE: [f64; 2] = [1e-10, 1e-4];
/// Samples of which the reference keeps inner activations.
const KEPT: usize = 2;

/// The sizes of the reference's tiny models.
fn spec() -> ModelSpec {
    ModelSpec {
        audio: AudioSpec {
            cnn: [8, 8, 8, 16],
            groups: 4,
            d: 16,
            heads: 2,
            layers: 1,
            ff: 32,
            norm: Norm::Post,
            positions: Positions::After,
            max_frames: 104,
            descriptor_frames: 8,
        },
        midi: MidiSpec { d: 16, heads: 2, layers: 1, ff: 32, max_notes: 64, onset: Onset::Index },
        head: HeadSpec { hidden: 24, out: 16 },
        inject_heads: 2,
        inject_residual: true,
        film: film::Pool::Mean,
        tower: TowerSpec { d: 16, heads: 2, layers: 1, ff: 32 },
    }
}

struct Fixture {
    model: Model,
    parameters: Parameters,
    audio: AudioBatch,
    midi: MidiBatch,
    golden: Golden,
    dtype: DType,
}

impl Fixture {
    /// `file` holds the outputs, `base` the parameters and, by its name, the arm.
    fn new(file: &str, base: &str, spec: ModelSpec, dtype: DType) -> Self {
        let (golden, values, inputs) =
            (Golden::open(&format!("tiny_{file}")), Golden::open(&format!("tiny_{base}")), Golden::open("tiny_inputs"));
        let arm = arms::find(base).unwrap().arm();
        let (model, mut parameters) = Model::new(&arm, &spec, 0, dtype);
        let named = |key: &String| Some((key.strip_prefix("param/")?.to_string(), values.f64(key)));
        let mut named: BTreeMap<String, Vec<f64>> = values.keys().iter().filter_map(named).collect();
        if !spec.inject_residual {
            named.retain(|name, _| !name.starts_with("audio.inj.norm"));
        }
        parameters.set_named(named).unwrap_or_else(|name| panic!("{file}: parameter {name} does not fit"));

        let mask = inputs.f64("mask");
        let notes = mask.len() / 6;
        let rows = Ragged::from_lengths(mask.chunks(notes).map(|m| m.iter().filter(|&&v| v > 0.0).count()));
        let valid = |key: &str, width: usize| -> Vec<f64> {
            let all = inputs.f64(key);
            let rows = all.chunks(width).zip(&mask).filter(|(_, m)| **m > 0.0);
            rows.flat_map(|(row, _)| row.to_vec()).collect()
        };
        let symbols = |key: &str| -> Mirrored<u32> { valid(key, 1).iter().map(|&x| x as u32).collect() };
        let tensor = |shape: &[usize], data: &[f64]| Tensor::from_f64(shape, data, dtype);
        let midi = MidiBatch {
            pitch: symbols("pitch"),
            velocity: symbols("vel"),
            duration: symbols("dur"),
            onset: vec![0.0; rows.total()].into(),
            descriptor: arm.midi.map(|_| (tensor(&[rows.total(), 4], &valid("d4", 4)), rows.clone())),
            rows,
        };
        let a4 = arm.audio.map(|_| (tensor(&[48, 8], &inputs.f64("a4")), Ragged::uniform(6, 8)));
        let audio = AudioBatch { samples: tensor(&[6, 4000, 1], &inputs.f64("audio")), descriptor: a4 };
        Fixture { model, parameters, audio, midi, golden, dtype }
    }

    fn close(&self, key: &str, got: &[f64]) {
        let want = self.golden.f64(key);
        assert_eq!(want.len(), got.len(), "{key}: number of values");
        let scale = want.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        let error = want.iter().zip(got).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / scale;
        let tolerance = if self.dtype == DType::F64 { TOLERANCE[0] } else { TOLERANCE[1] };
        assert!(error < tolerance, "{key}: difference {error:.2e} exceeds {tolerance:.0e}");
    }

    /// Forward, loss and gradients against the file's double-precision values.
    fn check(&mut self) {
        let tape = Tape::recording();
        let cx = Context::new(&tape, &self.parameters, TRAIN).probing();
        let ea = self.model.embed_audio(&cx, &self.audio).unwrap();
        let em = self.model.embed_midi(&cx, &self.midi).unwrap();
        let found = vicreg(&tape, &ea, &em, &LOSS).unwrap();
        let (loss, terms) = (&found.loss, found.terms().unwrap());
        let done = cx.finish();
        for (key, probe) in [("cnn", "audio.cnn"), ("audio_tf", "audio.layers.0"), ("za", "za"), ("zm", "zm")] {
            let mut value = done.probes[probe].to_f64();
            value.truncate(self.golden.f64(&format!("64/out/{key}")).len());
            self.close(&format!("64/out/{key}"), &value);
        }
        assert!(KEPT * 16 <= done.probes["za"].len());
        self.close("64/out/ea", &ea.value().to_f64());
        self.close("64/out/em", &em.value().to_f64());
        for (key, value) in [
            ("loss", loss.value().item()),
            ("inv", terms.invariance),
            ("var", terms.variance),
            ("cov", terms.covariance),
        ] {
            self.close(&format!("64/out/{key}"), &[value]);
        }
        let mut gradients = tape.backward(loss, Tensor::one(self.dtype)).unwrap();
        let flat: Vec<f64> = match self.dtype {
            DType::F32 => {
                self.parameters.flatten::<f32>(&done.vars, &mut gradients).iter().map(|&x| f64::from(x)).collect()
            }
            DType::F64 | DType::BF16 => self.parameters.flatten::<f64>(&done.vars, &mut gradients).to_vec(),
        };
        for (name, _, gradient) in self.parameters.named(&flat) {
            self.close(&format!("64/grad/{name}"), gradient);
        }
    }

    fn check_running_statistics(&mut self) {
        let tape = Tape::inference();
        let cx = Context::new(&tape, &self.parameters, TRAIN);
        self.model.embed_audio(&cx, &self.audio).unwrap();
        self.model.embed_midi(&cx, &self.midi).unwrap();
        cx.finish().update_running_statistics(&mut self.parameters, None).unwrap();
        let snapshot = self.parameters.snapshot().unwrap();
        let running: Vec<(String, Vec<f64>)> = self
            .parameters
            .tensors(&snapshot)
            .iter()
            .filter(|t| t.name.contains("running"))
            .map(|t| (t.name.to_string(), t.data.iter().map(|&x| f64::from(x)).collect()))
            .collect();
        assert_eq!(running.len(), 8);
        for (name, values) in running {
            let want = self.golden.f64(&format!("64/bn/{name}"));
            let error = want.iter().zip(&values).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(error < 1e-5, "{name}: difference {error:.2e}");
        }
    }

    /// Five steps of AdamW in single precision.
    fn check_training(&mut self) {
        let losses = self.golden.f64("64/train/loss");
        let spec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let mut adam = AdamW::new(spec, self.parameters.len());
        for want in losses {
            let tape = Tape::recording();
            let cx = Context::new(&tape, &self.parameters, TRAIN);
            let ea = self.model.embed_audio(&cx, &self.audio).unwrap();
            let em = self.model.embed_midi(&cx, &self.midi).unwrap();
            let loss = vicreg(&tape, &ea, &em, &LOSS).unwrap().loss;
            let got = loss.value().item();
            assert!((got - want).abs() < 1e-3 * want, "loss {got} against {want}");
            let done = cx.finish();
            let mut gradients = tape.backward(&loss, Tensor::one(DType::F32)).unwrap();
            let flat = self.parameters.flatten::<f32>(&done.vars, &mut gradients);
            drop((done, loss, ea, em, gradients));
            adam.update(self.parameters.values_mut().expect("the tape is gone"), &flat, 1e-3, 1.0);
        }
        let tape = Tape::inference();
        let cx = Context::new(&tape, &self.parameters, TRAIN);
        for (key, value) in [
            ("64/train/ea_bn", self.model.embed_audio(&cx, &self.audio).unwrap()),
            ("64/train/em_bn", self.model.embed_midi(&cx, &self.midi).unwrap()),
        ] {
            self.close(key, &value.value().to_f64());
        }
    }
}

#[test]
fn base_arms_equal_the_reference() {
    for arm in ["a4r", "d4a4", "a4x", "d4r"] {
        for dtype in [DType::F64, DType::F32] {
            let mut fixture = Fixture::new(arm, arm, spec(), dtype);
            fixture.check();
            fixture.check_running_statistics();
        }
    }
}

#[test]
fn variants_equal_the_reference() {
    let mut before = spec();
    before.audio.positions = Positions::Before;
    let mut pre = spec();
    pre.audio.norm = Norm::Pre;
    let mut literal = spec();
    literal.inject_residual = false;
    for (file, base, spec) in [
        ("a4r_pospre", "a4r", before),
        ("a4r_prenorm", "a4r", pre.clone()),
        ("d4a4_prenorm", "d4a4", pre),
        ("a4r_eq9", "a4r", literal),
    ] {
        Fixture::new(file, base, spec, DType::F64).check();
    }
}

#[test]
fn five_steps_of_training_equal_the_reference() {
    for arm in ["a4r", "d4a4"] {
        Fixture::new(arm, arm, spec(), DType::F32).check_training();
    }
}
