//! `engine describe`: the descriptor of a recording or a MIDI file, as numbers and as a picture.

mod audio;
mod notes;
mod octaves;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::{print, print_json};
use crate::config::keys::{keys, parse};
use crate::config::setting::{Limits, Setting, json_text};
use crate::data::regular_file;
use crate::descriptors::stft::Padding;
use crate::descriptors::{self, Descriptor, Domain};
use crate::error::{Error, Result};
use crate::npy::write_npy;
use crate::progress::say;

/// Seconds of the segments that the model hears (paper section 3).
const WINDOW_SECONDS: f64 = 4.0;
/// Windows that the picture of a whole file shows.
const SHOWN_WINDOWS: usize = 3;

/// Which descriptor to compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// The first of the file's kind.
    Auto,
    /// This one.
    Of(&'static dyn Descriptor),
}

/// What can be described: all but those that only training completes.
fn descriptors() -> impl Iterator<Item = &'static dyn Descriptor> {
    descriptors::ALL.iter().copied().filter(|d| d.raw_dims() == d.dims())
}

/// "a4"
fn word(descriptor: &dyn Descriptor) -> String {
    descriptor.name().to_lowercase()
}

impl Setting for Choice {
    fn kind(&self, _: &Limits) -> String {
        let words: Vec<String> = std::iter::once("auto".into()).chain(descriptors().map(word)).collect();
        words.join("|")
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        let found = match text {
            "auto" => Some(Choice::Auto),
            _ => descriptors().find(|d| d.name().eq_ignore_ascii_case(text)).map(Choice::Of),
        };
        found.map(|choice| *self = choice).is_some()
    }

    fn json(&self) -> Value {
        match self {
            Choice::Auto => Value::from("auto"),
            Choice::Of(descriptor) => Value::from(word(*descriptor)),
        }
    }
}

/// What part of the file is described.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All of it.
    All,
    /// The 4-s window that begins at so many seconds.
    At(f64),
}

impl Setting for Start {
    fn kind(&self, _: &Limits) -> String {
        "all|seconds, at least 0".into()
    }

    fn set(&mut self, text: &str, _: &Limits) -> bool {
        *self = match (text, text.parse::<f64>()) {
            ("all", _) => Start::All,
            (_, Ok(seconds)) if seconds.is_finite() && seconds >= 0.0 => Start::At(seconds),
            _ => return false,
        };
        true
    }

    fn json(&self) -> Value {
        match self {
            Start::All => Value::from("all"),
            Start::At(seconds) => Value::from(*seconds),
        }
    }
}

keys! {
    /// Settings of `engine describe`.
    DescribeConfig {
        /// What to compute; auto = a4 of audio, d4 of MIDI. (a8: its last normalisation cancels its onset gate.)
        descriptor: Choice = Choice::Auto;
        /// Folder for DESCRIPTOR.npy and DESCRIPTOR.png; none = print only.
        out: Option<PathBuf> = None;
        /// Describe the 4-s window that begins here; all = the whole file (audio: window by window).
        start: Start = Start::All;
        /// What the STFT sees beyond the ends of a window.
        padding as "stft.padding": Padding = Padding::Reflect;
    }
}

/// Draws a picture at the path it is given.
type Figure = Box<dyn Fn(&Path) -> Result<()>>;

/// What was found in a file.
struct Description {
    /// "a4"
    descriptor: String,
    /// Row-major, of this shape.
    values: Vec<f32>,
    shape: Vec<usize>,
    /// The summary for people, lines with their ends.
    text: String,
    /// The summary for programs: an object.
    json: Value,
    /// The values over the spectrogram or the piano roll.
    figure: Figure,
}

/// Describes `file` under the `key=value` settings of [`DescribeConfig`]; prints text, or JSON where `as_json`.
///
/// Errors: settings that are not known or do not fit the file's kind, a file that is neither audio nor MIDI, a `start` beyond its end.
pub fn run(file: &Path, settings: &[String], as_json: bool) -> Result<()> {
    let config: DescribeConfig = parse(settings)?;
    let mut found = describe(file, &config)?;
    if let Some(folder) = &config.out {
        save(&mut found, folder)?;
    }
    if as_json {
        return print_json(&found.json);
    }
    print(&found.text)?;
    if config.out.is_none() {
        say(&format!("out=DIR saves the values as DIR/{0}.npy and draws them as DIR/{0}.png", found.descriptor));
    }
    Ok(())
}

fn describe(file: &Path, config: &DescribeConfig) -> Result<Description> {
    let domain = if is_midi(file)? { Domain::Midi } else { Domain::Audio };
    let fitting: Vec<_> = descriptors().filter(|d| d.domain() == domain).collect();
    let chosen = match config.descriptor {
        Choice::Auto => fitting.first().copied(),
        Choice::Of(descriptor) => Some(descriptor).filter(|d| d.domain() == domain),
    };
    let Some(descriptor) = chosen else {
        let (of, kind) = if domain == Domain::Midi { ("audio", "MIDI") } else { ("MIDI", "not MIDI") };
        let fitting: Vec<_> = fitting.into_iter().map(|d| format!("descriptor={}", word(d))).collect();
        let choice = json_text(&config.descriptor.json());
        let file = file.display();
        return Err(Error::Usage(format!(
            "descriptor={choice} is of {of}, and {file} is {kind}: try {}",
            fitting.join(", ")
        )));
    };
    match domain {
        Domain::Audio => audio::describe(file, descriptor, config),
        Domain::Midi => notes::describe(file, descriptor, config),
    }
}

