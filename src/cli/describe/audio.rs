//! A descriptor of a recording, window by window.

use std::path::Path;

use serde_json::json;

use super::octaves::Octaves;
use super::{DescribeConfig, Description, Figure, SHOWN_WINDOWS, Start, WINDOW_SECONDS, name, table, word};
use crate::data::audio::{SAMPLE_RATE, stream_mono_24k};
use crate::descriptors::stft::Padding;
use crate::descriptors::{A4, Descriptor, Source};
use crate::error::{Error, Result};
use crate::report::a4_figure::A4Figure;
use crate::report::rows_figure::RowsFigure;

/// Samples of a window.
const WINDOW: usize = (WINDOW_SECONDS * SAMPLE_RATE as f64) as usize;

/// Takes samples in order and describes each window as soon as it is complete.
struct Windows {
    descriptor: &'static dyn Descriptor,
    padding: Padding,
    /// Samples before the first window, not yet passed.
    skip: u64,
    /// Windows that are wanted.
    limit: usize,
    /// Samples of the window in the making.
    pending: Vec<f32>,
    /// Samples that the picture shows.
    shown: Vec<f32>,
    /// Samples of the recording.
    samples: u64,
    /// The descriptor of each window, [frames, dims].
    rows: Vec<Vec<f32>>,
    /// What A4 is made of.
    octaves: Option<Octaves>,
}

impl Windows {
    fn push(&mut self, mut samples: &[f32]) {
        self.samples += samples.len() as u64;
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(samples.len());
        self.skip -= skipped as u64;
        samples = &samples[skipped..];
        while !samples.is_empty() && self.rows.len() < self.limit {
            let (now, later) = samples.split_at(samples.len().min(WINDOW - self.pending.len()));
            self.pending.extend_from_slice(now);
            samples = later;
            if self.pending.len() == WINDOW {
                self.complete();
            }
        }
    }

    fn complete(&mut self) {
        if let Some(octaves) = &mut self.octaves {
            octaves.push(&self.pending, self.padding);
        }
        if self.rows.len() < SHOWN_WINDOWS {
            self.shown.extend_from_slice(&self.pending);
        }
        self.rows.push(self.descriptor.compute(Source::audio(&self.pending, self.padding)));
        self.pending.clear();
    }
}

/// Describes the audio in `file`: all full windows, or the one at `start`; a recording (or what is left of it after
/// `start`) that fills no window is described as one shorter window.
pub fn describe(file: &Path, descriptor: &'static dyn Descriptor, config: &DescribeConfig) -> Result<Description> {
    let (start, limit) = match config.start {
        Start::All => (0.0, usize::MAX),
        Start::At(seconds) => (seconds, 1),
    };
    let mut windows = Windows {
        descriptor,
        padding: config.padding,
        skip: (start * f64::from(SAMPLE_RATE)).round() as u64,
        limit,
        pending: Vec::with_capacity(WINDOW),
        shown: Vec::new(),
        samples: 0,
        rows: Vec::new(),
        octaves: (descriptor.name() == A4.name()).then(Octaves::default),
    };
    stream_mono_24k(file, &mut |samples| {
        windows.push(samples);
        Ok(())
    })?;
    let seconds = windows.samples as f64 / f64::from(SAMPLE_RATE);
    if windows.rows.is_empty() {
        if windows.pending.is_empty() {
            return Err(Error::Usage(format!("start={start}: {} ends at {seconds:.3} s", file.display())));
        }
        windows.complete();
    }
    Ok(summarise(file, config, start, seconds, windows))
}

fn summarise(file: &Path, config: &DescribeConfig, start: f64, seconds: f64, windows: Windows) -> Description {
    let Windows { descriptor, rows, octaves, shown, pending, .. } = windows;
    let (count, dims) = (rows.len(), descriptor.dims());
    let frames = rows[0].len() / dims;
    let values = rows.concat();
    let window_seconds = (shown.len() as f64 / f64::from(SAMPLE_RATE)).min(WINDOW_SECONDS);
    let left_out = if config.start == Start::All { pending.len() as f64 / f64::from(SAMPLE_RATE) } else { 0.0 };

    let mut text = format!("{}: audio, {seconds:.2} s\n", file.display());
    let word = word(descriptor);
    let what = match count {
        1 => format!("{word} of one window, {start:.2} to {:.2} s", start + window_seconds),
        _ => format!("{word} of {count} windows of {WINDOW_SECONDS} s, each on its own"),
    };
    text += &format!("{what}: {frames} frames x {dims}; {}\n", descriptor.about());
    if left_out > 0.0 {
        text +=
            &format!("the last {left_out:.2} s fill no window and are left out (start=SECONDS describes any window)\n");
    }
    let (lines, features) = octaves.map_or_else(|| table(descriptor, &values), |octaves| octaves.table(&values));
    text += &format!("\n{lines}");
    let json = json!({
        "file": file.to_string_lossy(),
        "kind": "audio",
        "seconds": seconds,
        "descriptor": word,
        "start": start,
        "windows": count,
        "window_seconds": window_seconds,
        "frames": frames,
        "left_out_seconds": left_out,
        "features": features,
    });
    let span = (start, start + shown.len() as f64 / f64::from(SAMPLE_RATE));
    let borders = if count > 1 { "; black lines divide the windows" } else { "" };
    let note = format!("{}, {:.2} to {:.2} s of {seconds:.2} s{borders}", name(file), span.0, span.1);
    let shown_rows = rows.into_iter().take(SHOWN_WINDOWS).collect();
    Description {
        descriptor: word,
        values,
        shape: vec![count, frames, dims],
        text,
        json,
        figure: figure(descriptor, config.padding, span, note, shown, shown_rows),
    }
}

/// The picture of the first windows.
fn figure(
    descriptor: &'static dyn Descriptor,
    padding: Padding,
    span: (f64, f64),
    note: String,
    audio: Vec<f32>,
    windows: Vec<Vec<f32>>,
) -> Figure {
    Box::new(move |path| {
        if descriptor.name() == A4.name() {
            let title = "A4: how the energy of each octave changes";
            let (start, window_seconds) = (span.0, WINDOW_SECONDS);
            return A4Figure { title, note: &note, audio: &audio, start, windows: &windows, window_seconds, padding }
                .save(path);
        }
        let borders: Vec<f64> = (1..windows.len()).map(|i| span.0 + i as f64 * WINDOW_SECONDS).collect();
        RowsFigure {
            title: &format!("{}: {}", descriptor.name(), descriptor.about()),
            note: &note,
            columns: &descriptor.columns(),
            values: &windows.concat(),
            span,
            borders: &borders,
            along: "time (s)",
            audio: Some((&audio, padding)),
        }
        .save(path)
    })
}
