//! One whole training step on a device against the CPU: loss, terms, every gradient, AdamW and the running statistics.

use super::*;
use crate::arms::{self, Arm, Family, Injection};
use crate::config::Config;
use crate::descriptors::Domain;
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

/// Short recordings with so many notes. Samples differ a lot, as recordings do: where they are nearly alike, BatchNorm makes
/// rounding as large as what tells them apart.
pub fn batch(arm: &Arm, notes: &[usize], seed: u64) -> (AudioBatch, MidiBatch) {
    let mut random = Philox::new(seed, site("step test")).stream(0);
    let mut uniform = |n: usize| -> Vec<f32> { (0..n).map(|_| rounded(2.0 * random.uniform_f32() - 1.0)).collect() };
    let samples = notes.len();
    let a4 = Ragged::uniform(samples, FRAMES);
    let mut sound = uniform(samples * SAMPLES);
    for (b, sound) in sound.chunks_exact_mut(SAMPLES).enumerate() {
        let pitch = 0.02 * 1.7f32.powi(b as i32);
        sound.iter_mut().enumerate().for_each(|(t, x)| *x = rounded((pitch * t as f32).sin() + 0.2 * *x));
    }
    let injections = [arm.audio, arm.midi];
    let dims = |domain, or: usize| {
        let of = |i: &Injection| i.descriptor.domain() == domain;
        injections.into_iter().flatten().find(of).map_or(or, |i| i.descriptor.raw_dims())
    };
    let width = dims(Domain::Audio, 8);
    let mut frames = uniform(a4.total() * width);
    for (i, row) in frames.chunks_exact_mut(width).enumerate() {
        row.iter_mut().skip(i / FRAMES).step_by(samples).for_each(|x| *x = rounded(*x + 3.0));
    }
    let frames = Tensor::from_slice(&[a4.total(), width], &frames);
    let rows = Ragged::from_lengths(notes.iter().copied());
    // Sample and number of every note.
    let each: Vec<(usize, usize)> = notes.iter().enumerate().flat_map(|(b, &n)| (0..n).map(move |i| (b, i))).collect();
    let symbols =
        |scale: usize, modulus: usize| each.iter().map(|&(b, i)| ((scale * b + i) % modulus) as u32).collect();
    let width = dims(Domain::Midi, 4);
    let mut features = uniform(rows.total() * width);
    for (&(b, _), row) in each.iter().zip(features.chunks_exact_mut(width)) {
        row[b % width] = rounded(row[b % width] + 3.0 + b as f32);
    }
    let features = Tensor::from_slice(&[rows.total(), width], &features);
    let [for_audio, for_midi] = injections.map(|injection| {
        Some(match injection?.descriptor.domain() {
            Domain::Audio => (frames.clone(), a4.clone()),
            Domain::Midi => (features.clone(), rows.clone()),
        })
    });
    let samples = Tensor::from_slice(&[samples, SAMPLES, 1], &sound);
    let midi = MidiBatch {
        pitch: symbols(25, 128),
        velocity: symbols(20, 128),
        duration: symbols(6, 32),
        onset: each.iter().map(|&(_, i)| i as f32 / 10.0).collect(),
        descriptor: for_midi,
        rows,
    };
    (AudioBatch { samples, descriptor: for_audio }, midi)
}

/// None with experts: masks inside them follow their sorted rows, which a device pads.
pub fn dropout(arm: &Arm) -> f32 {
    if matches!(arm.family, Family::Moe(_)) { 0.0 } else { 0.1 }
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
    let arm = arms::find(arm).unwrap().arm();
    let mut parameters = parameters.to_device(device, dtype).unwrap();
    let mut adam = Optimizer::new(ADAM, &parameters).unwrap();
    let (audio, midi) = batch(&arm, &NOTES, 3);
    let (audio, midi) = (audio.to_device(device, dtype).unwrap(), midi.to_device(device, dtype).unwrap());
    let embeddings = {
        let tape = Tape::inference();
        let cx = Context::new(&tape, &parameters, Mode::Eval);
        let (audio, midi) = (model.embed_audio(&cx, &audio).unwrap(), model.embed_midi(&cx, &midi).unwrap());
        [audio, midi].map(|z| z.value().to_f32())
    };
    let mode = Mode::Train { dropout: dropout(&arm), seed: 5, step: 3 };
    let passed = pass(&model, &mut parameters, (&audio, &midi), &config.loss(), mode).unwrap();
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
        let vicreg = [f.terms.invariance, f.terms.variance, f.terms.covariance];
        let first = [f.loss, f.std_audio, f.std_midi, f.grad_norm];
        first.into_iter().chain(vicreg).chain(f.others).map(|x| x as f32)
    };
    for (e, g) in all(&expected.figures).zip(all(&got.figures)) {
        assert!(
            (e - g).abs() < tolerance * e.abs().max(0.1),
            "{arm}: figures {:?}, {:?}",
            expected.figures,
            got.figures
        );
    }
    // Some gradients are 0 but for rounding: biases before a BatchNorm, key biases of attention. Each is measured by its length,
    // a short one by a twentieth of the longest.
    let layout = layout(arm);
    let length = |g: &[f32]| g.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let longest = layout.iter().map(|(_, r)| length(&expected.gradients[r.clone()])).fold(0.0, f64::max);
    let apart: Vec<f32> = expected.gradients.iter().zip(&got.gradients).map(|(e, g)| e - g).collect();
    let error = |(name, range): &(String, std::ops::Range<usize>)| {
        let of = length(&expected.gradients[range.clone()]).max(longest / 20.0);
        (length(&apart[range.clone()]) / of, name.clone())
    };
    let mut errors: Vec<(f64, String)> = layout.iter().map(error).collect();
    errors.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("{arm} {dtype:?} on {}: worst gradients {:.6?}", device.name(), &errors[..3]);
    assert!(errors[0].0 < f64::from(tolerance), "{arm} {dtype:?}: gradients {:?}", &errors[..3]);
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
    let (model, mut parameters) = Model::new(&arms::find(arm).unwrap().arm(), &spec, 5, DType::F32);
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

/// f32: sums of a few thousand terms through a dozen layers. bf16: 2⁻⁹ at each of some forty stored results, there and back. Without
/// a descriptor in its rows the short recordings end up nearly alike: in bf16 the audio side of d4r and of FiLM would compare rounding
/// with rounding.
const CASES: [(&str, DType, f32); 10] = [
    ("a4r", DType::F32, 2e-5),
    ("a4r", DType::BF16, 1e-1),
    ("d4a4", DType::F32, 2e-5),
    ("d4a4", DType::BF16, 1e-1),
    ("d4r", DType::F32, 2e-5),
    ("d4a4cm", DType::F32, 2e-5),
    ("film-dual", DType::F32, 2e-5),
    ("moe-dual", DType::F32, 2e-5),
    ("t3-tri", DType::F32, 2e-5),
    ("a4-learned-r", DType::F32, 2e-5),
];

#[test]
fn emulated_step_follows_the_cpu() {
    for (seed, (arm, dtype, tolerance)) in CASES.into_iter().enumerate() {
        follows_the_cpu(arm, &Device::emulated(seed as u64).unwrap(), dtype, tolerance);
    }
}

#[test]
fn cuda_step_follows_the_cpu() {
    match Device::cuda() {
        Err(e) => println!("SKIPPED (visible): {e}"),
        Ok(gpu) => CASES.into_iter().for_each(|(arm, dtype, tolerance)| follows_the_cpu(arm, &gpu, dtype, tolerance)),
    }
}
