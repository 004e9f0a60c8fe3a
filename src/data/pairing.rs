//! Key presses and releases to notes, as a piano would play them.
//!
//! A piano key is either up or down. Files disagree with that in a handful of ways (two presses without a release,
//! releases that never come …); each is mended the way the instrument would sound and counted in [`Repairs`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::midi::{Event, Kind, MidiFile, PedalMode};
use super::note::{Note, PedalEvent};

/// Duration given to a note released in the instant of its press, in seconds.
pub const MIN_DURATION: f64 = 1e-3;
/// Pedal position from which on the dampers are lifted.
const PEDAL_DOWN: u8 = 64;

/// How often each oddity was met, and what was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Repairs {
    /// Pressed again while sounding: the earlier note ends where the later begins.
    pub overlapping: u64,
    /// Pressed twice at once: one note, with the greater velocity and the later end.
    pub duplicate: u64,
    /// Released in the instant of its press: lasts [`MIN_DURATION`].
    pub zero_length: u64,
    /// Never released: ends with the file.
    pub never_released: u64,
    /// A release of a key that is up: ignored.
    pub stray_releases: u64,
    /// A tempo of 0 µs per beat: ignored.
    pub zero_tempos: u64,
    /// Notes on the percussion channel: left out.
    pub percussion: u64,
    /// Tracks without an end-of-track event: they end with their last event.
    pub unended_tracks: u64,
}

impl Repairs {
    fn counts(&self) -> [(u64, &'static str); 8] {
        [
            (self.overlapping, "overlapping notes cut where their key is struck again"),
            (self.duplicate, "notes struck twice at once merged"),
            (self.zero_length, "zero-length notes given 1 ms"),
            (self.never_released, "notes never released ended with the file"),
            (self.stray_releases, "releases without a note ignored"),
            (self.zero_tempos, "tempos of zero ignored"),
            (self.percussion, "percussion notes left out"),
            (self.unended_tracks, "tracks without an end accepted"),
        ]
    }

    /// Everything together.
    pub fn total(&self) -> u64 {
        self.counts().iter().map(|(n, _)| n).sum()
    }

    /// Adds the counts of another file.
    pub fn add(&mut self, other: &Repairs) {
        self.overlapping += other.overlapping;
        self.duplicate += other.duplicate;
        self.zero_length += other.zero_length;
        self.never_released += other.never_released;
        self.stray_releases += other.stray_releases;
        self.zero_tempos += other.zero_tempos;
        self.percussion += other.percussion;
        self.unended_tracks += other.unended_tracks;
    }
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = false;
        for (count, what) in self.counts().into_iter().filter(|(n, _)| *n > 0) {
            write!(f, "{}{count} {what}", if said { ", " } else { "" })?;
            said = true;
        }
        if said { Ok(()) } else { f.write_str("nothing repaired") }
    }
}

/// Makes notes of `events` (in time order) of a file that ends at `end` seconds.
pub(super) fn pair(events: &[Event<f64>], end: f64, mode: PedalMode, mut repairs: Repairs) -> MidiFile {
    let mut pedal = Vec::new();
    let mut notes = press_and_release(events, end, &mut pedal, &mut repairs);
    separate(&mut notes, &mut repairs);
    let length = notes.iter().map(|n| n.onset + n.duration).fold(0.0, f64::max);
    if mode == PedalMode::Extend {
        extend(&mut notes, &pedal, end);
    }
    notes.sort_by(|a, b| a.onset.total_cmp(&b.onset).then(a.pitch.cmp(&b.pitch)));
    MidiFile { notes, pedal, repairs, length }
}

/// Matches presses with releases within each (track, channel); the first release ends the note.
fn press_and_release(events: &[Event<f64>], end: f64, pedal: &mut Vec<PedalEvent>, repairs: &mut Repairs) -> Vec<Note> {
    let mut notes = Vec::with_capacity(events.len() / 2);
    // (channel, track, pitch) → (onset, velocity)
    let mut down: BTreeMap<(u8, u16, u8), (f64, u8)> = BTreeMap::new();
    let note = |pitch: u8, (onset, velocity): (f64, u8), end: f64| Note {
        pitch,
        velocity,
        onset,
        duration: (end - onset).max(0.0),
    };
    for event in events {
        let key = |pitch: u8| (event.channel, event.track, pitch);
        match event.kind {
            Kind::On { pitch, velocity } => {
                if let Some(earlier) = down.insert(key(pitch), (event.at, velocity)) {
                    // Struck twice at once is not an overlap: `separate` merges the two.
                    repairs.overlapping += u64::from(earlier.0 < event.at);
                    notes.push(note(pitch, earlier, event.at));
                }
            }
            Kind::Off { pitch } => match down.remove(&key(pitch)) {
                Some(press) => notes.push(note(pitch, press, event.at)),
                None => repairs.stray_releases += 1,
            },
            Kind::AllOff => {
                let channel = (event.channel, 0, 0)..=(event.channel, u16::MAX, u8::MAX);
                let held: Vec<_> = down.range(channel).map(|(key, _)| *key).collect();
                for key in held {
                    notes.extend(down.remove(&key).map(|press| note(key.2, press, event.at)));
                }
            }
            Kind::Sustain { value } => pedal.push(PedalEvent { time: event.at, value }),
            Kind::Tempo { .. } => {}
        }
    }
    for ((.., pitch), press) in down {
        repairs.never_released += 1;
        notes.push(note(pitch, press, end));
    }
    notes
}

/// Orders notes by pitch and onset, and lets no two of a pitch share a moment, whatever track they came from.
fn separate(notes: &mut Vec<Note>, repairs: &mut Repairs) {
    notes.sort_by(|a, b| a.pitch.cmp(&b.pitch).then(a.onset.total_cmp(&b.onset)));
    notes.dedup_by(|later, earlier| {
        let same = later.pitch == earlier.pitch && later.onset == earlier.onset;
        if same {
            repairs.duplicate += 1;
            earlier.velocity = earlier.velocity.max(later.velocity);
            earlier.duration = earlier.duration.max(later.duration);
        }
        same
    });
    let mut next: Option<Note> = None;
    for note in notes.iter_mut().rev() {
        // Seconds of one instant may differ in the last bits once added up: half a nanosecond is no overlap.
        if let Some(next) = next.filter(|n| n.pitch == note.pitch && note.onset + note.duration > n.onset + 5e-10) {
            repairs.overlapping += 1;
            note.duration = next.onset - note.onset;
        }
        if note.duration <= 0.0 {
            repairs.zero_length += 1;
            note.duration = MIN_DURATION;
        }
        next = Some(*note);
    }
}

/// Lets notes released under a held pedal sound on, at most until their key is struck again. `notes` by pitch, onset.
fn extend(notes: &mut [Note], pedal: &[PedalEvent], file_end: f64) {
    // lifted[i]: when the pedal is next up, from pedal event i on.
    let mut lifted = vec![file_end; pedal.len() + 1];
    for (i, event) in pedal.iter().enumerate().rev() {
        lifted[i] = if event.value < PEDAL_DOWN { event.time } else { lifted[i + 1] };
    }
    let mut next: Option<Note> = None;
    for note in notes.iter_mut().rev() {
        let release = note.onset + note.duration;
        let after = pedal.partition_point(|p| p.time <= release);
        let held = after > 0 && pedal[after - 1].value >= PEDAL_DOWN;
        if held {
            let again = next.filter(|n| n.pitch == note.pitch).map_or(f64::INFINITY, |n| n.onset);
            note.duration = note.duration.max(lifted[after].min(again) - note.onset);
        }
        next = Some(*note);
    }
}
