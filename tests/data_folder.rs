//! A whole data folder with everything that can be wrong with it, and the real performances where they are at hand.

use std::path::{Path, PathBuf};

use descant::data::check::{self, Kind};
use descant::data::maestro::{self, Entry, Split};
use descant::data::midi::{PedalMode, read_midi};
use descant::data::pairing::Repairs;
use descant::data::prepare::PrepareOptions;
use descant::data::quarantine::{self, Quarantined, Stage};
use descant::data::segments::Dataset;
use midly::num::{u4, u7, u15, u28};
use midly::{Format, Header, MetaMessage, MidiMessage, Smf, Timing, TrackEvent, TrackEventKind};

/// A MIDI file with a half-second note at every second before `seconds`.
fn write_midi(path: &Path, seconds: u32) {
    let mut smf = Smf::new(Header::new(Format::SingleTrack, Timing::Metrical(u15::new(480))));
    let event = |ticks: u32, kind| TrackEvent { delta: u28::new(ticks), kind };
    let note = |vel: u8| {
        let message = MidiMessage::NoteOn { key: u7::new(60), vel: u7::new(vel) };
        TrackEventKind::Midi { channel: u4::new(0), message }
    };
    let beats = (0..seconds).flat_map(|n| [event(if n == 0 { 0 } else { 480 }, note(80)), event(480, note(0))]);
    let end = [event(0, TrackEventKind::Meta(MetaMessage::EndOfTrack))];
    smf.tracks.push(beats.chain(end).collect());
    smf.save(path).unwrap();
}

/// A 440 Hz tone at 16 kHz.
fn write_wav(path: &Path, seconds: u32, amplitude: f64) {
    let sample_format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..seconds * 16_000 {
        let x = amplitude * (f64::from(n) * 440.0 / 16_000.0 * std::f64::consts::TAU).sin();
        wav.write_sample((x * 32_767.0) as i16).unwrap();
    }
    wav.finalize().unwrap();
}

/// Nine performances, of which rows 1, 2, 8 and 9 are sound; 8 and 9 are one piece in two splits.
fn write_folder(root: &Path) {
    let entry = |name: &str, split, duration| Entry {
        composer: "Composer, A".into(),
        title: name.into(),
        split,
        year: 2004,
        midi: format!("{name}.midi").into(),
        audio: format!("{name}.wav").into(),
        duration,
    };
    let mut entries = vec![entry("good", Split::Train, 9.5), entry("fine", Split::Validation, 5.5)];
    for name in ["no midi", "no audio", "bad midi", "bad audio", "short"] {
        entries.push(entry(name, Split::Train, 9.5));
    }
    entries.extend([entry("twice", Split::Train, 9.5), entry("again", Split::Test, 9.5)]);
    entries[8].title = "twice".into();
    for e in &entries {
        write_midi(&root.join(&e.midi), e.duration.ceil() as u32);
        write_wav(&root.join(&e.audio), 10, 0.5);
    }
    std::fs::remove_file(root.join("no midi.midi")).unwrap();
    std::fs::remove_file(root.join("no audio.wav")).unwrap();
    let cut = |name: &str, keep: usize| {
        let bytes = std::fs::read(root.join(name)).unwrap();
        std::fs::write(root.join(name), &bytes[..keep]).unwrap();
    };
    cut("bad midi.midi", 40);
    cut("bad audio.wav", 20_000);
    write_wav(&root.join("short.wav"), 5, 0.0);
    maestro::write_csv(&root.join("maestro-v3.0.0.csv"), &entries).unwrap();
    let csv = std::fs::read_to_string(root.join("maestro-v3.0.0.csv")).unwrap();
    std::fs::write(root.join("maestro-v3.0.0.csv"), csv + "A,B,neither,2004,x.midi,x.wav,1\n").unwrap();
}

#[test]
fn what_is_bad_is_quarantined_and_the_rest_is_used() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let cache = dir.path().join(".descant-cache");
    let dataset = Dataset::prepare(dir.path(), &cache, &PrepareOptions::default()).unwrap();
    let titles: Vec<&str> = dataset.performances.iter().map(|p| p.title.as_str()).collect();
    assert_eq!(titles, ["good", "fine", "short", "twice"]);
    assert_eq!(dataset.performances[0].audio.samples().len(), 240_000);
    assert_eq!(dataset.performances[0].notes.len(), 10);
    assert_eq!(dataset.segments(Split::Train, None).len(), 7 + 2);
    assert_eq!(dataset.segments(Split::Train, Some(3)).len(), 3 + 2);
    let pieces: Vec<u32> = dataset.performances.iter().map(|p| p.piece).collect();
    assert_eq!(pieces, [3, 2, 6, 7], "numbered over all valid rows, by title");

    let stages: Vec<(u64, Stage)> = dataset.quarantined.iter().map(|q| (q.row, q.stage)).collect();
    let expected = [
        (3, Stage::Midi),
        (4, Stage::Audio),
        (5, Stage::Midi),
        (6, Stage::Audio),
        (8, Stage::Split),
        (10, Stage::Metadata),
    ];
    assert_eq!(stages, expected);
    assert!(dataset.quarantined[4].reason.contains("left out of train: it is in test too"));
    let summary = dataset.summary();
    assert!(summary.starts_with("4 performances (2 train, 1 validation, 1 test)\n6 left out:\n  row 3: "), "{summary}");
    let list = dir.path().join("quarantine.json");
    quarantine::save(&dataset.quarantined, &list).unwrap();
    let read: Vec<Quarantined> = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    assert_eq!(read, dataset.quarantined);

    let mixed = PrepareOptions { disjoint_pieces: false, ..PrepareOptions::default() };
    assert_eq!(Dataset::prepare(dir.path(), &cache, &mixed).unwrap().performances.len(), 5);
    for entry in ["good.midi", "fine.midi", "short.midi", "again.midi", "twice.midi"] {
        std::fs::remove_file(dir.path().join(entry)).unwrap();
    }
    let nothing = Dataset::prepare(dir.path(), &cache, &mixed).unwrap_err().to_string();
    assert!(nothing.contains("performances: expected at least one that can be read"), "{nothing}");
}

