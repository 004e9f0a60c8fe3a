//! Scales, chords and how to move between them. Pitches are MIDI numbers as `i32`; pitch classes are 0–11 from C.

/// A scale on a tonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Major,
    Minor,
    Dorian,
    Phrygian,
    Lydian,
    Mixolydian,
    WholeTone,
    Octatonic,
}

impl Mode {
    /// Semitones above the tonic.
    pub fn steps(self) -> &'static [i32] {
        match self {
            Mode::Major => &[0, 2, 4, 5, 7, 9, 11],
            Mode::Minor => &[0, 2, 3, 5, 7, 8, 10],
            Mode::Dorian => &[0, 2, 3, 5, 7, 9, 10],
            Mode::Phrygian => &[0, 1, 3, 5, 7, 8, 10],
            Mode::Lydian => &[0, 2, 4, 6, 7, 9, 11],
            Mode::Mixolydian => &[0, 2, 4, 5, 7, 9, 10],
            Mode::WholeTone => &[0, 2, 4, 6, 8, 10],
            Mode::Octatonic => &[0, 1, 3, 4, 6, 7, 9, 10],
        }
    }

    /// As a title names it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Major => "Major",
            Mode::Minor => "Minor",
            Mode::Dorian => "Dorian",
            Mode::Phrygian => "Phrygian",
            Mode::Lydian => "Lydian",
            Mode::Mixolydian => "Mixolydian",
            Mode::WholeTone => "Whole Tones",
            Mode::Octatonic => "Octatonic",
        }
    }
}

/// A tonic and its scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Pitch class of the tonic.
    pub tonic: i32,
    pub mode: Mode,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 12] =
            ["C", "D-flat", "D", "E-flat", "E", "F", "F-sharp", "G", "A-flat", "A", "B-flat", "B"];
        write!(f, "{} {}", NAMES[self.tonic.rem_euclid(12) as usize], self.mode.name())
    }
}

/// A chord: pitch class of its root and its intervals above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chord {
    pub root: i32,
    pub intervals: &'static [i32],
}

impl Chord {
    /// A Roman numeral over `tonic`: `b`/`#`, I–VII (lower case minor), then one of the suffixes below; e.g. `bVI`, `ii7`,
    /// `viio7`, `V9`, `IVmaj7`. Degrees count from the major scale, so minor keys write `bIII bVI bVII`.
    pub fn roman(symbol: &str, tonic: i32) -> Option<Chord> {
        const DEGREES: [(&str, i32); 7] =
            [("VII", 11), ("III", 4), ("VI", 9), ("IV", 5), ("II", 2), ("V", 7), ("I", 0)];
        let (shift, rest) = match symbol.as_bytes().first()? {
            b'b' => (-1, &symbol[1..]),
            b'#' => (1, &symbol[1..]),
            _ => (0, symbol),
        };
        let numeral = rest.find(|c: char| !"IViv".contains(c)).unwrap_or(rest.len());
        let (numeral, suffix) = rest.split_at(numeral);
        let (_, degree) = DEGREES.iter().find(|(name, _)| *name == numeral.to_uppercase())?;
        let minor = numeral.starts_with(['i', 'v']);
        let intervals: &[i32] = match (suffix, minor) {
            ("", false) => &[0, 4, 7],
            ("", true) => &[0, 3, 7],
            ("7", false) => &[0, 4, 7, 10],
            ("7", true) => &[0, 3, 7, 10],
            ("maj7", _) => &[0, 4, 7, 11],
            ("9", false) => &[0, 4, 7, 10, 14],
            ("9", true) => &[0, 3, 7, 10, 14],
            ("add9", _) => &[0, 4, 7, 14],
            ("6", false) => &[0, 4, 7, 9],
            ("6", true) => &[0, 3, 7, 9],
            ("o", _) => &[0, 3, 6],
            ("o7", _) => &[0, 3, 6, 9],
            ("h7", _) => &[0, 3, 6, 10],
            ("+", _) => &[0, 4, 8],
            ("sus", _) => &[0, 5, 7],
            ("q", _) => &[0, 5, 10],
            _ => return None,
        };
        Some(Chord { root: (tonic + degree + shift).rem_euclid(12), intervals })
    }

