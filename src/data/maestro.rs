//! MAESTRO v3.0.0 metadata: which recording belongs to which MIDI file, which piece, which split.
//!
//! The data set: Hawthorne et al., "Enabling Factorized Piano Music Modeling and Generation with the MAESTRO
//! Dataset", ICLR 2019; <https://magenta.tensorflow.org/datasets/maestro>, CC BY-NC-SA 4.0. Its metadata is published
//! twice, as CSV (one row per performance) and as JSON (one object per column, keyed by row number); both are read
//! here, and so is any folder that carries one of them in the same layout.
//!
//! A bad header is an error; a bad row is set aside with its reason and the others are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quarantine::{Quarantined, Stage};
use crate::{Error, Result};

/// The columns, in the order in which they are published.
pub const COLUMNS: [&str; 7] =
    ["canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename", "duration"];
/// File names looked for in a data folder, in this order, before any other `maestro*.csv` or `maestro*.json`.
const NAMES: [&str; 2] = ["maestro-v3.0.0.csv", "maestro-v3.0.0.json"];
/// Largest metadata file read, in bytes; the published ones have 0.3 MB.
pub const MAX_BYTES: u64 = 64 << 20;
/// Longest performance a row may claim, in seconds: a day.
const MAX_DURATION: f64 = 86_400.0;

/// The part of the data set a performance belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Validation,
    Test,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// As the metadata writes it.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }

    /// The split called `name`, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Split::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One performance, as the metadata describes it. Paths are relative to the data folder and never leave it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub composer: String,
    pub title: String,
    pub split: Split,
    pub year: i32,
    pub midi: PathBuf,
    pub audio: PathBuf,
    /// Seconds until the last note ends.
    pub duration: f64,
}

/// A data folder's metadata.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The folder the entries' paths start from.
    pub root: PathBuf,
    /// The file read.
    pub file: PathBuf,
    /// Valid rows in their order, each with its row number (from 1, header not counted).
    pub entries: Vec<(u64, Entry)>,
    /// The other rows.
    pub rejected: Vec<Quarantined>,
}

/// Reads the metadata of a data folder (or of the metadata file given itself).
///
/// Errors: no metadata there, unreadable, too large, not CSV/JSON of the seven columns. Bad rows are in
/// [`Metadata::rejected`].
pub fn read_metadata(path: &Path) -> Result<Metadata> {
    let file = if path.is_dir() { find_metadata(path)? } else { path.to_path_buf() };
    let size = super::regular_file(&file)?.len();
    if size > MAX_BYTES {
        return Err(Error::input(&file, "size", format!("at most {MAX_BYTES} bytes"), format!("{size} bytes")));
    }
    let bytes = std::fs::read(&file).map_err(|e| Error::io(&file, "read", e))?;
    let json = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let (entries, rejected) = if json { parse_json(&bytes, &file)? } else { parse_csv(&bytes, &file)? };
    Ok(Metadata { root: crate::io::parent(&file).to_path_buf(), file, entries, rejected })
}

/// The metadata file of folder `root`.
fn find_metadata(root: &Path) -> Result<PathBuf> {
    if let Some(found) = NAMES.iter().map(|n| root.join(n)).find(|p| p.is_file()) {
        return Ok(found);
    }
    let listing = std::fs::read_dir(root).map_err(|e| Error::io(root, "list", e))?;
    let mut others: Vec<PathBuf> = listing.filter_map(|e| e.ok().map(|e| e.path())).collect();
    others.retain(|p| {
        let name = p.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.starts_with("maestro") && (name.ends_with(".csv") || name.ends_with(".json")) && p.is_file()
    });
    others.sort();
    others.into_iter().next().ok_or_else(|| {
        Error::input(root, "metadata", NAMES.join(" or "), "neither")
            .hint("a data folder holds the metadata beside the audio and MIDI files it names")
    })
}

/// Valid entries with their row numbers, and the rows set aside.
pub type Rows = (Vec<(u64, Entry)>, Vec<Quarantined>);

