//! Standard MIDI Files to notes in seconds.
//!
//! Bytes are tokenised by `midly`; this file walks the chunks (so that a truncated file is an error, not a shorter
//! performance), merges the tracks, and turns ticks into seconds. [`super::pairing`] then makes notes of the events.
//!
//! | file says | what happens |
//! |---|---|
//! | format 0, 1 | all tracks are one performance; tempo changes of every track count |
//! | format 2 | tracks are independent patterns: laid one after another, each with its own tempo map |
//! | division in ticks per beat | seconds = ticks × tempo / division; 500,000 µs per beat until a tempo is set |
//! | division in SMPTE frames | seconds = ticks / (frames × subframes), tempo ignored (29 means 30/1.001) |
//! | channel 10 | percussion has no pitch: left out and counted in [`Repairs`] |

use std::path::Path;

use midly::{EventIter, Format, Fps, MetaMessage, MidiMessage, Timing, TrackEventKind};

use super::note::{Note, PedalEvent};
use super::pairing::{self, Repairs};
use crate::{Error, Result};

/// Largest file read, in bytes; the longest MAESTRO file has 0.3 MB.
pub const MAX_BYTES: u64 = 16 << 20;
/// Most note, pedal and tempo events of one file; a long recital has 10⁵.
pub const MAX_EVENTS: usize = 2_000_000;
/// Longest performance, in seconds: a day.
pub const MAX_SECONDS: f64 = 86_400.0;
/// Tempo until the file sets one, in µs per beat (120 beats per minute).
const DEFAULT_TEMPO: u32 = 500_000;
/// The General MIDI percussion channel, counted from 0.
const PERCUSSION: u8 = 9;

/// What the sustain pedal (controller 64) does to note durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PedalMode {
    /// A note lasts as long as its key is held (spec: duration as played).
    #[default]
    Ignore,
    /// A note released while the pedal is down sounds until the pedal is lifted or its key is struck again.
    Extend,
}

/// The content of one MIDI file, times in seconds from its start.
#[derive(Debug, Clone, PartialEq)]
pub struct MidiFile {
    /// Ordered by onset, then pitch; no two notes of one pitch overlap.
    pub notes: Vec<Note>,
    /// Sustain pedal positions in time order (all channels together: a piano has one sustain pedal).
    pub pedal: Vec<PedalEvent>,
    /// What had to be mended to read it so.
    pub repairs: Repairs,
    /// When the last key is released, in seconds (MAESTRO's `duration`; pedal moves may come later).
    pub length: f64,
}

/// One event of a performance, in the order in which it happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<T> {
    /// Ticks (`u64`) or seconds (`f64`) from the start.
    pub at: T,
    pub track: u16,
    pub channel: u8,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    On {
        pitch: u8,
        velocity: u8,
    },
    Off {
        pitch: u8,
    },
    /// Controllers 120 and 123–127: every note of the channel ends.
    AllOff,
    Sustain {
        value: u8,
    },
    Tempo {
        micros_per_beat: u32,
    },
}

