//! From tune and harmony to what both hands play.

use super::score::{Event, Role, Span};
use super::style::Texture;
use super::theory::{Palette, voice_chord};
use super::tune::{Tone, span_at};
use crate::data::rng::Rng;

/// One bar to be laid out.
pub struct Bar<'a> {
    pub beat: f64,
    pub beats: f64,
    pub spans: &'a [Span],
    pub tune: &'a [Tone],
    /// What the upper voice did in the bar before, for imitation.
    pub before: &'a [Tone],
}

/// Where the hands are; carried from bar to bar.
#[derive(Debug, Default)]
pub struct Hands {
    chord: Vec<i32>,
    bass: Option<i32>,
    /// Pattern of this piece among those of a texture.
    habit: usize,
}

/// Writes the bar into `events`.
pub fn lay_out(texture: Texture, bar: &Bar, hands: &mut Hands, rng: &mut Rng, events: &mut Vec<Event>) {
    let mut pen = Pen { events };
    match texture {
        Texture::Chorale => chorale(bar, hands, rng, &mut pen),
        Texture::Counterpoint => counterpoint(bar, hands, &mut pen),
        Texture::Planing => planing(bar, hands, rng, &mut pen),
        Texture::Alberti(unit) => {
            pen.tune(bar.tune);
            alberti(bar, unit, hands, &mut pen);
        }
        Texture::Arpeggio(unit) => {
            pen.tune(bar.tune);
            if rng.chance(0.3) {
                pen.doubled(bar.tune, -12);
            }
            arpeggio(bar, unit, hands, rng, &mut pen);
        }
        Texture::Stride => {
            pen.tune(bar.tune);
            pen.doubled(bar.tune, -12);
            thirds_on_accents(bar, &mut pen);
            on_and_off(bar, hands, true, &mut pen);
        }
        Texture::Waltz => {
            pen.tune(bar.tune);
            on_and_off(bar, hands, false, &mut pen);
        }
        Texture::Motoric(unit) => motoric(bar, unit, hands, rng, &mut pen),
        Texture::Blocks => {
            pen.tune(bar.tune);
            blocks(bar, hands, &mut pen);
        }
    }
}

struct Pen<'a> {
    events: &'a mut Vec<Event>,
}

impl Pen<'_> {
    fn put(&mut self, beat: f64, length: f64, pitch: i32, role: Role, accent: f64) {
        self.events.push(Event { beat, length, pitch, role, accent });
    }

    fn tune(&mut self, tones: &[Tone]) {
        for t in tones {
            self.put(t.beat, t.length, t.pitch, Role::Melody, 0.0);
        }
    }

    fn doubled(&mut self, tones: &[Tone], interval: i32) {
        for t in tones {
            self.put(t.beat, t.length, t.pitch + interval, Role::Inner, 0.2);
        }
    }
}

impl Hands {
    /// Hands that prefer the `habit`-th pattern of every texture throughout a piece.
    pub fn of_habit(habit: usize) -> Self {
        Hands { habit, ..Hands::default() }
    }

    /// Close chord near `centre`, led from the one before.
    fn grip(&mut self, span: &Span, voices: usize, centre: i32) -> &[i32] {
        self.chord = voice_chord(&span.chord, voices, centre, &self.chord);
        &self.chord
    }

    /// Root in the bass, nearest to the bass before, between `low` and an octave and a half above.
    fn root(&mut self, span: &Span, low: i32) -> i32 {
        let near = self.bass.unwrap_or(low + 8);
        let pitch = (low..low + 18)
            .filter(|p| p.rem_euclid(12) == span.chord.root)
            .min_by_key(|p| (p - near).abs())
            .unwrap_or(low);
        self.bass = Some(pitch);
        pitch
    }
}

/// Positions of a grid of `unit` beats within a span.
fn grid(span: &Span, unit: f64) -> impl Iterator<Item = (usize, f64)> + use<> {
    let (beat, n) = (span.beat, (span.length / unit).round() as usize);
    (0..n).map(move |i| (i, beat + i as f64 * unit))
}

