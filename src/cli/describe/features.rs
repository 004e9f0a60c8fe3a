//! Any audio descriptor but A4, which has a description of its own: a row of features per frame, window by window.

use std::path::Path;

use serde_json::json;

use super::{DescribeConfig, Description, Moments, SHOWN_WINDOWS, Start, WINDOW_SECONDS, name};
use crate::data::audio::{SAMPLE_RATE, stream_mono_24k};
use crate::descriptors::{Descriptor, Source};
use crate::error::{Error, Result};
use crate::report::feature_figure::FeatureFigure;

/// Samples of a window.
const WINDOW: usize = (WINDOW_SECONDS * SAMPLE_RATE as f64) as usize;

/// Describes the audio in `file` as [`super::audio::describe`] does: all full windows, or the one at `start`, or what there is.
pub fn describe(file: &Path, config: &DescribeConfig, descriptor: &'static dyn Descriptor) -> Result<Description> {
    let mut samples = Vec::new();
    stream_mono_24k(file, &mut |more| {
        samples.extend_from_slice(more);
        Ok(())
    })?;
    let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
    let start = if let Start::At(seconds) = config.start { seconds } else { 0.0 };
    let first = (start * f64::from(SAMPLE_RATE)).round() as usize;
    let Some(rest) = samples.get(first..).filter(|rest| !rest.is_empty()) else {
        return Err(Error::Usage(format!("start={start}: {} ends at {seconds:.3} s", file.display())));
    };
    let mut windows: Vec<&[f32]> = rest.chunks_exact(WINDOW).collect();
    if windows.is_empty() {
        windows.push(rest);
    } else if config.start != Start::All {
        windows.truncate(1);
    }
    let values: Vec<Vec<f32>> =
        windows.iter().map(|window| descriptor.compute(Source::audio(window, config.padding))).collect();
    let (columns, dims) = (descriptor.columns(), descriptor.dims());
    let (count, frames, all) = (windows.len(), values[0].len() / dims, values.concat());
    let lower = descriptor.name().to_lowercase();

    let width = columns.iter().map(|column| column.chars().count()).max().unwrap_or(0);
    let mut text = format!("{}: audio, {seconds:.2} s\n{lower}: {}\n", file.display(), descriptor.about());
    text += &format!("{count} windows of {WINDOW_SECONDS} s at most: {frames} frames x {dims} features\n\n");
    text += &format!("{:width$}      mean       sd      min      max\n", "");
    let mut features = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        let moments = Moments::of(&all, dims, i);
        text += &format!("{column:width$}  {moments}\n");
        let mut entry = json!({ "feature": column });
        moments.add_to(&mut entry);
        features.push(entry);
    }
    let json = json!({
        "file": file.to_string_lossy(),
        "kind": "audio",
        "seconds": seconds,
        "descriptor": lower,
        "start": start,
        "windows": count,
        "frames": frames,
        "features": features,
    });
    let shown: Vec<f32> = values.iter().take(SHOWN_WINDOWS).flatten().copied().collect();
    let title = format!("{}: {}", descriptor.name(), descriptor.about());
    let end =
        start + (windows.iter().take(SHOWN_WINDOWS).map(|w| w.len()).sum::<usize>()) as f64 / f64::from(SAMPLE_RATE);
    let note = format!("{}, {start:.2} to {end:.2} s of {seconds:.2} s", name(file));
    Ok(Description {
        descriptor: lower,
        values: all,
        shape: vec![count, frames, dims],
        text,
        json,
        figure: Box::new(move |path| {
            FeatureFigure { title: &title, note: &note, values: &shown, columns: &columns, time: (start, end) }
                .save(path)
        }),
    })
}
