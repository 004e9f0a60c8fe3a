//! Streaming resampling of one channel, aligned: sample n of the output is the input at n / target seconds.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::{Error, Result};

/// Frames transformed at once, about; 1024 keeps 44.1 and 48 kHz flat to 11.5 kHz and puts aliases below −140 dB (measured).
const BLOCK: usize = 1024;

/// A resampler that takes chunks of any length and hands on chunks of a bounded length.
///
/// Band-limited by FFT (rubato's `Fft`, Blackman–Harris² window), linear phase; its delay is cut from the start, and
/// the output has exactly ⌈frames × target / source⌉ samples.
pub struct Resampler {
    /// `None` where source and target rates are equal: samples pass through unchanged.
    inner: Option<Inner>,
    source: u64,
    target: u64,
    frames_in: u64,
    frames_out: u64,
}

struct Inner {
    fft: Fft<f32>,
    /// Input not yet transformed; shorter than a block after each call.
    pending: Vec<f32>,
    block_out: Vec<f32>,
    /// Output samples of the filter's delay still to be dropped.
    delay: usize,
}

impl Resampler {
    /// From `source` to `target` samples per second.
    pub fn new(source: u32, target: u32) -> Result<Self> {
        let inner = if source == target {
            None
        } else {
            let (from, to, window) = (source as usize, target as usize, WindowFunction::BlackmanHarris2);
            // An even number of the smallest whole blocks: the filter's centre, and with it the delay, is then a whole
            // number of samples on both sides.
            let smallest = from / gcd(from, to);
            let block = 2 * smallest * BLOCK.div_ceil(2 * smallest);
            let fft = Fft::new_custom(from, to, block, 1, 1, window, FixedSync::Both)
                .map_err(|e| Error::op("resample", "rates", "two positive rates", e.to_string()))?;
            let (delay, block_out) = (fft.output_delay(), vec![0.0; fft.output_frames_max()]);
            Some(Inner { fft, pending: Vec::new(), block_out, delay })
        };
        Ok(Resampler { inner, source: source.into(), target: target.into(), frames_in: 0, frames_out: 0 })
    }

    /// Takes `samples` and passes what can be computed so far to `sink`.
    pub fn push(&mut self, samples: &[f32], sink: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        self.frames_in += samples.len() as u64;
        let Some(inner) = &mut self.inner else {
            self.frames_out += samples.len() as u64;
            return sink(samples);
        };
        inner.pending.extend_from_slice(samples);
        let mut done = 0;
        while inner.pending.len() - done >= inner.fft.input_frames_next() {
            let (used, made) = inner.block(done, None)?;
            done += used;
            self.frames_out += made.len() as u64;
            sink(made)?;
        }
        inner.pending.drain(..done);
        Ok(())
    }

    /// Passes the rest to `sink`.
    pub fn finish(mut self, sink: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let Some(inner) = &mut self.inner else { return Ok(()) };
        let wanted = (self.frames_in * self.target).div_ceil(self.source);
        let mut partial = inner.pending.len();
        while self.frames_out < wanted {
            let (_, made) = inner.block(0, Some(partial))?;
            let keep = (wanted - self.frames_out).min(made.len() as u64);
            self.frames_out += keep;
            sink(&made[..keep as usize])?;
            partial = 0; // from here on silence, to push the last samples through the delay
        }
        Ok(())
    }
}

impl Inner {
    /// Transforms one block from `pending[offset..]`, or `partial` samples of it followed by silence.
    fn block(&mut self, offset: usize, partial: Option<usize>) -> Result<(usize, &[f32])> {
        let failed = |e: &dyn std::fmt::Display| Error::op("resample", "block", "one block", e.to_string());
        let frames = self.block_out.len();
        let input = SequentialSlice::new(&self.pending, 1, self.pending.len()).map_err(|e| failed(&e))?;
        let mut output = SequentialSlice::new_mut(&mut self.block_out, 1, frames).map_err(|e| failed(&e))?;
        let mut indexing = Indexing::new().input_offset(offset);
        indexing.partial_len = partial;
        let (used, made) =
            self.fft.process_into_buffer(&input, &mut output, Some(&indexing)).map_err(|e| failed(&e))?;
        let dropped = self.delay.min(made);
        self.delay -= dropped;
        Ok((used, &self.block_out[dropped..made]))
    }
}

/// Greatest common divisor.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// `input` at `from` Hz, pushed in chunks of `chunk`.
    fn run(input: &[f32], from: u32, to: u32, chunk: usize) -> Vec<f32> {
        let mut out = Vec::new();
        let mut sink = |x: &[f32]| {
            out.extend_from_slice(x);
            Ok(())
        };
        let mut resampler = Resampler::new(from, to).unwrap();
        input.chunks(chunk).for_each(|c| resampler.push(c, &mut sink).unwrap());
        resampler.finish(&mut sink).unwrap();
        out
    }

    /// A sine sweep 100 Hz → 9 kHz over a second, faded at both ends: its value at `t` seconds.
    fn chirp(t: f64) -> f64 {
        let fade = (TAU / 2.0 * t.clamp(0.0, 1.0)).sin().powi(2);
        fade * (TAU * (100.0 * t + 4450.0 * t * t)).sin()
    }

    #[test]
    fn a_chirp_comes_out_in_place() {
        for from in [8_000u32, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 11_025] {
            let limit = 0.44 * f64::from(from.min(24_000)); // below both Nyquist limits, with room for the filter's slope
            let stop = ((limit - 100.0) / 8900.0).min(1.0); // the chirp reaches `limit` here
            let input: Vec<f32> = (0..from).map(|n| chirp(f64::from(n) / f64::from(from)) as f32).collect();
            let output = run(&input, from, 24_000, 777);
            assert_eq!(output.len(), 24_000, "{from} Hz");
            let error = |shift: f64| {
                let compared = 50..(stop * 24_000.0) as usize - 50;
                let square = |n: usize| (f64::from(output[n]) - chirp((n as f64 + shift) / 24_000.0)).powi(2);
                (compared.clone().map(square).sum::<f64>() / compared.len() as f64).sqrt()
            };
            assert!(error(0.0) < 1e-3, "{from} Hz: rms error {}", error(0.0));
            assert!(error(0.0) < error(0.05) && error(0.0) < error(-0.05), "{from} Hz is off by part of a sample");
        }
    }

    #[test]
    fn no_aliases_and_chunks_do_not_matter() {
        // 15 kHz cannot be heard at 24 kHz: nothing may fold back.
        let tone: Vec<f32> = (0..44_100).map(|n| (TAU * 15_000.0 * f64::from(n) / 44_100.0).sin() as f32).collect();
        let output = run(&tone, 44_100, 24_000, 1000);
        let peak = output[500..23_500].iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(peak < 1e-4, "an alias of {peak}");
        for chunk in [1, 1029, 5000, 44_100] {
            assert_eq!(run(&tone, 44_100, 24_000, chunk), output);
        }
        assert_eq!(run(&tone, 24_000, 24_000, 999), tone);
        assert_eq!(run(&tone[..1], 44_100, 24_000, 1).len(), 1);
    }
}
