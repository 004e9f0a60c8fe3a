//! Named f32 tensors in a safetensors file that any safetensors reader opens, with a checksum over all it says.
//!
//! Written by hand rather than by the crate, which orders metadata by a random hash (the same tensors must give the
//! same bytes) and builds the whole file in memory; read through the crate's header checks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::error::{Error, Result};

/// Longest header read, in bytes: ours have about 100 bytes per tensor; parsing takes some 30 times the header.
const MAX_HEADER: u64 = 4 << 20;
/// Metadata key of the program's version, in every file written here.
pub const VERSION_KEY: &str = "descant";
/// Metadata key of the checksum.
const CHECKSUM_KEY: &str = "checksum";
/// Header key which is no tensor.
const METADATA_KEY: &str = "__metadata__";

/// A tensor to be written: row-major, `data.len()` = product of `shape`.
#[derive(Debug, Clone, Copy)]
pub struct NamedTensor<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub data: &'a [f32],
}

/// A tensor as read, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// The whole content of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorFile {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// Plain text by key; empty for a file some other program wrote without.
    pub metadata: BTreeMap<String, String>,
    /// Tensors not yet taken, by name.
    pub tensors: BTreeMap<String, StoredTensor>,
}

impl TensorFile {
    /// Moves the data of tensor `name` out; an error names the file, the tensor, and what is there instead.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let found = self.tensors.get(name).map_or("no such tensor".to_string(), |t| format!("shape {:?}", t.shape));
        match self.tensors.remove(name) {
            Some(tensor) if tensor.shape == shape => Ok(tensor.data),
            _ => Err(self.misfit(name, format!("shape {shape:?}"), found)),
        }
    }

    /// Call when every tensor that should be there was taken: an error names the first one too many.
    pub fn finish(self) -> Result<()> {
        match self.tensors.iter().next() {
            None => Ok(()),
            Some((name, tensor)) => {
                let found = format!("shape {:?} ({} such in all)", tensor.shape, self.tensors.len());
                Err(self.misfit(name, "no such tensor".into(), found))
            }
        }
    }

    /// The checksum as the file itself states it; [`read`] has verified it.
    pub fn checksum(&self) -> Option<&str> {
        self.metadata.get(CHECKSUM_KEY).map(String::as_str)
    }

    fn misfit(&self, name: &str, expected: String, found: String) -> Error {
        let hint = match (self.metadata.get("arm"), self.metadata.get("preset")) {
            (Some(arm), Some(preset)) => format!("the file was written for arm={arm} preset={preset}"),
            _ => "the file carries no arm and preset; it must have the parameter names of this model".into(),
        };
        Error::input(&self.path, format!("tensor {name}"), expected, found).hint(hint)
    }
}

/// Writes a new file at `path`, flushed to the disk, and returns its checksum. Not atomic by itself.
///
/// Equal arguments give equal bytes. Tensors lie in the order given, metadata by key.
pub fn write(path: &Path, tensors: &[NamedTensor], metadata: &BTreeMap<String, String>) -> Result<String> {
    let mut infos = BTreeMap::new();
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += size_of_val(tensor.data);
        let info = TensorInfo { dtype: Dtype::F32, shape: tensor.shape.to_vec(), data_offsets: (start, end) };
        if elements(tensor.shape) != Some(tensor.data.len()) {
            let got = format!("{} values in {}", tensor.data.len(), tensor.name);
            return Err(Error::op("write tensors", "data", format!("shape {:?}", tensor.shape), got));
        }
        if tensor.name == METADATA_KEY || infos.insert(tensor.name, info).is_some() {
            return Err(Error::op("write tensors", "name", "names used once", tensor.name));
        }
    }
    let mut hasher = header_hasher(metadata, infos.iter().map(|(name, info)| (*name, info)));
    for tensor in tensors {
        hasher.update(bytemuck::cast_slice(tensor.data));
    }
    let checksum = format!("blake3:{}", hasher.finalize());

    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM_KEY.into(), checksum.clone());
    let mut header = serde_json::Map::new();
    header.insert(METADATA_KEY.into(), serde_json::json!(metadata));
    for tensor in tensors {
        header.insert(tensor.name.into(), serde_json::json!(infos[tensor.name]));
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let file = File::create_new(path).map_err(|e| Error::io(path, "create", e))?;
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    let mut all = || -> std::io::Result<()> {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for tensor in tensors {
            out.write_all(bytemuck::cast_slice(tensor.data))?;
        }
        out.flush()?;
        file.sync_all()
    };
    all().map_err(|e| Error::io(path, "write", e))?;
    Ok(checksum)
}

