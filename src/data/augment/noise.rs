//! Hiss of a given strength.

use crate::random::Stream;

/// Adds white noise `snr` dB below the mean power of `audio`; to silence, none.
pub fn add_noise(audio: &mut [f32], snr: f64, stream: &mut Stream) {
    let noise = bell(audio.len(), stream);
    let (signal, noisy) = (power(audio), power(&noise));
    let gain = if noisy > 0.0 { libm::sqrt(signal / noisy * libm::pow(10.0, -snr / 10.0)) as f32 } else { 0.0 };
    audio.iter_mut().zip(&noise).for_each(|(x, n)| *x += gain * n);
}

/// `count` values, nearly normal with mean 0: sums of four uniform bytes. A quarter of a random word each is enough for
/// noise, and cheap.
pub fn bell(count: usize, stream: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| stream.u32().to_le_bytes().iter().map(|&b| f32::from(b) - 127.5).sum()).collect()
}

/// Sum of squares.
pub fn power(audio: &[f32]) -> f64 {
    audio.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    #[test]
    fn the_signal_to_noise_ratio_is_the_one_asked_for() {
        let tone: Vec<f32> = (0..96_000).map(|n| 0.1 * (n as f32 * 0.05).sin()).collect();
        let philox = Philox::new(3, 4);
        for snr in [-5.0, 10.0, 40.0] {
            let mut noisy = tone.clone();
            add_noise(&mut noisy, snr, &mut philox.stream(0));
            let noise: Vec<f32> = noisy.iter().zip(&tone).map(|(a, b)| a - b).collect();
            let found = 10.0 * libm::log10(power(&tone) / power(&noise));
            assert!((found - snr).abs() < 0.01, "{found} dB where {snr} were asked for");
            // White: neighbours are not alike.
            let next: f64 = noise.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum();
            assert!((next / power(&noise)).abs() < 0.02);
            let mut again = tone.clone();
            add_noise(&mut again, snr, &mut philox.stream(0));
            assert_eq!(again, noisy);
        }
        let mut silence = vec![0.0; 1000];
        add_noise(&mut silence, 10.0, &mut philox.stream(1));
        assert!(silence.iter().all(|&x| x == 0.0));
    }
}
