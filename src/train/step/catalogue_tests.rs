//! Every arm of the catalogue makes a step, and the gradient of its whole loss is that of finite differences.

use super::tests::{batch, config};
use super::*;
use crate::arms::{self, ARMS, Arm, Injection, Mechanism};
use crate::descriptors;
use crate::device::DType;
use crate::model::ModelSpec;
use crate::ops::Ragged;
use crate::random::{Philox, site};

const NOTES: [usize; 5] = [4, 7, 1, 6, 5];
const MODE: Mode = Mode::Train { dropout: 0.0, seed: 0, step: 0 };

/// Whether the gradient of a parameter is 0 but for rounding, whatever the batch: the softmax of attention does not see a key's
/// bias, and BatchNorm takes out that of the layer before it.
fn without_gradient(name: &str) -> bool {
    let before_norm =
        ["ahead", "mhead", "thead"].iter().any(|head| [0, 3].iter().any(|i| name == format!("{head}.{i}.bias")));
    before_norm || name.ends_with(".k.bias")
}

#[test]
fn every_arm_makes_a_step_that_reaches_all_its_parameters() {
    for entry in ARMS {
        let (arm, config) = (entry.arm(), config(entry.name));
        let (model, mut parameters) = Model::new(&arm, &ModelSpec::from_config(&config), 5, DType::F32);
        let (audio, midi) = batch(&arm, &NOTES, 3);
        let passed = pass(&model, &mut parameters, (&audio, &midi), &config.loss(), MODE).unwrap();
        let figures = passed.figures().unwrap();
        assert!(figures.is_finite() && figures.others.iter().all(|x| x.is_finite()), "{}: {figures:?}", arm.name);
        let mut record = TrainRecord::default();
        figures.enter(&mut record, model.terms());
        assert_eq!(record.terms.len(), passed.loss.terms.len(), "{}: {:?}", arm.name, record.terms);
        assert!(passed.loss.terms.iter().map(|(term, _)| *term).eq(model.terms().iter().copied()), "{}", arm.name);
        let gradients = passed.gradients.to_host(&parameters).unwrap();
        for (name, _, gradient) in parameters.named(&gradients) {
            let reached = gradient.iter().any(|g| *g != 0.0) || without_gradient(name);
            assert!(reached && gradient.iter().all(|g| g.is_finite()), "{}: gradient of {name}", arm.name);
        }
    }
}

#[test]
fn a_side_of_a_crosswise_arm_needs_the_other() {
    let arm = arms::find("d4a4cm").unwrap().arm();
    let (model, parameters) = Model::new(&arm, &ModelSpec::from_config(&config("d4a4cm")), 5, DType::F32);
    let (mut audio, mut midi) = batch(&arm, &NOTES, 3);
    (audio.descriptor, midi.descriptor) = (None, None);
    let tape = Tape::inference();
    let cx = Context::new(&tape, &parameters, Mode::Eval);
    for (error, other) in
        [(model.embed_audio(&cx, &audio).unwrap_err(), "D4"), (model.embed_midi(&cx, &midi).unwrap_err(), "A4")]
    {
        let text = error.to_string();
        assert!(text.contains(other) && text.contains("both sides of a pair"), "{text}");
    }
}

/// The loss of `arm` at `values`, in double precision, and its gradient.
fn loss_at(arm: &str, values: &[f64]) -> (f64, Vec<f64>) {
    let config = config(arm);
    let arm = arms::find(arm).unwrap().arm();
    let (model, mut parameters) = Model::new(&arm, &ModelSpec::from_config(&config), 5, DType::F64);
    let named = parameters.named(values).map(|(name, _, data)| (name.to_string(), data.to_vec())).collect();
    parameters.set_named(named).unwrap();
    let wide = |x: &Tensor| Tensor::from_f64(x.shape(), &x.to_f64(), DType::F64);
    let described = |d: Option<(Tensor, Ragged)>| d.map(|(values, rows)| (wide(&values), rows));
    let (mut audio, mut midi) = batch(&arm, &NOTES, 3);
    audio.samples = wide(&audio.samples);
    (audio.descriptor, midi.descriptor) = (described(audio.descriptor), described(midi.descriptor));
    let tape = Tape::recording();
    let cx = Context::new(&tape, &parameters, MODE);
    let (a, m) = (model.embed_audio(&cx, &audio).unwrap(), model.embed_midi(&cx, &midi).unwrap());
    let loss = model.loss(&cx, &audio, [&a, &m], &config.loss()).unwrap().total;
    let vars = cx.finish().vars;
    let mut gradients = tape.backward(&loss, Tensor::one(DType::F64)).unwrap();
    (loss.value().item(), parameters.flatten::<f64>(&vars, &mut gradients).to_vec())
}

#[test]
fn gradients_of_whole_losses_are_those_of_finite_differences() {
    const STEP: f64 = 1e-5;
    for arm in ["film-dual", "moe-dual", "t3-wt", "t3-tri"] {
        let (_, parameters) =
            Model::new(&arms::find(arm).unwrap().arm(), &ModelSpec::from_config(&config(arm)), 5, DType::F64);
        let flat = vec![0u8; parameters.len()];
        let start: Vec<f64> = {
            let mut random = Philox::new(8, site("step test")).stream(0);
            (0..parameters.len()).map(|_| 0.3 * random.normal()).collect()
        };
        let names: Vec<(String, usize)> =
            parameters.named(&flat).map(|(name, _, data)| (name.into(), data.len())).collect();
        let (_, gradient) = loss_at(arm, &start);
        let mut random = Philox::new(9, site("step test")).stream(0);
        let mut direction: Vec<f64> = (0..gradient.len()).map(|_| random.normal()).collect();
        // Parameters with a large gradient move less, so that none is drowned.
        let mut first = 0;
        for (_, len) in &names {
            let own = first..first + len;
            let length = gradient[own.clone()].iter().map(|g| g * g).sum::<f64>().sqrt();
            let scale = 1.0 / (length.max(1e-3) * (*len as f64).sqrt());
            direction[own].iter_mut().for_each(|u| *u *= scale.min(1.0));
            first += len;
        }
        let moved = |by: f64| -> Vec<f64> { start.iter().zip(&direction).map(|(x, u)| x + by * u).collect() };
        let expected: f64 = gradient.iter().zip(&direction).map(|(g, u)| g * u).sum();
        let got = (loss_at(arm, &moved(STEP)).0 - loss_at(arm, &moved(-STEP)).0) / (2.0 * STEP);
        assert!((got - expected).abs() < 1e-5 * expected.abs().max(1.0), "{arm}: {got} by differences, {expected}");
    }
}

#[test]
fn any_descriptor_enters_either_encoder_by_any_mechanism() {
    for &descriptor in descriptors::ALL {
        for mechanism in Mechanism::ALL {
            let injection = Some(Injection { descriptor, mechanism });
            let arm = Arm { name: "own".into(), audio: injection, midi: injection, ..arms::find("d0").unwrap().arm() };
            let config = config("d0");
            let (model, mut parameters) = Model::new(&arm, &ModelSpec::from_config(&config), 5, DType::F32);
            let (audio, midi) = batch(&arm, &NOTES, 3);
            let passed = pass(&model, &mut parameters, (&audio, &midi), &config.loss(), MODE).unwrap();
            assert!(passed.figures().unwrap().is_finite(), "{} by {}", descriptor.name(), mechanism.name());
        }
    }
}
