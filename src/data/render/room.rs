//! A small hall around the piano: eight delay lines feeding each other (a feedback delay network; Jot, 1991).

/// Delays in seconds, mutually prime enough not to ring; the shortest is the first reflection.
const DELAYS: [f64; LINES] = [0.0067, 0.0091, 0.0117, 0.0151, 0.0189, 0.0233, 0.0281, 0.0347];
const LINES: usize = 8;
/// One-pole low-pass in every loop: walls swallow the treble first.
const ABSORPTION: f32 = 0.35;

/// Adds to `audio`, at `rate` samples a second, what the room gives back: `level` (0–1) of a tail that fades by 60 dB
/// in `reverb_time` seconds. The direct sound is not moved.
pub fn add_room(audio: &mut [f32], rate: u32, reverb_time: f64, level: f64) {
    if level <= 0.0 {
        return;
    }
    let lengths = DELAYS.map(|d| ((d * f64::from(rate)).round() as usize).max(1));
    let gain = DELAYS.map(|d| libm::pow(10.0, -3.0 * d / reverb_time.max(0.05)) as f32);
    let mut lines = lengths.map(|n| vec![0.0f32; n]);
    let mut at = [0usize; LINES];
    let mut low = [0.0f32; LINES];
    let wet = (level / libm::sqrt(LINES as f64)) as f32;
    for sample in audio {
        let mut v = [0.0f32; LINES];
        for i in 0..LINES {
            low[i] += (1.0 - ABSORPTION) * (lines[i][at[i]] - low[i]);
            v[i] = gain[i] * low[i];
        }
        let dry = *sample;
        // Alternating signs, so that the tail has no weight at 0 Hz.
        *sample += wet * (v[0] - v[1] + v[2] - v[3] + v[4] - v[5] + v[6] - v[7]);
        mix(&mut v);
        for i in 0..LINES {
            lines[i][at[i]] = dry + v[i];
            at[i] = if at[i] + 1 == lengths[i] { 0 } else { at[i] + 1 };
        }
    }
}

/// The orthogonal 8×8 Hadamard matrix: every line feeds every other, and no energy appears.
fn mix(v: &mut [f32; LINES]) {
    for half in [1, 2, 4] {
        for i in 0..LINES {
            if i & half == 0 {
                let (a, b) = (v[i], v[i | half]);
                (v[i], v[i | half]) = (a + b, a - b);
            }
        }
    }
    let scale = std::f32::consts::FRAC_1_SQRT_2 / 2.0;
    for x in v {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_fades_by_60_db_in_the_reverb_time() {
        let rate = 24_000;
        let mut audio = vec![0.0f32; 48_000];
        audio[0] = 1.0;
        add_room(&mut audio, rate, 0.5, 0.2);
        assert_eq!(audio[0], 1.0, "the direct sound stays");
        let energy = |from: f64| -> f64 {
            let from = (from * f64::from(rate)) as usize;
            audio[from..from + 2400].iter().map(|x| f64::from(x * x)).sum()
        };
        let fall = 10.0 * (energy(0.1) / energy(0.35)).log10();
        // The absorption makes it fall faster than the 30 dB of a lossless wall, never slower.
        assert!((29.0..75.0).contains(&fall), "{fall} dB in half the reverb time");
    }
}
