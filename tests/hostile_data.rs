//! Hostile input: every truncation and 10,000 random mutations of a MIDI, a WAV, a CSV and a JSON file (2,000 of a FLAC,
//! an MP3 and an OGG) give a result or a typed error; never a panic, a hang, or memory without bound. Seeds are fixed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use descant::data::cache::AudioCache;
use descant::data::maestro::{self, Entry, Rows, Split};
use descant::data::midi::{MidiFile, PedalMode, parse_midi};
use descant::data::{audio, midi};
use descant::{Error, Result};

/// Counts live bytes, so that a test can bound them.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All tests of this file together stay below this, whatever the headers claim.
const MEMORY: usize = 256 << 20;
/// No single input takes longer (they take microseconds; a busy machine may stall).
const PATIENCE: Duration = Duration::from_secs(10);
const MUTATIONS: usize = 10_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One to four changes; half of them within the first 64 bytes, where the headers are.
    fn mutate(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(4) {
            let reach = if self.below(2) == 0 { bytes.len().min(64) } else { bytes.len() };
            let at = self.below(reach);
            let span = at..(at + 1 + self.below(8)).min(bytes.len());
            match self.below(7) {
                0 if !span.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !span.is_empty() => bytes[at] = self.next() as u8,
                2 => bytes[span].fill(0xff),
                3 => bytes[span].fill(0),
                4 => drop(bytes.drain(span)),
                5 => {
                    let copy = bytes[span].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => {
                    let noise: Vec<u8> = (0..=self.below(8)).map(|_| self.next() as u8).collect();
                    bytes.splice(at..at, noise);
                }
            }
        }
        bytes
    }
}

/// Feeds `parse` every prefix of `original` (of a long one: the first and last 600 and 600 in between) and `mutations`
/// mutations of it; `sound` looks at what was accepted. Returns how many prefixes and mutations were accepted.
fn torture<T>(
    name: &str,
    original: &[u8],
    mutations: usize,
    parse: impl Fn(&[u8]) -> Result<T>,
    sound: impl Fn(&T),
) -> (usize, usize) {
    let attempt = |bytes: &[u8]| {
        let began = Instant::now();
        let result = parse(bytes);
        assert!(began.elapsed() < PATIENCE, "{name}: {:?} for {} bytes", began.elapsed(), bytes.len());
        match &result {
            Ok(value) => sound(value),
            Err(Error::Input { .. }) => {}
            Err(other) => panic!("{name}: not an input error: {other}"),
        }
        result.is_ok()
    };
    assert!(attempt(original), "{name}: the original is accepted");
    let n = original.len();
    let step = (n / 600).max(1);
    let prefixes = (0..n).filter(|i| *i < 600 || n - i <= 600 || i % step == 0);
    let cut = prefixes.filter(|end| attempt(&original[..*end])).count();
    let mut random = Random(n as u64);
    let mutated = (0..mutations).filter(|_| attempt(&random.mutate(original))).count();
    let peak = PEAK.load(Relaxed);
    assert!(peak < MEMORY, "{name}: {peak} bytes at once");
    println!("{name}: {cut} of the prefixes and {mutated} of {mutations} mutations accepted; peak {} MB", peak >> 20);
    (cut, mutated)
}

/// What every accepted MIDI file must satisfy.
fn sound_notes(file: &MidiFile) {
    for note in &file.notes {
        assert!(note.pitch < 128 && (1..128).contains(&note.velocity), "{note:?}");
        assert!(note.duration > 0.0 && note.onset >= 0.0 && note.onset + note.duration <= midi::MAX_SECONDS + 1.0);
    }
    assert!(file.notes.is_sorted_by(|a, b| (a.onset, a.pitch) <= (b.onset, b.pitch)));
    assert!(file.pedal.is_sorted_by(|a, b| a.time <= b.time) && file.length.is_finite());
}

#[test]
fn midi_files() {
    // Two tracks with tempo changes, pedal, running status, text, system exclusive, percussion, overlaps.
    let tempo_track =
        b"\x00\xff\x03\x05piano\x00\xff\x51\x03\x07\xa1\x20\x83\x60\xff\x51\x03\x0f\x42\x40\x00\xff\x2f\x00";
    let mut notes =
        b"\x00\xf0\x05\x7e\x7f\x09\x01\xf7\x00\xb0\x40\x7f\x00\x90\x3c\x50\x60\x3c\x40\x60\x3c\x00".to_vec();
    for n in 0..40u8 {
        notes.extend([0x10, 0x90, 40 + n, 64, 0x20, 40 + n, 0, 0, 0x99, 35, 100, 0, 0xb0, 64, n * 3]);
    }
    notes.extend(b"\x00\x90\x50\x40\x00\xff\x2f\x00");
    let mut file = b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0".to_vec();
    for track in [&tempo_track[..], &notes] {
        file.extend(b"MTrk");
        file.extend((track.len() as u32).to_be_bytes());
        file.extend(track);
    }
    for (format, mode) in [(1, PedalMode::Extend), (2, PedalMode::Ignore)] {
        file[9] = format;
        let (cut, _) = torture("MIDI", &file, MUTATIONS, |b| parse_midi(b, Path::new("t.mid"), mode), sound_notes);
        assert_eq!(cut, 0, "a truncated MIDI file is never taken for a shorter piece");
    }
}

