//! Recorded steps against steps launched kernel by kernel, and both against the CPU.

use super::*;
use crate::arms;
use crate::device::DType;
use crate::train::step::tests::{ADAM, batch, config, dropout, start};

/// Two shapes of notes, each often enough to be launched, recorded and repeated.
const NOTES: [[usize; 3]; 6] = [[4, 7, 3], [9, 12, 20], [2, 2, 9], [20, 20, 6], [1, 30, 2], [8, 1, 1]];
const MAX_NOTES: usize = 32;
const SEED: u64 = 5;
const CLIP: f64 = 1.0;

fn rate(step: usize) -> f64 {
    1e-3 * (step + 1) as f64
}

/// Figures of all steps, and the bits of what they leave.
type Left = (Vec<Figures>, Vec<u32>, (usize, usize));

/// Runs the steps on `device`; the samples of step `broken` hold a NaN.
fn run(arm: &str, device: &Device, dtype: DType, record: bool, broken: Option<usize>) -> Left {
    let (config, (model, parameters)) = (config(arm), start(arm));
    let arm = arms::find(arm).unwrap().arm();
    let mut parameters = parameters.to_device(device, dtype).unwrap();
    let mut adam = Optimizer::new(ADAM, &parameters).unwrap();
    let loss = config.loss();
    let recipe = Recipe { loss, dropout: dropout(&arm), seed: SEED, clip: CLIP, max_notes: MAX_NOTES, record };
    let mut stepper = Stepper::new(device, recipe).unwrap();
    let (mut figures, mut open) = (Vec::new(), std::collections::VecDeque::new());
    for (i, notes) in NOTES.iter().enumerate() {
        let (mut audio, midi) = batch(&arm, notes, i as u64);
        if broken == Some(i) {
            let mut samples = audio.samples.to_f32();
            samples[77] = f32::NAN;
            audio.samples = crate::tensor::Tensor::from_slice(audio.samples.shape(), &samples);
        }
        let at = (i as u64, rate(i));
        let before = if broken == Some(i) { bits(&parameters, &adam) } else { Vec::new() };
        open.push_back(stepper.step(&model, &mut parameters, &mut adam, (&audio, &midi), at).unwrap());
        if broken == Some(i) {
            assert!(before == bits(&parameters, &adam), "a step whose gradient is no number changes nothing");
        }
        if open.len() > BEHIND {
            figures.push(stepper.figures(open.pop_front().unwrap()).unwrap());
        }
    }
    figures.extend(open.into_iter().map(|ticket| stepper.figures(ticket).unwrap()));
    (figures, bits(&parameters, &adam), stepper.shapes())
}

/// Parameters, running statistics and moments.
fn bits(parameters: &Parameters, adam: &Optimizer) -> Vec<u32> {
    let snapshot = parameters.snapshot().unwrap();
    let tensors = parameters.tensors(&snapshot);
    let moments = adam.moments(parameters).unwrap();
    let all = tensors.iter().flat_map(|t| t.data).chain(moments.iter().flatten());
    all.map(|x| x.to_bits()).collect()
}

/// The same steps on the CPU, where nothing is filled up.
fn on_the_cpu(arm: &str) -> Vec<Figures> {
    let (config, (model, mut parameters)) = (config(arm), start(arm));
    let arm = arms::find(arm).unwrap().arm();
    let mut adam = Optimizer::new(ADAM, &parameters).unwrap();
    let step = |(i, notes): (usize, &[usize; 3])| {
        let (audio, midi) = batch(&arm, notes, i as u64);
        let mode = Mode::Train { dropout: dropout(&arm), seed: SEED, step: i as u64 };
        let passed = step::pass(&model, &mut parameters, (&audio, &midi), &config.loss(), mode).unwrap();
        passed.apply(&mut parameters, &mut adam, rate(i), CLIP).unwrap();
        passed.figures().unwrap()
    };
    NOTES.iter().enumerate().map(step).collect()
}

fn recorded_steps_are_launched_steps(device: impl Fn(u64) -> Device) {
    let crosswise_and_families = [("d4a4cm", DType::F32), ("moe-dual", DType::F32), ("t3-tri", DType::F32)];
    let cases = [("a4r", DType::BF16), ("d4a4", DType::F32)].into_iter().chain(crosswise_and_families);
    for (seed, (arm, dtype)) in cases.enumerate() {
        let device = || device(seed as u64);
        let (figures, left, shapes) = run(arm, &device(), dtype, true, None);
        assert_eq!(shapes, (2, 2), "{arm}: shapes, recorded");
        let (launched, launched_left, shapes) = run(arm, &device(), dtype, false, None);
        assert_eq!(shapes, (2, 0));
        assert!(figures == launched && left == launched_left, "{arm} {dtype:?}: {figures:?}, launched {launched:?}");
        if dtype == DType::F32 {
            for (got, expected) in figures.iter().zip(on_the_cpu(arm)) {
                let far = |got: f64, expected: f64| (got - expected).abs() / expected.abs().max(0.1);
                let others = got.others.iter().zip(expected.others).map(|(&g, e)| far(g, e)).fold(0.0, f64::max);
                let loss = far(got.loss, expected.loss);
                assert!(loss.max(others) < 1e-3, "{arm}: {got:?}, on the CPU {expected:?}");
            }
        }
    }
}

#[test]
fn emulated_recorded_steps_are_launched_steps() {
    recorded_steps_are_launched_steps(|seed| Device::emulated(seed).unwrap());
}

#[test]
fn emulated_step_that_diverges_leaves_everything_as_it_is() {
    for broken in [0, 5] {
        let (figures, ..) = run("a4r", &Device::emulated(9).unwrap(), DType::BF16, true, Some(broken));
        assert!((0..NOTES.len()).all(|i| figures[i].is_finite() == (i != broken)), "{broken}: {figures:?}");
    }
}

#[test]
fn cuda_recorded_steps_are_launched_steps() {
    match Device::cuda() {
        Err(e) => println!("SKIPPED (visible): {e}"),
        Ok(gpu) => recorded_steps_are_launched_steps(|_| gpu.clone()),
    }
}