/// Reads a whole file and verifies its checksum.
///
/// A file without our metadata (written by another program) is accepted unverified. Memory stays within the file's
/// length, plus a bounded amount for the header.
pub fn read(path: &Path) -> Result<TensorFile> {
    let (mut file, header) = open(path)?;
    let no_metadata = Default::default();
    let metadata: BTreeMap<String, String> =
        header.metadata().as_ref().unwrap_or(&no_metadata).clone().into_iter().collect();
    let infos: BTreeMap<String, TensorInfo> =
        header.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
    let mut hasher = header_hasher(&metadata, infos.iter().map(|(name, info)| (name.as_str(), info)));

    let mut by_offset: Vec<_> = infos.into_iter().collect();
    by_offset.sort_by_key(|(_, info)| info.data_offsets);
    let mut tensors = BTreeMap::new();
    for (name, info) in by_offset {
        if info.dtype != Dtype::F32 {
            return Err(Error::input(path, format!("tensor {name}"), "dtype F32", format!("dtype {}", info.dtype)));
        }
        let (start, end) = info.data_offsets;
        let mut data = vec![0f32; (end - start) / size_of::<f32>()];
        let bytes = bytemuck::cast_slice_mut(&mut data);
        file.read_exact(bytes).map_err(|e| Error::io(path, "read", e))?;
        hasher.update(bytes);
        tensors.insert(name, StoredTensor { shape: info.shape, data });
    }

    let found = format!("blake3:{}", hasher.finalize());
    match metadata.get(CHECKSUM_KEY) {
        Some(expected) if *expected != found => {
            Err(Error::input(path, "checksum", expected, found).hint("the file is damaged"))
        }
        None if metadata.contains_key(VERSION_KEY) => {
            Err(Error::input(path, "metadata", "a checksum", "none").hint("the file is damaged"))
        }
        _ => Ok(TensorFile { path: path.to_path_buf(), metadata, tensors }),
    }
}

/// The checksum a file states, from its header alone; `None` where there is no such file or it states none.
pub fn stated_checksum(path: &Path) -> Option<String> {
    let (_, header) = open(path).ok()?;
    header.metadata().as_ref()?.get(CHECKSUM_KEY).cloned()
}

/// The file, standing at its first tensor, and its checked header: offsets contiguous, sizes as the shapes ask, and
/// the data exactly as long as the rest of the file.
fn open(path: &Path) -> Result<(File, Metadata)> {
    let unreadable = |e| Error::io(path, "read", e);
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let Some(after_prefix) = length.checked_sub(8) else {
        return Err(Error::input(path, "length", "8 bytes of header length and a header", format!("{length} bytes")));
    };
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix).map_err(unreadable)?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > after_prefix.min(MAX_HEADER) {
        let most = after_prefix.min(MAX_HEADER);
        return Err(Error::input(path, "header length", format!("at most {most} bytes"), header_length.to_string())
            .hint("not a safetensors file, or cut short"));
    }
    let mut bytes = vec![0; header_length as usize];
    file.read_exact(&mut bytes).map_err(unreadable)?;
    let header: Metadata = serde_json::from_slice(&bytes)
        .map_err(|e| Error::input(path, "header", "a safetensors header", e.to_string()))?;
    let (expected, found) = (header.data_len() as u64, after_prefix - header_length);
    if expected != found {
        return Err(Error::input(path, "tensor data", format!("{expected} bytes"), format!("{found} bytes"))
            .hint("the file is cut short or has grown"));
    }
    Ok((file, header))
}

