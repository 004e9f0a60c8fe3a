//! Audio files (WAV 8–32 bit and float, FLAC, MP3, OGG Vorbis) to one channel of samples, in bounded memory.
//!
//! `symphonia` reads the containers and codecs; channels are averaged; [`super::resample`] brings the result to
//! [`SAMPLE_RATE`]. Everything streams: however long the file, memory holds a few packets. What a header claims is
//! believed only as far as the bytes bear it out, and a file that ends before its header says so is an error.

use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as Fault;
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatOptions, TrackType, probe::Hint};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::resample::Resampler;
use crate::{Error, Result};

/// Samples per second of everything the model hears (paper section 3).
pub const SAMPLE_RATE: u32 = 24_000;
/// Sample rates accepted, in Hz. Outside them a header is taken to be damaged.
pub const SOURCE_RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Longest recording accepted, in seconds: a day.
pub const MAX_SECONDS: u64 = 86_400;
/// Largest magnitude of a float sample; full scale is 1. Float WAVs may exceed it a little, damaged ones vastly.
const MAX_AMPLITUDE: f32 = 16.0;

/// What was found in an audio file once all of it was decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioInfo {
    /// Samples per second of the file.
    pub sample_rate: u32,
    pub channels: usize,
    /// Samples per channel, at the file's rate.
    pub frames: u64,
    /// Largest magnitude of the averaged channels; full scale is 1.
    pub peak: f32,
}

impl AudioInfo {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.sample_rate)
    }
}

/// Takes decoded samples chunk by chunk.
pub type Sink<'a> = dyn FnMut(&[f32]) -> Result<()> + 'a;

/// Decodes the whole of `path` to mono at [`SAMPLE_RATE`], full scale ±1.
///
/// Errors as [`stream_mono_24k`], which is what to use for long files.
pub fn decode_mono_24k(path: &Path) -> Result<Vec<f32>> {
    let mut samples = Vec::new();
    stream_mono_24k(path, &mut |chunk| {
        samples.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok(samples)
}

/// Decodes `path` to mono at [`SAMPLE_RATE`] and hands it to `sink` in chunks of bounded length.
///
/// Errors: unreadable, not one of the formats, a rate outside [`SOURCE_RATES`], damaged or missing data, samples that
/// are not finite, longer than [`MAX_SECONDS`], no samples at all; and whatever `sink` returns.
pub fn stream_mono_24k(path: &Path, sink: &mut Sink) -> Result<AudioInfo> {
    resampled(open(path)?, path, sink)
}

/// As [`stream_mono_24k`], of a file held in memory; `path` is for messages.
pub fn stream_bytes_mono_24k(bytes: Vec<u8>, path: &Path, sink: &mut Sink) -> Result<AudioInfo> {
    resampled(Box::new(Cursor::new(bytes)), path, sink)
}

/// Decodes all of `path` and says what it is, keeping nothing. Errors as [`stream_mono_24k`].
pub fn inspect(path: &Path) -> Result<AudioInfo> {
    decode(open(path)?, path, &mut |_, _| Ok(()))
}

fn open(path: &Path) -> Result<Box<dyn MediaSource>> {
    super::regular_file(path)?;
    Ok(Box::new(std::fs::File::open(path).map_err(|e| Error::io(path, "read", e))?))
}

fn resampled(source: Box<dyn MediaSource>, path: &Path, sink: &mut Sink) -> Result<AudioInfo> {
    let mut resampler = None;
    let info = decode(source, path, &mut |rate, samples| {
        let resampler = match &mut resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::new(rate, SAMPLE_RATE)?),
        };
        resampler.push(samples, sink)
    })?;
    if let Some(resampler) = resampler {
        resampler.finish(sink)?;
    }
    Ok(info)
}

/// Takes the sample rate and a chunk of samples.
type RatedSink<'a> = dyn FnMut(u32, &[f32]) -> Result<()> + 'a;

