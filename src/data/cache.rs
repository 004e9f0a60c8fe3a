//! Decoded audio on disk: 24 kHz mono 16-bit, decoded once, then mapped into memory and read as if it were an array.
//!
//! ```text
//! DIR/<blake3 of the source file>.pcm     header (128 bytes), then the samples, native-endian i16
//! DIR/sources/<hash of its path>.json     path, size, mtime → blake3, so that a second start need not read the source
//! ```
//!
//! Keyed by content: a moved or copied data set finds its cache again, a changed file never finds a stale one. Files
//! appear whole (temp file, fsync, rename). A header that does not check out, a wrong length, or, where the cache file
//! was touched since it was written, samples that do not match their hash: the file is decoded anew. The whole of
//! MAESTRO takes 34 GB.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytemuck::{Pod, Zeroable};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::audio::{self, SAMPLE_RATE};
use crate::io::write_atomic;
use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"DSCNTPCM";
/// Raised whenever decoding or resampling changes what the samples are. Read on a machine of the other endianness it
/// is another number, so that such a cache is rebuilt too.
const VERSION: u32 = 1;

/// What a cache file starts with.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Pod, Zeroable)]
struct Header {
    magic: [u8; 8],
    version: u32,
    sample_rate: u32,
    samples: u64,
    /// blake3 of the source file.
    source: [u8; 32],
    /// blake3 of the sample bytes.
    content: [u8; 32],
    /// blake3 of this header with zeros here.
    check: [u8; 32],
    reserved: [u8; 8],
}

const HEADER_LEN: usize = size_of::<Header>();

impl Header {
    fn new(source: [u8; 32], content: [u8; 32], samples: u64) -> Self {
        let (check, reserved) = ([0; 32], [0; 8]);
        let blank = Header {
            magic: MAGIC,
            version: VERSION,
            sample_rate: SAMPLE_RATE,
            samples,
            source,
            content,
            check,
            reserved,
        };
        Header { check: *blake3::hash(bytemuck::bytes_of(&blank)).as_bytes(), ..blank }
    }
}

/// What is known about a source file from an earlier visit.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    path: String,
    size: u64,
    modified_ns: u128,
    /// blake3 of its bytes, in hexadecimal.
    content: String,
    /// When the cache file was last written.
    cached_ns: u128,
}

/// A folder of decoded audio. Several threads and processes may use one at a time.
#[derive(Debug)]
pub struct AudioCache {
    dir: PathBuf,
}

impl AudioCache {
    /// Uses (and creates) the folder `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let sources = dir.join("sources");
        std::fs::create_dir_all(&sources).map_err(|e| Error::io(&sources, "create", e))?;
        Ok(AudioCache { dir: dir.to_path_buf() })
    }

    /// The folder of the cache.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The audio of file `path`, decoded now if it is not here yet. Errors: as [`audio::stream_mono_24k`], or the cache
    /// cannot be written (an [`Error::Io`] that names a path below [`AudioCache::dir`]).
    pub fn get(&self, path: &Path) -> Result<CachedAudio> {
        let reading = |e| Error::io(path, "read", e);
        let meta = super::regular_file(path)?;
        let absolute = std::fs::canonicalize(path).map_err(reading)?;
        let name = absolute.to_string_lossy().into_owned();
        let note = self
            .dir
            .join("sources")
            .join(format!("{}.json", blake3::hash(absolute.as_os_str().as_encoded_bytes()).to_hex()));
        let remembered: Option<Remembered> = std::fs::read(&note)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(|r: &Remembered| r.path == name && r.size == meta.len() && r.modified_ns == modified(&meta));

        let known = remembered.as_ref().and_then(|r| blake3::Hash::from_hex(&r.content).ok());
        let key = match known {
            Some(key) => key,
            None => {
                let mut hasher = blake3::Hasher::new();
                std::fs::File::open(path).and_then(|f| hasher.update_reader(f).map(|_| ())).map_err(reading)?;
                hasher.finalize()
            }
        };
        let pcm = self.dir.join(format!("{}.pcm", key.to_hex()));
        let untouched_since = remembered.as_ref().map(|r| r.cached_ns);
        let audio = match load(&pcm, &key, untouched_since) {
            Some(audio) => audio,
            None => {
                build(path, &pcm, &key)?;
                load(&pcm, &key, None)
                    .ok_or_else(|| Error::input(&pcm, "cache", "the file just written", "something else"))?
            }
        };
        let cached_ns = std::fs::metadata(&pcm).map(|m| modified(&m)).unwrap_or(0);
        let (size, modified_ns, content) = (meta.len(), modified(&meta), key.to_hex().to_string());
        let now = Remembered { path: name, size, modified_ns, content, cached_ns };
        if remembered.as_ref() != Some(&now) {
            let text = serde_json::to_vec(&now).map_err(|e| Error::io(&note, "write", e.into()))?;
            write_atomic(&note, |out| out.write_all(&text))?;
        }
        Ok(audio)
    }
}