#[test]
fn check_names_every_fault() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let report = check::check(dir.path()).unwrap();
    assert!(!report.ok());
    let kinds: Vec<(u64, Kind)> = report.problems.iter().map(|f| (f.row, f.kind)).collect();
    let expected = [
        (3, Kind::Missing),
        (4, Kind::Missing),
        (5, Kind::Unreadable),
        (6, Kind::Unreadable),
        (7, Kind::Silent),
        (7, Kind::Duration),
        (10, Kind::Metadata),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(
        report.remarks.iter().map(|f| (f.row, f.kind)).collect::<Vec<_>>(),
        [8, 9].map(|r| (r, Kind::AcrossSplits))
    );
    assert_eq!((report.rows, report.midi_files, report.audio_files), (10, 7, 7));
    let [train, validation, test] = &report.splits[..] else { panic!("three splits") };
    assert_eq!((train.performances, validation.performances, test.performances), (7, 1, 1));
    let shown = report.to_string();
    assert!(shown.contains("short.wav: the audio ends at 5.00 s, the last note ends at 9.50 s"), "{shown}");
    assert_eq!(serde_json::to_value(&report).unwrap()["problems"][0]["kind"], "missing");
}

/// `DESCANT_PERFORMANCES`, or `../shared/data` beside the repository.
fn performances() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let found = std::env::var_os("DESCANT_PERFORMANCES").map(PathBuf::from).or(Some(beside)).filter(|p| p.is_dir());
    if found.is_none() {
        println!("SKIPPED (visible): no real performances (set DESCANT_PERFORMANCES)");
    }
    found
}

#[test]
fn official_table_reads_whole() {
    let Some(data) = performances() else { return };
    let metadata = maestro::read_metadata(&data.join("maestro-v3.0.0-official.csv")).unwrap();
    assert_eq!((metadata.entries.len(), metadata.rejected.len()), (1276, 0));
    let of = |split| metadata.entries.iter().map(|(_, e)| e).filter(move |e| e.split == split);
    for (split, count, hours) in
        [(Split::Train, 962, 159.24), (Split::Validation, 137, 19.43), (Split::Test, 177, 19.98)]
    {
        assert_eq!(of(split).count(), count);
        assert!((of(split).map(|e| e.duration).sum::<f64>() / 3600.0 - hours).abs() < 0.01, "{split}");
    }
    // Five pieces stand in two splits as published.
    assert_eq!(maestro::pieces_across_splits(metadata.entries.iter().map(|(_, e)| e)).len(), 5);
}

#[test]
fn real_clip_reads_and_its_mismatch_is_reported() {
    let Some(data) = performances() else { return };
    let report = check::check(&data.join("real-clip")).unwrap();
    assert_eq!((report.midi_files, report.notes, report.repairs), (1, 4197, Repairs::default()));
    assert_eq!(report.problems.len(), 1, "{report}");
    assert!(
        report.problems[0].message.ends_with("the audio ends at 2.00 s, the last note ends at 698.66 s"),
        "{report}"
    );
}

#[test]
fn real_performances_end_when_their_table_says() {
    let Some(data) = performances() else { return };
    let folder = data.join("maestro-midi");
    let mut table = csv::Reader::from_path(folder.join("manifest.csv")).unwrap();
    let columns = table.headers().unwrap().clone();
    let column = |name| columns.iter().position(|c| c == name).unwrap();
    let (file, duration, notes) = (column("midi_filename"), column("duration"), column("notes"));
    let mut repairs = Repairs::default();
    for row in table.records() {
        let row = row.unwrap();
        let midi = read_midi(&folder.join(&row[file]), PedalMode::Ignore).unwrap();
        assert!((midi.length - row[duration].parse::<f64>().unwrap()).abs() < 1e-3, "{}", &row[file]);
        assert_eq!(midi.notes.len(), row[notes].parse::<usize>().unwrap(), "{}", &row[file]);
        repairs.add(&midi.repairs);
    }
    assert_eq!((repairs.overlapping, repairs.total()), (9, 18), "{repairs}");
}
