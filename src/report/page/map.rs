//! Maps of the embedding space that one can look around in and hear: the markup, and their data as JSON in the page.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};
use serde::Serialize;

use super::aligned::{Chapter, Plate};
use super::frame::source;
use super::plate::origin;
use super::{RunReport, TestReport};
use crate::validate::figure::{Clip, Clips, MapPair, Picture};

/// All maps of a page. Byte strings are base64.
#[derive(Serialize)]
struct Data<'a> {
    pieces: Vec<&'a str>,
    clips: Vec<Sample<'a>>,
    /// One for each run.
    runs: Vec<RunMaps>,
}

/// A clip of the page; runs on the same data share it.
#[derive(Serialize)]
struct Sample<'a> {
    /// Index of the piece.
    p: usize,
    /// Start in seconds.
    s: f64,
    /// Notes, 6 bytes each: pitch, velocity, onset and duration (little-endian, in milliseconds).
    n: String,
    /// The recording, µ-law at 8,000 Hz; left out where there is none or no room for it.
    #[serde(skip_serializing_if = "str::is_empty")]
    a: &'a str,
}

#[derive(Serialize)]
struct RunMaps {
    /// Cosines in thousandths, by index of the run's own clips.
    cosines: Vec<i32>,
    /// Indices of the page's clips, by index of the run's own.
    clips: Vec<usize>,
    maps: Vec<Map>,
}

#[derive(Serialize)]
struct Map {
    method: String,
    /// For each pair x and y of the recording, x and y of its notes, as 16-bit shares (little-endian) of the plane's larger side.
    xy: String,
    /// Indices of the run's clips.
    clips: Vec<u32>,
}

/// The maps' part of a section: one for each run, with all its methods.
pub(super) fn markup(maps: &[&Plate], chapter: &Chapter, runs: &[RunReport]) -> Markup {
    if maps.is_empty() {
        return html! {};
    }
    html! {
        div.plate {
            h4 { "Map of the embedding space" (source(maps[0].parts.iter().flatten().next().map_or("", |f| &f.source))) }
            noscript { p.skipped { "The interactive map needs a script; the same maps are in the SVG files below." } }
            div.maps {
                @for (i, run) in runs.iter().enumerate() {
                    @if maps.iter().any(|plate| plate.parts[i].is_some()) { (widget(i, run, runs.len() > 1)) }
                }
            }
            @for plate in maps {
                @for (i, figure) in plate.parts.iter().enumerate() {
                    @if let Some(figure) = figure {
                        @let name = if plate.merged.is_some() { plate.id.to_owned() } else { format!("{}-{}", plate.id, i + 1) };
                        @let tests: Vec<&TestReport> = chapter.tests[i].into_iter().collect();
                        p.caption {
                            strong { (figure.title) ". " } (figure.caption) (origin(figure, &name, &tests))
                        }
                    }
                }
            }
        }
    }
}

/// What the script fills: it is hidden until then.
fn widget(i: usize, run: &RunReport, several: bool) -> Markup {
    let help = format!("map-help-{i}");
    html! {
        div.map data-run=(i) hidden {
            @if several { h5 { (run.name) } }
            div.controls {
                fieldset.methods { legend { "Method" } }
                fieldset {
                    legend { "Colour" }
                    label { input type="radio" name={ "colour-" (i) } value="side" checked; " recording and MIDI" }
                    label { input type="radio" name={ "colour-" (i) } value="piece"; " piece" }
                }
            }
            canvas.plane tabindex="0" role="application" aria-label="Map of pairs of recordings and their MIDI" aria-describedby=(help) {}
            p.key aria-hidden="true" { span.audio { "recording" } span.midi { "its MIDI" } span.pair { "a matching pair" } }
            p.help id=(help) {
                "Arrow keys move to the next pair in that direction, Enter plays the recording, M its MIDI, Escape stops; "
                "+ and − zoom, 0 shows all. Or point and click."
            }
            div.clip {
                p.about role="status" {}
                canvas.roll role="img" aria-label="Notes of the clip" {}
                div.buttons {
                    button type="button" data-do="previous" { "previous" }
                    button type="button" data-do="next" { "next" }
                    button type="button" data-do="audio" { "play recording" }
                    button type="button" data-do="midi" { "play MIDI" }
                    button type="button" data-do="stop" { "stop" }
                }
            }
        }
    }
}

