//! Writing files so that a reader, or a crash at any moment, sees the old content or the new one, never a part.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Error, Result};

/// Replaces `path` by what `write` produces: temp file in the same folder, fsync, rename, fsync of the folder.
///
/// The folder must exist. When `write` fails, `path` keeps its old content and the temp file is removed; a process
/// killed half-way leaves a `.NAME.*.tmp` behind, which nothing reads.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::input(path, "path", "a file name", "none"))?;
    let folder = parent(path);
    let mut temp = tempfile::Builder::new()
        .prefix(&format!(".{}.", name.to_string_lossy()))
        .suffix(".tmp")
        // The umask applies; without this the file would be readable by its owner alone.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|e| Error::io(path, "create", e))?;
    let mut out = BufWriter::with_capacity(1 << 20, temp.as_file_mut());
    write(&mut out).and_then(|()| out.flush()).map_err(|e| Error::io(path, "write", e))?;
    drop(out);
    temp.as_file().sync_all().map_err(|e| Error::io(path, "flush", e))?;
    temp.persist(path).map_err(|e| Error::io(path, "rename", e.error))?;
    sync_folder(folder)
}

/// Makes the names in `folder` (files created, renamed or removed) survive a power failure.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, "flush", e))
}

/// The folder a path lies in; `.` for a bare file name.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic(&path, |w| w.write_all(b"one")).unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half")?;
            w.flush()?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("cannot write: disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_atomic(&path, |w| w.write_all(b"two")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temp file stays");
        // Same permissions as a file made the plain way.
        let plain = dir.path().join("plain");
        File::create(&plain).unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn missing_folder_is_an_error_that_names_the_file() {
        let e = write_atomic(Path::new("/nonexistent/x.json"), |_| Ok(())).unwrap_err();
        assert!(e.to_string().starts_with("/nonexistent/x.json: cannot create"), "{e}");
        assert_eq!(parent(Path::new("x")), Path::new("."));
    }
}
