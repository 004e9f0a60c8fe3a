//! Whole training steps and forward passes on the CPU: seconds, GFLOP/s, and the share of the matrix-product peak that this
//! very run measured. `cargo bench --bench step -- [ARM PRESET BATCH]`; the default is every row that fits a few minutes.

use std::time::Instant;

use descant::arms;
use descant::config::Config;
use descant::device::DType;
use descant::linalg::{Mat, MatMut, Threads, matmul};
use descant::model::{AudioBatch, MidiBatch, Model, ModelSpec};
use descant::nn::{Context, Mode};
use descant::ops::Ragged;
use descant::optim::{AdamWSpec, Optimizer};
use descant::random::{Philox, site};
use descant::tape::Tape;
use descant::tensor::Tensor;
use descant::train::step;

/// Notes of every sample.
const NOTES: usize = 128;
/// (arm, preset, batch, GFLOP per sample forward, GFLOP per sample training): multiply–add counts 2.
const ROWS: [(&str, &str, usize, f64, f64); 7] = [
    ("a4r", "small", 16, 1.205, 3.59),
    ("d0", "small", 16, 8.41, 25.2),
    ("d4a4", "small", 16, 8.49, 25.5),
    ("a4r", "paper", 2, 66.0, 198.0),
    ("d4-a4r", "paper", 2, 66.1, 198.0),
    ("d0", "paper", 2, 369.8, 1109.0),
    ("d4a4", "paper", 2, 374.9, 1125.0),
];

/// Best of `times` runs, in seconds.
fn best(times: usize, mut f: impl FnMut()) -> f64 {
    let run = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(|_| run(&mut f)).fold(f64::INFINITY, f64::min)
}

/// GFLOP/s of a 2048³ product in f32 on all threads.
fn peak() -> f64 {
    const N: usize = 2048;
    let (a, b, mut c) = (vec![1.0f32; N * N], vec![1.0f32; N * N], vec![0.0f32; N * N]);
    let seconds = best(5, || {
        let (a, b) = (Mat::new(&a, N, N), Mat::new(&b, N, N));
        matmul(MatMut::new(&mut c, N, N), false, 1.0, a, b, Threads::All);
    });
    2.0 * (N as f64).powi(3) / seconds / 1e9
}

fn inputs(arm: &arms::Arm, batch: usize) -> (AudioBatch, MidiBatch) {
    let mut random = Philox::new(1, site("bench")).stream(0);
    let mut uniform = |n: usize| -> Vec<f32> { (0..n).map(|_| random.uniform_f32() - 0.5).collect() };
    let a4 = Ragged::uniform(batch, descant::descriptors::FRAMES);
    let audio = AudioBatch {
        samples: Tensor::from_slice(&[batch, 96_000, 1], &uniform(batch * 96_000)),
        descriptor: arm.audio.map(|_| (Tensor::from_slice(&[a4.total(), 8], &uniform(a4.total() * 8)), a4)),
    };
    let rows = Ragged::uniform(batch, NOTES);
    let symbols = |modulus: u32| (0..rows.total() as u32).map(|i| i * 7 % modulus).collect();
    let midi = MidiBatch {
        pitch: symbols(128),
        velocity: symbols(127),
        duration: symbols(32),
        onset: vec![0.0; rows.total()].into(),
        descriptor: arm.midi.map(|_| Tensor::from_slice(&[rows.total(), 4], &uniform(rows.total() * 4))),
        rows,
    };
    (audio, midi)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let peak = peak();
    println!("matrix-product peak (2048³, f32): {peak:.0} GFLOP/s on {} threads", rayon::current_num_threads());
    println!("{:<8}{:<7}{:>6} {:>22} {:>22}", "arm", "preset", "batch", "forward", "training step");
    let row = |(name, preset, batch, forward, training): (&str, &str, usize, f64, f64)| {
        let arm = arms::find(name).expect("an arm of the catalogue");
        let settings = [format!("arm={name}"), format!("preset={preset}"), "device=cpu".into()];
        let config = Config::resolve(&settings, false).expect("a valid configuration");
        let (model, mut parameters) = Model::new(arm, &ModelSpec::from_config(&config), 1, DType::F32);
        let (audio, midi) = inputs(arm, batch);
        let mode = Mode::Train { dropout: config.dropout as f32, seed: 1, step: 0 };
        let times = if preset == "small" { 6 } else { 2 };
        let forward_seconds = best(times, || {
            let tape = Tape::inference();
            let cx = Context::new(&tape, &parameters, mode);
            model.embed_audio(&cx, &audio).expect("forward");
            model.embed_midi(&cx, &midi).expect("forward");
        });
        let spec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let mut adam = Optimizer::new(spec, &parameters).expect("an optimizer");
        let step_seconds = best(times, || {
            let passed = step::pass(&model, &mut parameters, (&audio, &midi), &config.vicreg.spec(), mode);
            passed.and_then(|p| p.apply(&mut parameters, &mut adam, 1e-4, 1.0)).expect("training step");
        });
        let cell = |seconds: f64, gflop: f64| {
            let rate = gflop * batch as f64 / seconds;
            format!("{seconds:.3} s {rate:>4.0} GF/s {:>3.0} %", 100.0 * rate / peak)
        };
        let (f, s) = (cell(forward_seconds, forward), cell(step_seconds, training));
        println!("{name:<8}{preset:<7}{batch:>6} {f:>22} {s:>22}");
    };
    match &arguments[..] {
        [name, preset, batch] => {
            let batch = batch.parse().expect("BATCH is a number");
            let known = ROWS.iter().find(|r| r.0 == name && r.1 == preset).expect("a row of the cost table");
            row((known.0, known.1, batch, known.3, known.4));
        }
        _ => ROWS.into_iter().for_each(row),
    }
}
