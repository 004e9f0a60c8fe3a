//! The composers. Each is a declaration: what distinguishes one from another to the ear stands here and nowhere else.

use super::theory::Mode;

/// How a phrase is laid out over the keyboard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Texture {
    /// Four voices, a chord on every beat, passing notes.
    Chorale,
    /// Two independent lines; the lower answers the upper a bar later.
    Counterpoint,
    /// The tune thickened into parallel chords over a deep pedal note, with bells above.
    Planing,
    /// A tune over broken close chords in notes of the given length in beats.
    Alberti(f64),
    /// A tune over wide arpeggios in notes of the given length in beats.
    Arpeggio(f64),
    /// A tune in octaves and thirds over leaping bass and off-beat chords.
    Stride,
    /// A tune over bass on the first beat and chords on the others.
    Waltz,
    /// Both hands hammer: repeated figures with shifting accents in notes of the given length in beats.
    Motoric(f64),
    /// A tune over sustained chords.
    Blocks,
}

/// What the right foot does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PedalStyle {
    /// Never pressed.
    None,
    /// Pressed on some first beats, for a beat.
    Touches,
    /// Changed with the harmony.
    Harmony,
    /// Held over several harmonies.
    Long,
}

/// One composer.
#[derive(Debug)]
pub struct Style {
    pub composer: &'static str,
    /// Short name for files.
    pub slug: &'static str,
    pub genres: &'static [&'static str],
    /// Modes with their phrases: bars parted by `|`, chords of a bar by blanks. The last phrase is the closing one.
    pub harmony: &'static [(Mode, &'static [&'static str])],
    /// Where phrases modulate to, in semitones from the tonic.
    pub journeys: &'static [i32],
    pub textures: &'static [Texture],
    /// Beats a bar.
    pub beats: u32,
    /// Beats a minute, lowest and highest.
    pub tempo: (f64, f64),
    /// Rhythms of one bar of the tune in beats; negative is a rest.
    pub rhythms: &'static [&'static [f64]],
    /// Pitch around which the tune moves.
    pub centre: i32,
    /// Greatest step of the tune, in tones of the scale.
    pub leap: i32,
    /// Mean velocity, and how far phrases depart from it.
    pub dynamics: (f64, f64),
    /// Share by which the tempo bends within a phrase.
    pub rubato: f64,
    /// Seconds between the lowest and highest note of a chord, struck as one.
    pub spread: f64,
    /// Share of its written length that a note is held.
    pub articulation: f64,
    pub pedal: PedalStyle,
}

use Mode::*;
use Texture::*;

