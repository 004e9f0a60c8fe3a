//! Notes played through a SoundFont by rustysynth, in step with the MIDI.

use super::{SAMPLE_RATE, frames, master, sf2};
use crate::data::note::{Note, PedalEvent};
use crate::data::resample::Resampler;
use crate::error::{Error, Result};
use rustysynth::{SoundFont, Synthesizer, SynthesizerSettings};
use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Synthesized at twice the rate of the result: its linear interpolation folds the treble of high notes back.
const RATE: u32 = 2 * SAMPLE_RATE;
/// Events take effect at whole blocks of so many samples, 0.7 ms.
const BLOCK: usize = 32;
/// A pedalled performance has a few dozen strings sounding, each of up to two samples.
const POLYPHONY: usize = 192;
/// Frames handed to the resampler at once.
const CHUNK: usize = 4_800;
/// Keys by which a font's delay is measured, and at which velocity.
const PROBES: [u8; 7] = [36, 45, 54, 60, 66, 75, 84];
const PROBE_VELOCITY: u8 = 90;
/// A probe is heard when it first exceeds this share of its peak.
const HEARD: f32 = 0.1;

/// One program of a SoundFont (the first of a General MIDI font: its grand piano).
pub struct SoundFontPiano {
    path: PathBuf,
    font: Arc<SoundFont>,
    program: i32,
    /// Frames at [`RATE`] by which the font's samples start late (recorded silence, slow attacks): taken off again.
    delay: usize,
}

impl SoundFontPiano {
    /// Loads the `.sf2` file, to play its `program` (0–127), and measures by how much its notes lag behind their MIDI onsets.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] where the file is no SoundFont, is damaged, or stays silent.
    pub fn open(path: &Path, program: usize) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, "read", e))?;
        let mut file = BufReader::new(file);
        sf2::check(&mut file, path)?;
        let font = guarded(path, || SoundFont::new(&mut file).map_err(|e| damaged(path, e.to_string())))?;
        let mut piano =
            SoundFontPiano { path: path.to_path_buf(), font: Arc::new(font), program: program as i32, delay: 0 };
        piano.delay = piano.measure_delay()?;
        Ok(piano)
    }

    /// Renders as [`super::render_piano`] does: mono, [`SAMPLE_RATE`], sample 0 at time 0, the loudest at −3 dBFS.
    ///
    /// # Errors
    /// [`Error::Input`] where the font turns out not to be playable.
    pub fn render(&self, notes: &[Note], pedal: &[PedalEvent]) -> Result<Vec<f32>> {
        let wanted = frames(notes, SAMPLE_RATE);
        let mut audio = Vec::with_capacity(wanted);
        let mut resampler = Resampler::new(RATE, SAMPLE_RATE)?;
        let mut skip = self.delay;
        let mut keep = |samples: &[f32]| {
            audio.extend_from_slice(samples);
            Ok(())
        };
        self.play(&messages(notes, pedal), frames(notes, RATE) + self.delay, |samples| {
            let dropped = skip.min(samples.len());
            skip -= dropped;
            resampler.push(&samples[dropped..], &mut keep)
        })?;
        resampler.finish(&mut keep)?;
        audio.resize(wanted, 0.0);
        master(&mut audio);
        Ok(audio)
    }

    /// Plays `messages` for `length` frames into `sink`, mono, in chunks of at most [`CHUNK`].
    fn play(&self, messages: &[Message], length: usize, mut sink: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let mut settings = SynthesizerSettings::new(RATE as i32);
        settings.block_size = BLOCK;
        settings.maximum_polyphony = POLYPHONY;
        let mut synthesizer =
            Synthesizer::new(&self.font, &settings).map_err(|e| damaged(&self.path, e.to_string()))?;
        if self.program > 0 {
            guarded(&self.path, || {
                synthesizer.process_midi_message(0, 0xC0, self.program, 0);
                Ok(())
            })?;
        }
        let (mut left, mut right) = ([0.0; CHUNK], [0.0; CHUNK]);
        let mut messages = messages.iter().peekable();
        let mut at = 0;
        while at < length {
            while let Some(m) = messages.next_if(|m| m.frame <= at) {
                let [command, data1, data2] = m.bytes.map(i32::from);
                guarded(&self.path, || {
                    synthesizer.process_midi_message(0, command, data1, data2);
                    Ok(())
                })?;
            }
            let next = messages.peek().map_or(length, |m| m.frame.min(length));
            let n = (next - at).min(CHUNK);
            let (left, right) = (&mut left[..n], &mut right[..n]);
            guarded(&self.path, || {
                synthesizer.render(left, right);
                Ok(())
            })?;
            for (l, r) in left.iter_mut().zip(&*right) {
                *l = 0.5 * (*l + *r);
            }
            sink(left)?;
            at += n;
        }
        Ok(())
    }

    /// The median over [`PROBES`] of the frames from a key's press until it is heard.
    fn measure_delay(&self) -> Result<usize> {
        let mut delays = Vec::new();
        for pitch in PROBES {
            let note = Note { pitch, velocity: PROBE_VELOCITY, onset: 0.0, duration: 1.0 };
            let mut audio = Vec::new();
            self.play(&messages(&[note], &[]), RATE as usize / 5, |samples| {
                audio.extend_from_slice(samples);
                Ok(())
            })?;
            let peak = audio.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            if peak > 0.0 {
                delays.extend(audio.iter().position(|x| x.abs() > HEARD * peak));
            }
        }
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied().ok_or_else(|| {
            Error::input(&self.path, "first preset", "one that sounds", "silence").hint("a piano SoundFont is needed")
        })
    }
}

