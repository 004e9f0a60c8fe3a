//! Another tempo at the same pitch: overlapping frames laid closer together or further apart, each where its waveform goes on
//! from the one before (WSOLA; Verhelst and Roelands, ICASSP 1993).

/// Samples of a frame, 43 ms at 24 kHz: two periods of the lowest notes that carry much of a piano's sound.
const FRAME: usize = 1024;
/// From one frame to the next in the result; the halves of the Hann window add up to 1.
const HOP: usize = FRAME / 2;
/// A frame may be taken so many samples before or after its due place, 20 ms.
const SEARCH: usize = 480;
/// Waveforms are compared at half the rate.
const COARSE: usize = 2;

/// `count` samples of `source` at `speed` times its tempo: what is heard at t seconds of it is heard at t / `speed` seconds, within
/// 20 ms, at the same pitch. Silence beyond its end.
pub fn stretch(source: &[f32], speed: f64, count: usize) -> Vec<f32> {
    let coarse: Vec<f32> = source.chunks(COARSE).map(|pair| pair.iter().sum()).collect();
    let rise: Vec<f32> = (0..HOP)
        .map(|i| (0.5 - 0.5 * libm::cos(std::f64::consts::PI * (i as f64 + 0.5) / HOP as f64)) as f32)
        .collect();
    let mut out = vec![0.0; count + FRAME];
    let mut taken = 0;
    for at in (0..count).step_by(HOP) {
        let due = (at as f64 * speed) as usize;
        let from = if at == 0 { due } else { continuation(&coarse, (taken + HOP) / COARSE, due / COARSE) * COARSE };
        let frame = source.get(from..).unwrap_or_default();
        let (first, second) = frame[..frame.len().min(FRAME)].split_at(frame.len().min(HOP));
        for ((y, x), w) in out[at..].iter_mut().zip(first).zip(&rise) {
            // Nothing lies under the very first half frame.
            *y += if at == 0 { *x } else { x * w };
        }
        for ((y, x), w) in out[at + HOP..].iter_mut().zip(second).zip(rise.iter().rev()) {
            *y += x * w;
        }
        taken = from;
    }
    out.truncate(count);
    out
}

/// Within reach of `due`, where `wave` is most like what follows at `next` (all in coarse samples).
fn continuation(wave: &[f32], next: usize, due: usize) -> usize {
    const LENGTH: usize = HOP / COARSE;
    let Some(template) = wave.get(next..next + LENGTH) else { return due };
    // 1e-9: silence is like nothing, rather than like everything.
    let likeness = |at: usize| {
        let candidate = wave.get(at..at + LENGTH)?;
        Some(dot(template, candidate) / (dot(candidate, candidate) + 1e-9).sqrt())
    };
    // The due place itself first: where nothing is better, as in silence, the frame stays there.
    let Some(mut best) = likeness(due).map(|there| (there, due)) else { return due };
    for at in due.saturating_sub(SEARCH / COARSE)..=due + SEARCH / COARSE {
        match likeness(at) {
            Some(here) if here > best.0 => best = (here, at),
            Some(_) => {}
            None => break,
        }
    }
    best.1
}

/// Inner product in eight partial sums of fixed order, of multiples of eight values.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitch_stays_and_moments_move() {
        for speed in [0.8, 1.0, 1.25] {
            // A tone of 330 Hz that begins at 1.2 s.
            let tone = |n: usize| {
                if n < 28_800 { 0.0 } else { libm::sin(std::f64::consts::TAU * 330.0 * n as f64 / 24_000.0) }
            };
            let source: Vec<f32> = (0..130_000).map(|n| tone(n) as f32).collect();
            let made = stretch(&source, speed, 96_000);
            assert_eq!(made.len(), 96_000);
            let onset = made.iter().position(|x| x.abs() > 0.5).unwrap() as f64 / 24_000.0;
            assert!((onset - 1.2 / speed).abs() < 0.045, "{speed}: begins at {onset}");
            // A full second of it: every rise through 0 is a period, and no level is lost where frames meet.
            let second = &made[60_000..84_000];
            let periods = second.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
            assert!((329..=331).contains(&periods), "{speed}: {periods} Hz");
            let power: f32 = second.iter().map(|x| x * x).sum::<f32>() / 24_000.0;
            assert!((power - 0.5).abs() < 0.03, "{speed}: {power}");
        }
        assert!(stretch(&[0.0; 200_000], 1.1, 96_000).iter().all(|&x| x == 0.0));
        assert_eq!(stretch(&[1.0; 10], 1.1, 2000).len(), 2000);
    }
}