/// Parses the CSV form. The header must name the seven columns, in any order; other columns are ignored.
pub fn parse_csv(bytes: &[u8], path: &Path) -> Result<Rows> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Fields of the wrong number or encoding spoil their row, not the file.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(|e| Error::input(path, "header", COLUMNS.join(","), e.to_string()))?;
    let width = header.len();
    let mut at = [0; 7];
    for (place, column) in at.iter_mut().zip(COLUMNS) {
        *place = header.iter().position(|name| name.trim_ascii() == column.as_bytes()).ok_or_else(|| {
            let found = header.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
            Error::input(path, "header", format!("a column {column}"), brief(&found))
        })?;
    }
    let mut rows = Collector::new(path);
    for (index, record) in reader.byte_records().enumerate() {
        let number = index as u64 + 1;
        let record = record.map_err(|e| Error::input(path, format!("row {number}"), "CSV", e.to_string()))?;
        if record.len() != width {
            rows.reject(number, "fields", width.to_string(), record.len().to_string());
            continue;
        }
        let fields = at.map(|i| record.get(i).and_then(|bytes| std::str::from_utf8(bytes).ok()));
        rows.push(number, fields);
    }
    Ok(rows.finish())
}

/// Parses the JSON form: `{"canonical_composer": {"0": "…", "1": "…"}, "canonical_title": {…}, …}`.
pub fn parse_json(bytes: &[u8], path: &Path) -> Result<Rows> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| Error::input(path, "content", "JSON", e.to_string()))?;
    let mut columns = Vec::with_capacity(7);
    for column in COLUMNS {
        let cells = value.get(column).and_then(Value::as_object);
        columns.push(cells.ok_or_else(|| {
            Error::input(path, column, "an object from row number to value", "none")
                .hint("the official JSON holds one object per column")
        })?);
    }
    // Rows in the order of their numbers; names that are no numbers come last and are rejected below.
    let keys: BTreeSet<(u64, &str)> =
        columns.iter().flat_map(|c| c.keys()).map(|k| (k.parse().unwrap_or(u64::MAX), k.as_str())).collect();
    let mut rows = Collector::new(path);
    for (index, (parsed, key)) in keys.into_iter().enumerate() {
        let number = index as u64 + 1;
        if parsed == u64::MAX {
            rows.reject(number, "row number", "an integer", brief(key));
            continue;
        }
        let cells: Vec<Option<String>> = columns
            .iter()
            .map(|column| match column.get(key) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            })
            .collect();
        rows.push(number, std::array::from_fn(|i| cells.get(i).and_then(|c| c.as_deref())));
    }
    Ok(rows.finish())
}

/// Writes `entries` as the official CSV, atomically. Paths are written with forward slashes.
pub fn write_csv(path: &Path, entries: &[Entry]) -> Result<()> {
    let slashes = |p: &Path| p.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    crate::io::write_atomic(path, |out| {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(COLUMNS)?;
        for e in entries {
            let (year, duration) = (e.year.to_string(), e.duration.to_string());
            let (midi, audio) = (slashes(&e.midi), slashes(&e.audio));
            table.write_record([&e.composer, &e.title, e.split.name(), &year, &midi, &audio, &duration])?;
        }
        table.flush()
    })
}

/// Pieces (composer, title) that stand in more than one split, with those splits.
pub fn pieces_across_splits<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<(&'a str, &'a str), Vec<Split>> {
    let mut splits: BTreeMap<(&str, &str), BTreeSet<Split>> = BTreeMap::new();
    for entry in entries {
        splits.entry((&entry.composer, &entry.title)).or_default().insert(entry.split);
    }
    splits.retain(|_, s| s.len() > 1);
    splits.into_iter().map(|(piece, s)| (piece, s.into_iter().collect())).collect()
}

/// Validates rows one by one and remembers the files already named.
struct Collector<'a> {
    path: &'a Path,
    entries: Vec<(u64, Entry)>,
    rejected: Vec<Quarantined>,
    /// File → row that names it.
    files: HashMap<PathBuf, u64>,
}

impl<'a> Collector<'a> {
    fn new(path: &'a Path) -> Self {
        Collector { path, entries: Vec::new(), rejected: Vec::new(), files: HashMap::new() }
    }

    fn reject(&mut self, row: u64, field: &str, expected: impl Into<String>, found: impl Into<String>) {
        let error = Error::input(self.path, format!("row {row}, {field}"), expected, found);
        self.rejected.push(Quarantined::new(row, self.path, Stage::Metadata, error));
    }

