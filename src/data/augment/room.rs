//! Another room: a synthetic impulse response, noise that fades (Moorer, "About this reverberation business", 1979).

use std::sync::{Arc, LazyLock};

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::draws::{between, within};
use super::noise::{bell, power};
use crate::config::Span;
use crate::data::audio::SAMPLE_RATE;
use crate::data::segments::WINDOW_SAMPLES;
use crate::random::Stream;

/// Points of the transform: a window and the longest response fit without wrapping around.
const POINTS: usize = 131_072;
/// Samples of the longest response, 1.46 s.
const LONGEST: usize = POINTS - WINDOW_SAMPLES;
/// Power of the direct sound over that of the room, in dB: from a listener among the seats to a microphone at the strings.
const DIRECT: [f64; 2] = [0.0, 12.0];
/// Seconds until the first reflection.
const PREDELAY: [f64; 2] = [0.003, 0.02];
/// How much of the treble walls swallow: coefficient of a one-pole low-pass.
const ABSORPTION: [f64; 2] = [0.2, 0.7];
/// Nepers that are 60 dB.
const NEPERS: f64 = 6.907_755_278_982_137;

/// The transform of [`POINTS`], planned once.
static FORWARD: LazyLock<Arc<dyn RealToComplex<f32>>> =
    LazyLock::new(|| RealFftPlanner::new().plan_fft_forward(POINTS));
/// Its inverse.
static INVERSE: LazyLock<Arc<dyn ComplexToReal<f32>>> =
    LazyLock::new(|| RealFftPlanner::new().plan_fft_inverse(POINTS));

/// Puts `audio` (a window, 96,000 samples) into a room that fades by 60 dB in a time drawn from `seconds`. The direct sound stays
/// where and as loud as it is; what the room would still give back of the time before the window is not heard.
pub fn add_room(audio: &mut [f32], seconds: Span, stream: &mut Stream) {
    let response = impulse_response(seconds, stream);
    convolve(audio, &response);
}

/// Direct sound 1 at sample 0, then the room.
fn impulse_response(seconds: Span, stream: &mut Stream) -> Vec<f32> {
    let rate = f64::from(SAMPLE_RATE);
    let time = within(stream, seconds);
    let [direct, predelay, absorption] = [DIRECT, PREDELAY, ABSORPTION].map(|[low, high]| between(stream, low, high));
    let length = ((time * rate) as usize).min(LONGEST - (predelay * rate) as usize);
    let mut tail = bell(length, stream);
    let keep = absorption as f32;
    let fade = libm::exp(-NEPERS / (time * rate)) as f32;
    let (mut low, mut envelope) = (0.0, 1.0);
    for x in &mut tail {
        low = keep * low + (1.0 - keep) * *x;
        *x = low * envelope;
        envelope *= fade;
    }
    let gain = libm::sqrt(libm::pow(10.0, -direct / 10.0) / power(&tail).max(f64::MIN_POSITIVE)) as f32;
    let mut response = vec![0.0; (predelay * rate) as usize];
    response[0] = 1.0;
    response.extend(tail.iter().map(|x| gain * x));
    response
}

/// `audio` convolved with `response` (both at most so long that together they fit [`POINTS`]), cut to the length of `audio`.
fn convolve(audio: &mut [f32], response: &[f32]) {
    let (forward, inverse) = (&*FORWARD, &*INVERSE);
    let mut scratch = forward.make_scratch_vec();
    let mut spectrum_of = |samples: &[f32]| {
        let mut padded = forward.make_input_vec();
        padded[..samples.len()].copy_from_slice(samples);
        let mut spectrum = forward.make_output_vec();
        forward
            .process_with_scratch(&mut padded, &mut spectrum, &mut scratch)
            .expect("the buffers were made by the plan");
        spectrum
    };
    let (mut product, filter) = (spectrum_of(audio), spectrum_of(response));
    product.iter_mut().zip(&filter).for_each(|(x, y)| *x *= y / POINTS as f32);
    // The spectrum of a real signal: both ends are real, up to rounding, and the inverse insists on it.
    for end in [0, POINTS / 2] {
        product[end].im = 0.0;
    }
    let mut out = inverse.make_output_vec();
    inverse.process(&mut product, &mut out).expect("the buffers were made by the plan, and both ends are real");
    audio.copy_from_slice(&out[..audio.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    #[test]
    fn convolution_by_transform_is_convolution() {
        let mut stream = Philox::new(1, 5).stream(0);
        let (mut audio, response) = (vec![0.0; WINDOW_SAMPLES], bell(LONGEST, &mut stream));
        let places = [(0, 1.0f32), (700, -2.0), (60_000, 0.5), (95_990, 3.0)];
        places.iter().for_each(|&(at, x)| audio[at] = x);
        convolve(&mut audio, &response);
        for n in [0, 1, 699, 700, 5_000, 60_001, 80_000, 95_995, 95_999] {
            let expected: f32 =
                places.iter().filter(|(at, _)| *at <= n).map(|&(at, x)| x * response.get(n - at).unwrap_or(&0.0)).sum();
            assert!((audio[n] - expected).abs() < 0.05, "{n}: {} for {expected}", audio[n]);
        }
    }

    #[test]
    fn the_room_fades_as_asked_and_leaves_the_direct_sound() {
        let philox = Philox::new(2, 5);
        for (counter, time) in [(0, 0.3), (1, 0.8), (2, 1.4)] {
            let response = impulse_response(Span { low: time, high: time }, &mut philox.stream(counter));
            assert!(response[0] == 1.0 && response.len() <= LONGEST);
            let energy = |from: f64| power(&response[(from * 24_000.0) as usize..][..1200]);
            let fall = 10.0 * libm::log10(energy(0.03) / energy(0.03 + time / 2.0));
            assert!((fall - 30.0).abs() < 3.0, "{fall} dB in half of {time} s");
            let direct = -10.0 * libm::log10(power(&response[1..]));
            assert!((DIRECT[0]..DIRECT[1]).contains(&direct), "direct sound {direct} dB above the room");
        }
        let mut silence = vec![0.0; WINDOW_SAMPLES];
        add_room(&mut silence, Span { low: 0.1, high: 5.0 }, &mut philox.stream(4));
        assert!(silence.iter().all(|&x| x == 0.0));
    }
}
