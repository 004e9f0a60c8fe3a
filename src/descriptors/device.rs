//! Spectra and A4 of a whole batch on a device: `kernels/stft.cu`.

use super::a4::BANDS;
use super::stft::{HOP_LENGTH, N_FFT, Padding};
use crate::device::{DType, Device, Launch, Memory, kernels};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::with_storage;

/// The paper's transform (2,048 samples every 512), ready on a device.
pub struct DeviceStft {
    /// Window, cosines and sines of one turn in 2,048 steps.
    tables: Memory,
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
        Ok(DeviceStft { tables: Memory::upload(device, &tables)?, padding })
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
        let mut y = Tensor::uninit_on(audio.device(), &[batch, frames, N_FFT / 2 + 1], DType::F32)?;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::a4::a4;
    use crate::descriptors::stft::Stft;
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
}