/// 50 ms of two tones, 44.1 kHz stereo.
fn wav(bits_per_sample: u16, sample_format: hound::SampleFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    let spec = hound::WavSpec { channels: 2, sample_rate: 44_100, bits_per_sample, sample_format };
    let mut wav = hound::WavWriter::new(Cursor::new(&mut bytes), spec).unwrap();
    for n in 0..2 * 2_205 {
        let x = (f64::from(n) * 0.1).sin() * 0.5;
        match sample_format {
            hound::SampleFormat::Float => wav.write_sample(x as f32).unwrap(),
            hound::SampleFormat::Int => wav.write_sample((x * 32_767.0) as i16).unwrap(),
        }
    }
    wav.finalize().unwrap();
    bytes
}

/// Decodes to 24 kHz mono, keeping the number of samples and whether all are finite.
fn decode(bytes: &[u8]) -> Result<(usize, bool)> {
    let (mut count, mut finite) = (0, true);
    audio::stream_bytes_mono_24k(bytes.to_vec(), Path::new("t.wav"), &mut |samples| {
        count += samples.len();
        finite &= samples.iter().all(|x| x.is_finite());
        Ok(())
    })?;
    Ok((count, finite))
}

fn sound_audio(found: &(usize, bool)) {
    assert!(found.0 > 0 && found.1, "{found:?}");
}

#[test]
fn wav_files() {
    let (cut, _) = torture("WAV, 16 bits", &wav(16, hound::SampleFormat::Int), MUTATIONS, decode, sound_audio);
    assert_eq!(cut, 0, "a truncated WAV file is never taken for a shorter recording");
    let (cut, _) = torture("WAV, float", &wav(32, hound::SampleFormat::Float), MUTATIONS, decode, sound_audio);
    assert_eq!(cut, 0);
}

#[test]
#[cfg(unix)]
fn what_is_no_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.wav");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    let pipes = if made.is_ok_and(|status| status.success()) { Some(pipe) } else { None };
    // Opening a pipe nobody writes to would wait forever.
    for path in pipes.iter().map(|p| p.as_path()).chain([dir.path(), Path::new("/dev/zero")]) {
        for error in [
            audio::inspect(path).unwrap_err(),
            midi::read_midi(path, PedalMode::Ignore).unwrap_err(),
            AudioCache::open(&dir.path().join("cache")).unwrap().get(path).unwrap_err(),
        ] {
            assert!(error.to_string().contains("expected a regular file"), "{error}");
        }
    }
}

#[test]
fn compressed_audio_files() {
    for name in ["bursts.flac", "bursts.mp3", "bursts.ogg"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let (cut, _) = torture(name, &std::fs::read(path).unwrap(), 2_000, decode, sound_audio);
        assert!(cut == 0 || name != "bursts.flac", "FLAC says how long it is");
    }
}

/// What every accepted table must satisfy.
fn sound_rows((entries, rejected): &Rows) {
    for (row, entry) in entries {
        let inside = |p: &Path| p.components().all(|c| matches!(c, Component::Normal(_)));
        assert!(inside(&entry.midi) && inside(&entry.audio) && entry.duration > 0.0, "row {row}: {entry:?}");
    }
    assert!(rejected.iter().all(|q| q.reason.len() < 2_000), "reasons stay short");
}

fn entries() -> Vec<Entry> {
    let entry = |n: u32| Entry {
        composer: ["Frédéric Chopin", "Franz Schubert / Franz Liszt"][n as usize % 2].into(),
        title: format!("Ballade No. {n}, \"Op.\" {n}"),
        split: Split::ALL[n as usize % 3],
        year: 2004 + n as i32,
        midi: format!("2004/{n}.midi").into(),
        audio: format!("2004/{n}.wav").into(),
        duration: 100.0 + f64::from(n) / 7.0,
    };
    (0..8).map(entry).collect()
}

#[test]
fn tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("maestro-v3.0.0.csv");
    maestro::write_csv(&path, &entries()).unwrap();
    let csv = std::fs::read(&path).unwrap();
    torture("CSV", &csv, MUTATIONS, |b| maestro::parse_csv(b, &path), sound_rows);

    let mut columns = serde_json::Map::new();
    let mut table = csv::Reader::from_reader(&csv[..]);
    for (index, name) in table.headers().unwrap().clone().iter().enumerate() {
        let mut table = csv::Reader::from_reader(&csv[..]);
        let cells = table.records().enumerate().map(|(row, r)| (row.to_string(), r.unwrap()[index].into()));
        columns.insert(name.into(), serde_json::Value::Object(cells.collect()));
    }
    let json = serde_json::to_vec(&columns).unwrap();
    let (cut, _) = torture("JSON", &json, MUTATIONS, |b| maestro::parse_json(b, &path), sound_rows);
    assert_eq!(cut, 0);
    let deep = [b"[".repeat(100_000), b"{\"a\":".repeat(100_000)];
    assert!(deep.iter().all(|bytes| maestro::parse_json(bytes, &path).is_err()));
}
