//! From the page to the keys: tempo that breathes, hands that are not quite together, a foot on the pedal.

use super::score::{Event, Phrase, Role, Score};
use super::style::PedalStyle;
use crate::data::note::{Note, PedalEvent};
use crate::data::rng::Rng;
use std::f64::consts::PI;

/// Grid of the tempo curve, in beats.
const GRID: f64 = 0.25;
/// Standard deviation of the fingers' own timing, in seconds (Repp, 1999: 5–15 ms).
const MICRO_TIMING: f64 = 0.006;
/// Seconds by which a pianist's melody leads what is written with it (Goebl, 2001).
const MELODY_LEAD: f64 = 0.018;

/// One pianist's performance of `score`, times in seconds.
pub fn perform(score: &Score, rng: &mut Rng) -> (Vec<Note>, Vec<PedalEvent>) {
    let clock = Clock::new(score, rng);
    let notes = score.events.iter().map(|event| play(score, event, &clock, rng)).collect();
    let pedal = press(score, &clock, rng);
    (notes, pedal)
}

/// Beats to seconds.
struct Clock {
    /// Seconds at every `GRID` beats.
    times: Vec<f64>,
}

impl Clock {
    /// Rubato within every phrase (faster into its middle, slower at its end), a slow drift between beats, and a
    /// ritardando into the last bar, after a second or so of silence.
    fn new(score: &Score, rng: &mut Rng) -> Self {
        let (rubato, end) = (score.style.rubato, score.beats());
        let mut times = vec![rng.range(0.6, 1.2)];
        let (mut drift, mut pull) = (0.0, 0.0);
        for i in 0..(end / GRID).ceil() as usize {
            let beat = i as f64 * GRID;
            if i % 4 == 0 {
                pull = rng.gauss() * (0.02 + 0.2 * rubato);
            }
            drift += 0.25 * (pull - drift);
            let (_, phase) = phrase_at(score, beat);
            let arch = (PI * phase).sin() - 0.5 - 0.5 * ((phase - 0.75) / 0.25).max(0.0);
            let slowing = 1.0 - 0.35 * (1.0 - (end - beat) / (2.0 * f64::from(score.style.beats))).max(0.0);
            let speed = (1.0 + rubato * arch + drift).clamp(0.5, 1.6) * slowing;
            times.push(times[i] + 60.0 / score.tempo * GRID / speed);
        }
        Clock { times }
    }

    fn seconds(&self, beat: f64) -> f64 {
        let at = (beat / GRID).max(0.0);
        let i = (at as usize).min(self.times.len().saturating_sub(2));
        let (a, b) = (self.times[i], self.times[(i + 1).min(self.times.len() - 1)]);
        a + (b - a) * (at - i as f64)
    }
}

/// The phrase a beat lies in, and how far into it (0–1).
fn phrase_at(score: &Score, beat: f64) -> (Option<&Phrase>, f64) {
    let i = score.phrases.partition_point(|p| p.beat <= beat + 1e-6).saturating_sub(1);
    let phrase = score.phrases.get(i);
    (phrase, phrase.map_or(0.0, |p| ((beat - p.beat) / p.beats).clamp(0.0, 1.0)))
}

fn play(score: &Score, event: &Event, clock: &Clock, rng: &mut Rng) -> Note {
    let style = score.style;
    let pitch = on_keyboard(event.pitch);
    let lead = match event.role {
        Role::Melody => -MELODY_LEAD * (0.3 + style.rubato * 4.0).min(1.0),
        Role::Inner | Role::Bass => 0.0,
    };
    // Chords are rolled from below.
    let roll = style.spread * (f64::from(pitch) - 48.0) / 36.0;
    let onset = (clock.seconds(event.beat) + lead + roll + MICRO_TIMING * rng.gauss()).max(0.05);
    let hold = (style.articulation + 0.06 * rng.gauss()).clamp(0.3, 1.1);
    let duration = (clock.seconds(event.beat + event.length * hold) - clock.seconds(event.beat)).max(0.04);

    let (phrase, phase) = phrase_at(score, event.beat);
    let (mean, range) = style.dynamics;
    let beat_in_bar = event.beat.rem_euclid(f64::from(style.beats));
    let metre = if beat_in_bar < 1e-6 {
        5.0
    } else if beat_in_bar.fract() < 1e-6 {
        0.0
    } else {
        -3.0
    };
    let voice = match event.role {
        Role::Melody => 11.0,
        Role::Inner => -8.0,
        Role::Bass => -1.0,
    };
    let velocity = mean
        + range * (phrase.map_or(0.0, |p| p.dynamic) + 0.8 * ((PI * phase).sin() - 0.6))
        + metre
        + voice
        + 12.0 * event.accent
        + 0.12 * (f64::from(pitch) - 66.0)
        + 3.5 * rng.gauss();
    Note { pitch, velocity: velocity.round().clamp(8.0, 124.0) as u8, onset, duration }
}

/// Octaves up or down until the pitch is on the 88 keys.
fn on_keyboard(pitch: i32) -> u8 {
    let low = 21 + (pitch - 21).rem_euclid(12);
    let high = 97 + (pitch - 97).rem_euclid(12);
    pitch.clamp(low, high) as u8
}

/// The pedal: up just after the new harmony sounds, down again once its notes are caught (legato pedalling).
fn press(score: &Score, clock: &Clock, rng: &mut Rng) -> Vec<PedalEvent> {
    let mut pedal = Vec::new();
    let mut move_foot = |from: f64, values: &[u8]| {
        pedal.extend(values.iter().enumerate().map(|(i, &value)| PedalEvent { time: from + 0.012 * i as f64, value }));
    };
    let every = match score.style.pedal {
        PedalStyle::None => return Vec::new(),
        PedalStyle::Long => 2,
        PedalStyle::Touches | PedalStyle::Harmony => 1,
    };
    let touches = score.style.pedal == PedalStyle::Touches;
    for span in score.harmony.iter().step_by(every) {
        if touches && !rng.chance(0.4) {
            continue;
        }
        let change = clock.seconds(span.beat) + rng.range(0.0, 0.03);
        let depth = 84 + rng.below(44) as u8;
        move_foot(change, &[70, 30, 0]);
        move_foot(change + rng.range(0.07, 0.12), &[30, 72, depth]);
        if touches {
            move_foot(clock.seconds(span.beat + 0.9), &[60, 20, 0]);
        }
    }
    let end = clock.seconds(score.beats()) + 0.4;
    move_foot(end, &[60, 20, 0]);
    pedal.sort_by(|a, b| a.time.total_cmp(&b.time));
    pedal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_wrap_by_octaves() {
        assert_eq!([on_keyboard(20), on_keyboard(60), on_keyboard(109), on_keyboard(121)], [32, 60, 97, 97]);
    }
}
