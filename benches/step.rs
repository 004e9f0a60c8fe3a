//! Whole training steps and forward passes.
//!
//!     cargo bench --bench step -- [ARM PRESET BATCH]                     on the CPU, every row that fits a few minutes
//!     cargo bench --bench step -- --device cuda [--dtype f32] [--json FILE] [ARM PRESET BATCH]
//!
//! On the CPU: best of a few runs, with the share of the matrix-product peak that this very run measured; 128 notes a segment. On a
//! GPU: median over many steps as training makes them, 64 to 192 notes a segment (128 on average), and the memory they hold.

#[path = "support/device.rs"]
mod device;
#[path = "support/timing.rs"]
mod timing;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use descant::arms::{self, Arm};
use descant::config::Config;
use descant::device::{DType, Device};
use descant::linalg::{Mat, MatMut, Threads, matmul};
use descant::model::{AudioBatch, MidiBatch, Model, ModelSpec};
use descant::nn::{Context, Mode};
use descant::ops::Ragged;
use descant::optim::{AdamWSpec, Optimizer};
use descant::random::{Philox, site};
use descant::tape::Tape;
use descant::tensor::Tensor;
use descant::train::step;
use descant::train::stepper::{BEHIND, Recipe, Stepper};
use descant::{Error, Result};
use serde_json::{Value, json};

use device::{DeviceName, Storage};
use timing::measure;

/// Notes of a segment, on average.
const NOTES: usize = 128;

/// What a row times, and its cost with multiply–add counted as 2.
struct Row {
    arm: &'static str,
    preset: &'static str,
    batch: usize,
    /// GFLOP of a sample, forward and in a training step.
    gflop: [f64; 2],
}

const fn row(arm: &'static str, preset: &'static str, batch: usize, forward: f64, training: f64) -> Row {
    Row { arm, preset, batch, gflop: [forward, training] }
}

const ROWS: [Row; 7] = [
    row("a4r", "small", 16, 1.205, 3.59),
    row("d0", "small", 16, 8.41, 25.2),
    row("d4a4", "small", 16, 8.49, 25.5),
    row("a4r", "paper", 2, 66.0, 198.0),
    row("d4-a4r", "paper", 2, 66.1, 198.0),
    row("d0", "paper", 2, 369.8, 1109.0),
    row("d4a4", "paper", 2, 374.9, 1125.0),
];

/// Batch of the paper's preset on a GPU.
const GPU_BATCH: usize = 16;

/// Times whole training steps and forward passes.
#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// How a GPU stores activations and matrices.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Storage,
    /// Kernel by kernel on a GPU, not as a CUDA graph.
    #[arg(long)]
    no_graph: bool,
    /// Milliseconds for each row on a GPU.
    #[arg(long, default_value_t = 2000)]
    budget: u64,
    /// Writes what is printed as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// ARM PRESET BATCH of one row.
    only: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(device) = arguments.device.open() else { return ExitCode::SUCCESS };
    match run(&arguments, &device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, device: &Device) -> Result<()> {
    let rows: Vec<Row> = match &arguments.only[..] {
        [arm, preset, batch] => {
            let usage = || Error::Usage(format!("no row {arm} {preset} {batch} in the table of costs"));
            let known = ROWS.into_iter().find(|row| row.arm == arm && row.preset == preset).ok_or_else(usage)?;
            vec![Row { batch: batch.parse().map_err(|_| usage())?, ..known }]
        }
        [] if device.is_cpu() => ROWS.into_iter().collect(),
        [] => ROWS.into_iter().filter(|row| row.preset == "paper").map(|row| Row { batch: GPU_BATCH, ..row }).collect(),
        other => return Err(Error::Usage(format!("expected ARM PRESET BATCH, found {}", other.join(" ")))),
    };
    let mut timed = Vec::new();
    if device.is_cpu() {
        let peak = peak();
        println!("matrix-product peak (2048³, f32): {peak:.0} GFLOP/s on {} threads", rayon::current_num_threads());
        println!("{:<8}{:<7}{:>6} {:>22} {:>22}", "arm", "preset", "batch", "forward", "training step");
        for row in &rows {
            timed.push(on_cpu(row, peak)?);
        }
    } else {
        println!("arm     preset  batch            step ms    min ms  samples/s    TFLOP/s       GB");
        for row in &rows {
            timed.push(on_device(row, device, arguments)?);
        }
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", json!({ "device": device.name(), "rows": timed })))
            .map_err(|e| Error::io(path, "write", e))?;
    }
    Ok(())
}

/// A model, its optimizer's settings and a batch.
struct Setup {
    arm: Arm,
    config: Config,
    mode: Mode,
    adam: AdamWSpec,
}

impl Setup {
    fn of(row: &Row) -> Result<Self> {
        let settings = [format!("arm={}", row.arm), format!("preset={}", row.preset), "device=cpu".into()];
        let config = Config::resolve(&settings, false)?;
        let mode = Mode::Train { dropout: config.dropout as f32, seed: 1, step: 0 };
        let adam = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        Ok(Setup { arm: arms::find(row.arm)?.arm(), config, mode, adam })
    }
}

