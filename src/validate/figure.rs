//! Figures as data: the report draws them as PNG and SVG for print, and as interactive pictures in its page.

use serde::{Deserialize, Serialize};

use super::findings::Unit;

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name for files: lower case, digits and hyphens.
    pub id: String,
    /// Heading.
    pub title: String,
    /// The paper's figure of this kind, as "figure 3"; empty where it has none.
    pub source: String,
    /// What is to be seen, in a sentence or two; the caption.
    pub caption: String,
    /// The picture.
    pub picture: Picture,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Picture {
    /// Groups of vertical bars, one bar of each group for each series.
    Bars {
        /// Label of the value axis, with its unit.
        axis: String,
        unit: Unit,
        groups: Vec<String>,
        series: Vec<BarSeries>,
        lines: Vec<Level>,
    },
    /// Curves over a common x.
    Lines {
        /// Labels of the axes, with their units.
        x_axis: String,
        y_axis: String,
        /// Of y.
        unit: Unit,
        /// Spread the given places of x evenly instead of by their values (their labels, else empty).
        x_labels: Vec<String>,
        series: Vec<Curve>,
        lines: Vec<Level>,
    },
    /// A matrix as colour.
    Matrix {
        x_axis: String,
        y_axis: String,
        /// What the colour means.
        axis: String,
        unit: Unit,
        rows: Vec<String>,
        columns: Vec<String>,
        /// Row-major; row 0 on top.
        values: Vec<f64>,
        /// Values at the pale and the dark end.
        range: (f64, f64),
        /// Rectangles to frame.
        blocks: Vec<Block>,
    },
    /// Pairs of points in a plane, a line between the two of each pair.
    Map {
        /// What made the plane: "t-SNE", "UMAP".
        method: String,
        pairs: Vec<MapPair>,
    },
    /// Distributions as outlines of histograms over common bins.
    Histogram {
        axis: String,
        /// Edges of the bins, one more than there are bins.
        edges: Vec<f64>,
        /// Shares of each series, one value a bin.
        series: Vec<Shares>,
    },
    /// What tokens look at, over a spectrogram.
    Attention(Box<Attention>),
}

/// Bars of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    pub label: String,
    /// One for each group.
    pub values: Vec<Option<f64>>,
    /// One for each group, or none at all.
    pub intervals: Vec<Option<(f64, f64)>>,
    /// Published values, drawn as marks: one for each group, or none at all.
    pub marks: Vec<Option<f64>>,
}

/// A level to compare with, drawn as a dashed line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    pub label: String,
    pub value: f64,
}

/// A curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub label: String,
    pub points: Vec<(f64, f64)>,
    /// A band about the points: one for each point, or none at all.
    pub band: Vec<(f64, f64)>,
    /// The paper's, drawn thin and dashed.
    pub published: bool,
}

/// A rectangle of cells, from row and column (inclusive) to row and column (exclusive).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub label: String,
    pub from: (usize, usize),
    pub to: (usize, usize),
}

/// A recording and its MIDI in a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapPair {
    /// Where the recording lies.
    pub audio: (f32, f32),
    /// Where its notes lie.
    pub midi: (f32, f32),
    /// Index of its clip in [`Clips`].
    pub clip: u32,
}

/// What the pairs of maps are, and how they sound: one file for all maps of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clips {
    /// Titles of the pieces, with their composers.
    pub pieces: Vec<String>,
    pub clips: Vec<Clip>,
}

/// A window of a performance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Index in [`Clips::pieces`].
    pub piece: u32,
    /// Where the window begins, in seconds.
    pub start: f64,
    /// Cosine of the two embeddings.
    pub cosine: f32,
    /// Notes: pitch, velocity, onset and duration in milliseconds.
    pub notes: Vec<(u8, u8, u16, u16)>,
    /// The recording as µ-law bytes (ITU-T G.711) at 8,000 Hz in base64; empty where it was left out for its size.
    pub sound: String,
}

impl Clip {
    /// Forgets what is played and heard, and keeps what it is of.
    pub fn silence(&mut self) {
        self.notes.clear();
        self.sound.clear();
    }
}

/// Shares of a distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    pub label: String,
    pub values: Vec<f64>,
    /// Mean of the values themselves.
    pub mean: f64,
}

/// Reverse cross-attention of one sample: which frames each descriptor token takes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Seconds that rows and columns span.
    pub seconds: f64,
    /// Log-magnitude spectrogram, row-major [bins, frames]; bin 0 is the lowest.
    pub spectrogram: Vec<f32>,
    pub bins: usize,
    /// Upper end of the highest bin, in hertz.
    pub hertz: f64,
    /// Attention, row-major [tokens, frames], mean over heads, each row summing to 1, frames pooled to as many as listed.
    pub weights: Vec<f32>,
    pub tokens: usize,
    pub frames: usize,
}
