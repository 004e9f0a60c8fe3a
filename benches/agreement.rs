//! One training pass of given weights on a given batch: what `tools/pytorch/agreement.py` compares with PyTorch.
//!
//!     agreement --arm a4r --preset paper --device cuda --dtype bf16 --weights W --batch B --out O
//!
//! All files are safetensors in f32. W holds every parameter and BatchNorm buffer under its checkpoint name. B holds, as the golden
//! files do, `audio` [B, samples], `a4` [B, rows, 8], and padded to N notes `pitch`, `vel`, `dur`, `mask` [B, N] and `d4` [B, N, 4].
//! O gets the embeddings `ea` and `em`, `loss`, `inv`, `var`, `cov`, and `grad/NAME` of every parameter. Dropout is off.

#[path = "support/device.rs"]
mod device;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use descant::arms::{self, Arm};
use descant::config::Config;
use descant::device::{DType, Device, Mirrored};
use descant::model::{AudioBatch, MidiBatch, Model, ModelSpec};
use descant::nn::{Builder, Mode, Parameters};
use descant::ops::Ragged;
use descant::tensor::Tensor;
use descant::train::step::{self, Passed};
use descant::train::tensor_file::{self, NamedTensor, StoredTensor, TensorFile};
use descant::{Error, Result};

use device::{DeviceName, Storage};

/// One training pass of given weights on a given batch.
#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    arm: String,
    #[arg(long)]
    preset: String,
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// How a device stores activations and matrices; the CPU has f32 alone.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Storage,
    #[arg(long)]
    weights: PathBuf,
    #[arg(long)]
    batch: PathBuf,
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    // Without arguments `cargo bench` runs it among the others: there is nothing to compare then.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        println!("nothing to do: tools/pytorch/agreement.py calls this program");
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let Some(device) = arguments.device.open() else { return ExitCode::from(3) };
    match run(&arguments, &device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: &Arguments, device: &Device) -> Result<()> {
    let Arguments { arm, preset, dtype, weights, batch, out, .. } = arguments;
    let (arm, dtype) = (arms::find(arm)?.arm(), dtype.dtype());
    let settings = [format!("arm={}", arm.name), format!("preset={preset}"), "device=cpu".into()];
    let config = Config::resolve(&settings, false)?;
    let mut builder = Builder::default();
    let model = Model::declare(&mut builder, &arm, &ModelSpec::from_config(&config));
    let mut parameters = builder.initialise(config.seed, DType::F32);
    let mut file = tensor_file::read(weights)?;
    parameters.load(&mut file)?;
    file.finish()?;
    let (mut audio, mut midi) = inputs(&arm, tensor_file::read(batch)?)?;
    if !device.is_cpu() {
        parameters = parameters.to_device(device, dtype)?;
        (audio, midi) = (audio.to_device(device, dtype)?, midi.to_device(device, dtype)?);
    }
    let mode = Mode::Train { dropout: 0.0, seed: 0, step: 0 };
    let passed = step::pass(&model, &mut parameters, (&audio, &midi), &config.loss(), mode)?;
    let about = [("arm", &*arm.name), ("preset", preset), ("device", device.name()), ("dtype", arguments.dtype.name())];
    write(out, &passed, &parameters, about)
}

/// What the arm reads of the batch, notes packed by their mask.
fn inputs(arm: &Arm, mut file: TensorFile) -> Result<(AudioBatch, MidiBatch)> {
    let samples = take(&mut file, "audio")?;
    let batch = samples.shape.first().copied().unwrap_or(0);
    let samples = Tensor::from_slice(&[batch, samples.data.len() / batch.max(1), 1], &samples.data);
    let a4 = take(&mut file, "a4")?;
    let a4 = arm.audio.map(|injection| {
        let rows = Ragged::uniform(batch, a4.shape.get(1).copied().unwrap_or(0));
        (Tensor::from_slice(&[rows.total(), injection.descriptor.dims()], &a4.data), rows)
    });
    let mask = take(&mut file, "mask")?;
    let notes = mask.shape.last().copied().unwrap_or(0).max(1);
    let rows = Ragged::from_lengths(mask.data.chunks(notes).map(|valid| valid.iter().filter(|&&v| v > 0.0).count()));
    let valid = |all: &StoredTensor, width: usize| -> Vec<f32> {
        let kept = all.data.chunks(width).zip(&mask.data).filter(|(_, valid)| **valid > 0.0);
        kept.flat_map(|(row, _)| row).copied().collect()
    };
    let mut symbols = |name: &str| -> Result<Mirrored<u32>> {
        Ok(valid(&take(&mut file, name)?, 1).into_iter().map(|x| x as u32).collect())
    };
    let (pitch, velocity, duration) = (symbols("pitch")?, symbols("vel")?, symbols("dur")?);
    let d4 = take(&mut file, "d4")?;
    let descriptor = arm.midi.map(|injection| {
        let dims = injection.descriptor.dims();
        (Tensor::from_slice(&[rows.total(), dims], &valid(&d4, dims)), rows.clone())
    });
    let onset = vec![0.0; rows.total()].into();
    let midi = MidiBatch { rows, pitch, velocity, duration, onset, descriptor };
    Ok((AudioBatch { samples, descriptor: a4 }, midi))
}

fn take(file: &mut TensorFile, name: &str) -> Result<StoredTensor> {
    let found = file.tensors.remove(name);
    found.ok_or_else(|| Error::input(&file.path, format!("tensor {name}"), "a tensor of the batch", "none"))
}

fn write(out: &Path, passed: &Passed, parameters: &Parameters, about: [(&str, &str); 4]) -> Result<()> {
    let figures = passed.figures()?;
    let [audio, midi] = passed.embeddings().map(|e| Ok((e.shape().to_vec(), e.to_host()?.to_f32())));
    let ((audio_shape, audio), (midi_shape, midi)) = (audio?, midi?);
    let scalars = [figures.loss, figures.terms.invariance, figures.terms.variance, figures.terms.covariance];
    let scalars = scalars.map(|x| [x as f32]);
    let gradients = passed.gradients().to_host(parameters)?;
    let named: Vec<(String, &[usize], &[f32])> =
        parameters.named(&gradients).map(|(name, shape, data)| (format!("grad/{name}"), shape, data)).collect();
    let mut tensors = vec![
        NamedTensor { name: "ea", shape: &audio_shape, data: &audio },
        NamedTensor { name: "em", shape: &midi_shape, data: &midi },
    ];
    let names = ["loss", "inv", "var", "cov"].into_iter().zip(&scalars);
    tensors.extend(names.map(|(name, value)| NamedTensor { name, shape: &[], data: value }));
    tensors.extend(named.iter().map(|(name, shape, data)| NamedTensor { name, shape, data }));
    let about = about.map(|(key, value)| (key.to_owned(), value.to_owned()));
    tensor_file::write(out, &tensors, &BTreeMap::from(about)).map(drop)
}
