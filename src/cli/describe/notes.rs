//! A descriptor of a MIDI file.

use std::path::Path;

use serde_json::json;

use super::{DescribeConfig, Description, Figure, SHOWN_WINDOWS, Start, WINDOW_SECONDS, name, table, word};
use crate::data::midi::{PedalMode, read_midi};
use crate::data::note::Note;
use crate::descriptors::{D4, Descriptor, Source};
use crate::error::{Error, Result};
use crate::report::d4_figure::D4Figure;
use crate::report::rows_figure::RowsFigure;

/// Describes the notes in `file` in order of onset, then pitch: all of them, or those that begin in the window at `start`.
pub fn describe(file: &Path, descriptor: &'static dyn Descriptor, config: &DescribeConfig) -> Result<Description> {
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
    let values = descriptor.compute(Source::midi(&notes));
    let extremes = |f: fn(&Note) -> u8| (notes.iter().map(f).min(), notes.iter().map(f).max());
    let (pitch, velocity) = (extremes(|n| n.pitch), extremes(|n| n.velocity));
    let show = |(low, high): (Option<u8>, Option<u8>)| format!("{} to {}", low.unwrap_or(0), high.unwrap_or(0));

    let mut text = format!("{}: MIDI, {:.2} s, {}\n", file.display(), midi.length, midi.repairs);
    text += &format!(
        "{} of {} notes that begin at {:.2} to {:.2} s: pitch {}, velocity {}\n",
        word(descriptor),
        notes.len(),
        first.onset,
        last.onset,
        show(pitch),
        show(velocity)
    );
    text += &format!("{}\n\n", descriptor.about());
    let (lines, features) = table(descriptor, &values);
    text += &lines;
    let json = json!({
        "file": file.to_string_lossy(),
        "kind": "midi",
        "seconds": midi.length,
        "repairs": midi.repairs,
        "descriptor": word(descriptor),
        "start": start,
        "notes": notes.len(),
        "pitch": [pitch.0, pitch.1],
        "velocity": [velocity.0, velocity.1],
        "features": features,
    });

    let shown_end = end.min(start + SHOWN_WINDOWS as f64 * WINDOW_SECONDS);
    let shape = vec![notes.len(), descriptor.dims()];
    let picture = figure(descriptor, name(file), midi.length, (start, shown_end), notes, values.clone());
    Ok(Description { descriptor: word(descriptor), shape, text, json, figure: picture, values })
}

fn figure(
    descriptor: &'static dyn Descriptor,
    file: String,
    seconds: f64,
    span: (f64, f64),
    notes: Vec<Note>,
    values: Vec<f32>,
) -> Figure {
    Box::new(move |path| {
        let note = format!("{file}, {:.2} to {:.2} s of {seconds:.2} s", span.0, span.1);
        if descriptor.name() == D4.name() {
            let title = "D4: the intervals from note to note";
            return D4Figure { title, note: &note, notes: &notes, d4: &values, span }.save(path);
        }
        let shown = notes.iter().filter(|note| note.onset < span.1).count();
        RowsFigure {
            title: &format!("{}: {}", descriptor.name(), descriptor.about()),
            note: &note,
            columns: &descriptor.columns(),
            values: &values[..shown * descriptor.dims()],
            span: (0.0, shown as f64),
            borders: &[],
            along: "note",
            audio: None,
        }
        .save(path)
    })
}
