//! `engine data render`: any folder of MIDIs becomes a data folder, and a data folder gets further recordings of what is in it.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::output::{print, print_json};
use crate::cli::{Settings, use_threads};
use crate::config::Span;
use crate::config::keys::{keys, parse};
use crate::data::render::{FolderOptions, Voicing, add_rendering, render_folder};
use crate::error::{Error, Result};

keys! {
    /// Settings of `engine data render`.
    Keys {
        /// Folder of MIDI files, read with its subfolders.
        midi: Option<PathBuf> = None;
        /// Folder to write, in MAESTRO's layout.
        out: Option<PathBuf> = None;
        /// SoundFont 2 file to play with; none = the built-in piano.
        soundfont: Option<PathBuf> = None;
        /// Program of the SoundFont; 0 = a General MIDI font's grand piano.
        program: usize [0..=127] = 0;
        /// Seconds in which the room fades by 60 dB, drawn for each file; none = the built-in piano's own rooms, no room around a SoundFont.
        room: Option<Span> [0.05..=10.0] = None;
        /// Level of the room against the direct sound, drawn for each file; none = usual ones.
        room_level: Option<Span> [0.0..=1.0] = None;
        /// Another seed, other pianos and rooms.
        seed: u64 = 0;
        /// Recordings of each performance: the first in its place, the others below renderings/2/, renderings/3/ …, on other pianos in other rooms.
        renderings: usize [1..=100] = 1;
        /// Name of a further recording of every performance in the data folder `out`, below renderings/NAME/; `midi`, `limit` and `max_seconds` are then not used.
        rendering: Option<PathBuf> = None;
        /// Cut every performance after so many seconds; 0 = not cut, but an hour at most.
        max_seconds: f64 [0.0..=3600.0] = 0.0;
        /// Render at most so many files, all splits and composers represented; 0 = all.
        limit: usize [0..=1_000_000_000] = 0;
        /// CPU threads; 0 = one per core.
        threads: usize [0..=4096] = 0;
    }
}

/// Renders the folder and says what came of it.
pub fn run(args: &Settings) -> Result<()> {
    if args.listed::<Keys>()? {
        return Ok(());
    }
    let keys: Keys = parse(&args.settings)?;
    let required = |name: &str, folder: Option<PathBuf>| {
        folder.ok_or_else(|| Error::Usage(format!("{name}: expected {name}=FOLDER; found none")))
    };
    let out = required("out", keys.out)?;
    use_threads(keys.threads)?;
    let Keys { soundfont, program, room, room_level, seed, .. } = keys;
    let voicing = Voicing { soundfont, program, room, room_level, seed };
    let options = FolderOptions {
        voicing,
        more: keys.renderings - 1,
        max_seconds: (keys.max_seconds > 0.0).then_some(keys.max_seconds),
        limit: (keys.limit > 0).then_some(keys.limit),
    };
    let made = match keys.rendering {
        Some(name) => add_rendering(&out, &name.to_string_lossy(), &options.voicing)?,
        None => render_folder(&required("midi", keys.midi)?, &out, &options)?,
    };
    if args.json {
        return print_json(&json!({ "out": out.to_string_lossy(), "rendered": made }));
    }
    let skipped: String = made.skipped.iter().map(|skipped| format!("left out: {skipped}\n")).collect();
    let [train, validation, test] = made.splits;
    let (count, hours) = (made.performances, made.seconds / 3600.0);
    let out = out.display();
    print(&format!(
        "{skipped}{out}: {count} performances, {hours:.2} hours ({train} train, {validation} validation, {test} test)\n"
    ))
}