/// Writes the values and the picture into `folder`, and says so in both summaries.
fn save(found: &mut Description, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
    let [array, picture] = ["npy", "png"].map(|ending| folder.join(format!("{}.{ending}", found.descriptor)));
    write_npy(&array, &found.shape, &found.values)?;
    (found.figure)(&picture)?;
    found.text += &format!("\nsaved {} {:?} and {}\n", array.display(), found.shape, picture.display());
    found.json["array"] = json!(array.to_string_lossy());
    found.json["picture"] = json!(picture.to_string_lossy());
    Ok(())
}

/// Whether a file is MIDI: by its first bytes, or by its ending where they do not tell (a damaged MIDI file should fail as MIDI).
fn is_midi(file: &Path) -> Result<bool> {
    let mut first = Vec::new();
    regular_file(file)?;
    let mut open = File::open(file).map_err(|e| Error::io(file, "read", e))?.take(4);
    open.read_to_end(&mut first).map_err(|e| Error::io(file, "read", e))?;
    let ending = file.extension().unwrap_or_default().to_ascii_lowercase();
    Ok(first == b"MThd" || ending == "mid" || ending == "midi")
}

/// The file's name without its folder, for titles.
fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

/// The moments of each column of `values`, as lines under a heading and as objects.
fn table(descriptor: &dyn Descriptor, values: &[f32]) -> (String, Vec<Value>) {
    let mut text = String::from("column   feature                               mean       sd      min      max\n");
    let mut features = Vec::new();
    for (column, feature) in descriptor.columns().iter().enumerate() {
        let moments = Moments::of(values, descriptor.dims(), column);
        text += &format!("{:>6}   {feature:<32} {moments}\n", column + 1);
        let mut entry = json!({ "column": column + 1, "feature": feature });
        moments.add_to(&mut entry);
        features.push(entry);
    }
    (text, features)
}

/// Mean, standard deviation (1/n), smallest and largest value of a column.
struct Moments {
    mean: f64,
    sd: f64,
    min: f64,
    max: f64,
}

