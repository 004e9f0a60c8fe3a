//! What the points of an embedding map are, to be seen and heard: titles, notes, and as many recordings as a page can carry.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;

use super::figure::{Clip, Clips};
use crate::data::audio::SAMPLE_RATE;
use crate::data::note::Note;
use crate::data::resample::Resampler;
use crate::data::segments::{Dataset, Segment, WINDOW_SECONDS};
use crate::error::Result;

/// Samples per second of a clip's sound.
pub const RATE: u32 = 8000;
/// Characters of base64 that the sound of all clips may take.
const BUDGET: usize = 2_000_000;

/// The clips of `segments`, each with the cosine of its two embeddings.
///
/// # Errors
/// Where a recording cannot be resampled.
pub fn clips(dataset: &Dataset, segments: &[Segment], cosines: &[f64]) -> Result<Clips> {
    let (mut pieces, mut titles) = (BTreeMap::new(), Vec::new());
    let of: Vec<u32> = segments
        .iter()
        .map(|segment| {
            let performance = &dataset.performances[segment.performance as usize];
            *pieces.entry(performance.piece).or_insert_with(|| {
                titles.push(format!("{}: {}", performance.composer, performance.title));
                titles.len() as u32 - 1
            })
        })
        .collect();
    let audible = spread(&of, BUDGET / characters(RATE as usize * WINDOW_SECONDS as usize));
    let clip = |i: usize| {
        let segment = &segments[i];
        let sound = if audible.binary_search(&i).is_ok() { sound(&dataset.audio(segment))? } else { String::new() };
        let notes = dataset.notes(segment).iter().map(note).collect();
        Ok(Clip { piece: of[i], start: segment.start, cosine: cosines[i] as f32, notes, sound })
    };
    Ok(Clips { pieces: titles, clips: (0..segments.len()).into_par_iter().map(clip).collect::<Result<_>>()? })
}

/// Pitch, velocity, onset and duration in milliseconds, of at most a minute.
fn note(note: &Note) -> (u8, u8, u16, u16) {
    let milliseconds = |seconds: f64| (1000.0 * seconds).round().clamp(0.0, f64::from(u16::MAX)) as u16;
    (note.pitch, note.velocity, milliseconds(note.onset), milliseconds(note.duration))
}

/// At most `wanted` indices of samples, ascending: as many of each piece as of the others while they last, spread evenly over it.
fn spread(pieces: &[u32], wanted: usize) -> Vec<usize> {
    let mut of: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    pieces.iter().enumerate().for_each(|(i, &piece)| of.entry(piece).or_default().push(i));
    // The smallest pieces first: what they cannot use is left to the others.
    let mut by_size: Vec<&Vec<usize>> = of.values().collect();
    by_size.sort_by_key(|samples| samples.len());
    let (mut left, mut chosen) = (wanted, Vec::new());
    for (done, samples) in by_size.iter().enumerate() {
        let count = samples.len().min(left / (by_size.len() - done));
        chosen.extend((0..count).map(|i| samples[(2 * i + 1) * samples.len() / (2 * count)]));
        left -= count;
    }
    chosen.sort_unstable();
    chosen
}

/// 24 kHz mono as µ-law at [`RATE`], in base64.
fn sound(audio: &[f32]) -> Result<String> {
    let mut bytes = Vec::with_capacity(audio.len() * RATE as usize / SAMPLE_RATE as usize);
    let mut sink = |samples: &[f32]| {
        bytes.extend(samples.iter().map(|x| mu_law((32_768.0 * x).round() as i16)));
        Ok(())
    };
    let mut resampler = Resampler::new(SAMPLE_RATE, RATE)?;
    resampler.push(audio, &mut sink)?;
    resampler.finish(&mut sink)?;
    Ok(STANDARD.encode(bytes))
}

/// Characters of so many bytes in base64.
fn characters(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// A sample in µ-law (ITU-T G.711): sign, three bits of exponent, four of mantissa, all inverted.
fn mu_law(sample: i16) -> u8 {
    const BIAS: u16 = 132;
    const CLIP: u16 = 32_635;
    let magnitude = sample.unsigned_abs().min(CLIP) + BIAS;
    let exponent = 8 - magnitude.leading_zeros() as u8; // magnitudes have 8 to 15 bits
    let mantissa = (magnitude >> (exponent + 3)) as u8 & 0x0F;
    !(u8::from(sample < 0) << 7 | exponent << 4 | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::maestro::Split;
    use crate::data::segments::Performance;

    /// G.711's decoder.
    fn linear(byte: u8) -> i32 {
        let byte = !byte;
        let (exponent, mantissa) = (byte >> 4 & 7, i32::from(byte & 0x0F));
        let magnitude = ((2 * mantissa + 33) << (exponent + 2)) - 132;
        if byte & 0x80 != 0 { -magnitude } else { magnitude }
    }

    #[test]
    fn mu_law_is_the_standards() {
        assert_eq!([0, -1, 32_767, -32_768, 1000, -1000].map(mu_law), [0xFF, 0x7F, 0x80, 0x00, 0xCE, 0x4E]);
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let (got, wanted) = (linear(mu_law(sample)), i32::from(sample));
            assert!((got - wanted).abs() <= 4 + wanted.abs() / 30, "{wanted}: {got}");
        }
    }

    #[test]
    fn sound_goes_to_every_piece_alike() {
        let pieces = [vec![0; 100], vec![1; 3], vec![2; 50]].concat();
        let chosen = spread(&pieces, 21);
        let count = |piece| chosen.iter().filter(|&&i| pieces[i] == piece).count();
        assert_eq!((count(0), count(1), count(2)), (9, 3, 9));
        assert!(chosen[0] < 10 && chosen.contains(&101), "{chosen:?}");
        assert_eq!((spread(&pieces, 999).len(), spread(&pieces, 0).len()), (153, 0));
    }

    #[test]
    fn clips_hold_what_is_in_the_window() {
        let audio: Vec<i16> = (0..30 * 24_000).map(|n| (9000.0 * (n as f64 * 0.1).sin()) as i16).collect();
        let note = |pitch, onset| Note { pitch, velocity: 70, onset, duration: 99.0 };
        let performance = Performance {
            composer: "C".into(),
            title: "T".into(),
            piece: 7,
            composer_id: 0,
            split: Split::Test,
            audio: audio.into(),
            renderings: Vec::new(),
            notes: vec![note(60, 5.25), note(64, 9.5)],
        };
        let dataset = Dataset { performances: vec![performance], ..Dataset::default() };
        let segments = [5.0, 7.0].map(|start| Segment { performance: 0, start });
        let clips = clips(&dataset, &segments, &[0.5, 0.25]).unwrap();
        assert_eq!(clips.pieces, ["C: T"]);
        let found = clips.clips.iter().map(|c| (c.piece, c.start, c.cosine, c.notes.clone())).collect::<Vec<_>>();
        let expected = [(0, 5.0, 0.5, vec![(60, 70, 250, 65_535)]), (0, 7.0, 0.25, vec![(64, 70, 2500, 65_535)])];
        assert_eq!(found, expected);
        let bytes = STANDARD.decode(&clips.clips[0].sound).unwrap();
        assert_eq!(bytes.len(), 32_000);
        // The tone, three times as fast at a third of the rate.
        let error = (100..30_000).map(|n| {
            let expected = 9000.0 * ((n as f64 * 3.0 + 120_000.0) * 0.1).sin();
            (f64::from(linear(bytes[n])) - expected).abs()
        });
        assert!(error.fold(0.0, f64::max) < 330.0);
    }
}
