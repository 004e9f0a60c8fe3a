//! One whole training step on a device against the CPU: loss, terms, every gradient, AdamW and the running statistics.

use super::*;
use crate::arms::{self, Arm};
use crate::config::Config;
use crate::device::{DType, Device};
use crate::model::ModelSpec;
use crate::ops::Ragged;
use crate::optim::{AdamW, AdamWSpec, clip_scale};
use crate::random::{Philox, site};

/// Samples of a recording: 20 frames after the four convolutions, and 9 rows of A4.
const SAMPLES: usize = 800;
const FRAMES: usize = 9;
const NOTES: [usize; 5] = [4, 7, 1, 6, 5];
pub const ADAM: AdamWSpec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
const CLIP: f64 = 1.0;
const LR: f64 = 1e-3;

pub fn config(arm: &str) -> Config {
    let settings = [format!("arm={arm}"), "preset=tiny".into(), "device=cpu".into()];
    Config::resolve(&settings, false).unwrap()
}

/// What bf16 stores for `x`: both sides start from what both can hold.
fn rounded(x: f32) -> f32 {
    half::bf16::from_f32(x).to_f32()
}

/// Short recordings with so many notes, different in every sample.
pub fn batch(arm: &Arm, notes: &[usize], seed: u64) -> (AudioBatch, MidiBatch) {
    let mut random = Philox::new(seed, site("step test")).stream(0);
    let mut uniform = |n: usize| -> Vec<f32> { (0..n).map(|_| rounded(2.0 * random.uniform_f32() - 1.0)).collect() };
    let samples = notes.len();
    let a4 = Ragged::uniform(samples, FRAMES);
    let audio = AudioBatch {
        samples: Tensor::from_slice(&[samples, SAMPLES, 1], &uniform(samples * SAMPLES)),
        descriptor: arm.audio.map(|_| (Tensor::from_slice(&[a4.total(), 8], &uniform(a4.total() * 8)), a4)),
    };
    let rows = Ragged::from_lengths(notes.iter().copied());
    let symbols = |factor: usize, modulus: usize| (0..rows.total()).map(|i| (i * factor % modulus) as u32).collect();
    let midi = MidiBatch {
        pitch: symbols(37, 128),
        velocity: symbols(53, 128),
        duration: symbols(5, 32),
        onset: (0..rows.total()).map(|i| i as f32 / 10.0).collect(),
        descriptor: arm.midi.map(|_| Tensor::from_slice(&[rows.total(), 4], &uniform(rows.total() * 4))),
        rows,
    };
    (audio, midi)
}

/// What a step leaves, in host order.
struct Outcome {
    figures: Figures,
    gradients: Vec<f32>,
    parameters: Vec<f32>,
    moments: [Vec<f32>; 2],
    /// Of the batch before the step, by running statistics.
    embeddings: [Vec<f32>; 2],
    /// Parameters and running statistics by name.
    named: Vec<(String, Vec<f32>)>,
}

/// A step on `device`.
fn run(arm: &str, device: &Device, dtype: DType) -> Outcome {
    let (config, (model, parameters)) = (config(arm), start(arm));
    let arm = arms::find(arm).unwrap();
    let mut parameters = parameters.to_device(device, dtype).unwrap();
    let mut adam = Optimizer::new(ADAM, &parameters).unwrap();
    let (audio, midi) = batch(arm, &NOTES, 3);
    let (audio, midi) = (audio.to_device(device, dtype).unwrap(), midi.to_device(device, dtype).unwrap());
    let embeddings = {
        let tape = Tape::inference();
        let cx = Context::new(&tape, &parameters, Mode::Eval);
        let (audio, midi) = (model.embed_audio(&cx, &audio).unwrap(), model.embed_midi(&cx, &midi).unwrap());
        [audio, midi].map(|z| z.value().to_f32())
    };
    let mode = Mode::Train { dropout: 0.1, seed: 5, step: 3 };
    let passed = pass(&model, &mut parameters, (&audio, &midi), &config.vicreg.spec(), mode).unwrap();
    let figures = passed.figures().unwrap();
    let gradients = match &passed.gradients {
        FlatGradients::Host { values, .. } => values.to_vec(),
        FlatGradients::Device { values, .. } => parameters.to_host_order(values).unwrap(),
    };
    passed.apply(&mut parameters, &mut adam, LR, CLIP).unwrap();
    let snapshot = parameters.snapshot().unwrap();
    let named = parameters.tensors(&snapshot).iter().map(|t| (t.name.to_owned(), t.data.to_vec())).collect();
    let moments = adam.moments(&parameters).unwrap();
    Outcome { figures, gradients, parameters: snapshot.values, moments, embeddings, named }
}

/// Largest difference relative to the largest element of `a` (at least `floor`).
fn difference(a: &[f32], b: &[f32], floor: f32) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = a.iter().fold(floor, |m, x| m.max(x.abs()));
    let far = |d: f32| if d.is_nan() { f32::INFINITY } else { d };
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max(far((a - b).abs()))) / scale
}