/// Where the cache of data folder `root` lies: beside the data, or in the user's cache folder where the data cannot
/// be written to.
pub fn default_dir(root: &Path) -> PathBuf {
    let beside = root.join(".descant-cache");
    let writable = root.is_dir() && std::fs::create_dir_all(&beside).is_ok() && tempfile::tempfile_in(&beside).is_ok();
    if writable {
        return beside;
    }
    user_dir()
}

/// The user's own cache folder for this program; it need not exist.
pub fn user_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or(home).unwrap_or_else(std::env::temp_dir).join("descant")
}

fn modified(meta: &std::fs::Metadata) -> u128 {
    meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos())
}

/// Maps cache file `pcm` if it is what it should be. Samples are checked against their hash unless the file's
/// modification time is still `untouched_since`.
fn load(pcm: &Path, key: &blake3::Hash, untouched_since: Option<u128>) -> Option<CachedAudio> {
    let file = std::fs::File::open(pcm).ok()?;
    let meta = file.metadata().ok()?;
    // SAFETY: cache files are only ever replaced by rename, never written in place, so the mapped bytes do not change.
    let map = unsafe { Mmap::map(&file) }.ok()?;
    let (head, body) = map.split_at_checked(HEADER_LEN)?;
    let header: Header = bytemuck::pod_read_unaligned(head);
    let samples = u64::try_from(body.len()).ok()? / 2;
    if header != Header::new(*key.as_bytes(), header.content, samples) || body.len() % 2 == 1 {
        return None;
    }
    if untouched_since != Some(modified(&meta)) && blake3::hash(body).as_bytes() != &header.content {
        return None;
    }
    Some(CachedAudio { storage: Arc::new(Storage::Mapped(map)) })
}

/// Decodes `source` into cache file `pcm`.
fn build(source: &Path, pcm: &Path, key: &blake3::Hash) -> Result<()> {
    // `write_atomic` speaks io::Error; a decoder's own error is kept aside and returned in its place.
    let mut failure = None;
    let written = write_atomic(pcm, |out| {
        out.write_all(&[0; HEADER_LEN])?;
        let (mut hasher, mut samples, mut chunk) = (blake3::Hasher::new(), 0u64, Vec::new());
        let decoded = audio::stream_mono_24k(source, &mut |floats| {
            chunk.clear();
            chunk.extend(floats.iter().map(|x| to_i16(*x)));
            let bytes = bytemuck::cast_slice(&chunk);
            hasher.update(bytes);
            samples += chunk.len() as u64;
            out.write_all(bytes).map_err(|e| Error::io(pcm, "write", e))
        });
        if let Err(e) = decoded {
            failure = Some(e);
            return Err(std::io::Error::other("decoding failed"));
        }
        let header = Header::new(*key.as_bytes(), *hasher.finalize().as_bytes(), samples);
        out.seek(SeekFrom::Start(0))?;
        out.write_all(bytemuck::bytes_of(&header))
    });
    match failure {
        Some(error) => Err(error),
        None => written,
    }
}