/// The maps' data as a script tag of at most about `room` bytes, recordings that do not fit left out; nothing where there is no map.
pub(super) fn data(runs: &[RunReport], room: usize) -> String {
    let mut data = Data { pieces: Vec::new(), clips: Vec::new(), runs: Vec::new() };
    let mut known = Known::default();
    for run in runs {
        let mut own = RunMaps { cosines: Vec::new(), clips: Vec::new(), maps: maps(run) };
        if let Some(clips) = &run.clips {
            own.cosines = clips.clips.iter().map(|clip| (1000.0 * clip.cosine).round() as i32).collect();
            own.clips = clips.clips.iter().map(|clip| data.place(&mut known, clips, clip)).collect();
        }
        data.runs.push(own);
    }
    if data.runs.iter().all(|run| run.maps.is_empty()) {
        return String::new();
    }
    let sounds: Vec<&str> = data.clips.iter_mut().map(|clip| std::mem::take(&mut clip.a)).collect();
    let mut left = room.saturating_sub(script(&data).len());
    for (clip, sound) in data.clips.iter_mut().zip(sounds) {
        let bytes = sound.len() + r#","a":"""#.len();
        if !sound.is_empty() && bytes <= left {
            clip.a = sound;
            left -= bytes;
        }
    }
    script(&data)
}

/// Text that cannot end its element: no `<` is left in it.
fn script(data: &Data) -> String {
    // Numbers and strings alone: every value has a JSON form.
    let json = serde_json::to_string(data).unwrap_or_default().replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"maps\">{json}</script>")
}

/// Places of pieces and clips that are in the data.
#[derive(Default)]
struct Known<'a> {
    pieces: HashMap<&'a str, usize>,
    clips: HashMap<(usize, u64, String), usize>,
}

impl<'a> Data<'a> {
    /// The index of a clip, which is added if it is new.
    fn place(&mut self, known: &mut Known<'a>, clips: &'a Clips, clip: &'a Clip) -> usize {
        let title = clips.pieces.get(clip.piece as usize).map_or("", String::as_str);
        let piece = *known.pieces.entry(title).or_insert_with(|| {
            self.pieces.push(title);
            self.pieces.len() - 1
        });
        let notes = notes(clip);
        let place = *known.clips.entry((piece, clip.start.to_bits(), notes.clone())).or_insert_with(|| {
            let start = (1000.0 * clip.start).round() / 1000.0;
            self.clips.push(Sample { p: piece, s: start, n: notes, a: "" });
            self.clips.len() - 1
        });
        if self.clips[place].a.is_empty() {
            self.clips[place].a = &clip.sound;
        }
        place
    }
}

fn notes(clip: &Clip) -> String {
    let bytes = clip.notes.iter().flat_map(|&(pitch, velocity, onset, duration)| {
        let ([o0, o1], [d0, d1]) = (onset.to_le_bytes(), duration.to_le_bytes());
        [pitch, velocity, o0, o1, d0, d1]
    });
    BASE64_STANDARD.encode(bytes.collect::<Vec<_>>())
}

fn maps(run: &RunReport) -> Vec<Map> {
    let figures = run.tests.iter().filter_map(TestReport::findings).flat_map(|findings| &findings.figures);
    figures
        .filter_map(|figure| match &figure.picture {
            Picture::Map { method, pairs } => Some(Map {
                method: method.clone(),
                xy: places(pairs),
                clips: pairs.iter().map(|pair| pair.clip).collect(),
            }),
            _ => None,
        })
        .collect()
}

/// Places as shares of the larger side of the plane, so that its shape is kept.
fn places(pairs: &[MapPair]) -> String {
    let finite = |x: f32| x.is_finite().then_some(x);
    let points = || pairs.iter().flat_map(|pair| [pair.audio, pair.midi]);
    let low = |of: fn((f32, f32)) -> f32| points().filter_map(|p| finite(of(p))).fold(f32::INFINITY, f32::min);
    let high = |of: fn((f32, f32)) -> f32| points().filter_map(|p| finite(of(p))).fold(f32::NEG_INFINITY, f32::max);
    let (left, bottom) = (low(|p| p.0), low(|p| p.1));
    let side = (high(|p| p.0) - left).max(high(|p| p.1) - bottom).max(f32::MIN_POSITIVE);
    let share = |x: f32, from: f32| (f32::from(u16::MAX) * (x - from) / side) as u16;
    let bytes = points().flat_map(|(x, y)| [share(x, left), share(y, bottom)]).flat_map(u16::to_le_bytes);
    BASE64_STANDARD.encode(bytes.collect::<Vec<_>>())
}