/// Random recordings and `notes` random notes.
fn inputs(arm: &Arm, notes: Ragged) -> (AudioBatch, MidiBatch) {
    let batch = notes.batch();
    let mut random = Philox::new(1, site("bench")).stream(0);
    let mut uniform = |n: usize| -> Vec<f32> { (0..n).map(|_| random.uniform_f32() - 0.5).collect() };
    let a4 = Ragged::uniform(batch, descant::descriptors::FRAMES);
    let audio = AudioBatch {
        samples: Tensor::from_slice(&[batch, 96_000, 1], &uniform(batch * 96_000)),
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

/// Best of `times` runs, in seconds.
fn best(times: usize, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        f()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// GFLOP/s of a 2048³ product in f32 on all threads.
fn peak() -> f64 {
    const N: usize = 2048;
    let (a, b, mut c) = (vec![1.0f32; N * N], vec![1.0f32; N * N], vec![0.0f32; N * N]);
    let seconds = best(5, || {
        let (a, b) = (Mat::new(&a, N, N), Mat::new(&b, N, N));
        matmul(MatMut::new(&mut c, N, N), false, 1.0, a, b, Threads::All);
        Ok(())
    });
    2.0 * (N as f64).powi(3) / seconds.unwrap_or(f64::INFINITY) / 1e9
}

fn on_cpu(row: &Row, peak: f64) -> Result<Value> {
    let Row { preset, batch, .. } = *row;
    let Setup { arm, config, mode, adam } = Setup::of(row)?;
    let (model, mut parameters) = Model::new(&arm, &ModelSpec::from_config(&config), 1, DType::F32);
    let (audio, midi) = inputs(&arm, Ragged::uniform(batch, NOTES));
    let times = if preset == "paper" { 2 } else { 6 };
    let forward = best(times, || {
        let tape = Tape::inference();
        let cx = Context::new(&tape, &parameters, mode);
        model.embed_audio(&cx, &audio)?;
        model.embed_midi(&cx, &midi).map(drop)
    })?;
    let mut adam = Optimizer::new(adam, &parameters)?;
    let step = best(times, || {
        let passed = step::pass(&model, &mut parameters, (&audio, &midi), &config.loss(), mode)?;
        passed.apply(&mut parameters, &mut adam, 1e-4, 1.0)
    })?;
    let [f, s] = [(forward, row.gflop[0]), (step, row.gflop[1])].map(|(seconds, gflop)| {
        let rate = gflop * batch as f64 / seconds;
        format!("{seconds:.3} s {rate:>4.0} GF/s {:>3.0} %", 100.0 * rate / peak)
    });
    println!("{:<8}{preset:<7}{batch:>6} {f:>22} {s:>22}", row.arm);
    Ok(json!({
        "arm": row.arm, "preset": preset, "batch": batch, "dtype": "f32", "forward_s": forward, "step_s": step,
        "gflop_per_sample": row.gflop, "peak_gflops": peak, "threads": rayon::current_num_threads(),
    }))
}

/// Steps as training makes them: the batch sent from the host, figures read behind, known shapes repeated as a CUDA graph.
fn on_device(row: &Row, device: &Device, arguments: &Arguments) -> Result<Value> {
    let Row { arm: name, preset, batch, gflop } = *row;
    let Setup { arm, config, adam, .. } = Setup::of(row)?;
    let used_before = used(device)?;
    let (model, parameters) = Model::new(&arm, &ModelSpec::from_config(&config), 1, DType::F32);
    let mut parameters = parameters.to_device(device, arguments.dtype.dtype())?;
    let mut adam = Optimizer::new(adam, &parameters)?;
    let (audio, midi) = inputs(&arm, lengths(batch));
    let recipe = Recipe {
        loss: config.loss(),
        dropout: config.dropout as f32,
        seed: 1,
        clip: 1.0,
        max_notes: config.midi.max_notes,
        record: !arguments.no_graph,
    };
    let (mut stepper, mut open, mut made) = (Stepper::new(device, recipe)?, VecDeque::new(), 0);
    let step = RefCell::new(|| {
        open.push_back(stepper.step(&model, &mut parameters, &mut adam, (&audio, &midi), (made, 1e-4))?);
        made += 1;
        match open.pop_front_if(|_| made > BEHIND as u64) {
            Some(ticket) => stepper.figures(ticket).map(drop),
            None => Ok(()),
        }
    });
    let budget = Duration::from_millis(arguments.budget);
    let timing = measure(device, budget, &mut || Ok(Box::new(|| step.borrow_mut()())))?;
    let tflops = gflop[1] * batch as f64 / timing.median_s / 1e3;
    let (rate, memory) = (batch as f64 / timing.median_s, used(device)?.saturating_sub(used_before) as f64 / 1e9);
    let [median, min] = [timing.median_s, timing.min_s].map(|s| 1e3 * s);
    let kept = arguments.dtype.name();
    println!("{name:<8}{preset:<7}{batch:>6}{kept:>6}{median:>12.2}{min:>10.2}{rate:>11.0}{tflops:>11.1}{memory:>9.2}");
    Ok(json!({
        "arm": name, "preset": preset, "batch": batch, "dtype": kept, "graph": !arguments.no_graph, "step": timing,
        "samples_per_s": rate, "tflops": tflops, "memory_gb": memory, "gflop_per_sample": gflop,
    }))
}

/// Notes of each segment: 64 to 192, evenly.
fn lengths(batch: usize) -> Ragged {
    let spread = |i: usize| NOTES / 2 + NOTES * i / (batch - 1).max(1);
    Ragged::from_lengths((0..batch).map(spread))
}

/// Bytes of the GPU's memory in use.
fn used(device: &Device) -> Result<usize> {
    match device {
        Device::Cuda(gpu) => gpu.memory().map(|(free, total)| total - free),
        Device::Cpu | Device::Emulated(_) => Ok(0),
    }
}