/// All composers, none of whom lived.
pub const COMPOSERS: [Style; 8] = [
    Style {
        composer: "Ambrose Hale",
        slug: "hale",
        genres: &["Chorale", "Hymn for the Evening", "Anthem, Simply Harmonised"],
        harmony: &[
            (Major, &["I V|vi iii|IV I|ii V", "I IV|V vi|ii V|I", "vi ii|V I|IV vii|V7 V7", "I vi|IV ii|V V7|I I"]),
            (
                Minor,
                &["i iv|bVII bIII|bVI iio|V V7", "i V|i bVI|iv V|i", "bIII bVII|i V|bVI iv|V", "i iv|iio V|V7 V7|i i"],
            ),
        ],
        journeys: &[0, 7, 5, 9, 2],
        textures: &[Chorale, Chorale, Chorale, Blocks],
        beats: 4,
        tempo: (66.0, 88.0),
        rhythms: &[&[1.0, 1.0, 1.0, 1.0], &[1.5, 0.5, 1.0, 1.0], &[2.0, 1.0, 1.0], &[1.0, 1.0, 2.0]],
        centre: 72,
        leap: 2,
        dynamics: (62.0, 12.0),
        rubato: 0.08,
        spread: 0.012,
        articulation: 0.97,
        pedal: PedalStyle::Harmony,
    },
    Style {
        composer: "Lucía Ferrán",
        slug: "ferran",
        genres: &["Sonatina", "Sonata, First Movement", "Rondo"],
        harmony: &[
            (Major, &["I|V7|I|V7", "I|IV|V7|I", "I|vi|ii|V7", "I I|IV ii|I V7|I", "V7|I|II7|V", "I|ii V7|V7|I"]),
            (Minor, &["i|V7|i|V7", "i|iv|V7|i", "i|bVI|iio|V7", "bIII|bVII|bIII|V7", "i|iv V7|V7|i"]),
        ],
        journeys: &[0, 7, 0, 9, 5, 4],
        textures: &[Alberti(0.5), Alberti(0.25), Alberti(0.5), Blocks],
        beats: 4,
        tempo: (104.0, 138.0),
        rhythms: &[
            &[1.0, 0.5, 0.5, 1.0, 1.0],
            &[0.5, 0.5, 0.5, 0.5, 1.0, -1.0],
            &[0.25, 0.25, 0.25, 0.25, 1.0, 0.5, 0.5, 1.0],
            &[2.0, 0.5, 0.5, 0.5, 0.5],
            &[1.5, 0.5, 1.5, 0.5],
        ],
        centre: 77,
        leap: 3,
        dynamics: (68.0, 14.0),
        rubato: 0.04,
        spread: 0.006,
        articulation: 0.8,
        pedal: PedalStyle::Touches,
    },
    Style {
        composer: "Tobias Wren",
        slug: "wren",
        genres: &["Invention", "Two-Part Ricercar", "Fughetta, after a Country Dance"],
        harmony: &[
            (Minor, &["i iv|bVII bIII|bVI iio|V i", "i V|i V|i iv|V", "iv bVII|bIII bVI|iio V|i", "i bVI|iv V|V7|i"]),
            (Dorian, &["i IV|i IV|bVII bIII|V i", "i bVII|bIII IV|i v|IV V", "v i|bVII IV|bIII IV|V", "i IV|i V|V7|i"]),
            (Major, &["I IV|vii iii|vi ii|V I", "I V|I V|vi ii|V", "ii V|I IV|II7 V|I", "I vi|ii V|V7|I"]),
        ],
        journeys: &[0, 7, 3, 5, 10, 0],
        textures: &[Counterpoint],
        beats: 4,
        tempo: (84.0, 112.0),
        rhythms: &[
            &[-0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 0.5],
            &[0.5, 0.25, 0.25, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5],
            &[0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5],
            &[1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 1.0],
        ],
        centre: 74,
        leap: 2,
        dynamics: (66.0, 8.0),
        rubato: 0.03,
        spread: 0.004,
        articulation: 0.72,
        pedal: PedalStyle::None,
    },
    Style {
        composer: "Irina Sokolova",
        slug: "sokolova",
        genres: &["Nocturne", "Élégie", "Prelude, Lento"],
        harmony: &[
            (Minor, &["i|bVI|iv|V7", "i|III7 bVI|iio|V7 V7", "bVI|bIII|iv|V9", "i|viio7|i|iv iio", "iv|i|V7|i"]),
            (Major, &["I|III7|vi|iv", "Imaj7|vi7|ii7|V9", "I|bVI|iv6|V7", "IVmaj7|iii7|ii7|V9", "ii7|V9|I|I"]),
        ],
        journeys: &[0, 3, 8, 5, 1, 0, 9],
        textures: &[Arpeggio(1.0 / 3.0), Arpeggio(0.5), Arpeggio(0.25), Blocks],
        beats: 4,
        tempo: (56.0, 76.0),
        rhythms: &[
            &[2.0, 1.0, 1.0],
            &[1.5, 0.5, 1.0, 1.0],
            &[-0.5, 0.5, 0.5, 0.5, 2.0],
            &[1.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 1.0, 1.0],
            &[3.0, 0.25, 0.25, 0.25, 0.25],
        ],
        centre: 76,
        leap: 4,
        dynamics: (58.0, 20.0),
        rubato: 0.22,
        spread: 0.03,
        articulation: 1.02,
        pedal: PedalStyle::Harmony,
    },
    Style {
        composer: "Clément Aubrac",
        slug: "aubrac",
        genres: &["Reflets", "Estampe", "Jardins, sous la brume"],
        harmony: &[
            (
                Lydian,
                &["Imaj7|II|Imaj7|II", "Iadd9|bVIImaj7|bVImaj7|II", "vi9|II9|Imaj7|Vsus", "bIIImaj7|IVmaj7|II9|Iadd9"],
            ),
            (WholeTone, &["I+|II+|I+|bVII9", "V9|bV9|IV9|bIII9", "I+|II+|III+|bV9", "V9|bV9|II+|I+"]),
            (
                Mixolydian,
                &["Iadd9|bVII|IVadd9|Iadd9", "v9|bVIImaj7|IV9|Iq", "bVIadd9|bVIIadd9|I6|I6", "IV9|v9|Iadd9|Iadd9"],
            ),
        ],
        journeys: &[0, 4, 8, 2, 10, 6],
        textures: &[Planing, Planing, Arpeggio(0.25), Planing],
        beats: 3,
        tempo: (54.0, 72.0),
        rhythms: &[
            &[1.0, 1.0, 1.0],
            &[1.5, 0.5, 1.0],
            &[0.5, 0.5, 2.0],
            &[-1.0, 0.5, 0.5, 1.0],
            &[1.0, 0.5, 0.5, 0.5, 0.5],
        ],
        centre: 79,
        leap: 3,
        dynamics: (48.0, 14.0),
        rubato: 0.14,
        spread: 0.025,
        articulation: 1.0,
        pedal: PedalStyle::Long,
    },
    Style {
        composer: "Augustus \"Gus\" Lamb",
        slug: "lamb",
        genres: &["Rag", "Cakewalk", "Two-Step, Not Fast"],
        harmony: &[
            (
                Major,
                &[
                    "I|VI7|II7|V7",
                    "I|I7|IV|iv",
                    "I III7|VI7|II7 V7|I",
                    "IV|#ivo7|I VI7|II7 V7",
                    "V7|I|II7|V7",
                    "I VI7|II7|V7|I I",
                ],
            ),
            (Minor, &["i|V7|i|V7", "iv|i|II7|V7", "bVI|bIII|II7|V7", "i III7|bVI|V7|i i"]),
        ],
        journeys: &[0, 0, 5, 0, 9, 5],
        textures: &[Stride, Stride, Stride, Motoric(0.5)],
        beats: 4,
        tempo: (132.0, 168.0),
        rhythms: &[
            &[0.5, 1.0, 0.5, 1.0, 1.0],
            &[-0.5, 0.5, 1.0, 0.5, 0.5, 1.0],
            &[0.5, 0.5, 1.0, 0.5, 1.0, 0.5],
            &[0.5, 1.0, 1.0, 0.5, 1.0],
            &[1.0, 0.5, 1.0, 0.5, 0.5, 0.5],
        ],
        centre: 78,
        leap: 3,
        dynamics: (76.0, 10.0),
        rubato: 0.015,
        spread: 0.008,
        articulation: 0.75,
        pedal: PedalStyle::Touches,
    },
    Style {
        composer: "Miklós Barta",
        slug: "barta",
        genres: &["Toccata", "Dance with Drums", "Burlesque"],
        harmony: &[
            (
                Phrygian,
                &["i|bII|i|bvii", "i bII|bIII bII|i|bII", "iv|bIII|bII|i", "Iq|bIIq|bIIIq|bVIIq", "bII|i|bII bII|i i"],
            ),
            (Octatonic, &["I|bV|bIII|VI", "I7|bIII7|bV7|VI7", "io7|bIIo7|Iq|bVq", "VI|bV|bIII|I I"]),
            (Dorian, &["i|IV|bVII|i", "iq|bVIIq|IVq|vq", "v|IV|bIII|bVII", "bVII|IV|i|i"]),
        ],
        journeys: &[0, 6, 1, 3, 9, 10, 4],
        textures: &[Motoric(0.25), Motoric(0.5), Counterpoint, Motoric(0.5)],
        beats: 4,
        tempo: (116.0, 144.0),
        rhythms: &[
            &[1.5, 1.5, 1.0],
            &[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0],
            &[1.0, 0.5, 1.0, 0.5, 1.0],
            &[-1.0, 0.5, 0.5, 1.5, 0.5],
        ],
        centre: 70,
        leap: 5,
        dynamics: (88.0, 16.0),
        rubato: 0.01,
        spread: 0.0,
        articulation: 0.6,
        pedal: PedalStyle::None,
    },
    Style {
        composer: "Elena Marschall",
        slug: "marschall",
        genres: &["Valse", "Ländler", "Waltz, Caprice"],
        harmony: &[
            (
                Major,
                &[
                    "I|vi|ii|V7|I|vi|II7|V7",
                    "IV|#ivo7|I|VI7|ii|V7|I|I",
                    "vi|III7|vi|II7|V|II7|V7|V7",
                    "I|I+|IV|iv|I|V7|I|I",
                ],
            ),
            (
                Minor,
                &[
                    "i|i|iv|iv|V7|V7|i|V7",
                    "bVI|bVI|bIII|bIII|iio|V7|i|i",
                    "iv|bVII7|bIII|bVI|iio|V7|V7|V7",
                    "i|bVI|iv|viio7|V7|V7|i|i",
                ],
            ),
        ],
        journeys: &[0, 5, 8, 0, 4, 7],
        textures: &[Waltz, Waltz, Waltz, Arpeggio(0.5)],
        beats: 3,
        tempo: (138.0, 186.0),
        rhythms: &[
            &[2.0, 1.0],
            &[1.0, 1.0, 1.0],
            &[1.5, 0.5, 1.0],
            &[3.0],
            &[0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
            &[-1.0, 1.0, 1.0],
        ],
        centre: 78,
        leap: 4,
        dynamics: (64.0, 16.0),
        rubato: 0.12,
        spread: 0.018,
        articulation: 0.9,
        pedal: PedalStyle::Harmony,
    },
];

#[cfg(test)]
mod tests {
    use super::super::theory::Chord;
    use super::*;

    #[test]
    fn every_declaration_is_playable() {
        for style in &COMPOSERS {
            for (_, phrases) in style.harmony {
                for symbol in phrases.iter().flat_map(|p| p.split(['|', ' '])) {
                    assert!(Chord::roman(symbol, 0).is_some(), "{}: {symbol}", style.composer);
                }
            }
            for rhythm in style.rhythms {
                let beats: f64 = rhythm.iter().map(|x| x.abs()).sum();
                assert!((beats - f64::from(style.beats)).abs() < 1e-9, "{}: {rhythm:?}", style.composer);
            }
            assert!(!style.textures.is_empty() && !style.genres.is_empty() && style.tempo.0 <= style.tempo.1);
        }
    }
}
