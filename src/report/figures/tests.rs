//! Made-up figures of every kind. `DESCANT_FIGURES=FOLDER` keeps them for looking at.

use super::*;
use crate::validate::figure::{Attention, BarSeries, Block, Curve, Level, MapPair, Shares};
use crate::validate::findings::Unit;

fn figure(id: &str, picture: Picture) -> Figure {
    let title = format!("{id}: made up");
    Figure { id: id.into(), title, source: "figure 3".into(), caption: "Made up.".into(), picture }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn level(label: &str, value: f64) -> Level {
    Level { label: label.into(), value }
}

fn wave(i: usize) -> f64 {
    (i as f64 * 0.7).sin()
}

/// One figure of each kind and of both ways of bars.
pub(in crate::report) fn figures() -> Vec<Figure> {
    let series = |label: &str, base: f64| BarSeries {
        label: label.into(),
        values: vec![Some(base), Some(base - 0.3), None],
        intervals: vec![Some((base - 0.03, base + 0.04)), Some((base - 0.35, base - 0.26)), None],
        marks: vec![Some(base - 0.05), None, None],
    };
    let bars = Picture::Bars {
        axis: "S (%)".into(),
        unit: Unit::Share,
        groups: names(&["intact", "A4 set to zero", "A4 replaced by noise"]),
        series: vec![series("this run", 0.82), series("baseline D0", 0.74)],
        lines: vec![
            level("chance", 0.039),
            level("pitch classes", 0.54),
            level("pitch classes × 8 time slices", 0.55),
            level("ceiling of what needs no learning", 0.98),
        ],
    };
    let lying = Picture::Bars {
        axis: "Δ R@1 audio→MIDI (pp)".into(),
        unit: Unit::Points,
        groups: (0..12).map(|i| format!("band {i} ({}–{} Hz)", 47 << i, 94 << i)).collect(),
        series: vec![BarSeries {
            label: "this run".into(),
            values: (0..12).map(|i| Some(-0.2 + 0.14 * wave(i))).collect(),
            intervals: (0..12).map(|i| Some((-0.23 + 0.14 * wave(i), -0.16 + 0.14 * wave(i)))).collect(),
            marks: (0..12).map(|i| Some(-0.21 + 0.1 * wave(i + 1))).collect(),
        }],
        lines: vec![level("null", -0.01), level("mean", -0.03), level("the paper's mean", -0.04)],
    };
    let curve = |label: &str, drop: f64, published: bool| Curve {
        label: label.into(),
        points: (-6..=6).step_by(2).map(|k| (k.into(), 0.9 - drop * f64::from(k * k) / 36.0)).collect(),
        band: if published { Vec::new() } else { (0..7).map(|i| (0.3 + 0.02 * f64::from(i), 0.9)).collect() },
        published,
    };
    let lines = Picture::Lines {
        x_axis: "semitones".into(),
        y_axis: "retention (%)".into(),
        unit: Unit::Share,
        x_labels: names(&["−6", "−4", "−2", "0", "+2", "+4", "+6"]),
        series: vec![curve("audio", 0.4, false), curve("audio, paper", 0.5, true)],
        lines: vec![level("chance", 0.04), level("untransposed", 0.86)],
    };
    let noise = Picture::Lines {
        x_axis: "signal to noise (dB)".into(),
        y_axis: "S (%)".into(),
        unit: Unit::Share,
        x_labels: Vec::new(),
        series: ["audio→MIDI", "MIDI→audio", "both"]
            .iter()
            .enumerate()
            .map(|(i, label)| Curve {
                label: (*label).into(),
                points: (0..=4).map(|k| (f64::from(k) * 10.0, 0.5 + 0.1 * f64::from(k) - 0.05 * i as f64)).collect(),
                ..Curve::default()
            })
            .collect(),
        lines: vec![level("chance", 0.04)],
    };
    let layers: Vec<String> =
        (0..7).map(|i| format!("audio {i}")).chain((0..7).map(|i| format!("MIDI block {i}"))).collect();
    let matrix = Picture::Matrix {
        x_axis: "layer".into(),
        y_axis: "layer".into(),
        axis: "CKA".into(),
        unit: Unit::Number(2),
        rows: layers.clone(),
        columns: layers,
        values: (0..196).map(|i| ((i % 14) as f64 - (i / 14) as f64).abs()).map(|d| 1.0 / (1.0 + 0.4 * d)).collect(),
        range: (0.0, 1.0),
        blocks: vec![
            Block { label: "audio × MIDI".into(), from: (0, 7), to: (7, 14) },
            Block { label: "audio × MIDI".into(), from: (7, 0), to: (14, 7) },
        ],
    };
    let pairs = |count: u32| {
        let at = |i: u32, salt: u32| ((i * 7_919 + salt) % 1_000) as f32 / 100.0;
        let pair = |i| MapPair { audio: (at(i, 0), at(i * 3, 7)), midi: (at(i, 30), at(i * 3, 50)), clip: i };
        (0..count).map(pair).collect::<Vec<_>>()
    };
    let histogram = Picture::Histogram {
        axis: "cosine".into(),
        edges: (0..=40).map(|i| -1.0 + f64::from(i) * 0.05).collect(),
        series: [
            ("matching pairs", 0.72, 0.14),
            ("other pairs", 0.05, 0.3),
            ("other pairs of the same piece", 0.18, 0.2),
        ]
        .iter()
        .map(|&(label, mean, sd)| {
            let height = |i: i32| (-((-0.975 + 0.05 * f64::from(i) - mean) / sd).powi(2) / 2.0).exp();
            let total: f64 = (0..40).map(height).sum();
            Shares { label: label.into(), values: (0..40).map(|i| height(i) / total).collect(), mean }
        })
        .collect(),
    };
    let (tokens, frames, bins) = (47, 94, 64);
    let attention = Attention {
        seconds: 4.0,
        spectrogram: (0..bins * frames).map(|i| -((i / frames) as f32) / 9.0 + wave(i % frames) as f32).collect(),
        bins,
        hertz: 8_000.0,
        weights: (0..tokens * frames)
            .map(|i| {
                let away = (i % frames) as f32 - 2.0 * (i / frames) as f32;
                0.004 + 0.05 * (-away * away / 30.0).exp()
            })
            .collect(),
        tokens,
        frames,
    };
    vec![
        figure("bars", bars),
        figure("lying-bars", lying),
        figure("lines", lines),
        figure("noise", noise),
        figure("matrix", matrix),
        figure("map", Picture::Map { method: "t-SNE".into(), pairs: pairs(2_000) }),
        figure("histogram", histogram),
        figure("attention", Picture::Attention(Box::new(attention))),
    ]
}

#[test]
fn every_kind_is_drawn_in_both_formats() {
    let temp = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("DESCANT_FIGURES").map_or(temp.path().to_path_buf(), Into::into);
    for figure in figures() {
        let (png, svg) = (folder.join(format!("{}.png", figure.id)), folder.join(format!("{}.svg", figure.id)));
        draw(&figure, &png).unwrap();
        draw(&figure, &svg).unwrap();
        assert!(std::fs::metadata(&png).unwrap().len() > 10_000, "{}", figure.id);
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(text.contains(&figure.title) && !text.contains("NaN"), "{}", figure.id);
        assert!(text.len() < 400_000, "{}: {} bytes", figure.id, text.len());
    }
    sheet(&figures()[..4], 2, &folder.join("sheet.png")).unwrap();
}

#[test]
fn odd_figures_are_drawn_too() {
    let temp = tempfile::tempdir().unwrap();
    let nothing = Picture::Bars {
        axis: String::new(),
        unit: Unit::Number(2),
        groups: Vec::new(),
        series: vec![BarSeries { values: vec![Some(1.0)], ..BarSeries::default() }],
        lines: vec![level("", f64::NAN)],
    };
    let wild = Picture::Lines {
        x_axis: String::new(),
        y_axis: String::new(),
        unit: Unit::Number(0),
        x_labels: names(&["a name that is far too long to stand anywhere".repeat(9).as_str()]),
        series: vec![Curve { points: vec![(0.0, f64::NAN), (1e300, -1e300)], ..Curve::default() }, Curve::default()],
        lines: Vec::new(),
    };
    let empty = Picture::Matrix {
        x_axis: String::new(),
        y_axis: String::new(),
        axis: String::new(),
        unit: Unit::Share,
        rows: Vec::new(),
        columns: Vec::new(),
        values: Vec::new(),
        range: (0.0, 0.0),
        blocks: vec![Block { label: "none".into(), from: (3, 3), to: (9, 9) }],
    };
    let pictures = [
        nothing,
        wild,
        empty,
        Picture::Map { method: String::new(), pairs: Vec::new() },
        Picture::Histogram {
            axis: String::new(),
            edges: vec![0.0],
            series: vec![Shares { label: String::new(), values: vec![1.0; 3], mean: f64::NAN }],
        },
        Picture::Attention(Box::default()),
    ];
    for picture in pictures {
        csv(&picture);
        draw(&figure("odd", picture), &temp.path().join("odd.png")).unwrap();
    }
}

#[test]
fn numbers_of_figures_become_csv() {
    let text = csv(&figures()[0].picture).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("series,group,value,low,high,paper"));
    assert_eq!(lines.next(), Some("this run,intact,0.82,0.7899999999999999,0.86,0.7699999999999999"));
    assert!(text.contains("this run,A4 replaced by noise,,,,\n") && text.contains("\nchance,,0.039,,,\n"), "{text}");
}
