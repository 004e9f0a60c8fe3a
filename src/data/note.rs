//! The one representation of symbolic music inside the crate: notes and pedal moves, in seconds.

/// One sounding note.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Note {
    /// MIDI pitch, 0–127 (60 = middle C).
    pub pitch: u8,
    /// MIDI velocity, 1–127.
    pub velocity: u8,
    /// Seconds from the start of the performance (or of the window, where a function says so).
    pub onset: f64,
    /// Seconds the key is held (or sounds, when the sustain pedal extends it); positive.
    pub duration: f64,
}

/// One position of the sustain pedal (controller 64).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PedalEvent {
    /// Seconds from the start of the performance.
    pub time: f64,
    /// 0 (up) – 127 (down); the dampers are lifted from 64 on.
    pub value: u8,
}