/// One MIDI message for the synthesizer.
struct Message {
    frame: usize,
    bytes: [u8; 3],
}

/// Notes and pedal as messages in time order; at one moment releases come first, then the pedal, then strikes.
fn messages(notes: &[Note], pedal: &[PedalEvent]) -> Vec<Message> {
    let frame = |seconds: f64| (seconds * f64::from(RATE)).round() as usize;
    let mut messages = Vec::with_capacity(2 * notes.len() + pedal.len());
    for n in notes {
        messages.push(Message { frame: frame(n.onset + n.duration), bytes: [0x80, n.pitch, 64] });
        messages.push(Message { frame: frame(n.onset), bytes: [0x90, n.pitch, n.velocity] });
    }
    for p in pedal {
        messages.push(Message { frame: frame(p.time), bytes: [0xB0, 64, p.value] });
    }
    let rank = |m: &Message| [0x80, 0xB0, 0x90].iter().position(|&c| c == m.bytes[0]);
    messages.sort_by_key(|m| (m.frame, rank(m)));
    messages
}

/// Runs the synthesizer's code: whatever a damaged font makes it trip over is an error of that file.
fn guarded<T>(path: &Path, run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(damaged(path, "values outside their range".into())))
}

fn damaged(path: &Path, found: String) -> Error {
    Error::input(path, "content", "a playable SoundFont 2", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// A font of one looped sine at A4 (48 kHz) after `silence` samples of nothing.
    fn font(silence: usize) -> Vec<u8> {
        let chunk = |id: &str, body: &[u8]| {
            let mut bytes = id.as_bytes().to_vec();
            bytes.extend((body.len() as u32).to_le_bytes());
            bytes.extend(body);
            bytes
        };
        let list = |kind: &str, chunks: &[Vec<u8>]| {
            let mut body = kind.as_bytes().to_vec();
            chunks.iter().for_each(|c| body.extend(c));
            chunk("LIST", &body)
        };
        let named = |numbers: &[u16]| {
            let mut record = vec![0u8; 20];
            record[0] = b'x';
            numbers.iter().for_each(|n| record.extend(n.to_le_bytes()));
            record
        };
        let words = |numbers: &[u16]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();

        let period = 48_000.0 / 440.0;
        let length = silence + 11 * 240;
        let wave = (0..length + 46).map(|i| match i.checked_sub(silence) {
            Some(i) => (20_000.0 * (std::f64::consts::TAU * i as f64 / period).sin()) as i16,
            None => 0,
        });
        let samples: Vec<u8> = wave.flat_map(i16::to_le_bytes).collect();
        let mut header = named(&[]);
        for n in [0, length as u32, silence as u32 + 1200, silence as u32 + 2400, 48_000] {
            header.extend(n.to_le_bytes());
        }
        header.extend([69, 0, 0, 0, 1, 0]);
        header.extend(named(&[]).into_iter().chain([0; 26])); // terminator
        let (instrument, sample_id, modes) = (41, 53, 54);
        let tables = [
            // name, preset, bank, zone; two unused words per u32 of library, genre, morphology
            chunk("phdr", &[named(&[0, 0, 0, 0, 0, 0, 0, 0, 0]), named(&[0, 0, 1, 0, 0, 0, 0, 0, 0])].concat()),
            chunk("pbag", &words(&[0, 0, 1, 0])),
            chunk("pmod", &[0; 10]),
            chunk("pgen", &words(&[instrument, 0, 0, 0])),
            chunk("inst", &[named(&[0]), named(&[1])].concat()),
            chunk("ibag", &words(&[0, 0, 2, 0])),
            chunk("imod", &[0; 10]),
            chunk("igen", &words(&[modes, 1, sample_id, 0, 0, 0])),
            chunk("shdr", &header),
        ];
        let lists = [
            list("INFO", &[chunk("ifil", &[2, 0, 1, 0])]),
            list("sdta", &[chunk("smpl", &samples)]),
            list("pdta", &tables),
        ];
        let mut body = b"sfbk".to_vec();
        lists.iter().for_each(|l| body.extend(l));
        chunk("RIFF", &body)
    }

    fn open(bytes: &[u8]) -> Result<SoundFontPiano> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        SoundFontPiano::open(file.path(), 0)
    }

    const ONSETS: [f64; 3] = [0.25, 1.0013, 1.7777];

    /// Seconds from each onset until it is heard.
    fn lags(piano: &SoundFontPiano, pitch: u8) -> Vec<f64> {
        let notes = ONSETS.map(|onset| Note { pitch, velocity: 80, onset, duration: 0.2 });
        let audio = piano.render(&notes, &[]).unwrap();
        let at = |t: f64| (t * f64::from(SAMPLE_RATE)) as usize;
        let peak = audio.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let heard = |onset: f64| {
            let first = at(onset - 0.05);
            first + audio[first..].iter().position(|x| x.abs() > HEARD * peak).unwrap()
        };
        ONSETS.iter().map(|&t| heard(t) as f64 / f64::from(SAMPLE_RATE) - t).collect()
    }

    #[test]
    fn a_late_font_is_heard_in_time() {
        for silence in [0, 480, 960] {
            let piano = open(&font(silence)).unwrap();
            // The one sample serves every key, so its silence is longer below and shorter above the middle probe.
            for lag in lags(&piano, 60) {
                assert!(lag.abs() < 0.0025, "{silence} samples of silence: {lag} s late");
            }
        }
        let general_midi = Path::new("/usr/share/sounds/sf2/FluidR3_GM.sf2");
        if !general_midi.is_file() {
            println!("SKIPPED (visible): no {}", general_midi.display());
            return;
        }
        let piano = SoundFontPiano::open(general_midi, 0).unwrap();
        for pitch in [36, 48, 60, 72, 84] {
            for lag in lags(&piano, pitch) {
                assert!(lag.abs() < 0.005, "key {pitch}: {lag} s late");
            }
        }
    }

    #[test]
    fn damaged_fonts_are_errors() {
        let whole = font(10);
        for length in (0..whole.len()).step_by(7) {
            assert!(open(&whole[..length]).is_err(), "cut at byte {length}");
        }
        let mut index = whole.clone();
        let bag = index.windows(4).position(|w| w == b"ibag").unwrap();
        index[bag + 12] = 200; // a zone beyond the generators
        assert!(open(&index).err().unwrap().to_string().contains("ibag: expected indices below 3"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        /// Random damage gives an error or music, never a panic that escapes.
        #[test]
        fn mutated_fonts_do_not_panic(damage in prop::collection::vec((0usize..6000, any::<u8>()), 1..8), tables: bool) {
            let mut bytes = font(10);
            let tables_from = bytes.len() - 420;
            for (at, value) in damage {
                let at = if tables { tables_from + at % 420 } else { at % bytes.len() };
                bytes[at] = value;
            }
            if let Ok(piano) = open(&bytes) {
                let _ = piano.render(&[Note { pitch: 100, velocity: 80, onset: 0.0, duration: 0.1 }], &[]);
            }
        }
    }
}
