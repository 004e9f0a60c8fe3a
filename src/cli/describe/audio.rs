//! A4 of a recording, in bounded memory.

use std::path::Path;

use serde_json::json;

use super::{DescribeConfig, Description, Figure, Moments, SHOWN_WINDOWS, Start, WINDOW_SECONDS, name};
use crate::data::audio::{SAMPLE_RATE, stream_mono_24k};
use crate::descriptors::a4::{BAND_NAMES, BANDS, band_hz, difference, log_energies, standardise};
use crate::descriptors::stft::Padding;
use crate::error::{Error, Result};
use crate::report::a4_figure::A4Figure;

/// Samples of a window.
const WINDOW: usize = (WINDOW_SECONDS * SAMPLE_RATE as f64) as usize;

/// Takes samples in order and describes each window as soon as it is complete.
struct Windows {
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
    /// A4 of each window, [frames, 8].
    a4: Vec<Vec<f32>>,
    /// Mean log-magnitudes, and their change from frame to frame, of all windows [.., 8].
    levels: Vec<f32>,
    changes: Vec<f32>,
}

impl Windows {
    fn push(&mut self, mut samples: &[f32]) {
        self.samples += samples.len() as u64;
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(samples.len());
        self.skip -= skipped as u64;
        samples = &samples[skipped..];
        while !samples.is_empty() && self.a4.len() < self.limit {
            let (now, later) = samples.split_at(samples.len().min(WINDOW - self.pending.len()));
            self.pending.extend_from_slice(now);
            samples = later;
            if self.pending.len() == WINDOW {
                self.complete();
            }
        }
    }

    fn complete(&mut self) {
        let mut rows = log_energies(&self.pending, self.padding);
        self.levels.extend_from_slice(&rows);
        difference(&mut rows);
        self.changes.extend_from_slice(&rows);
        standardise(&mut rows);
        if self.a4.len() < SHOWN_WINDOWS {
            self.shown.extend_from_slice(&self.pending);
        }
        self.a4.push(rows);
        self.pending.clear();
    }
}

/// Describes the audio in `file`: all full windows, or the one at `start`; a recording (or what is left of it after
/// `start`) that fills no window is described as one shorter window.
pub fn describe(file: &Path, config: &DescribeConfig) -> Result<Description> {
    let (start, limit) = match config.start {
        Start::All => (0.0, usize::MAX),
        Start::At(seconds) => (seconds, 1),
    };
    let mut windows = Windows {
        padding: config.padding,
        skip: (start * f64::from(SAMPLE_RATE)).round() as u64,
        limit,
        pending: Vec::with_capacity(WINDOW),
        shown: Vec::new(),
        samples: 0,
        a4: Vec::new(),
        levels: Vec::new(),
        changes: Vec::new(),
    };
    stream_mono_24k(file, &mut |samples| {
        windows.push(samples);
        Ok(())
    })?;
    let seconds = windows.samples as f64 / f64::from(SAMPLE_RATE);
    if windows.a4.is_empty() {
        if windows.pending.is_empty() {
            return Err(Error::Usage(format!("start={start}: {} ends at {seconds:.3} s", file.display())));
        }
        windows.complete();
    }
    Ok(summarise(file, config, start, seconds, windows))
}

fn summarise(file: &Path, config: &DescribeConfig, start: f64, seconds: f64, windows: Windows) -> Description {
    let Windows { a4, levels, changes, shown, pending, .. } = windows;
    let (count, frames) = (a4.len(), a4[0].len() / BANDS);
    let values = a4.concat();
    let window_seconds = (shown.len() as f64 / f64::from(SAMPLE_RATE)).min(WINDOW_SECONDS);
    let left_out = if config.start == Start::All { pending.len() as f64 / f64::from(SAMPLE_RATE) } else { 0.0 };

    let mut text = format!("{}: audio, {seconds:.2} s\n", file.display());
    let what = match count {
        1 => format!("a4 of one window, {start:.2} to {:.2} s", start + window_seconds),
        _ => format!("a4 of {count} windows of {WINDOW_SECONDS} s, one after another, z-scored within each"),
    };
    text += &format!("{what}: {frames} frames x {BANDS} bands\n");
    if left_out > 0.0 {
        text +=
            &format!("the last {left_out:.2} s fill no window and are left out (start=SECONDS describes any window)\n");
    }
    text += "level: mean of ln(1 + |X|); change: SD of its difference from frame to frame, which a4 divides by\n\n";
    text += "band   frequency (Hz)   content               level   change |  a4: mean       sd      min      max\n";
    let mut bands = Vec::new();
    for (band, content) in BAND_NAMES.iter().enumerate() {
        let (low, high) = band_hz(band);
        let moments = Moments::of(&values, BANDS, band);
        let level = Moments::of(&levels, BANDS, band).mean;
        let change = Moments::of(&changes, BANDS, band).sd;
        text +=
            &format!("{band:>4}   {low:>6.0} - {high:<6.0} {content:<20} {level:8.3} {change:8.3} |    {moments}\n");
        let mut entry =
            json!({ "band": band, "hz": [low, high], "content": content, "level": level, "change": change });
        moments.add_to(&mut entry);
        bands.push(entry);
    }
    let json = json!({
        "file": file.to_string_lossy(),
        "kind": "audio",
        "seconds": seconds,
        "descriptor": "a4",
        "start": start,
        "windows": count,
        "window_seconds": window_seconds,
        "frames": frames,
        "left_out_seconds": left_out,
        "bands": bands,
    });
    Description {
        descriptor: "a4".into(),
        values,
        shape: vec![count, frames, BANDS],
        text,
        json,
        figure: figure(name(file), config.padding, start, seconds, shown, a4.into_iter().take(SHOWN_WINDOWS).collect()),
    }
}

/// The picture of the first windows.
fn figure(file: String, padding: Padding, start: f64, seconds: f64, audio: Vec<f32>, windows: Vec<Vec<f32>>) -> Figure {
    Box::new(move |path| {
        let end = start + audio.len() as f64 / f64::from(SAMPLE_RATE);
        let borders = if windows.len() > 1 { "; black lines divide the windows" } else { "" };
        let note = format!("{file}, {start:.2} to {end:.2} s of {seconds:.2} s{borders}");
        A4Figure {
            title: "A4: how the energy of each octave changes",
            note: &note,
            audio: &audio,
            start,
            windows: &windows,
            window_seconds: WINDOW_SECONDS,
            padding,
        }
        .save(path)
    })
}