/// Full scale ±1 to 16 bits; the inverse of `i16 / 32768`.
fn to_i16(x: f32) -> i16 {
    (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

/// The audio of one file, shared without copying.
#[derive(Debug, Clone)]
pub struct CachedAudio {
    storage: Arc<Storage>,
}

#[derive(Debug)]
enum Storage {
    Mapped(Mmap),
    Owned(Vec<i16>),
}

impl CachedAudio {
    /// All samples, 24 kHz mono; `sample / 32768` is full scale ±1.
    pub fn samples(&self) -> &[i16] {
        match &*self.storage {
            // The header is a multiple of two bytes and maps start on a page: the cast cannot fail.
            Storage::Mapped(map) => bytemuck::try_cast_slice(&map[HEADER_LEN..]).unwrap_or_default(),
            Storage::Owned(samples) => samples,
        }
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples().len() as f64 / f64::from(SAMPLE_RATE)
    }
}

impl From<Vec<i16>> for CachedAudio {
    /// Audio that lives in memory only.
    fn from(samples: Vec<i16>) -> Self {
        CachedAudio { storage: Arc::new(Storage::Owned(samples)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of 16-bit audio at 24 kHz, which decodes to itself.
    fn write_wav(path: &Path, seed: i16) -> Vec<i16> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let samples: Vec<i16> = (0..24_000i32).map(|n| (n * 7919 % 65_536 - 32_768) as i16 ^ seed).collect();
        let mut wav = hound::WavWriter::create(path, spec).unwrap();
        samples.iter().for_each(|s| wav.write_sample(*s).unwrap());
        wav.finalize().unwrap();
        samples
    }

    fn pcm_files(dir: &Path) -> Vec<PathBuf> {
        let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        files.filter(|p| p.extension().is_some_and(|e| e == "pcm")).collect()
    }

    #[test]
    fn decodes_once_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a.wav"), dir.path().join("b.wav"));
        let samples = write_wav(&first, 0);
        let cache = AudioCache::open(&dir.path().join("cache")).unwrap();
        assert_eq!(cache.get(&first).unwrap().samples(), samples);
        let stamp = |p: &Path| modified(&std::fs::metadata(p).unwrap());
        let built = stamp(&pcm_files(cache.dir())[0]);
        std::fs::copy(&first, &second).unwrap();
        assert_eq!(cache.get(&first).unwrap().samples(), samples);
        assert_eq!(cache.get(&second).unwrap().seconds(), 1.0);
        assert_eq!(pcm_files(cache.dir()).len(), 1, "the copy shares its cache file");
        assert_eq!(stamp(&pcm_files(cache.dir())[0]), built, "nothing was decoded again");
        let changed = write_wav(&first, 1);
        assert_eq!(cache.get(&first).unwrap().samples(), changed);
        assert_eq!(pcm_files(cache.dir()).len(), 2);
    }

    #[test]
    fn damaged_cache_files_are_rebuilt_and_bad_sources_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a.wav");
        let samples = write_wav(&source, 0);
        let cache = AudioCache::open(&dir.path().join("cache")).unwrap();
        cache.get(&source).unwrap();
        let pcm = pcm_files(cache.dir()).remove(0);
        let whole = std::fs::read(&pcm).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let damaged =
            [vec![], whole[..100].to_vec(), whole[..whole.len() - 1].to_vec(), whole[..whole.len() - 2].to_vec()];
        for bytes in damaged.into_iter().chain([0, 8, 16, 24, 60, 100, 128, 20_000].map(flipped)) {
            std::fs::write(&pcm, bytes).unwrap();
            assert_eq!(cache.get(&source).unwrap().samples(), samples);
            assert_eq!(std::fs::read(&pcm).unwrap(), whole);
        }
        std::fs::write(&source, b"RIFF....WAVEfmt ").unwrap();
        let error = cache.get(&source).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: header", source.display())), "{error}");
        assert_eq!(std::fs::read_dir(cache.dir()).unwrap().count(), 2, "sources/ and the one good file");
    }
}
