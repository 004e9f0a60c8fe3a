//! D4 of a MIDI file.

use std::path::Path;

use serde_json::json;

use super::{DescribeConfig, Description, Figure, Moments, SHOWN_WINDOWS, Start, WINDOW_SECONDS, name};
use crate::data::midi::{PedalMode, read_midi};
use crate::data::note::Note;
use crate::descriptors::d4::{FEATURE_NAMES, FEATURES, d4};
use crate::error::{Error, Result};
use crate::report::d4_figure::D4Figure;

/// Describes the notes in `file` in order of onset, then pitch: all of them, or those that begin in the window at `start`.
pub fn describe(file: &Path, config: &DescribeConfig) -> Result<Description> {
    let midi = read_midi(file, PedalMode::Ignore)?;
    let mut notes = midi.notes;
    if notes.is_empty() {
        return Err(Error::input(file, "notes", "at least one", "none"));
    }
    let (start, end) = match config.start {
        Start::All => (0.0, midi.length),
        Start::At(start) => (start, start + WINDOW_SECONDS),
    };
    if config.start != Start::All {
        notes.retain(|note| (start..end).contains(&note.onset));
    }
    let (Some(first), Some(last)) = (notes.first(), notes.last()) else {
        let length = midi.length;
        return Err(Error::Usage(format!("start={start}: no note begins in these 4 s ({length:.2} s in all)")));
    };
    let pitches: Vec<u8> = notes.iter().map(|note| note.pitch).collect();
    let values = d4(&pitches);
    let extremes = |f: fn(&Note) -> u8| (notes.iter().map(f).min(), notes.iter().map(f).max());
    let (pitch, velocity) = (extremes(|n| n.pitch), extremes(|n| n.velocity));
    let show = |(low, high): (Option<u8>, Option<u8>)| format!("{} to {}", low.unwrap_or(0), high.unwrap_or(0));

    let mut text = format!("{}: MIDI, {:.2} s, {}\n", file.display(), midi.length, midi.repairs);
    text += &format!(
        "d4 of {} notes that begin at {:.2} to {:.2} s: pitch {}, velocity {}\n\n",
        notes.len(),
        first.onset,
        last.onset,
        show(pitch),
        show(velocity)
    );
    text += "column   feature                               mean       sd      min      max\n";
    let mut features = Vec::new();
    for (column, feature) in FEATURE_NAMES.iter().enumerate() {
        let moments = Moments::of(&values, FEATURES, column);
        text += &format!("{:>6}   {feature:<32} {moments}\n", column + 1);
        let mut entry = json!({ "column": column + 1, "feature": feature });
        moments.add_to(&mut entry);
        features.push(entry);
    }
    let json = json!({
        "file": file.to_string_lossy(),
        "kind": "midi",
        "seconds": midi.length,
        "repairs": midi.repairs,
        "descriptor": "d4",
        "start": start,
        "notes": notes.len(),
        "pitch": [pitch.0, pitch.1],
        "velocity": [velocity.0, velocity.1],
        "features": features,
    });

    let shown_end = end.min(start + SHOWN_WINDOWS as f64 * WINDOW_SECONDS);
    Ok(Description {
        descriptor: "d4".into(),
        shape: vec![notes.len(), FEATURES],
        text,
        json,
        figure: figure(name(file), midi.length, (start, shown_end), notes, values.clone()),
        values,
    })
}

fn figure(file: String, seconds: f64, span: (f64, f64), notes: Vec<Note>, d4: Vec<f32>) -> Figure {
    Box::new(move |path| {
        let note = format!("{file}, {:.2} to {:.2} s of {seconds:.2} s", span.0, span.1);
        let title = "D4: the intervals from note to note";
        D4Figure { title, note: &note, notes: &notes, d4: &d4, span }.save(path)
    })
}
