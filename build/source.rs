//! The kernel files, the headers each of them includes, and a hash over both: what decides whether a file is recompiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::signature::{self, Kernel};

/// One `kernels/*.cu`.
pub struct Source {
    /// File name without `.cu`, also the Rust module and C++ namespace of its kernels: `layernorm`, `attention_sm90a`.
    pub module: String,
    pub path: PathBuf,
    pub kernels: Vec<Kernel>,
    /// Changes when the file or any header it includes does.
    pub hash: u64,
}

impl Source {
    /// `*_sm90a.cu` uses instructions that only Hopper has: no other target.
    pub fn hopper_only(&self) -> bool {
        self.module.ends_with("_sm90a")
    }

    /// `host/*.cu` serve the emulator's own tests.
    pub fn emulated_only(&self) -> bool {
        self.path.parent().is_some_and(|folder| folder.ends_with("host"))
    }
}

/// All kernel files, sorted by name.
pub fn read_all(folder: &Path) -> Result<Vec<Source>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "cu"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Source, String> {
    let module = path.file_stem().and_then(|s| s.to_str()).ok_or("kernel file names are ASCII")?.to_owned();
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let kernels = signature::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut hash = FNV_OFFSET;
    for file in closure(path) {
        hash = fnv(hash, &fs::read(&file).unwrap_or_default());
    }
    Ok(Source { module, path: path.to_owned(), kernels, hash })
}

/// The file and every `#include "…"` reached from it, in a fixed order.
pub fn closure(start: &Path) -> BTreeSet<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start.to_owned()];
    while let Some(path) = open.pop() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for line in text.lines() {
            let Some(rest) = line.trim_start().strip_prefix("#include \"") else { continue };
            let Some((name, _)) = rest.split_once('"') else { continue };
            // Next to the including file, or from kernels/ (above host/).
            let folders = [path.parent(), start.parent(), start.parent().and_then(Path::parent)];
            open.extend(folders.into_iter().flatten().map(|f| f.join(name)).find(|p| p.exists() && !seen.contains(p)));
        }
        seen.insert(path);
    }
    seen
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// 64-bit FNV-1a, continued from `hash`.
pub fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Hash of a command line.
pub fn hash_of(words: &[String]) -> u64 {
    words.iter().fold(FNV_OFFSET, |h, w| fnv(fnv(h, w.as_bytes()), &[0]))
}