fn chorale(bar: &Bar, hands: &mut Hands, rng: &mut Rng, pen: &mut Pen) {
    pen.tune(bar.tune);
    for span in bar.spans {
        let soprano = bar.tune.iter().rev().find(|t| t.beat <= span.beat + 1e-6).map_or(72, |t| t.pitch);
        let bass = hands.root(span, 38);
        let strikes = span.length.round().max(1.0) as usize;
        for i in 0..strikes {
            let (beat, length) = (span.beat + i as f64, span.length / strikes as f64);
            let inner: Vec<i32> = hands.grip(span, 2, soprano - 11).to_vec();
            for pitch in inner {
                if rng.chance(0.12) {
                    let neighbour = span.palette.step(pitch, 1);
                    pen.put(beat, length / 2.0, pitch, Role::Inner, 0.0);
                    pen.put(beat + length / 2.0, length / 2.0, neighbour, Role::Inner, -0.3);
                } else {
                    pen.put(beat, length, pitch, Role::Inner, 0.0);
                }
            }
            if rng.chance(0.25) {
                pen.put(beat, length / 2.0, bass, Role::Bass, 0.0);
                pen.put(beat + length / 2.0, length / 2.0, span.palette.step(bass, -1), Role::Bass, -0.2);
            } else {
                pen.put(beat, length, if i % 2 == 1 { bass - 12 } else { bass }, Role::Bass, 0.0);
            }
        }
    }
}

fn counterpoint(bar: &Bar, hands: &mut Hands, pen: &mut Pen) {
    pen.tune(bar.tune);
    if bar.before.is_empty() {
        for span in bar.spans {
            let bass = hands.root(span, 43);
            for (i, beat) in grid(span, 0.5) {
                pen.put(beat, 0.5, span.palette.step(bass, [0, 2, 4, 2][i % 4]), Role::Bass, 0.0);
            }
        }
        return;
    }
    // The lower voice says what the upper one said a bar ago, bent to the harmony of now.
    let first = bar.before[0].beat;
    let offset = bar.beat - (first - first.rem_euclid(bar.beats));
    for tone in bar.before {
        let beat = tone.beat + offset;
        let Some(span) = span_at(bar.spans, beat) else { continue };
        let on_beat = (beat - beat.round()).abs() < 1e-6;
        let palette = if on_beat { Palette::of_chord(&span.chord) } else { span.palette };
        let pitch = palette.nearest(tone.pitch - 24 + 5 * (hands.habit % 2) as i32);
        pen.put(beat, tone.length, pitch, Role::Bass, 0.1);
    }
}

fn planing(bar: &Bar, hands: &mut Hands, rng: &mut Rng, pen: &mut Pen) {
    const SHAPES: [[i32; 3]; 4] = [[-4, -7, -12], [-3, -7, -10], [-5, -10, -12], [-4, -8, -12]];
    let shape = SHAPES[hands.habit % SHAPES.len()];
    for tone in bar.tune {
        pen.put(tone.beat, tone.length, tone.pitch, Role::Melody, 0.0);
        for interval in shape {
            pen.put(tone.beat, tone.length, tone.pitch + interval, Role::Inner, 0.0);
        }
    }
    for span in bar.spans {
        let bass = hands.root(span, 28);
        pen.put(span.beat, span.length, bass, Role::Bass, 0.2);
        pen.put(span.beat, span.length, bass + 7, Role::Bass, -0.4);
        if rng.chance(0.6) {
            let from = span.palette.nearest(84 + rng.below(10) as i32);
            let direction = if rng.chance(0.7) { -1 } else { 1 };
            let start = span.beat + span.length / 2.0;
            for i in 0..(span.length * 2.0) as i32 {
                let pitch = span.palette.step(from, direction * i * (1 + (hands.habit % 2) as i32));
                pen.put(start + f64::from(i) * 0.25, 0.25, pitch, Role::Inner, -0.2);
            }
        }
    }
}

fn alberti(bar: &Bar, unit: f64, hands: &mut Hands, pen: &mut Pen) {
    const ORDERS: [[usize; 4]; 3] = [[0, 2, 1, 2], [0, 1, 2, 1], [0, 2, 1, 0]];
    let order = ORDERS[hands.habit % ORDERS.len()];
    for span in bar.spans {
        let chord = hands.grip(span, 3, 54).to_vec();
        for (i, beat) in grid(span, unit) {
            let Some(&pitch) = chord.get(order[i % 4]) else { continue };
            let (role, accent) = if i == 0 { (Role::Bass, 0.2) } else { (Role::Inner, -0.2) };
            pen.put(beat, unit, pitch, role, accent);
        }
    }
}

