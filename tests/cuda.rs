//! Whole training steps on a GPU, where there is one: they follow the CPU, and two runs give the same bytes.

use descant::Result;
use descant::arms;
use descant::config::Config;
use descant::device::{DType, Device};
use descant::model::{AudioBatch, MidiBatch, Model, ModelSpec};
use descant::nn::{Mode, Snapshot};
use descant::ops::Ragged;
use descant::optim::{AdamWSpec, Optimizer};
use descant::random::{Philox, site};
use descant::tensor::Tensor;
use descant::train::step;

const BATCH: usize = 5;
/// Frames: 80.
const SAMPLES: usize = 3200;
const STEPS: u64 = 3;

/// The losses of some steps with dropout, and the parameters after them.
fn train(arm: &str, device: &Device, dtype: DType) -> Result<(Vec<f64>, Snapshot)> {
    let config = Config::resolve(&[format!("arm={arm}"), "preset=tiny".into(), "device=cpu".into()], false)?;
    let arm = arms::find(arm)?.arm();
    let (model, mut parameters) = Model::new(&arm, &ModelSpec::from_config(&config), 7, DType::F32);
    let (mut audio, mut midi) = batch(&arm);
    if !device.is_cpu() {
        parameters = parameters.to_device(device, dtype)?;
        (audio, midi) = (audio.to_device(device, dtype)?, midi.to_device(device, dtype)?);
    }
    let spec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    let mut adam = Optimizer::new(spec, &parameters)?;
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let mode = Mode::Train { dropout: 0.1, seed: 3, step };
        let passed = step::pass(&model, &mut parameters, (&audio, &midi), &config.loss(), mode)?;
        losses.push(passed.figures()?.loss);
        passed.apply(&mut parameters, &mut adam, 1e-3, 1.0)?;
    }
    Ok((losses, parameters.snapshot()?))
}

fn batch(arm: &arms::Arm) -> (AudioBatch, MidiBatch) {
    let mut random = Philox::new(5, site("test")).stream(0);
    let mut uniform = |n: usize| -> Vec<f32> { (0..n).map(|_| random.uniform_f32() - 0.5).collect() };
    let (a4, notes) = (Ragged::uniform(BATCH, 9), Ragged::from_lengths([3, 1, 8, 5, 11]));
    let audio = AudioBatch {
        samples: Tensor::from_slice(&[BATCH, SAMPLES, 1], &uniform(BATCH * SAMPLES)),
        descriptor: arm.audio.map(|_| (Tensor::from_slice(&[a4.total(), 8], &uniform(a4.total() * 8)), a4)),
    };
    let symbols = |modulus: u32| (0..notes.total() as u32).map(|i| i * 7 % modulus).collect();
    let midi = MidiBatch {
        pitch: symbols(128),
        velocity: symbols(127),
        duration: symbols(32),
        onset: vec![0.0; notes.total()].into(),
        descriptor: arm
            .midi
            .map(|_| (Tensor::from_slice(&[notes.total(), 4], &uniform(notes.total() * 4)), notes.clone())),
        rows: notes,
    };
    (audio, midi)
}

/// The GPU, or a visible word that there is none.
fn gpu() -> Option<Device> {
    Device::cuda().inspect_err(|e| println!("SKIPPED (visible): {e}")).ok()
}

#[test]
fn cuda_steps_follow_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for arm in ["a4r", "d4a4", "d4-a4r", "d0"] {
        let (expected, _) = train(arm, &Device::Cpu, DType::F32).unwrap();
        for (dtype, tolerance) in [(DType::F32, 2e-4), (DType::BF16, 2e-2)] {
            let (losses, _) = train(arm, &gpu, dtype).unwrap();
            for (step, (loss, expected)) in losses.iter().zip(&expected).enumerate() {
                let error = (loss - expected).abs() / expected;
                assert!(error < tolerance, "{arm}, {dtype:?}, step {step}: {loss} against {expected}");
            }
        }
    }
}

#[test]
fn cuda_runs_give_the_same_bytes() {
    let Some(gpu) = gpu() else { return };
    for arm in ["a4r", "d4a4"] {
        for dtype in [DType::F32, DType::BF16] {
            let (first, again) = (train(arm, &gpu, dtype).unwrap(), train(arm, &gpu, dtype).unwrap());
            assert_eq!(first.0, again.0, "{arm}, {dtype:?}");
            let bits = |snapshot: Snapshot| snapshot.values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(first.1) == bits(again.1), "{arm}, {dtype:?}: parameters differ");
        }
    }
}
