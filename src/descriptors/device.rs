//! Spectra, A4, A7, A8 and A9 of a whole batch on a device: `kernels/stft.cu`, `attractors.cu`, `chroma.cu`.

use super::a4::BANDS;
use super::a7::{self, ATTRACTORS, SIGMA};
use super::a8::{self, PITCH_CLASSES, pitch_class};
use super::stft::{HOP_LENGTH, N_FFT, Padding};
use crate::device::{DType, Device, Launch, Memory, kernels};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::with_storage;

/// Bins of a frame.
const BINS: usize = N_FFT / 2 + 1;
/// Columns of A7, A8 and A9.
const COLUMNS: usize = PITCH_CLASSES.len();
/// Frames of a block whose warps take one each.
const PER_BLOCK: usize = 8;

/// The paper's transform (2,048 samples every 512), ready on a device.
pub struct DeviceStft {
    /// Window, cosines and sines of one turn in 2,048 steps.
    tables: Memory,
    /// log2 of the just ratios.
    attractors: Memory,
    /// Pitch class of each bin from bin 1 on.
    classes: Memory,
    padding: Padding,
}

/// Sizes of a batch: [recordings, samples].
fn sizes(audio: &Tensor) -> Result<(usize, usize)> {
    match *audio.shape() {
        [batch, samples] | [batch, samples, 1] if audio.dtype() == DType::F32 && samples < 1 << 30 => {
            Ok((batch, samples))
        }
        _ => {
            let got = format!("{:?} {:?}", audio.shape(), audio.dtype());
            Err(Error::op("stft", "audio", "[recordings, samples] or [recordings, samples, 1] in f32", got))
        }
    }
}

impl DeviceStft {
    /// Uploads the tables to `device`.
    pub fn new(device: &Device, padding: Padding) -> Result<Self> {
        let angle = |i: usize| std::f64::consts::TAU * i as f64 / N_FFT as f64;
        let column = |f: fn(f64) -> f64| (0..N_FFT).map(move |i| f(angle(i)) as f32);
        let tables: Vec<f32> =
            column(|x| 0.5 - 0.5 * x.cos()).chain(column(f64::cos)).chain(column(f64::sin)).collect();
        let classes: Vec<u32> = (1..BINS).filter_map(pitch_class).map(|class| class as u32).collect();
        Ok(DeviceStft {
            tables: Memory::upload(device, &tables)?,
            attractors: Memory::upload(device, &ATTRACTORS.map(|x| x as f32))?,
            classes: Memory::upload(device, &classes)?,
            padding,
        })
    }

    fn grid(&self, batch: usize, samples: usize) -> (usize, Launch<'_>) {
        let frames = 1 + samples / HOP_LENGTH;
        (frames, Launch::grid(self.tables.device(), [frames, batch, 1]))
    }

    fn reflect(&self) -> i32 {
        i32::from(self.padding == Padding::Reflect)
    }

    /// |X| of audio [B, T] → [B, frames, 1025].
    pub fn magnitudes(&self, audio: &Tensor) -> Result<Tensor> {
        let (batch, samples) = sizes(audio)?;
        let (frames, grid) = self.grid(batch, samples);
        let mut y = Tensor::uninit_on(audio.device(), &[batch, frames, BINS], DType::F32)?;
        let (tables, hop) = (self.tables.input(0), HOP_LENGTH as i32);
        kernels::stft::magnitudes(grid, audio.input(), tables, y.output(), samples as i32, hop, self.reflect())?;
        Ok(y)
    }

    /// A4 of audio [B, T] at 24 kHz → [B·frames, 8], stored as `dtype` ([`super::a4::a4`]).
    pub fn a4(&self, audio: &Tensor, dtype: DType) -> Result<Tensor> {
        let (batch, samples) = sizes(audio)?;
        let (frames, grid) = self.grid(batch, samples);
        let mut energy = Tensor::uninit_on(audio.device(), &[batch, frames, BANDS], DType::F32)?;
        let (tables, hop) = (self.tables.input(0), HOP_LENGTH as i32);
        kernels::stft::energies(grid, audio.input(), tables, energy.output(), samples as i32, hop, self.reflect())?;
        let mut y = Tensor::uninit_on(audio.device(), &[batch * frames, BANDS], dtype)?;
        with_storage!(dtype, T => {
            kernels::stft::standardise::<T>(audio.device().launch(batch), energy.input(), y.output(), frames as i32)?;
        });
        Ok(y)
    }

    /// A7 of audio [B, T] at 24 kHz → [B·frames, 12], stored as `dtype` ([`super::a7`]).
    pub fn a7(&self, audio: &Tensor, dtype: DType) -> Result<Tensor> {
        self.attracted(audio, dtype, 0)
    }

    /// A9 of audio [B, T] at 24 kHz → [B·frames, 12], stored as `dtype` ([`super::a9`]).
    pub fn a9(&self, audio: &Tensor, dtype: DType) -> Result<Tensor> {
        self.attracted(audio, dtype, 1)
    }

    fn attracted(&self, audio: &Tensor, dtype: DType, weighted: usize) -> Result<Tensor> {
        let spectrum = self.magnitudes(audio)?;
        let (batch, frames, device) = (spectrum.shape()[0], spectrum.shape()[1], audio.device());
        let rows = batch * frames;
        let mut activation = Tensor::uninit_on(device, &[rows, COLUMNS], DType::F32)?;
        let (sharpness, first) = (0.5 / (SIGMA * SIGMA), a7::lowest_bin() as i32);
        let (grid, mu) = (device.launch(rows.div_ceil(PER_BLOCK)), self.attractors.input(0));
        let [all, bins] = [rows, BINS].map(|size| size as i32);
        let (x, out) = (spectrum.input(), activation.output());
        kernels::attractors::activations(grid, x, mu, out, all, bins, first, sharpness as f32)?;
        let mut y = Tensor::uninit_on(device, &[rows, COLUMNS], dtype)?;
        let (grid, x, epsilon) = (device.launch(batch), activation.input(), a7::EPSILON as f32);
        with_storage!(dtype, T => {
            kernels::attractors::rows::<T>(grid, weighted, x, y.output(), frames as i32, epsilon)?;
        });
        Ok(y)
    }