fn arpeggio(bar: &Bar, unit: f64, hands: &mut Hands, rng: &mut Rng, pen: &mut Pen) {
    for span in bar.spans {
        let bass = hands.root(span, 33);
        let tones = Palette::of_chord(&span.chord);
        // Root, fifth, then up through the chord and back.
        let mut rungs = vec![bass, tones.nearest(bass + 7)];
        while rungs.len() < 6 {
            rungs.push(tones.step(rungs[rungs.len() - 1].max(bass + 9), 1));
        }
        let skip = usize::from(rng.chance(0.3));
        for (i, beat) in grid(span, unit) {
            let turn = i % 10;
            let rung = if turn < 6 { turn } else { 10 - turn };
            let rung = if i > 0 { (rung + skip).min(5) } else { 0 };
            let role = if i == 0 { Role::Bass } else { Role::Inner };
            pen.put(beat, unit, rungs[rung], role, if i == 0 { 0.3 } else { -0.1 });
        }
    }
}

/// A third below the tune where it is long: ragtime's filled-in right hand.
fn thirds_on_accents(bar: &Bar, pen: &mut Pen) {
    for tone in bar.tune.iter().filter(|t| t.length >= 1.0) {
        if let Some(span) = span_at(bar.spans, tone.beat) {
            let below = Palette::of_chord(&span.chord).step(tone.pitch, -1);
            pen.put(tone.beat, tone.length, below, Role::Inner, 0.2);
        }
    }
}

/// Bass on the strong beats, chords on the others: stride in two (with octaves and the fifth), waltz in three.
fn on_and_off(bar: &Bar, hands: &mut Hands, stride: bool, pen: &mut Pen) {
    for beat in 0..bar.beats.round() as usize {
        let at = bar.beat + beat as f64;
        let Some(span) = span_at(bar.spans, at) else { continue };
        let strong = if stride { beat % 2 == 0 } else { beat == 0 };
        if strong {
            let root = hands.root(span, 34);
            let fifth = stride && beat % 4 == 2 && (at - span.beat).abs() > 1e-6;
            let bass = if fifth { Palette::of_chord(&span.chord).nearest(root - 5) } else { root };
            pen.put(at, 1.0, bass, Role::Bass, 0.3);
            if stride {
                pen.put(at, 1.0, bass - 12, Role::Bass, 0.2);
            }
        } else {
            for pitch in hands.grip(span, 3, 56).to_vec() {
                pen.put(at, 0.7, pitch, Role::Inner, -0.2);
            }
        }
    }
}

fn motoric(bar: &Bar, unit: f64, hands: &mut Hands, rng: &mut Rng, pen: &mut Pen) {
    const ACCENTS: [&[usize]; 3] = [&[0, 3, 6], &[0, 2, 5], &[0, 3, 5]];
    let accents = ACCENTS[hands.habit % ACCENTS.len()];
    for t in bar.tune {
        pen.put(t.beat, t.length, t.pitch, Role::Melody, 0.3);
        pen.put(t.beat, t.length, t.pitch + 12, Role::Melody, 0.1);
    }
    for span in bar.spans {
        let bass = hands.root(span, 33);
        let tones = Palette::of_chord(&span.chord);
        for (i, beat) in grid(span, unit) {
            let accented = accents.contains(&(i % 8));
            let pitch = if i % 2 == 0 { bass } else { tones.step(bass + 10, (i / 2 % 3) as i32) };
            pen.put(beat, unit, pitch, Role::Bass, if accented { 0.8 } else { -0.2 });
            if accented && rng.chance(0.4) {
                pen.put(beat, unit, span.palette.step(pitch, 1), Role::Inner, 0.4);
                pen.put(beat, unit, bass - 12, Role::Bass, 0.6);
            }
        }
    }
}

fn blocks(bar: &Bar, hands: &mut Hands, pen: &mut Pen) {
    for span in bar.spans {
        let bass = hands.root(span, 36);
        pen.put(span.beat, span.length, bass, Role::Bass, 0.1);
        let chord = hands.grip(span, 3, 57).to_vec();
        for half in 0..2 {
            let (beat, length) = (span.beat + span.length / 2.0 * f64::from(half), span.length / 2.0);
            for &pitch in &chord {
                pen.put(beat, length, pitch, Role::Inner, -0.1 - 0.2 * f64::from(half));
            }
        }
    }
}