/// A hasher fed with all the header says except the checksum; the tensor data follow in file order.
fn header_hasher<'a>(
    metadata: &BTreeMap<String, String>,
    infos: impl Iterator<Item = (&'a str, &'a TensorInfo)>,
) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    let mut feed = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for (key, value) in metadata.iter().filter(|(key, _)| *key != CHECKSUM_KEY) {
        feed(key.as_bytes());
        feed(value.as_bytes());
    }
    for (name, info) in infos {
        feed(name.as_bytes());
        feed(format!("{} {:?} {:?}", info.dtype, info.shape, info.data_offsets).as_bytes());
    }
    hasher
}

/// Product of `shape`, unless it overflows.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> BTreeMap<String, String> {
        [("descant", "0.1.0"), ("arm", "a4r"), ("preset", "tiny")].map(|(k, v)| (k.into(), v.into())).into()
    }

    #[test]
    fn what_is_written_is_read_by_us_and_by_the_crate() {
        let dir = tempfile::tempdir().unwrap();
        let (path, again) = (dir.path().join("a.safetensors"), dir.path().join("b.safetensors"));
        let data: Vec<f32> = (0..6).map(|i| i as f32 - 0.5).collect();
        let tensors = [
            NamedTensor { name: "w", shape: &[2, 3], data: &data },
            NamedTensor { name: "scalar", shape: &[], data: &data[..1] },
            NamedTensor { name: "empty", shape: &[0, 4], data: &[] },
            NamedTensor { name: "empty too", shape: &[0], data: &[] },
        ];
        let sum = write(&path, &tensors, &metadata()).unwrap();
        assert_eq!(write(&again, &tensors, &metadata()).unwrap(), sum);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, std::fs::read(&again).unwrap());
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("w").unwrap().shape(), [2, 3]);
        assert_eq!(theirs.tensor("w").unwrap().data(), bytemuck::cast_slice::<f32, u8>(&data));

        let mut ours = read(&path).unwrap();
        assert_eq!(ours.checksum(), Some(sum.as_str()));
        assert_eq!(stated_checksum(&path), Some(sum));
        assert_eq!(ours.take("w", &[2, 3]).unwrap(), data);
        assert_eq!(ours.take("scalar", &[]).unwrap(), data[..1]);
        assert!(ours.take("empty", &[0, 4]).unwrap().is_empty());
        let text = ours.take("w", &[2, 3]).unwrap_err().to_string();
        assert!(text.ends_with(
            "tensor w: expected shape [2, 3], found no such tensor (the file was written for arm=a4r preset=tiny)"
        ));
        let text = ours.take("empty too", &[5]).unwrap_err().to_string();
        assert!(text.contains("tensor empty too: expected shape [5], found shape [0]"), "{text}");
        let text = read(&path).unwrap().finish().unwrap_err().to_string();
        assert!(text.contains("tensor empty: expected no such tensor, found shape [0, 4] (4 such in all)"), "{text}");
    }

    #[test]
    fn bad_arguments_are_refused() {
        let path = Path::new("/nonexistent/x.safetensors");
        let good = NamedTensor { name: "w", shape: &[2], data: &[1.0, 2.0] };
        for (bad, say) in [
            (vec![NamedTensor { shape: &[3], ..good }], "expected shape [3], got 2 values in w"),
            (vec![NamedTensor { shape: &[usize::MAX, 2], ..good }], "2 values in w"),
            (vec![good, good], "names used once, got w"),
            (vec![NamedTensor { name: "__metadata__", ..good }], "names used once"),
        ] {
            let text = write(path, &bad, &metadata()).unwrap_err().to_string();
            assert!(text.contains(say), "{text}");
        }
        assert!(matches!(write(path, &[good], &metadata()), Err(Error::Io { .. })));
    }
}
