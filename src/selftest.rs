//! Every family of kernels against the CPU, in seconds: what `engine doctor` runs on the device it finds. On the CPU itself,
//! its vectorised single precision against double.

use serde::Serialize;

use crate::descriptors::device::DeviceStft;
use crate::descriptors::stft::Padding;
use crate::descriptors::{A4, A7, A8, A9, Descriptor, Source};
use crate::device::{DType, Device, probe};
use crate::error::Result;
use crate::eval::cka::{Cka, Gram, linear_cka};
use crate::eval::pools::{Item, Pools, Protocol};
use crate::eval::retrieval::{Embeddings, Ranking};
use crate::nn::{Builder, Init};
use crate::ops::all_cases;
use crate::ops::linear::linear;
use crate::optim::{AdamWSpec, Optimizer};
use crate::progress::Progress;
use crate::random::{Philox, site};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// How one family of kernels fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// `layernorm`, `attention`, …
    pub family: String,
    /// Element type of activations: `f32`, `bf16`.
    pub storage: &'static str,
    /// Configurations that were run, each forward and backward.
    pub cases: usize,
    /// Largest error as a share of what is tolerated.
    pub error: f64,
    /// Why it is not well; `None` where it is.
    pub fault: Option<String>,
}

impl Finding {
    fn new(family: &str, dtype: DType) -> Self {
        Finding { family: family.to_owned(), storage: dtype.name(), cases: 0, error: 0.0, fault: None }
    }

    fn add(&mut self, what: &str, error: Result<f64>) {
        self.cases += 1;
        match error {
            Ok(error) if error <= 1.0 => self.error = self.error.max(error),
            Ok(error) => drop(self.fault.get_or_insert(format!("{what}: error {error:.1} times what is tolerated"))),
            Err(error) => drop(self.fault.get_or_insert(format!("{what}: {error}"))),
        }
    }
}

/// A check of kernels that are no operation: its error as a share of what is tolerated.
type Check = fn(&Device) -> Result<f64>;

const CHECKS: [(&str, Check); 5] = [
    ("primitives", primitives),
    ("optimizer", optimizer),
    ("spectra", spectra),
    ("alignment", alignment),
    ("ranks", ranks),
];

/// Runs every case of every operation, and on a device with kernels also what is no operation: one finding for each family and
/// element type.
pub fn run(device: &Device) -> Vec<Finding> {
    let (storages, checks): (&[DType], &[(&str, Check)]) = match device {
        Device::Cpu => (&[DType::F32], &[]),
        Device::Emulated(_) | Device::Cuda(_) => (&[DType::F32, DType::BF16], &CHECKS),
    };
    let cases = all_cases();
    let total = cases.len() * storages.len() + checks.len();
    let progress = Progress::new(format!("self-test on {}", device.name()), total as u64, "cases");
    let mut findings = Vec::new();
    for &dtype in storages {
        for case in &cases {
            let family = case.name.split(' ').next().unwrap_or_default();
            let error = match device {
                Device::Cpu => case.single_precision_error(),
                Device::Emulated(_) | Device::Cuda(_) => case.device_error(device, dtype),
            };
            of(&mut findings, family, dtype).add(&case.name, error.map(|error| error / case.tolerance(dtype)));
            progress.advance(1);
        }
    }
    for (family, check) in checks {
        of(&mut findings, family, DType::F32).add(family, check(device));
        progress.advance(1);
    }
    findings
}

/// The finding of a family, which is the last one or new.
fn of<'a>(findings: &'a mut Vec<Finding>, family: &str, dtype: DType) -> &'a mut Finding {
    if findings.last().is_none_or(|last| last.family != family || last.storage != dtype.name()) {
        findings.push(Finding::new(family, dtype));
    }
    let last = findings.len() - 1;
    &mut findings[last]
}

/// `n` values in ±1.
fn draw(seed: u64, n: usize) -> Vec<f32> {
    let mut stream = Philox::new(seed, site("selftest")).stream(0);
    (0..n).map(|_| 2.0 * stream.uniform_f32() - 1.0).collect()
}

/// Largest difference as a share of `tolerance`; a NaN is infinitely far.
fn share(got: &[f32], expected: &[f32], tolerance: f32) -> f64 {
    let far = |d: f32| if d.is_nan() { f32::INFINITY } else { d };
    let worst = got.iter().zip(expected).fold(0.0f32, |m, (g, e)| m.max(far((g - e).abs())));
    f64::from(worst / tolerance)
}

/// Tensor-core product, sums within a block, random words.
fn primitives(device: &Device) -> Result<f64> {
    let same = probe::draws_the_same(device)?;
    let error = probe::product_error(device)?.max(probe::reduction_error(device)?) / 1e-6;
    Ok(if same { error } else { f64::INFINITY })
}

