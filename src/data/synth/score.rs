//! What is written on the page, before anyone plays it: events in beats.

use super::style::Style;
use super::theory::{Chord, Palette};

/// Which part of the music a note belongs to; the player brings out the melody and holds back the inner voices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Melody,
    Inner,
    Bass,
}

/// One written note.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Beats from the start of the piece.
    pub beat: f64,
    /// Written length in beats.
    pub length: f64,
    pub pitch: i32,
    pub role: Role,
    /// −1 (hardly touched) to 1 (marked).
    pub accent: f64,
}

/// A chord and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Beats from the start of the piece.
    pub beat: f64,
    pub length: f64,
    pub chord: Chord,
    /// What a tune may move in over this chord.
    pub palette: Palette,
}

/// Beats a phrase covers, and how it is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phrase {
    pub beat: f64,
    pub beats: f64,
    /// −1 (soft) to 1 (loud).
    pub dynamic: f64,
}

/// A whole piece.
#[derive(Debug)]
pub struct Score {
    pub style: &'static Style,
    /// Beats a minute.
    pub tempo: f64,
    pub phrases: Vec<Phrase>,
    pub harmony: Vec<Span>,
    pub events: Vec<Event>,
}

impl Score {
    /// Length in beats.
    pub fn beats(&self) -> f64 {
        self.phrases.last().map_or(0.0, |p| p.beat + p.beats)
    }
}