fn follows_the_cpu(arm: &str, device: &Device, dtype: DType, tolerance: f32) {
    let (expected, got) = (run(arm, &Device::Cpu, DType::F32), run(arm, device, dtype));
    let all = |f: &Figures| {
        [f.loss, f.terms.invariance, f.terms.variance, f.terms.covariance, f.std_audio, f.std_midi, f.grad_norm]
            .map(|x| x as f32)
    };
    for (e, g) in all(&expected.figures).into_iter().zip(all(&got.figures)) {
        assert!(
            (e - g).abs() < tolerance * e.abs().max(0.1),
            "{arm}: figures {:?}, {:?}",
            expected.figures,
            got.figures
        );
    }
    // Some gradients are 0 but for rounding: biases before a BatchNorm, key biases of attention. All are measured against the
    // largest of all, the smaller ones against a twentieth of it.
    let largest = expected.gradients.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    let error = |(name, range): (String, std::ops::Range<usize>)| {
        (difference(&expected.gradients[range.clone()], &got.gradients[range], 5e-2 * largest), name)
    };
    let mut errors: Vec<(f32, String)> = layout(arm).into_iter().map(error).collect();
    errors.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("{arm} {dtype:?} on {}: worst gradients {:.6?}", device.name(), &errors[..3]);
    assert!(errors[0].0 < tolerance, "{arm} {dtype:?}: gradients {:?}", &errors[..3]);
    // AdamW on the device's own gradient: the first update is nearly its sign, which rounding decides where it is near 0.
    let (_, start) = start(arm);
    let mut adam = AdamW::new(ADAM, start.len());
    let mut parameters = start.snapshot().unwrap().values;
    adam.update(&mut parameters, &got.gradients, LR, clip_scale(got.figures.grad_norm, CLIP));
    assert!(difference(&parameters, &got.parameters, 1.0) < 1e-6, "{arm} {dtype:?}: AdamW's parameters");
    assert!(difference(&adam.m, &got.moments[0], 1e-3) < 1e-5, "{arm} {dtype:?}: first moment");
    assert!(difference(&adam.v, &got.moments[1], 1e-6) < 1e-5, "{arm} {dtype:?}: second moment");
    for (side, (expected, got)) in expected.embeddings.iter().zip(&got.embeddings).enumerate() {
        let error = difference(expected, got, 1.0);
        println!("{arm} {dtype:?} on {}: embeddings of side {side}: {error:.2e}", device.name());
        assert!(error < tolerance, "{arm} {dtype:?}: embeddings of side {side}: {error:.2e}");
    }
    for ((name, expected), (_, got)) in
        expected.named.iter().zip(&got.named).filter(|((name, _), _)| name.contains("running"))
    {
        let error = difference(expected, got, 0.1);
        assert!(error < tolerance, "{arm} {dtype:?}: {name}: {error:.2e}");
    }
}

/// The model and where it starts: a fresh one, rounded to bf16.
pub fn start(arm: &str) -> (Model, Parameters) {
    let spec = ModelSpec::from_config(&config(arm));
    let (model, mut parameters) = Model::new(arms::find(arm).unwrap(), &spec, 5, DType::F32);
    let values = parameters.snapshot().unwrap().values;
    let round = |(name, _, data): (&str, &[usize], &[f32])| {
        (name.to_owned(), data.iter().map(|&x| f64::from(rounded(x))).collect())
    };
    let named = parameters.named(&values).map(round).collect();
    parameters.set_named(named).unwrap();
    (model, parameters)
}

/// Where each parameter lies in host order.
fn layout(arm: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let (_, parameters) = start(arm);
    let flat = vec![0u8; parameters.len()];
    let mut end = 0;
    let place = |(name, _, data): (&str, &[usize], &[u8])| {
        let first = end;
        end += data.len();
        (name.to_owned(), first..end)
    };
    parameters.named(&flat).map(place).collect()
}

/// f32: sums of a few thousand terms through a dozen layers. bf16: 2⁻⁹ at each of some forty stored results, there and back.
const TOLERANCES: [(DType, f32); 2] = [(DType::F32, 5e-4), (DType::BF16, 2.5e-1)];

#[test]
fn emulated_step_follows_the_cpu() {
    for (seed, arm) in ["a4r", "d4a4", "d4r"].into_iter().enumerate() {
        for (dtype, tolerance) in TOLERANCES {
            follows_the_cpu(arm, &Device::emulated(seed as u64).unwrap(), dtype, tolerance);
        }
    }
}

#[test]
fn cuda_step_follows_the_cpu() {
    match Device::cuda() {
        Err(e) => println!("SKIPPED (visible): {e}"),
        Ok(gpu) => {
            for arm in ["a4r", "d4a4", "d4r"] {
                TOLERANCES.into_iter().for_each(|(dtype, tolerance)| follows_the_cpu(arm, &gpu, dtype, tolerance));
            }
        }
    }
}
