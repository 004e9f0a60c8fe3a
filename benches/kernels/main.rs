//! Times every kernel family through the operations that launch it, at the shapes of the paper's preset and a batch of 16.
//!
//!     cargo bench --bench kernels -- [--dtype f32] [--json FILE] [PART OF AN ID …]
//!     cargo bench --bench kernels -- --device emulated --tiny        every launch once, on small shapes, without a GPU
//!
//! Beside each time stands the share of its floor: the larger of its floating-point operations over the matrix-product rate and
//! its bytes over the copy bandwidth, both measured in the same run. Inputs are read again and again, so that those which fit the
//! L2 cache come from there; a stack of small kernels is limited by the host where `host` is near the median.

#[path = "../support/device.rs"]
mod device;
mod suite;
#[path = "../support/timing.rs"]
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use descant::device::{DType, Device};
use descant::ops::concat::concat;
use descant::ops::gemm::{View, x_wt};
use descant::tape::{Tape, Var};
use descant::{Error, Result};
use serde_json::{Value, json};

use device::{DeviceName, Storage};
use suite::{Bench, Noise, Sizes};
use timing::{Timing, measure};

/// Times the kernels of every operation.
#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "cuda")]
    device: DeviceName,
    /// How activations and matrices are stored.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Storage,
    /// Small shapes, once each, without a clock.
    #[arg(long)]
    tiny: bool,
    /// Milliseconds for each bench.
    #[arg(long, default_value_t = 60)]
    budget: u64,
    /// Writes what is printed, and more, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// Only benches whose id contains one of these.
    only: Vec<String>,
}

/// What the device can do at best, measured.
struct Ceilings {
    /// Floating-point operations a second of a large matrix product.
    flops: f64,
    /// Bytes a second, read and written, of a large copy.
    bytes: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(device) = arguments.device.open() else { return ExitCode::SUCCESS };
    match run(&arguments, &device) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} benches failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; returns how many failed.
fn run(arguments: &Arguments, device: &Device) -> Result<usize> {
    let dtype = arguments.dtype.dtype();
    let sizes = if arguments.tiny { Sizes::tiny(dtype)? } else { Sizes::paper(dtype)? };
    let asked = |b: &Bench| arguments.only.is_empty() || arguments.only.iter().any(|part| b.id.contains(part.as_str()));
    let benches: Vec<Bench> = suite::all(&sizes).into_iter().filter(asked).collect();
    let (ceilings, rows) = if arguments.tiny {
        (Value::Null, launch_each(benches, device))
    } else {
        time_each(benches, device, arguments)?
    };
    let failed = rows.iter().filter(|row| row.get("error").is_some()).count();
    if let Some(path) = &arguments.json {
        let (about, dtype) = (describe(device)?, arguments.dtype.name());
        let report = json!({ "device": about, "dtype": dtype, "ceilings": ceilings, "benches": rows });
        std::fs::write(path, format!("{report:#}\n")).map_err(|e| Error::io(path, "write", e))?;
    }
    Ok(failed)
}

/// Every bench by the clock: the ceilings, and a row for each.
fn time_each(benches: Vec<Bench>, device: &Device, arguments: &Arguments) -> Result<(Value, Vec<Value>)> {
    let budget = Duration::from_millis(arguments.budget);
    let ceilings = Ceilings::measure(device, arguments.dtype.dtype(), budget)?;
    println!("ceilings: {:.1} TFLOP/s (8192³, {})", ceilings.flops / 1e12, arguments.dtype.name());
    println!("          {:.2} TB/s (copy, bytes read and written)", ceilings.bytes / 1e12);
    println!("{:<40}{:>12}{:>12}{:>10}{:>14}{:>8}", "", "median ms", "min ms", "host ms", "rate", "floor");
    let timed = benches.into_iter().map(|Bench { id, work, prepare }| {
        let measured = prepare(device).and_then(|mut calls| measure(device, budget, &mut *calls));
        measured.map_or_else(|error| failure(&id, &error), |timing| ceilings.row(&id, work, timing))
    });
    let rows = timed.collect();
    Ok((json!({ "tflops": ceilings.flops / 1e12, "tbps": ceilings.bytes / 1e12 }), rows))
}

/// Every bench once, without a clock.
fn launch_each(benches: Vec<Bench>, device: &Device) -> Vec<Value> {
    let launched = benches.into_iter().map(|bench| {
        let (id, work) = (bench.id.clone(), bench.work);
        let row = json!({ "id": &id, "flops": work.flops, "bytes": work.bytes });
        bench.launch(device).map_or_else(|error| failure(&id, &error), |()| row)
    });
    let rows: Vec<Value> = launched.collect();
    println!("{} benches launched once on {}", rows.len(), device.name());
    rows
}

/// Prints a failure and returns its row.
fn failure(id: &str, error: &Error) -> Value {
    println!("{id:<40}{error}");
    json!({ "id": id, "error": error.to_string() })
}

impl Ceilings {
    fn measure(device: &Device, dtype: DType, budget: Duration) -> Result<Self> {
        const N: usize = 8192;
        const COPIED: usize = 1 << 28;
        let [a, b] = [1, 2].map(|_| Noise::of(&[N, N], dtype).tensor(device));
        let (a, b) = (a?, b?);
        let product =
            measure(device, budget, &mut || Ok(Box::new(|| x_wt(View::of(&a), View::of(&b)).run(dtype).map(drop))))?;
        let source = Var::constant(Noise::of(&[COPIED / N, N], dtype).tensor(device)?);
        let copy = measure(device, budget, &mut || Ok(Box::new(|| concat(&Tape::inference(), &[&source]).map(drop))))?;
        let bytes = (2 * COPIED * dtype.bytes()) as f64;
        Ok(Ceilings { flops: 2.0 * (N as f64).powi(3) / product.min_s, bytes: bytes / copy.min_s })
    }

    /// Prints a row and returns it.
    fn row(&self, id: &str, work: suite::Work, timing: Timing) -> Value {
        let (by_flops, by_bytes) = (work.flops / self.flops, work.bytes / self.bytes);
        let share = by_flops.max(by_bytes) / timing.median_s;
        let rate = match by_flops > by_bytes {
            true => format!("{:.1} TFLOP/s", work.flops / timing.median_s / 1e12),
            false => format!("{:.2} TB/s", work.bytes / timing.median_s / 1e12),
        };
        let [median, min, host] = [timing.median_s, timing.min_s, timing.host_s].map(|s| 1e3 * s);
        println!("{id:<40}{median:>12.4}{min:>12.4}{host:>10.4}{rate:>14}{:>6.0} %", 100.0 * share);
        json!({
            "id": id, "flops": work.flops, "bytes": work.bytes, "timing": timing, "share_of_floor": share,
            "limit": if by_flops > by_bytes { "arithmetic" } else { "memory" },
        })
    }
}

fn describe(device: &Device) -> Result<Value> {
    Ok(match device {
        Device::Cuda(gpu) => json!({ "name": gpu.name()?, "capability": gpu.capability()?, "memory": gpu.memory()?.1 }),
        other => json!({ "name": other.name() }),
    })
}