/// Decodes to mono at the file's own rate. The decoders are other people's code reading untrusted bytes: should one of
/// them panic, that is this file's error and not the end of the run.
fn decode(source: Box<dyn MediaSource>, path: &Path, sink: &mut RatedSink) -> Result<AudioInfo> {
    catch_unwind(AssertUnwindSafe(|| decode_packets(source, path, sink)))
        .unwrap_or_else(|_| Err(Error::input(path, "audio", "data the decoder can read", "data it fails on")))
}

fn decode_packets(source: Box<dyn MediaSource>, path: &Path, sink: &mut RatedSink) -> Result<AudioInfo> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| Error::input(path, "header", "a WAV, FLAC, MP3 or OGG file", e.to_string()))?;
    let exact = [FORMAT_ID_WAVE, FORMAT_ID_FLAC].contains(&reader.format_info().format);
    let missing = || Error::input(path, "audio track", "one that can be decoded", "none");
    let track = reader.default_track(TrackType::Audio).ok_or_else(missing)?;
    let (track_id, promised) = (track.id, track.num_frames.filter(|_| exact));
    let params = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(missing)?;
    if let Some(rate) = params.sample_rate {
        check_rate(rate, path)?;
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|e| Error::input(path, "codec", "a supported one", e.to_string()))?;

    let mut info = AudioInfo { sample_rate: 0, channels: 0, frames: 0, peak: 0.0 };
    let (mut interleaved, mut mono): (Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new());
    let damaged = |info: &AudioInfo, e: &dyn std::fmt::Display| {
        let place = if info.sample_rate == 0 { 0.0 } else { info.seconds() };
        Error::input(path, format!("audio at {place:.3} s"), "decodable data", e.to_string())
    };
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(Fault::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(Fault::IoError(e)) => return Err(Error::io(path, "read", e)),
            Err(e) => return Err(damaged(&info, &e)),
        };
        if packet.track_id != track_id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(|e| damaged(&info, &e))?;
        let (rate, channels) = (decoded.spec().rate(), decoded.num_planes());
        if info.frames == 0 {
            check_rate(rate, path)?;
            (info.sample_rate, info.channels) = (rate, channels);
        }
        if channels == 0 || (rate, channels) != (info.sample_rate, info.channels) {
            let shape = |rate, channels| format!("{channels} channels at {rate} Hz");
            let field = format!("audio at {:.3} s", info.seconds());
            return Err(Error::input(path, field, shape(info.sample_rate, info.channels), shape(rate, channels)));
        }
        decoded.copy_to_vec_interleaved(&mut interleaved);
        mono.clear();
        mono.extend(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
        for &x in &mono {
            if x.is_nan() || x.abs() > MAX_AMPLITUDE {
                return Err(damaged(&info, &format_args!("a sample of {x} (full scale is 1)")));
            }
            info.peak = info.peak.max(x.abs());
        }
        info.frames += mono.len() as u64;
        if info.frames > MAX_SECONDS * u64::from(rate) {
            return Err(Error::input(path, "length", format!("at most {MAX_SECONDS} s"), "more"));
        }
        sink(rate, &mono)?;
    }
    match promised {
        Some(frames) if info.frames < frames => {
            let expected = format!("{frames} samples (header)");
            Err(Error::input(path, "length", expected, format!("{} samples", info.frames))
                .hint("the file is truncated"))
        }
        _ if info.frames == 0 => Err(Error::input(path, "length", "audio", "no samples")),
        _ => Ok(info),
    }
}

