//! MIDI made audible: a built-in piano, or any SoundFont, always in step with the notes it is given.
//!
//! The built-in piano is additive: every note is a bank of inharmonic partials ([`piano`]) that decay in two stages
//! and are damped on release ([`voice`]), heard in a small hall ([`room`]). It is deterministic to the byte. One performance may be
//! recorded several times, on other instruments and in other rooms ([`voicing`]).

pub mod folder;
pub mod listing;
pub mod piano;
pub mod room;
pub mod sf2;
pub mod soundfont;
pub mod voice;
pub mod voicing;
pub mod wav;

pub use folder::{FolderOptions, FolderSummary, add_rendering, render_folder};
pub use piano::Piano;
pub use soundfont::SoundFontPiano;
pub use voicing::Voicing;

use crate::data::note::{Note, PedalEvent};
use crate::data::rng::Rng;
use voice::Voice;

/// Sample rate of everything rendered here; the readers' own, so that nothing is resampled on the way.
pub const SAMPLE_RATE: u32 = 24_000;
/// Seconds of sound kept after the last key and pedal are up.
const TAIL: f64 = 1.5;
/// The loudest sample of a rendering: −3 dBFS.
const PEAK: f32 = 0.707_945_8;
/// Dampers are lifted from this pedal value on.
const PEDAL_DOWN: u8 = 64;
/// Seconds a key's old vibration may go on under a new strike of the same key.
const RESTRIKE: f64 = 0.02;

/// Renders `notes` (sorted by onset) with `pedal` (sorted by time) on the built-in piano: mono samples at
/// [`SAMPLE_RATE`], sample 0 at time 0, the loudest at −3 dBFS, ending `TAIL` seconds after the last release.
pub fn render_piano(notes: &[Note], pedal: &[PedalEvent], piano: &Piano) -> Vec<f32> {
    let ends = damping_times(notes, pedal);
    let mut audio = vec![0.0f32; frames(notes, SAMPLE_RATE)];
    let mut voice = Voice::new(*piano, SAMPLE_RATE);
    for (note, &end) in notes.iter().zip(&ends) {
        voice.sound(note, end, &mut audio);
    }
    room::add_room(&mut audio, SAMPLE_RATE, piano.reverb_time, piano.room);
    master(&mut audio);
    let mut rng = Rng::new(piano.seed, "piano.hiss", 0);
    for sample in &mut audio {
        *sample += (piano.hiss * rng.gauss()) as f32;
    }
    audio
}

/// Samples to render for `notes`: to the last release and [`TAIL`] seconds more.
fn frames(notes: &[Note], rate: u32) -> usize {
    let last = notes.iter().map(|n| n.onset + n.duration).fold(0.0, f64::max);
    ((last + TAIL) * f64::from(rate)) as usize
}

/// What is done to every rendering: no DC, the loudest sample at −3 dBFS, a fade at the end.
fn master(audio: &mut [f32]) {
    remove_dc(audio);
    normalise(audio);
    fade_out(audio);
}

/// When each note's damper falls: at its release, or where the pedal holds it then, when the pedal comes up; in any
/// case when the key is struck again.
pub fn damping_times(notes: &[Note], pedal: &[PedalEvent]) -> Vec<f64> {
    let mut held: Vec<(f64, f64)> = Vec::new(); // spans of lifted dampers
    let mut down: Option<f64> = None;
    for event in pedal {
        match (down, event.value >= PEDAL_DOWN) {
            (None, true) => down = Some(event.time),
            (Some(since), false) => {
                held.push((since, event.time));
                down = None;
            }
            _ => {}
        }
    }
    held.extend(down.map(|since| (since, f64::INFINITY)));

    let mut next_strike = [f64::INFINITY; 128];
    let mut ends = vec![0.0; notes.len()];
    for (note, end) in notes.iter().zip(&mut ends).rev() {
        let release = note.onset + note.duration;
        let span = held.partition_point(|&(_, up)| up <= release);
        *end = match held.get(span) {
            Some(&(since, up)) if since <= release => up,
            _ => release,
        };
        let next = &mut next_strike[usize::from(note.pitch.min(127))];
        *end = end.min(*next + RESTRIKE);
        *next = note.onset;
    }
    ends
}

