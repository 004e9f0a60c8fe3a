//! What one piano string does when struck: which partials, how strong, how long. All constants are those of a concert
//! grand as far as the literature gives them, and by ear where it does not.

use crate::data::rng::Rng;
use std::f64::consts::PI;

/// One instrument in one condition; two recordings differ in these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piano {
    /// Names the instrument: its detunings, its soundboard colour, its hammer noise.
    pub seed: u64,
    /// Frequency of A4 in Hz.
    pub concert_pitch: f64,
    /// Hardness of the hammers: 1 is usual, 1.5 bright, 0.7 mellow.
    pub hardness: f64,
    /// Factor on every decay time.
    pub sustain: f64,
    /// Time for the room to fade by 60 dB, in seconds.
    pub reverb_time: f64,
    /// Level of the room against the direct sound (0–1).
    pub room: f64,
    /// RMS of the hiss of room and microphones against full scale.
    pub hiss: f64,
}

impl Default for Piano {
    fn default() -> Self {
        Piano { seed: 1, concert_pitch: 440.0, hardness: 1.0, sustain: 1.0, reverb_time: 0.5, room: 0.2, hiss: 1.5e-4 }
    }
}

impl Piano {
    /// One of six pianos, as somebody voiced, tuned and recorded it.
    pub fn draw(rng: &mut Rng) -> Self {
        Piano {
            seed: 1 + rng.below(6) as u64,
            concert_pitch: rng.range(438.5, 442.5),
            hardness: rng.range(0.75, 1.35),
            sustain: rng.range(0.8, 1.25),
            reverb_time: rng.range(0.3, 0.8),
            room: rng.range(0.1, 0.3),
            hiss: rng.range(0.5e-4, 3e-4),
        }
    }

    /// Any piano in any room, near to the microphone or far: wider in every respect than [`Piano::draw`], and of another make.
    pub fn vary(rng: &mut Rng) -> Self {
        Piano {
            seed: 100 + rng.below(100_000) as u64,
            concert_pitch: rng.range(436.0, 445.0),
            hardness: rng.range(0.5, 2.0),
            sustain: rng.range(0.5, 1.7),
            reverb_time: rng.range(0.2, 1.2),
            room: rng.range(0.02, 0.45),
            hiss: rng.range(0.5e-4, 1e-3),
        }
    }
}

/// One decaying sinusoid of a note; it starts at phase 0, as a struck string does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Partial {
    /// Hz.
    pub frequency: f64,
    /// Amplitude at the strike.
    pub amplitude: f64,
    /// Decay while the damper is up, in nepers per second.
    pub decay: f64,
    /// Further decay once the damper lies on the string, in nepers per second.
    pub damping: f64,
}

/// Nepers per decibel.
const NEPER: f64 = 0.115_129_254_649_702_3;
/// Keys from here up (F#6) have no dampers.
const FIRST_UNDAMPED: u8 = 90;
/// Where the hammer meets the string, as a share of its length: partials with a node there stay weak.
const STRIKE_POINT: f64 = 1.0 / 8.3;
/// Of the energy at the strike, the share that dies slowly (the strings' out-of-phase motion; Weinreich, 1977).
const AFTERSOUND: f64 = 0.18;
/// Partials with an audible aftersound; higher ones are gone before it shows.
const TWO_STAGE: usize = 10;
const MAX_PARTIALS: usize = 64;
/// Partials weaker than this against the strongest are left out (−70 dB).
const INAUDIBLE: f64 = 3e-4;

impl Piano {
    /// Fundamental of `pitch` in Hz, with the stretched octaves every tuner leaves (Railsback): about −20 cents at
    /// the lowest key, +30 at the highest.
    pub fn fundamental(&self, pitch: u8) -> f64 {
        let x = f64::from(pitch) - 69.0;
        let cents = x * x * x * if x > 0.0 { 5e-4 } else { 2e-4 };
        self.concert_pitch * libm::exp2((x + cents / 100.0) / 12.0)
    }

    /// Peak level of a note struck with `velocity`, against velocity 127: about 35 dB between the extremes in use.
    pub fn level(velocity: u8) -> f64 {
        libm::pow(f64::from(velocity.clamp(1, 127)) / 127.0, 1.8)
    }

