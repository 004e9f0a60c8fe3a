//! How a recording of a performance sounds: which instrument, in which room.

use std::path::{Path, PathBuf};

use super::room::add_room;
use super::{Piano, SAMPLE_RATE, SoundFontPiano, master, render_piano};
use crate::config::Span;
use crate::data::note::{Note, PedalEvent};
use crate::data::rng::Rng;
use crate::error::Result;

/// Rooms of further recordings on a SoundFont, unless asked for otherwise: seconds to fade by 60 dB, and level.
const OTHER_ROOMS: [Span; 2] = [Span { low: 0.2, high: 1.2 }, Span { low: 0.05, high: 0.4 }];
/// Level of a room of which only the time is given.
const USUAL_LEVEL: Span = Span { low: 0.1, high: 0.3 };

/// What is played on, and where; what is left open is drawn for every file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Voicing {
    /// A SoundFont 2 file; none = the built-in piano, another instrument for every file.
    pub soundfont: Option<PathBuf>,
    /// Program of the SoundFont (0 = the first: in a General MIDI font, its grand piano).
    pub program: usize,
    /// Seconds in which the room fades by 60 dB; none = the built-in piano's own room, no room around a SoundFont.
    pub room: Option<Span>,
    /// Level of the room against the direct sound (0–1).
    pub room_level: Option<Span>,
    /// Other pianos and rooms for another seed.
    pub seed: u64,
}

/// Instruments ready to be played.
pub struct Instrument {
    voicing: Voicing,
    font: Option<SoundFontPiano>,
}

impl Instrument {
    /// Loads what `voicing` names.
    ///
    /// # Errors
    /// As [`SoundFontPiano::open`].
    pub fn new(voicing: &Voicing) -> Result<Self> {
        let open = |path: &PathBuf| SoundFontPiano::open(path, voicing.program);
        Ok(Instrument { font: voicing.soundfont.as_ref().map(open).transpose()?, voicing: voicing.clone() })
    }

    /// The recording of the performance in file `midi`: mono, 24 kHz. `rendering` names a further one of it, on a piano that may
    /// differ more than the first ones do among each other.
    ///
    /// # Errors
    /// As [`SoundFontPiano::render`].
    pub fn record(
        &self,
        midi: &Path,
        rendering: Option<&str>,
        notes: &[Note],
        pedal: &[PedalEvent],
    ) -> Result<Vec<f32>> {
        let Voicing { seed, mut room, mut room_level, .. } = self.voicing;
        let file = midi.to_string_lossy();
        let name = rendering.map_or(file.to_string(), |rendering| format!("{rendering}/{file}"));
        let mut rng = Rng::new(seed, &name, 0);
        let Some(font) = &self.font else {
            let drawn = if rendering.is_some() { Piano::vary(&mut rng) } else { Piano::draw(&mut rng) };
            let mut within = |span: Option<Span>, own: f64| span.map_or(own, |s| rng.range(s.low, s.high));
            let (reverb_time, room) = (within(room, drawn.reverb_time), within(room_level, drawn.room));
            return Ok(render_piano(notes, pedal, &Piano { reverb_time, room, ..drawn }));
        };
        let mut audio = font.render(notes, pedal)?;
        if rendering.is_some() && room.is_none() {
            (room, room_level) = (Some(OTHER_ROOMS[0]), room_level.or(Some(OTHER_ROOMS[1])));
        }
        if let Some(time) = room {
            let level = room_level.unwrap_or(USUAL_LEVEL);
            add_room(&mut audio, SAMPLE_RATE, rng.range(time.low, time.high), rng.range(level.low, level.high));
            master(&mut audio);
        }
        Ok(audio)
    }
}
