//! A piece, from its key and length to every written note.

use super::score::{Event, Phrase, Role, Score, Span};
use super::style::Style;
use super::texture::{Bar, Hands, lay_out};
use super::theory::{Chord, Key, Palette, voice_chord};
use super::tune::Motif;
use crate::data::rng::Rng;

/// Composes at least `seconds` of music in `key` (at its nominal tempo), in whole phrases, with an ending.
///
/// Three motifs run through the piece, varied from bar to bar; phrases wander through related keys, textures and
/// registers, so that no two passages are alike for long.
pub fn compose(style: &'static Style, key: Key, seconds: f64, rng: &mut Rng) -> Score {
    let tempo = rng.range(style.tempo.0, style.tempo.1);
    let mut score = Score { style, tempo, phrases: Vec::new(), harmony: Vec::new(), events: Vec::new() };
    let phrases = style.harmony.iter().find(|(mode, _)| *mode == key.mode).map_or(&[][..], |(_, phrases)| *phrases);
    let Some((closing, opening)) = phrases.split_last() else { return score };
    let motifs: Vec<Motif> = (0..3).map(|_| Motif::invent(style, rng)).collect();
    let mut desk = Desk { motifs, hands: Hands::of_habit(rng.below(12)), pitch: style.centre };
    let bar = f64::from(style.beats);
    // What is still to come after the last wandering phrase: the closing one and a bar for the final chord.
    let ending = bar * (closing.split('|').count() + 1) as f64;
    let mut journey = 0;
    while (score.beats() + ending) / tempo * 60.0 < seconds {
        let written = score.phrases.len();
        journey = if written < 2 { 0 } else { wander(style, journey, rng) };
        let there = Key { tonic: (key.tonic + journey).rem_euclid(12), ..key };
        let progression = rng.pick(opening).copied().unwrap_or(closing);
        desk.phrase(&mut score, there, progression, rng);
    }
    desk.phrase(&mut score, key, closing, rng);
    end(&mut score, key, bar);
    score
}

/// Another key of the journey than the one just visited.
fn wander(style: &Style, from: i32, rng: &mut Rng) -> i32 {
    let others: Vec<i32> = style.journeys.iter().copied().filter(|&j| j != from).collect();
    rng.pick(&others).copied().unwrap_or(0)
}

/// What the composer keeps at hand while writing.
struct Desk {
    motifs: Vec<Motif>,
    hands: Hands,
    /// Where the tune is.
    pitch: i32,
}

impl Desk {
    fn phrase(&mut self, score: &mut Score, key: Key, progression: &str, rng: &mut Rng) {
        let style = score.style;
        let (start, beats) = (score.beats(), f64::from(style.beats));
        let texture = rng.pick(style.textures).copied();
        let centre = style.centre + rng.below(11) as i32 - 5;
        let bars: Vec<&str> = progression.split('|').collect();
        let mut before = Vec::new();
        for (i, symbols) in bars.iter().enumerate() {
            let beat = start + i as f64 * beats;
            let spans = spans(symbols, key, beat, beats);
            // A phrase rises to its middle and falls again.
            let arch = 4.0 * (i as f64 + 0.5) / bars.len() as f64 * (1.0 - (i as f64 + 0.5) / bars.len() as f64);
            let idea = if i + 1 == bars.len() { 2 } else { i % 2 };
            let motif = self.motifs[idea].vary(rng);
            let tune = motif.sing(&spans, self.pitch, centre + (5.0 * arch) as i32);
            self.pitch = tune.last().map_or(centre, |t| t.pitch);
            let bar = Bar { beat, beats, spans: &spans, tune: &tune, before: &before };
            if let Some(texture) = texture {
                lay_out(texture, &bar, &mut self.hands, rng, &mut score.events);
            }
            before = tune;
            score.harmony.extend(spans);
        }
        let dynamic = rng.range(-1.0, 1.0);
        score.phrases.push(Phrase { beat: start, beats: bars.len() as f64 * beats, dynamic });
    }
}

/// The chords of one bar, sharing it evenly.
fn spans(symbols: &str, key: Key, beat: f64, beats: f64) -> Vec<Span> {
    let chords: Vec<Chord> = symbols.split(' ').filter_map(|s| Chord::roman(s, key.tonic)).collect();
    let length = beats / chords.len().max(1) as f64;
    let span = |(i, chord): (usize, Chord)| Span {
        beat: beat + i as f64 * length,
        length,
        chord,
        palette: Palette::of(key, &chord),
    };
    chords.into_iter().enumerate().map(span).collect()
}

/// The final chord: the last harmony, spread over both hands and held.
fn end(score: &mut Score, key: Key, beats: f64) {
    let Some(last) = score.harmony.last().copied() else { return };
    let beat = score.beats();
    let span = Span { beat, length: beats, palette: Palette::of(key, &last.chord), ..last };
    let root = 36 + last.chord.root;
    let mut held = vec![root, root + 12];
    held.extend(voice_chord(&last.chord, 3, 62, &[]));
    let top = held.len() - 1;
    for (i, pitch) in held.into_iter().enumerate() {
        let role = if i == top { Role::Melody } else { Role::Bass };
        score.events.push(Event { beat, length: beats, pitch, role, accent: -0.1 });
    }
    score.harmony.push(span);
    score.phrases.push(Phrase { beat, beats, dynamic: -0.4 });
}

#[cfg(test)]
mod tests {
    use super::super::style::COMPOSERS;
    use super::*;

    #[test]
    fn every_style_fills_its_time() {
        for style in &COMPOSERS {
            for &(mode, _) in style.harmony {
                let score = compose(style, Key { tonic: 3, mode }, 60.0, &mut Rng::new(7, "test", 0));
                let seconds = score.beats() / score.tempo * 60.0;
                assert!((60.0..90.0).contains(&seconds), "{}: {seconds} s", style.composer);
                let per_second = score.events.len() as f64 / seconds;
                assert!((3.0..25.0).contains(&per_second), "{} {mode:?}: {per_second} notes a second", style.composer);
                for e in &score.events {
                    assert!((14..=115).contains(&e.pitch), "{}: pitch {}", style.composer, e.pitch);
                    assert!(e.length > 0.0 && e.beat >= 0.0);
                }
            }
        }
    }
}