    /// Pitch classes of the chord.
    pub fn classes(&self) -> impl Iterator<Item = i32> + '_ {
        self.intervals.iter().map(|i| (self.root + i).rem_euclid(12))
    }
}

/// A set of pitch classes to move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette(u16);

impl Palette {
    /// The tones of a chord.
    pub fn of_chord(chord: &Chord) -> Self {
        Palette(chord.classes().fold(0, |set, class| set | 1 << class))
    }

    /// The key's scale bent to the chord: chord tones come in, scale tones a semitone from a foreign chord tone go.
    pub fn of(key: Key, chord: &Chord) -> Self {
        let scale = key.mode.steps().iter().fold(0u16, |set, s| set | 1 << (key.tonic + s).rem_euclid(12));
        let tones = Self::of_chord(chord).0;
        let mut set = scale;
        for foreign in chord.classes().filter(|c| scale & (1 << c) == 0) {
            for near in [foreign - 1, foreign + 1] {
                set &= !(1 << near.rem_euclid(12)) | tones;
            }
        }
        Palette(set | tones)
    }

    /// Whether the pitch belongs to the set.
    pub fn has(self, pitch: i32) -> bool {
        self.0 & (1 << pitch.rem_euclid(12)) != 0
    }

    /// The pitch of the set nearest to `pitch`; the lower of two.
    pub fn nearest(self, pitch: i32) -> i32 {
        (0..12).flat_map(|d| [pitch - d, pitch + d]).find(|&p| self.has(p)).unwrap_or(pitch)
    }

    /// `steps` tones of the set up (or down) from the nearest one.
    pub fn step(self, pitch: i32, steps: i32) -> i32 {
        let mut p = self.nearest(pitch);
        for _ in 0..steps.abs() {
            p = (1..=12).map(|d| p + d * steps.signum()).find(|&q| self.has(q)).unwrap_or(p);
        }
        p
    }
}

/// `voices` pitches of the chord in close position around `centre`, ascending, in the inversion that moves least from
/// `previous` (voice leading).
pub fn voice_chord(chord: &Chord, voices: usize, centre: i32, previous: &[i32]) -> Vec<i32> {
    let tones = Palette::of_chord(chord);
    let candidates = (centre - 9..=centre + 2).filter(|&p| tones.has(p)).map(|lowest| {
        let mut chord = vec![lowest];
        while chord.len() < voices {
            chord.push(tones.step(chord[chord.len() - 1], 1));
        }
        chord
    });
    candidates
        .min_by_key(|c| {
            let drift = (c.iter().sum::<i32>() / voices.max(1) as i32 - centre).abs();
            let moved: i32 = c.iter().zip(previous).map(|(a, b)| (a - b).abs()).sum();
            2 * moved + drift
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerals_and_palettes() {
        let c = Key { tonic: 0, mode: Mode::Major };
        assert_eq!(Chord::roman("bVI", 0), Some(Chord { root: 8, intervals: &[0, 4, 7] }));
        assert_eq!(Chord::roman("viio7", 2), Some(Chord { root: 1, intervals: &[0, 3, 6, 9] }));
        assert_eq!(Chord::roman("H", 0), None);
        // V7/V in C: F gives way to F sharp.
        let palette = Palette::of(c, &Chord::roman("II7", 0).unwrap());
        assert!(palette.has(66) && !palette.has(65) && palette.has(72));
        assert_eq!((palette.step(60, 2), palette.step(60, -1), palette.nearest(65)), (64, 59, 64));
        assert_eq!(Key { tonic: 3, mode: Mode::Minor }.to_string(), "E-flat Minor");
    }

    #[test]
    fn voices_move_little() {
        let (tonic, dominant) = (Chord::roman("I", 0).unwrap(), Chord::roman("V", 0).unwrap());
        let first = voice_chord(&tonic, 3, 60, &[]);
        let second = voice_chord(&dominant, 3, 60, &first);
        assert!(first.iter().zip(&second).all(|(a, b)| (a - b).abs() <= 3), "{first:?} -> {second:?}");
    }
}
