//! Notes and pedal to a Standard MIDI File, as MAESTRO writes them: format 1, a tempo track and one piano track.

use crate::data::note::{Note, PedalEvent};
use crate::error::{Error, Result};
use midly::num::{u4, u7, u15, u24, u28};
use midly::{Format, Header, MetaMessage, MidiMessage, Smf, Timing, Track, TrackEvent, TrackEventKind};

/// Ticks per quarter note and microseconds per quarter note: 960 ticks a second, about 1 ms.
const DIVISION: u16 = 480;
const TEMPO: u32 = 500_000;
/// Resolution of the files written here.
pub const TICKS_PER_SECOND: f64 = DIVISION as f64 * 1e6 / TEMPO as f64;
/// A delta time has 28 bits; a file cannot last longer (77 hours).
const MAX_TICK: u32 = (1 << 28) - 1;
const SUSTAIN: u8 = 64;

/// Moves every time to a whole tick and makes the notes playable on one keyboard: each lasts at least a tick, a key
/// is released before it is struck again, and of two strikes of one key on the same tick the louder stays.
/// Sorted by onset, then pitch. What comes back is exactly what a reader of [`midi_bytes`] sees, so it is also what
/// must be rendered for audio and MIDI to agree.
pub fn quantise(notes: &[Note], pedal: &[PedalEvent]) -> (Vec<Note>, Vec<PedalEvent>) {
    let mut ticked: Vec<(u32, u8, u32, u8)> = notes
        .iter()
        .map(|n| {
            let on = tick(n.onset);
            (on, n.pitch.min(127), tick(n.onset + n.duration).max(on.saturating_add(1)), n.velocity.clamp(1, 127))
        })
        .collect();
    ticked.sort_unstable_by_key(|&(on, pitch, off, velocity)| (on, pitch, std::cmp::Reverse(velocity), off));
    ticked.dedup_by_key(|&mut (on, pitch, ..)| (on, pitch));
    let mut next_strike = [u32::MAX; 128];
    for (on, pitch, off, _) in ticked.iter_mut().rev() {
        let next = &mut next_strike[usize::from(*pitch)];
        *off = (*off).min(*next);
        *next = *on;
    }
    let notes = ticked
        .into_iter()
        .map(|(on, pitch, off, velocity)| Note { pitch, velocity, onset: seconds(on), duration: seconds(off - on) })
        .collect();
    let mut pedal: Vec<(u32, u8)> = pedal.iter().map(|p| (tick(p.time), p.value.min(127))).collect();
    pedal.sort_by_key(|&(time, _)| time);
    (notes, pedal.into_iter().map(|(time, value)| PedalEvent { time: seconds(time), value }).collect())
}

fn tick(seconds: f64) -> u32 {
    (seconds * TICKS_PER_SECOND).round().clamp(0.0, f64::from(MAX_TICK)) as u32
}

fn seconds(tick: u32) -> f64 {
    f64::from(tick) / TICKS_PER_SECOND
}

/// The bytes of a format-1 file holding `notes` and `pedal` (controller 64), on channel 0.
///
/// # Errors
/// [`Error::Op`] where a time lies beyond the 28 bits of a MIDI delta.
pub fn midi_bytes(notes: &[Note], pedal: &[PedalEvent]) -> Result<Vec<u8>> {
    // At one tick: keys go up first, then the pedal moves, then keys go down.
    let mut events: Vec<(u32, u8, MidiMessage)> = Vec::with_capacity(2 * notes.len() + pedal.len());
    for n in notes {
        let (key, vel) = (u7::from(n.pitch.min(127)), u7::from(n.velocity.clamp(1, 127)));
        events.push((tick(n.onset), 2, MidiMessage::NoteOn { key, vel }));
        events.push((tick(n.onset + n.duration), 0, MidiMessage::NoteOff { key, vel: u7::from(64) }));
    }
    for p in pedal {
        let message = MidiMessage::Controller { controller: u7::from(SUSTAIN), value: u7::from(p.value.min(127)) };
        events.push((tick(p.time), 1, message));
    }
    events.sort_by_key(|&(time, rank, _)| (time, rank));
    if let Some(&(last, ..)) = events.last().filter(|e| e.0 >= MAX_TICK) {
        let limit = format!("times below {:.0} s", seconds(MAX_TICK));
        return Err(Error::op("midi_bytes", "notes", limit, format!("{:.0} s", seconds(last))));
    }

    let meta = |message| TrackEvent { delta: u28::from(0), kind: TrackEventKind::Meta(message) };
    let tempo_track: Track = vec![
        meta(MetaMessage::Tempo(u24::from(TEMPO))),
        meta(MetaMessage::TimeSignature(4, 2, 24, 8)),
        meta(MetaMessage::EndOfTrack),
    ];
    let mut piano: Track = Vec::with_capacity(events.len() + 1);
    let mut now = 0;
    for (time, _, message) in events {
        let kind = TrackEventKind::Midi { channel: u4::from(0), message };
        piano.push(TrackEvent { delta: u28::from(time - now), kind });
        now = time;
    }
    piano.push(meta(MetaMessage::EndOfTrack));

    let mut smf = Smf::new(Header::new(Format::Parallel, Timing::Metrical(u15::from(DIVISION))));
    smf.tracks = vec![tempo_track, piano];
    let mut bytes = Vec::new();
    smf.write_std(&mut bytes).map_err(|e| Error::op("midi_bytes", "notes", "a writable file", e.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_notes_survive_the_file() {
        let note = |pitch, velocity, onset, duration| Note { pitch, velocity, onset, duration };
        let raw = [
            note(60, 70, 0.5004, 2.0),
            note(60, 90, 1.25, 0.5),   // struck again while held: the first is cut here
            note(60, 10, 1.2501, 0.5), // the same tick: the louder stays
            note(64, 127, 0.1, 0.0),   // no length: one tick
        ];
        let pedal = [PedalEvent { time: 1.0, value: 127 }, PedalEvent { time: 2.0, value: 0 }];
        let (notes, pedal) = quantise(&raw, &pedal);
        assert_eq!(notes.len(), 3);
        assert_eq!((notes[0].pitch, notes[0].duration), (64, 1.0 / 960.0));
        assert_eq!(notes[1].onset + notes[1].duration, notes[2].onset);
        assert_eq!(notes[2].velocity, 90);
        assert_eq!(quantise(&notes, &pedal), (notes.clone(), pedal.clone()), "quantising twice changes nothing");

        let bytes = midi_bytes(&notes, &pedal).unwrap();
        let smf = Smf::parse(&bytes).unwrap();
        let mut now = 0;
        let mut heard = Vec::new();
        for event in &smf.tracks[1] {
            now += u32::from(event.delta);
            if let TrackEventKind::Midi { message: MidiMessage::NoteOn { key, vel }, .. } = event.kind {
                heard.push((f64::from(now) / 960.0, key.as_int(), vel.as_int()));
            }
        }
        let written: Vec<_> = notes.iter().map(|n| (n.onset, n.pitch, n.velocity)).collect();
        assert_eq!(heard, written);
    }

    #[test]
    fn too_late_for_a_delta() {
        let far = Note { pitch: 60, velocity: 64, onset: 1e9, duration: 1.0 };
        assert!(midi_bytes(&[far], &[]).is_err());
    }
}