    /// Takes one row, its fields in the order of [`COLUMNS`]; `None` is a value that is missing or not text.
    fn push(&mut self, row: u64, fields: [Option<&str>; 7]) {
        let entry = match validate(fields) {
            Ok(entry) => entry,
            Err((field, expected, found)) => return self.reject(row, field, expected, found),
        };
        for (field, file) in [("midi_filename", &entry.midi), ("audio_filename", &entry.audio)] {
            if let Some(first) = self.files.get(file) {
                let found = format!("{}, as in row {first}", brief(&file.to_string_lossy()));
                return self.reject(row, field, "a file no other row names", found);
            }
        }
        self.files.insert(entry.midi.clone(), row);
        self.files.insert(entry.audio.clone(), row);
        self.entries.push((row, entry));
    }

    fn finish(self) -> Rows {
        (self.entries, self.rejected)
    }
}

/// (field, expected, found)
type Complaint = (&'static str, String, String);

fn validate(fields: [Option<&str>; 7]) -> std::result::Result<Entry, Complaint> {
    let text = |i: usize| -> std::result::Result<&str, Complaint> {
        let value = fields[i].ok_or_else(|| (COLUMNS[i], "UTF-8 text".to_string(), "none".to_string()))?.trim();
        if value.is_empty() {
            return Err((COLUMNS[i], "a value".into(), "nothing".into()));
        }
        Ok(value)
    };
    let wrong = |i: usize, expected: &str, found: &str| (COLUMNS[i], expected.to_string(), brief(found));
    let (composer, title) = (text(0)?.to_string(), text(1)?.to_string());
    let split =
        Split::from_name(text(2)?).ok_or_else(|| wrong(2, "train, validation or test", fields[2].unwrap_or("")))?;
    let year = text(3)?;
    let year = year
        .parse::<i32>()
        .ok()
        .filter(|y| (0..=9999).contains(y))
        .ok_or_else(|| wrong(3, "a year from 0 to 9999", year))?;
    let path = |i: usize| -> std::result::Result<PathBuf, Complaint> {
        let name = text(i)?;
        relative(name).ok_or_else(|| wrong(i, "a path inside the data folder", name))
    };
    let (midi, audio) = (path(4)?, path(5)?);
    let duration = text(6)?;
    let duration = duration
        .parse::<f64>()
        .ok()
        .filter(|d| *d > 0.0 && *d <= MAX_DURATION)
        .ok_or_else(|| wrong(6, "seconds, more than 0 and at most a day", duration))?;
    Ok(Entry { composer, title, split, year, midi, audio, duration })
}

/// `name` as a path below the data folder: no root, no `..`, no control characters.
fn relative(name: &str) -> Option<PathBuf> {
    if name.chars().any(char::is_control) {
        return None;
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

/// At most 80 characters of `text`, for messages about values of any length.
fn brief(text: &str) -> String {
    let mut short: String = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n";
    const GOOD: &str = "César Franck,\"Prelude, Chorale and Fugue\",train,2018,2018/a.midi,2018/a.wav,12.5\n";

    fn csv(rows: &str) -> Rows {
        parse_csv(format!("{HEADER}{rows}").as_bytes(), Path::new("m.csv")).unwrap()
    }

    #[test]
    fn bad_rows_are_set_aside_with_their_reason() {
        let rows = [
            ("A,B,training,2018,b.midi,b.wav,1", "split: expected train, validation or test, found training"),
            ("A,B,test,MMIV,b.midi,b.wav,1", "year: expected a year from 0 to 9999, found MMIV"),
            (
                "A,B,test,2004,../b.midi,b.wav,1",
                "midi_filename: expected a path inside the data folder, found ../b.midi",
            ),
            ("A,B,test,2004,b.midi,/etc/passwd,1", "audio_filename: expected a path inside the data folder"),
            ("A,B,test,2004,b.midi,b.wav,-1", "duration: expected seconds, more than 0 and at most a day, found -1"),
            ("A,B,test,2004,b.midi,b.wav,NaN", "found NaN"),
            ("A,,test,2004,b.midi,b.wav,1", "canonical_title: expected a value, found nothing"),
            ("A,B,test,2004,b.midi,b.wav", "fields: expected 7, found 6"),
            (
                "A,B,test,2004,2018/./a.midi,b.wav,1",
                "expected a file no other row names, found 2018/a.midi, as in row 1",
            ),
        ];
        let text: String = rows.iter().map(|(row, _)| format!("{row}\n")).collect();
        let (entries, rejected) = csv(&format!("{GOOD}{text}{}", GOOD.replace("a.", "c.")));
        assert_eq!(entries.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 11]);
        assert_eq!(entries[0].1.title, "Prelude, Chorale and Fugue");
        assert_eq!(rejected.len(), rows.len());
        for (quarantined, (number, (_, reason))) in rejected.iter().zip((2..).zip(rows)) {
            assert_eq!(quarantined.row, number);
            assert!(quarantined.reason.starts_with(&format!("m.csv: row {number}, ")), "{quarantined}");
            assert!(quarantined.reason.contains(reason), "{quarantined} does not say “{reason}”");
        }
    }

    #[test]
    fn headers_may_be_reordered_but_not_short() {
        let swapped = "\u{feff}duration,canonical_title,split,year,midi_filename,audio_filename,more,canonical_composer\n\
                       1.5,T,test,2004,a.mid,a.flac,x,C\n";
        let (entries, rejected) = parse_csv(swapped.as_bytes(), Path::new("m.csv")).unwrap();
        assert_eq!((entries.len(), rejected.len()), (1, 0));
        assert_eq!((entries[0].1.duration, entries[0].1.composer.as_str()), (1.5, "C"));
        for bad in ["", "a,b,c\n", &HEADER.replace(",duration", ""), "\u{0}\u{1}"] {
            let error = parse_csv(bad.as_bytes(), Path::new("m.csv")).unwrap_err().to_string();
            assert!(error.starts_with("m.csv: header: expected a column"), "{error}");
        }
    }

    #[test]
    fn json_says_the_same_as_csv_and_csv_round_trips() {
        let second = "Joseph Haydn,Sonata in D,validation,2004,2004/b.midi,2004/b.flac,7.25";
        let (entries, _) = csv(&format!("{GOOD}{second}\n"));
        let cells = |f: &dyn Fn(&Entry) -> Value| serde_json::json!({"10": f(&entries[1].1), "9": f(&entries[0].1)});
        let json = serde_json::json!({
            "canonical_composer": cells(&|e| e.composer.clone().into()),
            "canonical_title": cells(&|e| e.title.clone().into()),
            "split": cells(&|e| e.split.name().into()),
            "year": cells(&|e| e.year.into()),
            "midi_filename": cells(&|e| e.midi.to_str().into()),
            "audio_filename": cells(&|e| e.audio.to_str().into()),
            "duration": cells(&|e| e.duration.into()),
        });
        let (from_json, rejected) = parse_json(json.to_string().as_bytes(), Path::new("m.json")).unwrap();
        assert_eq!(
            (from_json, rejected.len()),
            (entries.clone(), 0),
            "rows in the order of their numbers, 9 before 10"
        );
        let mut short = json.clone();
        short["year"].as_object_mut().unwrap().remove("9");
        let (_, rejected) = parse_json(short.to_string().as_bytes(), Path::new("m.json")).unwrap();
        assert!(rejected[0].reason.contains("row 1, year: expected UTF-8 text, found none"), "{}", rejected[0]);
        short.as_object_mut().unwrap().remove("split");
        let error = parse_json(short.to_string().as_bytes(), Path::new("m.json")).unwrap_err().to_string();
        assert!(error.starts_with("m.json: split: expected an object"), "{error}");

        let dir = tempfile::tempdir().unwrap();
        let plain: Vec<Entry> = entries.iter().map(|(_, e)| e.clone()).collect();
        write_csv(&dir.path().join("maestro-v3.0.0.csv"), &plain).unwrap();
        let read = read_metadata(dir.path()).unwrap();
        assert_eq!((read.entries, read.root.as_path()), (entries, dir.path()));
        let none = read_metadata(&dir.path().join("nothing")).unwrap_err();
        assert!(none.to_string().contains("cannot read"), "{none}");
    }
}