    /// A8 of audio [B, T] at 24 kHz → [B·frames, 12], stored as `dtype` ([`super::a8`]).
    pub fn a8(&self, audio: &Tensor, dtype: DType) -> Result<Tensor> {
        let spectrum = self.magnitudes(audio)?;
        let (batch, frames, device) = (spectrum.shape()[0], spectrum.shape()[1], audio.device());
        let rows = batch * frames;
        let mut energy = Tensor::uninit_on(device, &[rows, COLUMNS], DType::F32)?;
        let mut flux = Tensor::uninit_on(device, &[rows], DType::F32)?;
        let (grid, classes) = (device.launch(rows.div_ceil(PER_BLOCK)), self.classes.input(0));
        let [all, each, bins] = [rows, frames, BINS].map(|size| size as i32);
        let (x, energies, rises) = (spectrum.input(), energy.output(), flux.output());
        kernels::chroma::energies(grid, x, classes, energies, rises, all, each, bins)?;
        let mut y = Tensor::uninit_on(device, &[rows, COLUMNS], dtype)?;
        let (grid, epsilon) = (device.launch(batch), a8::EPSILON as f32);
        with_storage!(dtype, T => {
            kernels::chroma::gate::<T>(grid, energy.input(), flux.input(), y.output(), each, epsilon)?;
        });
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::a4::a4;
    use crate::descriptors::stft::Stft;
    use crate::descriptors::{A7, A8, A9, Descriptor, Source};
    use crate::random::{Philox, site};

    /// Two tones that come and go over a little noise.
    fn audio(samples: usize) -> Vec<f32> {
        let mut noise = Philox::new(3, site("test")).stream(0);
        let tone = |i: usize, hz: f32, beat: f32| {
            let t = i as f32 / 24_000.0;
            (std::f32::consts::TAU * hz * t).sin() * (0.5 + 0.5 * (beat * t).sin())
        };
        (0..samples)
            .map(|i| 0.4 * tone(i, 220.0, 31.0) + 0.2 * tone(i, 3000.0, 47.0) + 0.01 * noise.uniform_f32())
            .collect()
    }

    #[test]
    fn emulated_spectra_and_a4_follow_the_cpu() {
        for (seed, padding, samples) in
            [(0, Padding::Reflect, 5_000), (1, Padding::Zero, 3_100), (2, Padding::Reflect, 700)]
        {
            let device = Device::emulated(seed).unwrap();
            let stft = DeviceStft::new(&device, padding).unwrap();
            let both = [audio(samples), vec![0.0; samples]];
            let on = Tensor::from_slice(&[2, samples, 1], &both.concat()).to_device(&device, DType::F32).unwrap();
            let expected: Vec<f32> = both.iter().flat_map(|x| Stft::paper(padding).magnitudes(x)).collect();
            let got = stft.magnitudes(&on).unwrap().to_f32();
            let scale = expected.iter().fold(0.0f32, |m, x| m.max(*x));
            let error = expected.iter().zip(&got).fold(0.0f32, |m, (e, g)| m.max((e - g).abs()));
            assert!(got.len() == expected.len() && error < 1e-6 * scale, "{error} of {scale}");
            let expected: Vec<f32> = both.iter().flat_map(|x| a4(x, padding)).collect();
            for (dtype, tolerance) in [(DType::F32, 2e-4), (DType::BF16, 1e-2)] {
                let got = stft.a4(&on, dtype).unwrap().to_f32();
                let error = expected.iter().zip(&got).fold(0.0f32, |m, (e, g)| m.max((e - g).abs()));
                assert!(got.len() == expected.len() && error < tolerance, "{dtype:?}: {error}");
            }
        }
    }

    #[test]
    fn emulated_a7_a8_and_a9_follow_the_cpu() {
        type OnDevice = fn(&DeviceStft, &Tensor, DType) -> Result<Tensor>;
        let all: [(&dyn Descriptor, OnDevice); 3] =
            [(&A7, DeviceStft::a7), (&A8, DeviceStft::a8), (&A9, DeviceStft::a9)];
        for (seed, padding, samples) in [(3, Padding::Reflect, 5_000), (4, Padding::Zero, 700)] {
            let device = Device::emulated(seed).unwrap();
            let stft = DeviceStft::new(&device, padding).unwrap();
            let both = [audio(samples), vec![0.0; samples]];
            let on = Tensor::from_slice(&[2, samples], &both.concat()).to_device(&device, DType::F32).unwrap();
            for (descriptor, on_device) in all {
                let expected: Vec<f32> =
                    both.iter().flat_map(|x| descriptor.compute(Source::audio(x, padding))).collect();
                for (dtype, tolerance) in [(DType::F32, 2e-5), (DType::BF16, 4e-3)] {
                    let got = on_device(&stft, &on, dtype).unwrap().to_f32();
                    let error = expected.iter().zip(&got).fold(0.0f32, |m, (e, g)| m.max((e - g).abs()));
                    let well = got.len() == expected.len() && error < tolerance && got.iter().all(|x| x.is_finite());
                    assert!(well, "{descriptor:?} {dtype:?}: {error}");
                }
            }
        }
    }
}