    /// Replaces `partials` by those of one struck note below `limit` Hz, and the knock of the key bed. Their energy
    /// follows the velocity, and falls by an eighth of a decibel per semitone upwards.
    pub fn strike(&self, pitch: u8, velocity: u8, limit: f64, partials: &mut Vec<Partial>) {
        partials.clear();
        let f0 = self.fundamental(pitch);
        let m = f64::from(pitch);
        let stiffness = inharmonicity(pitch);
        // The harder the blow, the shorter the hammer's contact and the higher the corner of what it excites.
        let corner = (540.0 + 0.4 * f0) * self.hardness * libm::exp2((f64::from(velocity) - 64.0) / 52.0);
        let decay = 5.0 * libm::exp2((m - 40.0) / 17.0) * NEPER / self.sustain;
        let damping = if pitch >= FIRST_UNDAMPED { 0.0 } else { 14.0 + 0.25 * (m - 21.0).max(0.0) };
        let mut rng = Rng::new(self.seed, "piano.strings", u64::from(pitch));
        let mut strongest = 0.0f64;
        for k in 1..=MAX_PARTIALS {
            let kf = k as f64;
            let frequency = kf * f0 * libm::sqrt(1.0 + stiffness * kf * kf);
            if frequency > limit {
                break;
            }
            let hammer = libm::exp(-frequency / corner) / libm::sqrt(kf);
            let position = libm::sin(PI * kf * STRIKE_POINT).abs().max(0.08);
            let amplitude = hammer * position * self.soundboard(frequency);
            strongest = strongest.max(amplitude);
            if amplitude < INAUDIBLE * strongest {
                break;
            }
            let rate = decay * (1.0 + 0.1 * (kf - 1.0)) + frequency * frequency * 1e-7;
            let damping = damping * (1.0 + frequency / 1500.0);
            let beat = rng.range(-0.4, 0.4) * libm::sqrt(kf);
            if k <= TWO_STAGE {
                let after = amplitude * AFTERSOUND;
                partials.push(Partial { frequency, amplitude: amplitude - after, decay: rate, damping });
                let frequency = frequency + beat;
                partials.push(Partial { frequency, amplitude: after, decay: rate * 0.22, damping });
            } else {
                partials.push(Partial { frequency, amplitude, decay: rate, damping });
            }
        }
        let energy: f64 = partials.iter().map(|p| p.amplitude * p.amplitude).sum();
        let gain = Self::level(velocity) * libm::exp(-0.12 * NEPER * (m - 60.0)) / libm::sqrt(energy.max(1e-30));
        for p in partials.iter_mut() {
            p.amplitude *= gain;
        }
        // The blow also shakes key bed and soundboard: a few short low modes, the same for every key.
        let knock = 0.05 * Self::level(velocity) * self.hardness;
        for (frequency, weight, decay) in [(78.0, 1.0, 45.0), (143.0, 0.7, 60.0), (262.0, 0.4, 90.0)] {
            partials.push(Partial { frequency, amplitude: knock * weight, decay, damping: 0.0 });
        }
    }

    /// How strongly the soundboard radiates `frequency`: little below 90 Hz, and a colour of its own (±3 dB in third
    /// octaves) for each instrument.
    fn soundboard(&self, frequency: f64) -> f64 {
        let low = frequency * frequency / (frequency * frequency + 90.0 * 90.0);
        let band = 3.0 * libm::log2(frequency.max(20.0) / 20.0);
        let colour = |i: f64| Rng::new(self.seed, "piano.soundboard", i as u64).range(-3.0, 3.0);
        let (below, t) = (band.floor(), band - band.floor());
        low * libm::exp(NEPER * (colour(below) * (1.0 - t) + colour(below + 1.0) * t))
    }
}

/// The stiffness coefficient B of f_k = k f_0 sqrt(1 + B k²): two exponentials, bass and treble bridge
/// (Rigaud, David and Daudet, 2013).
fn inharmonicity(pitch: u8) -> f64 {
    let m = f64::from(pitch);
    libm::exp(-0.0847 * m - 5.82) + libm::exp(0.0926 * m - 13.64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn energy_above(velocity: u8, corner: f64) -> f64 {
        let mut partials = Vec::new();
        Piano::default().strike(60, velocity, 10_800.0, &mut partials);
        let power = |from: f64| -> f64 {
            partials.iter().filter(|p| p.frequency > from).map(|p| p.amplitude * p.amplitude).sum()
        };
        power(corner) / power(0.0)
    }

    #[test]
    fn strings_are_stiff_and_louder_is_brighter() {
        let piano = Piano::default();
        let mut partials = Vec::new();
        piano.strike(60, 90, 10_800.0, &mut partials);
        let prompt: Vec<f64> = partials.iter().step_by(2).take(8).map(|p| p.frequency).collect();
        for (k, pair) in prompt.windows(2).enumerate() {
            assert!(pair[1] - pair[0] > prompt[0], "partial {} is sharper than harmonic", k + 2);
        }
        assert!((piano.fundamental(69) - 440.0).abs() < 1e-9);
        assert!(energy_above(110, 1500.0) > 4.0 * energy_above(40, 1500.0));
        for pitch in 0..=127 {
            piano.strike(pitch, 80, 10_800.0, &mut partials);
            assert!(partials.iter().all(|p| p.amplitude.is_finite() && p.frequency <= 10_800.0 + 50.0));
        }
    }
}