fn check_rate(rate: u32, path: &Path) -> Result<()> {
    if SOURCE_RATES.contains(&rate) {
        return Ok(());
    }
    let expected = format!("{} to {} Hz", SOURCE_RATES.start(), SOURCE_RATES.end());
    Err(Error::input(path, "sample rate", expected, format!("{rate} Hz")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hound::{SampleFormat, WavSpec, WavWriter};

    use super::*;

    /// The loudest moment within half a second from `from` seconds, in seconds.
    fn loudest(samples: &[f32], from: f64) -> f64 {
        let first = (from * 24_000.0) as usize;
        let part = &samples[first..first + 12_000];
        let at = (0..part.len()).max_by(|a, b| part[*a].abs().total_cmp(&part[*b].abs())).unwrap();
        (first + at) as f64 / 24_000.0
    }

    #[test]
    fn flac_mp3_and_ogg_keep_their_moments() {
        // Bursts of 1 kHz peak at 0.2 s (left) and 0.7 s (right), 44.1 kHz stereo, one second.
        for name in ["bursts.flac", "bursts.mp3", "bursts.ogg"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
            let samples = decode_mono_24k(&path).unwrap();
            assert!((samples.len() as i64 - 24_000).abs() <= 1, "{name}: {} samples", samples.len());
            for at in [0.2, 0.7] {
                let found = loudest(&samples, at - 0.2);
                assert!((found - at).abs() < 1e-4, "{name}: the burst at {at} s is at {found} s");
            }
            let peak = samples.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!((peak - 0.4).abs() < 0.02, "{name}: half of 0.8 on one channel of two, found {peak}");
            let info = inspect(&path).unwrap();
            assert_eq!((info.sample_rate, info.channels, info.frames), (44_100, 2, 44_100), "{name}");
        }
    }

    #[test]
    fn every_wav_width_reads_alike() {
        let dir = tempfile::tempdir().unwrap();
        let wave = |n: u32| 0.5 * f64::from(n % 48 * 2) / 48.0 - 0.5; // a sawtooth within ±0.5
        let write = |bits: u16, sample_format: SampleFormat| -> PathBuf {
            let path = dir.path().join(format!("{bits}{sample_format:?}.wav"));
            let spec = WavSpec { channels: 2, sample_rate: 24_000, bits_per_sample: bits, sample_format };
            let mut wav = WavWriter::create(&path, spec).unwrap();
            for n in 0..24_000 {
                for side in [-0.25, 0.25] {
                    let x = wave(n) + side;
                    match sample_format {
                        SampleFormat::Float => wav.write_sample(x as f32).unwrap(),
                        SampleFormat::Int => wav.write_sample((x * 2f64.powi(i32::from(bits) - 1)) as i32).unwrap(),
                    }
                }
            }
            wav.finalize().unwrap();
            path
        };
        for (bits, format) in
            [8, 16, 24, 32].map(|b| (b, SampleFormat::Int)).into_iter().chain([(32, SampleFormat::Float)])
        {
            let samples = decode_mono_24k(&write(bits, format)).unwrap();
            assert_eq!(samples.len(), 24_000);
            let tolerance = 1.5 * 0.5f64.powi(i32::from(bits.min(20)) - 1);
            for (n, x) in samples.iter().enumerate() {
                assert!((f64::from(*x) - wave(n as u32)).abs() <= tolerance, "{bits} bits, sample {n}: {x}");
            }
        }
    }

    #[test]
    fn lies_and_damage_are_errors() {
        let mut bytes = Vec::new();
        let spec =
            WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 32, sample_format: SampleFormat::Float };
        let mut wav = WavWriter::new(Cursor::new(&mut bytes), spec).unwrap();
        (0..4_800).for_each(|n| wav.write_sample(n as f32 / 4_800.0).unwrap());
        wav.finalize().unwrap();
        let error = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            let result = stream_bytes_mono_24k(bytes, Path::new("t.wav"), &mut |_| Ok(()));
            result.map(|info| info.frames).map_err(|e| e.to_string())
        };
        assert_eq!(error(&|_| ()), Ok(4_800));
        let truncated = error(&|b| b.truncate(b.len() - 400)).unwrap_err();
        assert!(truncated.contains("expected 4800 samples (header), found 4700"), "{truncated}");
        let nan = error(&|b| b.splice(b.len() - 4.., f32::NAN.to_le_bytes()).for_each(drop)).unwrap_err();
        assert!(nan.contains("a sample of NaN"), "{nan}");
        let rate = error(&|b| b[24..28].copy_from_slice(&4_000_000_000u32.to_le_bytes())).unwrap_err();
        assert!(rate.contains("sample rate: expected 4000 to 384000 Hz, found 4000000000 Hz"), "{rate}");
        assert!(error(&|b| b.truncate(0)).unwrap_err().contains("a WAV, FLAC, MP3 or OGG file"));
    }
}