impl Moments {
    /// Of column `column` of row-major `values`, `columns` wide, at least one row.
    fn of(values: &[f32], columns: usize, column: usize) -> Self {
        let of = || values.iter().skip(column).step_by(columns).map(|&x| f64::from(x));
        let n = of().count() as f64;
        let mean = of().sum::<f64>() / n;
        let sd = (of().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt();
        Moments { mean, sd, min: of().fold(f64::INFINITY, f64::min), max: of().fold(f64::NEG_INFINITY, f64::max) }
    }

    /// Adds the four to a JSON object.
    fn add_to(&self, entry: &mut Value) {
        for (name, value) in [("mean", self.mean), ("sd", self.sd), ("min", self.min), ("max", self.max)] {
            entry[name] = json!(value);
        }
    }
}

impl std::fmt::Display for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Adding 0 turns a rounded negative zero into zero.
        let round = |x: f64| (x * 1000.0).round() / 1000.0 + 0.0;
        let [mean, sd, min, max] = [self.mean, self.sd, self.min, self.max].map(round);
        write!(f, "{mean:8.3} {sd:8.3} {min:8.3} {max:8.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::d4::d4;
    use crate::descriptors::{A4, Source};
    use crate::golden::{Golden, max_abs_diff};

    /// Describes and saves as [`run`] does, without printing.
    fn described(file: &Path, settings: &[&str]) -> Result<Description> {
        let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
        let config: DescribeConfig = parse(&settings)?;
        let mut found = describe(file, &config)?;
        config.out.iter().try_for_each(|folder| save(&mut found, folder))?;
        Ok(found)
    }

    fn refused(file: &Path, settings: &[&str]) -> (u8, String) {
        let Err(error) = described(file, settings) else { panic!("should be refused: {settings:?}") };
        (error.exit_code(), error.to_string())
    }

    fn read_npy(path: &Path) -> (Vec<u64>, Vec<f32>) {
        let bytes = std::fs::read(path).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        (file.shape().to_vec(), file.into_vec().unwrap())
    }

    #[test]
    fn a4_of_a_recording_equals_the_reference_window_by_window() {
        let folder = tempfile::tempdir().unwrap();
        let wav = folder.path().join("two.wav");
        let golden = Golden::open("descriptors");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 24_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
        // Both items of the batch, then half a second that fills no window.
        let samples = golden.f32("audio_i16");
        samples.iter().chain(&samples[..12_000]).for_each(|&x| writer.write_sample(x as i16).unwrap());
        writer.finalize().unwrap();

        let found = described(&wav, &[&format!("out={}", folder.path().display())]).unwrap();
        let (shape, values) = read_npy(&folder.path().join("a4.npy"));
        assert_eq!(shape, [2, 188, 8]);
        assert!(max_abs_diff(&values, &golden.f64("64/a4/append_zero/before")) < 3e-5);
        assert_eq!(found.json["windows"], 2);
        assert_eq!(found.json["left_out_seconds"], 0.5);
        assert!(found.text.contains("47 - 94"), "{}", found.text);
        assert!(std::fs::metadata(folder.path().join("a4.png")).unwrap().len() > 10_000);

        let window = described(&wav, &["start=4"]).unwrap();
        assert_eq!((window.shape, window.values), (vec![1, 188, 8], values[188 * 8..].to_vec()));
        assert_eq!(described(&wav, &["start=8"]).unwrap().shape, [1, 24, 8]);
        let (code, message) = refused(&wav, &["start=8.5"]);
        assert!(code == 2 && message.contains("ends at 8.500 s"), "{message}");
        assert_eq!(refused(&wav, &["start=-1"]).0, 2);
    }

    #[test]
    fn every_descriptor_of_audio_is_computed_named_and_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let kept = std::env::var_os("DESCANT_FIGURES").map_or(folder.path().to_path_buf(), Into::into);
        let wav = folder.path().join("one.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 24_000,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let audio: Vec<f32> = Golden::open("descriptors").f32("audio_i16").iter().map(|x| x / 32768.0).collect();
        let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
        audio.iter().for_each(|&x| writer.write_sample(x).unwrap());
        writer.finalize().unwrap();
        for descriptor in descriptors().filter(|d| d.domain() == Domain::Audio) {
            let word = word(descriptor);
            let found = described(&wav, &[&format!("descriptor={word}"), &format!("out={}", kept.display())]).unwrap();
            let (shape, values) = read_npy(&kept.join(format!("{word}.npy")));
            assert_eq!(shape, [2, 188, descriptor.dims() as u64]);
            let windows = audio.chunks(96_000).map(|x| Source::audio(x, Padding::Reflect));
            assert_eq!(values, windows.flat_map(|x| descriptor.compute(x)).collect::<Vec<_>>());
            let named =
                descriptor.name() == A4.name() || descriptor.columns().iter().all(|name| found.text.contains(name));
            assert!(named && found.text.contains(descriptor.about()), "{}", found.text);
            assert!(std::fs::metadata(kept.join(format!("{word}.png"))).unwrap().len() > 10_000);
        }
    }

    #[test]
    fn d4_of_a_midi_file_is_that_of_its_notes_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let midi = folder.path().join("notes.mid");
        // 480 ticks per beat of half a second; each note lasts a beat.
        let pitches = [60, 64, 67, 127, 0, 60];
        let mut track: Vec<u8> = Vec::new();
        for pitch in pitches {
            track.extend([0, 0x90, pitch, 64, 0x83, 0x60, 0x80, pitch, 0]);
        }
        track.extend([0, 0xff, 0x2f, 0]);
        let mut bytes = b"MThd\0\0\0\x06\0\0\0\x01\x01\xe0MTrk".to_vec();
        bytes.extend((track.len() as u32).to_be_bytes());
        std::fs::write(&midi, [bytes, track].concat()).unwrap();

        let found = described(&midi, &[&format!("out={}", folder.path().display())]).unwrap();
        let (shape, values) = read_npy(&folder.path().join("d4.npy"));
        assert_eq!((shape, &values), (vec![6, 4], &d4(&pitches)));
        assert_eq!((&found.json["notes"], &found.json["seconds"]), (&json!(6), &json!(3.0)));
        assert!(std::fs::metadata(folder.path().join("d4.png")).unwrap().len() > 10_000);
        assert_eq!(described(&midi, &["start=1"]).unwrap().values, d4(&pitches[2..]));
        assert_eq!(refused(&midi, &["start=9"]).0, 2);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let folder = tempfile::tempdir().unwrap();
        let midi = folder.path().join("a.mid");
        std::fs::write(&midi, b"MThd").unwrap();
        let wav = folder.path().join("a.wav");
        std::fs::write(&wav, b"RIFF").unwrap();
        let (code, message) = refused(&midi, &["descriptor=a4"]);
        assert!(code == 2 && message.contains("descriptor=d4"), "{message}");
        let (code, message) = refused(&wav, &["descriptor=d4"]);
        assert!(code == 2 && message.contains("descriptor=a4"), "{message}");
        let (code, message) = refused(&wav, &["descriptor=a44"]);
        assert!(code == 2 && message.contains("auto|a4|d4|a7|a8|a9;"), "{message}");
        assert_eq!(refused(&wav, &["descriptor=a4-learned"]).0, 2);
        let (code, message) = refused(&wav, &["descripter=a4"]);
        assert!(code == 2 && message.contains("`descriptor`"), "{message}");
        for damaged in [&midi, &wav, &folder.path().join("none.wav"), &folder.path().to_path_buf()] {
            assert_eq!(refused(damaged, &[]).0, 3);
        }
    }
}
