//! One sounding note: a bank of decaying phasors, advanced a block at a time.

use super::piano::{Partial, Piano};
use crate::data::note::Note;
use crate::data::rng::Rng;
use std::f64::consts::{PI, TAU};

/// Samples per step. The inner loop runs over them with a table of powers, so that it vectorises without a sum over
/// lanes and gives the same bytes whatever the vector width.
const BLOCK: usize = 32;
/// A phasor below this is silent (−100 dB against a full-velocity note), and is dropped.
const SILENT: f32 = 1e-5;

/// A phasor z and the powers w⁰…w^{BLOCK−1} of its rotation and decay per sample.
struct Phasor {
    z: [f32; 2],
    re: [f32; BLOCK],
    im: [f32; BLOCK],
    /// w^BLOCK.
    jump: [f32; 2],
    partial: Partial,
}

impl Phasor {
    fn turn(&mut self, rate: f64, decay: f64) {
        let radius = libm::exp(-decay / rate);
        let angle = TAU * self.partial.frequency / rate;
        let (wr, wi) = (radius * libm::cos(angle), radius * libm::sin(angle));
        let (mut r, mut i) = (1.0, 0.0);
        for (re, im) in self.re.iter_mut().zip(&mut self.im) {
            (*re, *im) = (r as f32, i as f32);
            (r, i) = (r * wr - i * wi, r * wi + i * wr);
        }
        self.jump = [r as f32, i as f32];
    }

    fn rotate(&mut self, by: [f32; 2]) {
        let [r, i] = self.z;
        self.z = [r * by[0] - i * by[1], r * by[1] + i * by[0]];
    }
}

/// Renders notes one after another, reusing its buffers.
pub struct Voice {
    piano: Piano,
    rate: f64,
    bank: Vec<Phasor>,
    partials: Vec<Partial>,
}

impl Voice {
    /// A voice of `piano` at `rate` samples a second.
    pub fn new(piano: Piano, rate: u32) -> Self {
        Voice { piano, rate: f64::from(rate), bank: Vec::new(), partials: Vec::new() }
    }

    /// Adds `note` to `out` (its sample 0 is time 0): struck at `note.onset`, damped from `damped_at` seconds on.
    pub fn sound(&mut self, note: &Note, damped_at: f64, out: &mut [f32]) {
        let start = (note.onset * self.rate).round() as usize;
        let damped_at = ((damped_at * self.rate).round() as usize).max(start);
        let Some(out) = out.get_mut(start..) else { return };
        self.strike(note);
        self.hammer_noise(note, out);

        let rise = self.rise(note.pitch);
        let release = damped_at - start;
        let mut damped = false;
        let mut at = 0;
        while at < out.len() && !self.bank.is_empty() {
            if !damped && at == release {
                damped = true;
                for p in &mut self.bank {
                    p.turn(self.rate, p.partial.decay + p.partial.damping);
                }
            }
            let mut len = BLOCK.min(out.len() - at);
            if !damped {
                len = len.min(release - at);
            }
            let mut sum = [0.0f32; BLOCK];
            for p in &mut self.bank {
                let [zr, zi] = p.z;
                for ((s, re), im) in sum.iter_mut().zip(&p.re).zip(&p.im) {
                    *s += zr * im + zi * re;
                }
                p.rotate(if len == BLOCK { p.jump } else { [p.re[len], p.im[len]] });
            }
            for (i, s) in sum[..len].iter_mut().enumerate() {
                if at + i < rise {
                    *s *= (0.5 - 0.5 * libm::cos(PI * (at + i) as f64 / rise as f64)) as f32;
                }
                out[at + i] += *s;
            }
            self.bank.retain(|p| p.z[0] * p.z[0] + p.z[1] * p.z[1] > SILENT * SILENT);
            at += len;
        }
    }

    fn strike(&mut self, note: &Note) {
        self.piano.strike(note.pitch, note.velocity, 0.45 * self.rate, &mut self.partials);
        self.bank.clear();
        for &partial in self.partials.iter().filter(|p| p.amplitude > f64::from(SILENT)) {
            let z = [partial.amplitude as f32, 0.0];
            let mut phasor = Phasor { z, re: [0.0; BLOCK], im: [0.0; BLOCK], jump: [0.0; 2], partial };
            phasor.turn(self.rate, partial.decay);
            self.bank.push(phasor);
        }
    }

    /// Samples until the full swing: the hammer rests on a bass string for 2.5 ms, on the highest for half of one.
    fn rise(&self, pitch: u8) -> usize {
        let ms = 2.5 - 2.0 * (f64::from(pitch) - 21.0).max(0.0) / 87.0;
        (ms * 1e-3 * self.rate) as usize
    }

    /// The felt: a burst of noise, duller when soft, gone within 20 ms.
    fn hammer_noise(&self, note: &Note, out: &mut [f32]) {
        let level = 0.08 * self.piano.hardness * Piano::level(note.velocity);
        let dull = libm::exp(-TAU * (500.0 + 25.0 * f64::from(note.velocity)) / self.rate);
        let fade = libm::exp(-1.0 / (0.005 * self.rate));
        let blow = (note.onset * 1e6) as u64 * 128 + u64::from(note.pitch);
        let mut rng = Rng::new(self.piano.seed, "piano.hammer", blow);
        let (mut low, mut envelope) = (0.0, level);
        for sample in out.iter_mut().take((0.02 * self.rate) as usize) {
            low = dull * low + (1.0 - dull) * rng.range(-1.0, 1.0);
            *sample += (low * envelope) as f32;
            envelope *= fade;
        }
    }
}
