//! Only a part of a window: the rest is silent on both sides.

use crate::data::audio::SAMPLE_RATE;
use crate::data::note::Note;
use crate::data::segments::WINDOW_SECONDS;
use crate::random::Stream;

/// Silences `audio` outside `seconds` from `start` on (seconds from the window's start).
pub fn crop_audio(audio: &mut [f32], start: f64, seconds: f64) {
    let at = |time: f64| ((time * f64::from(SAMPLE_RATE)).round().max(0.0) as usize).min(audio.len());
    let (begin, end) = (at(start), at(start + seconds));
    audio[..begin].fill(0.0);
    audio[end..].fill(0.0);
}

/// Keeps the notes that begin in the part; they end with it at the latest.
pub fn crop_notes(notes: &mut Vec<Note>, start: f64, seconds: f64) {
    let end = start + seconds;
    notes.retain(|n| (start..end).contains(&n.onset));
    notes.iter_mut().for_each(|n| n.duration = n.duration.min(end - n.onset));
}

/// Where a part of `seconds` begins that lies in the window and holds the beginning of one of `notes`, drawn at random.
pub fn place(stream: &mut Stream, notes: &[Note], seconds: f64) -> f64 {
    let onset = notes.get(stream.below(notes.len() as u64) as usize).map_or(0.0, |n| n.onset);
    (onset - stream.uniform_f64() * seconds).clamp(0.0, (WINDOW_SECONDS - seconds).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    #[test]
    fn both_sides_keep_the_same_part_and_never_lose_every_note() {
        let onsets = [0.0, 0.4, 1.99, 3.9999];
        let all: Vec<Note> =
            onsets.iter().map(|&onset| Note { pitch: 60, velocity: 64, onset, duration: 2.0 }).collect();
        let mut stream = Philox::new(1, 2).stream(3);
        for seconds in [0.25, 1.0, 3.0, 4.0] {
            for _ in 0..200 {
                let start = place(&mut stream, &all, seconds);
                let (mut audio, mut notes) = (vec![1.0; 96_000], all.clone());
                crop_audio(&mut audio, start, seconds);
                crop_notes(&mut notes, start, seconds);
                assert!(!notes.is_empty() && start >= 0.0 && start + seconds <= 4.0 + 1e-9);
                assert!(notes.iter().all(|n| n.onset + n.duration <= start + seconds + 1e-9));
                let heard: f32 = audio.iter().sum();
                assert!((heard - 24_000.0 * seconds as f32).abs() <= 1.0, "{heard} samples of {seconds} s");
                let first = audio.iter().position(|&x| x > 0.0).unwrap();
                assert!((first as f64 / 24_000.0 - start).abs() < 1e-4);
            }
        }
        assert_eq!(place(&mut stream, &[], 1.0), 0.0);
    }
}