/// A one-pole high-pass at 15 Hz: nothing a piano radiates lies below.
fn remove_dc(audio: &mut [f32]) {
    let keep = libm::exp(-std::f64::consts::TAU * 15.0 / f64::from(SAMPLE_RATE));
    let (mut last_in, mut last_out) = (0.0, 0.0);
    for sample in audio {
        let x = f64::from(*sample);
        last_out = keep * (last_out + x - last_in);
        last_in = x;
        *sample = last_out as f32;
    }
}

fn normalise(audio: &mut [f32]) {
    let peak = audio.iter().fold(0.0f32, |peak, x| peak.max(x.abs()));
    if peak > 0.0 {
        let gain = PEAK / peak;
        audio.iter_mut().for_each(|x| *x *= gain);
    }
}

fn fade_out(audio: &mut [f32]) {
    let n = (SAMPLE_RATE / 4) as usize;
    for (i, x) in audio.iter_mut().rev().take(n).enumerate() {
        *x *= i as f32 / n as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(pitch: u8, velocity: u8, onset: f64, duration: f64) -> Note {
        Note { pitch, velocity, onset, duration }
    }

    fn rms(audio: &[f32], from: f64, to: f64) -> f64 {
        let at = |t: f64| (t * f64::from(SAMPLE_RATE)) as usize;
        let part = &audio[at(from)..at(to)];
        (part.iter().map(|x| f64::from(x * x)).sum::<f64>() / part.len() as f64).sqrt()
    }

    #[test]
    fn onsets_are_heard_within_5_ms() {
        let quiet = Piano { hiss: 0.0, ..Piano::default() };
        for pitch in [21, 40, 60, 76, 96, 108] {
            for velocity in [30, 110] {
                let onset = 0.5123;
                let audio = render_piano(&[note(pitch, velocity, onset, 0.5)], &[], &quiet);
                let loud = audio.iter().fold(0.0f32, |m, x| m.max(x.abs())) * 0.1;
                let first = audio.iter().position(|x| x.abs() > loud).unwrap() as f64 / f64::from(SAMPLE_RATE);
                assert!((0.0..0.005).contains(&(first - onset)), "{pitch}/{velocity}: {:.4}", first - onset);
            }
        }
    }

    #[test]
    fn pedal_and_damper_do_what_they_should() {
        let quiet = Piano { hiss: 0.0, room: 0.0, ..Piano::default() };
        let notes = [note(48, 80, 0.1, 0.4), note(48, 1, 2.9, 0.1)];
        let dry = render_piano(&notes, &[], &quiet);
        let pedal = [PedalEvent { time: 0.3, value: 64 }, PedalEvent { time: 1.5, value: 63 }];
        let wet = render_piano(&notes, &pedal, &quiet);
        let level = |audio: &[f32], from| 20.0 * (rms(audio, from, from + 0.1) / rms(audio, 0.3, 0.4)).log10();
        assert!(level(&dry, 0.8) < -30.0, "damped on release: {}", level(&dry, 0.8));
        assert!(level(&wet, 1.2) > -12.0, "held by the pedal: {}", level(&wet, 1.2));
        assert!(level(&wet, 2.0) < -30.0, "damped when it comes up: {}", level(&wet, 2.0));
        // A release under the pedal, a re-strike and an undamped end.
        let ends = damping_times(
            &[note(60, 64, 0.0, 0.5), note(60, 64, 1.0, 0.2), note(62, 64, 3.0, 0.5)],
            &[PedalEvent { time: 0.2, value: 127 }, PedalEvent { time: 2.0, value: 0 }],
        );
        assert_eq!(ends, [1.0 + RESTRIKE, 2.0, 3.5]);
    }

    #[test]
    fn levels_are_those_of_a_recording() {
        let notes: Vec<Note> = (0..30).map(|i| note(36 + 2 * i, 70, 0.2 * f64::from(i), 0.6)).collect();
        let audio = render_piano(&notes, &[], &Piano::default());
        let peak = audio.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!((peak - PEAK).abs() < 0.01, "peak {peak}");
        let mean = audio.iter().map(|&x| f64::from(x)).sum::<f64>() / audio.len() as f64;
        assert!(mean.abs() < 1e-4, "DC {mean}");
        assert!(render_piano(&[], &[], &Piano::default()).iter().all(|x| x.abs() < 1e-2), "silence stays silent");
        assert_eq!(audio, render_piano(&notes, &[], &Piano::default()), "the same bytes twice");
    }
}
