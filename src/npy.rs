//! NumPy's array files.

use std::path::Path;

use npyz::WriterBuilder;

use crate::error::{Error, Result};
use crate::io::write_atomic;

/// Writes a row-major float32 array as `.npy`, atomically. The product of `shape` is the number of values.
pub fn write_npy(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    if shape.iter().product::<usize>() != values.len() {
        return Err(Error::op("write_npy", "shape", format!("{} values", values.len()), format!("{shape:?}")));
    }
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    write_atomic(path, |out| {
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(out).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let values: Vec<f32> = (0..24).map(|i| i as f32 * 0.1).collect();
        write_npy(&path, &[2, 3, 4], &values).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(file.shape(), [2, 3, 4]);
        assert_eq!(file.into_vec::<f32>().unwrap(), values);
        assert!(write_npy(&path, &[5], &values).is_err());
    }
}