/// Three updates of a small layer: gradients gathered, clipped and taken by AdamW.
fn optimizer(device: &Device) -> Result<f64> {
    let spec = AdamWSpec { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    let trained = |device: &Device| -> Result<Vec<f32>> {
        let mut builder = Builder::default();
        let weight = builder.parameter("weight", &[5, 7], Init::fan_in(7));
        let bias = builder.parameter("bias", &[5], Init::fan_in(7));
        let mut parameters = builder.initialise(1, DType::F32).to_device(device, DType::F32)?;
        let mut adam = Optimizer::new(spec, &parameters)?;
        for step in 0..3 {
            let place = |seed, columns| {
                Tensor::from_slice(&[3, columns], &draw(seed, 3 * columns)).to_device(device, DType::F32)
            };
            let tape = Tape::recording();
            let vars = parameters.on(&tape);
            let y = linear(&tape, &Var::constant(place(2 * step, 7)?), weight.of(&vars), bias.of(&vars))?;
            let mut gradients = tape.backward(&y, place(2 * step + 1, 5)?)?;
            let gradients = parameters.gather(&vars, &mut gradients)?;
            drop((vars, y));
            adam.update(&mut parameters, &gradients, 1e-2, 1.0)?;
        }
        Ok(parameters.snapshot()?.values)
    };
    Ok(share(&trained(device)?, &trained(&Device::Cpu)?, 1e-5))
}

/// STFT, A4, A7, A8 and A9 of a fifth of a second.
fn spectra(device: &Device) -> Result<f64> {
    type OnDevice = fn(&DeviceStft, &Tensor, DType) -> Result<Tensor>;
    let all: [(&dyn Descriptor, OnDevice, f32); 4] = [
        (&A4, DeviceStft::a4, 2e-4),
        (&A7, DeviceStft::a7, 2e-5),
        (&A8, DeviceStft::a8, 2e-5),
        (&A9, DeviceStft::a9, 2e-5),
    ];
    let tone = |i: usize| 0.5 * (std::f32::consts::TAU * 440.0 * i as f32 / 24_000.0).sin();
    let audio: Vec<f32> = draw(7, 5_000).iter().enumerate().map(|(i, noise)| tone(i) + 0.1 * noise).collect();
    let on = Tensor::from_slice(&[1, audio.len()], &audio).to_device(device, DType::F32)?;
    let stft = DeviceStft::new(device, Padding::Reflect)?;
    all.iter().try_fold(0.0f64, |worst, (descriptor, on_device, tolerance)| {
        let got = on_device(&stft, &on, DType::F32)?.to_host()?;
        let expected = descriptor.compute(Source::audio(&audio, Padding::Reflect));
        Ok(worst.max(share(&got.to_f32(), &expected, *tolerance)))
    })
}

/// CKA of two small representations.
fn alignment(device: &Device) -> Result<f64> {
    let (x, y) = (Tensor::from_slice(&[37, 20], &draw(8, 740)), Tensor::from_slice(&[37, 11], &draw(9, 407)));
    let aligned = |device: &Device| -> Result<Cka> {
        let gram = |t: &Tensor| Gram::new(&t.to_device(device, DType::F32)?);
        linear_cka(&gram(&x)?, &gram(&y)?)
    };
    let (got, expected) = (aligned(device)?, aligned(&Device::Cpu)?);
    let both = |c: Cka| [c.biased as f32, c.debiased as f32];
    Ok(share(&both(got), &both(expected), 1e-5))
}

/// Ranks of 40 queries, which must be equal.
fn ranks(device: &Device) -> Result<f64> {
    const N: u32 = 120;
    const DIM: usize = 8;
    let (audio, noise) = (draw(10, N as usize * DIM), draw(11, N as usize * DIM));
    let midi: Vec<f32> = audio.iter().zip(noise).map(|(x, e)| x + 0.7 * e).collect();
    let items: Vec<Item> = (0..N).map(|i| Item { piece: i / 30, composer: i / 60, performance: i / 15 }).collect();
    let pools = Pools::draw(&items, &Protocol { queries: 40, pool: 32, ..Protocol::default() })?;
    let place = |x: &[f32]| Tensor::from_slice(&[N as usize, DIM], x).to_device(device, DType::F32);
    let got = Ranking::on_device(&place(&audio)?, &place(&midi)?, &pools)?;
    let expected = Ranking::new(Embeddings { audio: &audio, midi: &midi, dim: DIM }, &pools)?;
    Ok(if got == expected { 0.0 } else { f64::INFINITY })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_well(device: &Device) {
        for finding in run(device) {
            assert_eq!(finding.fault, None, "{} in {}", finding.family, finding.storage);
        }
    }

    #[test]
    fn the_cpu_is_well() {
        is_well(&Device::Cpu);
    }

    #[test]
    fn emulated_kernels_are_well() {
        is_well(&Device::emulated(11).unwrap());
    }

    #[test]
    fn a_wrong_result_is_a_fault() {
        let mut finding = Finding::new("gelu", DType::F32);
        finding.add("gelu", Ok(0.5));
        assert_eq!((finding.error, &finding.fault), (0.5, &None));
        finding.add("gelu of many", Ok(f64::INFINITY));
        finding.add("gelu", Err(Device::Cpu.error("lost")));
        assert_eq!(finding.fault.unwrap(), "gelu of many: error inf times what is tolerated");
        assert_eq!(finding.cases, 3);
    }
}