/// Reads the MIDI file `path`. Errors: unreadable, larger than [`MAX_BYTES`], or as [`parse_midi`].
pub fn read_midi(path: &Path, pedal: PedalMode) -> Result<MidiFile> {
    let size = super::regular_file(path)?.len();
    if size > MAX_BYTES {
        return Err(Error::input(path, "size", format!("at most {MAX_BYTES} bytes"), format!("{size} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    parse_midi(&bytes, path, pedal)
}

/// Parses a Standard MIDI File; `path` is only for messages.
///
/// Errors: not a MIDI file, truncated or malformed events, a division of 0, more than [`MAX_EVENTS`] events or
/// [`MAX_SECONDS`] seconds. Musical oddities (overlaps, missing releases …) are repaired and counted instead.
pub fn parse_midi(bytes: &[u8], path: &Path, pedal: PedalMode) -> Result<MidiFile> {
    let (header, after_header) =
        midly::parse(bytes).map_err(|e| Error::input(path, "header", "a Standard MIDI File (MThd)", e.to_string()))?;
    let declared = after_header.size_hint().0;
    let tracks = track_chunks(after_header.unread(), bytes.len(), declared, path)?;

    let mut repairs = Repairs::default();
    let mut read = Vec::with_capacity(tracks.len());
    let mut left = MAX_EVENTS;
    for (index, chunk) in tracks.iter().enumerate() {
        let track = read_track(chunk, index, left, path, &mut repairs)?;
        left -= track.events.len();
        read.push(track);
    }
    let mut events = Vec::new();
    let mut end = 0.0;
    if header.format == Format::Sequential {
        for track in read {
            end = schedule(track.events, track.end, header.timing, end, path, &mut events)?;
        }
    } else {
        let last = read.iter().map(|t| t.end).max().unwrap_or(0);
        let mut merged: Vec<Event<u64>> = read.into_iter().flat_map(|t| t.events).collect();
        merged.sort_by_key(|e| e.at); // stable: file order within a tick
        end = schedule(merged, last, header.timing, 0.0, path, &mut events)?;
    }
    Ok(pairing::pair(&events, end, pedal, repairs))
}

/// The MTrk chunks of `rest`, other chunks skipped. A chunk that runs past the end is an error, as are missing tracks.
fn track_chunks<'a>(mut rest: &'a [u8], total: usize, declared: usize, path: &Path) -> Result<Vec<&'a [u8]>> {
    let mut tracks = Vec::new();
    while let Some((head, body)) = rest.split_at_checked(8) {
        let (id, len) = head.split_at(4);
        let len = len.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
        let offset = total - rest.len();
        let Some((chunk, next)) = body.split_at_checked(len) else {
            let found = format!("{} before the end of the file", body.len());
            return Err(Error::input(path, format!("chunk at byte {offset}"), format!("{len} bytes"), found)
                .hint("the file is truncated"));
        };
        if id == b"MTrk" {
            tracks.push(chunk);
        }
        rest = next;
    }
    if tracks.len() < declared {
        return Err(Error::input(path, "tracks", format!("{declared} (header)"), tracks.len().to_string())
            .hint("the file is truncated"));
    }
    Ok(tracks)
}

struct Track {
    events: Vec<Event<u64>>,
    /// Tick of the end of the track.
    end: u64,
}

/// Keeps the notes, sustain pedal and tempo changes of one track.
fn read_track(chunk: &[u8], index: usize, limit: usize, path: &Path, repairs: &mut Repairs) -> Result<Track> {
    let track = u16::try_from(index).map_err(|_| Error::input(path, "tracks", "at most 65,536", "more"))?;
    let mut iter = EventIter::new(chunk);
    let (mut events, mut tick, mut ended) = (Vec::new(), 0u64, false);
    loop {
        let (unread, status) = (iter.unread().len(), iter.running_status());
        if unread == 0 {
            break;
        }
        let Some(Ok(event)) = iter.next() else {
            let field = format!("track {index}, byte {} of {}", chunk.len() - unread, chunk.len());
            return Err(Error::input(path, field, "a MIDI event", "bytes that are none"));
        };
        if iter.running_status().is_none() {
            // The standard lets a meta or system event cancel running status; common writers go on using it.
            *iter.running_status_mut() = status;
        }
        tick += u64::from(event.delta.as_int());
        let (channel, kind) = match event.kind {
            TrackEventKind::Meta(MetaMessage::EndOfTrack) => {
                ended = true;
                break;
            }
            TrackEventKind::Meta(MetaMessage::Tempo(tempo)) if tempo.as_int() == 0 => {
                repairs.zero_tempos += 1;
                continue;
            }
            TrackEventKind::Meta(MetaMessage::Tempo(tempo)) => (0, Kind::Tempo { micros_per_beat: tempo.as_int() }),
            TrackEventKind::Midi { channel, message } => match channel_event(message) {
                Some(Kind::On { .. }) if channel.as_int() == PERCUSSION => {
                    repairs.percussion += 1;
                    continue;
                }
                Some(kind) if channel.as_int() != PERCUSSION => (channel.as_int(), kind),
                _ => continue,
            },
            _ => continue,
        };
        if events.len() == limit {
            return Err(Error::input(path, "events", format!("at most {MAX_EVENTS}"), "more"));
        }
        events.push(Event { at: tick, track, channel, kind });
    }
    repairs.unended_tracks += u64::from(!ended);
    Ok(Track { events, end: tick })
}

fn channel_event(message: MidiMessage) -> Option<Kind> {
    match message {
        MidiMessage::NoteOn { key, vel } if vel.as_int() > 0 => {
            Some(Kind::On { pitch: key.as_int(), velocity: vel.as_int() })
        }
        MidiMessage::NoteOn { key, .. } | MidiMessage::NoteOff { key, .. } => Some(Kind::Off { pitch: key.as_int() }),
        MidiMessage::Controller { controller, value } => match controller.as_int() {
            64 => Some(Kind::Sustain { value: value.as_int() }),
            120 | 123..=127 => Some(Kind::AllOff),
            _ => None,
        },
        _ => None,
    }
}

/// Appends `events` (in tick order) to `out` in seconds, starting at `start`; returns when tick `end` falls.
fn schedule(
    events: Vec<Event<u64>>,
    end: u64,
    timing: Timing,
    start: f64,
    path: &Path,
    out: &mut Vec<Event<f64>>,
) -> Result<f64> {
    let mut clock = Clock::new(timing, start, path)?;
    let check = |seconds: f64| {
        if seconds <= MAX_SECONDS {
            return Ok(seconds);
        }
        Err(Error::input(path, "length", format!("at most {MAX_SECONDS} s"), format!("{seconds:.0} s")))
    };
    out.reserve(events.len());
    for event in events {
        if let Kind::Tempo { micros_per_beat } = event.kind {
            clock.set_tempo(event.at, micros_per_beat);
        } else {
            let at = check(clock.seconds(event.at))?;
            out.push(Event { at, track: event.track, channel: event.channel, kind: event.kind });
        }
    }
    check(clock.seconds(end))
}

/// Ticks to seconds since the last tempo change, so that rounding does not build up over a long file.
struct Clock {
    /// Ticks per beat; `None` under SMPTE division, where tempo has no say.
    division: Option<f64>,
    anchor_tick: u64,
    anchor: f64,
    seconds_per_tick: f64,
}

impl Clock {
    fn new(timing: Timing, start: f64, path: &Path) -> Result<Self> {
        let zero = || Error::input(path, "division", "at least 1 tick", "0");
        let (division, seconds_per_tick) = match timing {
            Timing::Metrical(ticks) if ticks.as_int() == 0 => return Err(zero()),
            Timing::Metrical(ticks) => {
                let ticks = f64::from(ticks.as_int());
                (Some(ticks), f64::from(DEFAULT_TEMPO) / 1e6 / ticks)
            }
            Timing::Timecode(_, 0) => return Err(zero()),
            Timing::Timecode(fps, subframes) => {
                let frames = match fps {
                    Fps::Fps24 => 24.0,
                    Fps::Fps25 => 25.0,
                    Fps::Fps29 => 30.0 / 1.001,
                    Fps::Fps30 => 30.0,
                };
                (None, 1.0 / (frames * f64::from(subframes)))
            }
        };
        Ok(Clock { division, anchor_tick: 0, anchor: start, seconds_per_tick })
    }

    /// Seconds at `tick`, which must not lie before the last tempo change.
    fn seconds(&self, tick: u64) -> f64 {
        self.anchor + tick.saturating_sub(self.anchor_tick) as f64 * self.seconds_per_tick
    }

    fn set_tempo(&mut self, tick: u64, micros_per_beat: u32) {
        if let Some(division) = self.division {
            self.anchor = self.seconds(tick);
            self.anchor_tick = tick;
            self.seconds_per_tick = f64::from(micros_per_beat) / 1e6 / division;
        }
    }
}

#[cfg(test)]
mod tests {
    use midly::num::{u4, u7, u15, u24, u28};
    use midly::{Header, Smf, TrackEvent};
    use proptest::prelude::*;

    use super::*;

    type Timed = (u64, TrackEventKind<'static>);

    fn on(tick: u64, channel: u8, pitch: u8, velocity: u8) -> Timed {
        let message = MidiMessage::NoteOn { key: u7::new(pitch), vel: u7::new(velocity) };
        (tick, TrackEventKind::Midi { channel: u4::new(channel), message })
    }

    fn control(tick: u64, controller: u8, value: u8) -> Timed {
        let message = MidiMessage::Controller { controller: u7::new(controller), value: u7::new(value) };
        (tick, TrackEventKind::Midi { channel: u4::new(0), message })
    }

    fn tempo(tick: u64, micros: u32) -> Timed {
        (tick, TrackEventKind::Meta(MetaMessage::Tempo(u24::new(micros))))
    }

    /// A file of the given tracks, each ended at its last tick.
    fn file(format: Format, timing: Timing, tracks: &[Vec<Timed>]) -> Vec<u8> {
        let mut smf = Smf::new(Header::new(format, timing));
        for events in tracks {
            let mut events = events.clone();
            events.sort_by_key(|e| e.0);
            let last = events.last().map_or(0, |e| e.0);
            events.push((last, TrackEventKind::Meta(MetaMessage::EndOfTrack)));
            let mut before = 0;
            let delta = |tick: u64, before: &mut u64| {
                let delta = u28::new((tick - *before) as u32);
                *before = tick;
                delta
            };
            smf.tracks.push(
                events.iter().map(|(t, kind)| TrackEvent { delta: delta(*t, &mut before), kind: *kind }).collect(),
            );
        }
        let mut bytes = Vec::new();
        smf.write_std(&mut bytes).unwrap();
        bytes
    }

    fn parse(bytes: &[u8], pedal: PedalMode) -> MidiFile {
        parse_midi(bytes, Path::new("t.mid"), pedal).unwrap()
    }

    fn triples(midi: &MidiFile) -> Vec<(u8, f64, f64)> {
        midi.notes.iter().map(|n| (n.pitch, n.onset, n.duration)).collect()
    }

    const METRICAL: Timing = Timing::Metrical(u15::new(480));

    #[test]
    fn tempo_changes_of_any_track_count_and_formats_differ() {
        // 480 ticks: 0.5 s at the default tempo, 1 s after the change (which stands in the other track).
        let tracks = [
            vec![tempo(480, 1_000_000)],
            vec![on(0, 0, 60, 80), on(480, 0, 60, 0), on(480, 0, 64, 80), on(960, 0, 64, 0)],
        ];
        let merged = parse(&file(Format::Parallel, METRICAL, &tracks), PedalMode::Ignore);
        assert_eq!(triples(&merged), [(60, 0.0, 0.5), (64, 0.5, 1.0)]);
        assert_eq!((merged.length, merged.repairs.total()), (1.5, 0));
        // As patterns of their own, the second follows the first and keeps its own (default) tempo.
        let sequence = parse(&file(Format::Sequential, METRICAL, &tracks), PedalMode::Ignore);
        assert_eq!(triples(&sequence), [(60, 0.5, 0.5), (64, 1.0, 0.5)]);
        // SMPTE: 25 frames × 40 subframes are 1,000 ticks a second, whatever the tempo.
        let smpte = parse(&file(Format::Parallel, Timing::Timecode(Fps::Fps25, 40), &tracks), PedalMode::Ignore);
        assert_eq!(triples(&smpte), [(60, 0.0, 0.48), (64, 0.48, 0.48)]);
    }

    #[test]
    fn running_status_survives_meta_events() {
        let track = b"\x00\x90\x3c\x50\x00\xff\x01\x01x\x83\x60\x3c\x00\x00\xff\x2f\x00";
        let mut bytes = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk".to_vec();
        bytes.extend((track.len() as u32).to_be_bytes());
        bytes.extend(track);
        assert_eq!(triples(&parse(&bytes, PedalMode::Ignore)), [(60, 0.0, 0.5)]);
    }

    #[test]
    fn oddities_are_mended_and_counted() {
        let events = vec![
            on(0, 0, 60, 80),
            on(480, 0, 60, 90), // pressed again: the first ends here
            on(960, 0, 60, 0),
            on(960, 0, 60, 0),  // stray
            on(960, 0, 61, 70), // zero length
            on(960, 0, 61, 0),
            on(960, 9, 35, 100), // percussion
            on(1440, 0, 62, 30), // twice at once
            on(1440, 0, 62, 60),
            on(1920, 0, 62, 0),
            on(1920, 0, 63, 60), // never released: the file ends at 2400
            control(2400, 1, 0),
        ];
        let midi = parse(&file(Format::SingleTrack, METRICAL, &[events]), PedalMode::Ignore);
        let expected =
            [(60, 0.0, 0.5), (60, 0.5, 0.5), (61, 1.0, pairing::MIN_DURATION), (62, 1.5, 0.5), (63, 2.0, 0.5)];
        assert_eq!(triples(&midi), expected);
        assert_eq!(midi.notes[3].velocity, 60);
        let counts = Repairs { overlapping: 1, duplicate: 1, zero_length: 1, never_released: 1, ..Repairs::default() };
        assert_eq!(midi.repairs, Repairs { stray_releases: 1, percussion: 1, ..counts });
        assert!(midi.repairs.to_string().starts_with("1 overlapping notes cut where"), "{}", midi.repairs);
        assert_eq!(Repairs::default().to_string(), "nothing repaired");
    }

    #[test]
    fn pedal_extends_until_lifted_or_struck_again() {
        let events = vec![
            control(240, 64, 100),
            on(0, 0, 50, 80), // released before the pedal goes down
            on(120, 0, 50, 0),
            on(0, 0, 60, 80), // struck again at 960
            on(480, 0, 60, 0),
            on(960, 0, 60, 80), // lifted at 1440
            on(1200, 0, 60, 0),
            control(1440, 64, 0),
        ];
        let bytes = file(Format::SingleTrack, METRICAL, &[events]);
        let extended = parse(&bytes, PedalMode::Extend);
        assert_eq!(triples(&extended), [(50, 0.0, 0.125), (60, 0.0, 1.0), (60, 1.0, 0.5)]);
        assert_eq!((extended.length, extended.repairs.total(), extended.pedal.len()), (1.25, 0, 2));
        assert_eq!(triples(&parse(&bytes, PedalMode::Ignore))[1], (60, 0.0, 0.5));
    }

    #[test]
    fn damage_is_an_error_that_says_where() {
        let bytes =
            file(Format::Parallel, METRICAL, &[vec![on(0, 0, 60, 80), on(480, 0, 60, 0)], vec![on(9, 0, 1, 1)]]);
        for end in 0..bytes.len() {
            assert!(parse_midi(&bytes[..end], Path::new("t.mid"), PedalMode::Ignore).is_err(), "cut at {end}");
        }
        let error = |bytes: &[u8]| parse_midi(bytes, Path::new("t.mid"), PedalMode::Ignore).unwrap_err().to_string();
        assert!(error(&bytes[..bytes.len() - 3]).contains("the file is truncated"));
        let mut bad = bytes.clone();
        bad[23] = 0xf4; // the first status byte
        assert!(error(&bad).starts_with("t.mid: track 0, byte 0 of"), "{}", error(&bad));
        bad = bytes.clone();
        bad[12..14].copy_from_slice(&[0, 0]);
        assert_eq!(error(&bad), "t.mid: division: expected at least 1 tick, found 0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// What is written is read: notes over a random tempo map, in one track or two.
        #[test]
        fn round_trip(
            tempos in prop::collection::vec((0u64..20_000, 1u32..2_000_000), 0..6),
            notes in prop::collection::vec((0u8..128, 1u8..128, 1u64..500, 1u64..500), 1..60),
            division in 1u16..2_000,
            two in any::<bool>(),
        ) {
            // Onsets and lengths are drawn as gaps, so that no two notes of a pitch meet.
            let mut free = [0u64; 128];
            let mut expected = Vec::new();
            let mut events = Vec::new();
            for (pitch, velocity, gap, length) in notes {
                let start = free[usize::from(pitch)] + gap;
                free[usize::from(pitch)] = start + length;
                events.extend([on(start, 0, pitch, velocity), on(start + length, 0, pitch, 0)]);
                expected.push((start, start + length, pitch, velocity));
            }
            expected.sort_by_key(|e| (e.0, e.2));
            let changes: Vec<Timed> = tempos.iter().map(|(t, micros)| tempo(*t, *micros)).collect();
            let tracks = if two { vec![changes, events] } else { vec![[changes, events].concat()] };
            let format = if two { Format::Parallel } else { Format::SingleTrack };
            let midi = parse(&file(format, Timing::Metrical(u15::new(division)), &tracks), PedalMode::Ignore);

            // Seconds by adding up every stretch of constant tempo, in whole microseconds × ticks.
            let mut map = tempos.clone();
            map.sort_by_key(|t| t.0);
            let seconds = |tick: u64| {
                let (mut sum, mut at, mut micros) = (0u64, 0, DEFAULT_TEMPO);
                for (t, next) in map.iter().filter(|t| t.0 <= tick) {
                    sum += (t - at) * u64::from(micros);
                    (at, micros) = (*t, *next);
                }
                (sum + (tick - at) * u64::from(micros)) as f64 / 1e6 / f64::from(division)
            };
            prop_assert_eq!(midi.repairs, Repairs::default());
            prop_assert_eq!(midi.notes.len(), expected.len());
            for (start, end, pitch, velocity) in expected {
                let found = midi.notes.iter().any(|n| {
                    (n.pitch, n.velocity) == (pitch, velocity)
                        && (n.onset - seconds(start)).abs() < 1e-9
                        && (n.onset + n.duration - seconds(end)).abs() < 1e-9
                });
                prop_assert!(found, "{pitch} at {start}");
            }
            prop_assert!(midi.notes.is_sorted_by(|a, b| (a.onset, a.pitch) <= (b.onset, b.pitch)));
        }
    }
}
