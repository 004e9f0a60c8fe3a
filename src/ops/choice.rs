//! Which of several engines computes an operation on a GPU: measured at the first use of a shape, and remembered in a file, so
//! that later runs take the same engines and give the same bytes.
//!
//! The first candidate is the portable kernel, which is also the oracle: another one is taken only if, on the operands at hand, its
//! result agrees and it is faster by more than [`MARGIN`]. The portable kernel computes, and nothing is remembered, where
//!
//! - the result cannot tell right from wrong (zeros, infinities, NaN),
//! - a graph is being recorded, so that nothing can be waited for,
//! - the file cannot be written: what cannot be remembered would change from run to run.
//!
//! Before the other candidates run, the portable one is remembered: should one of them hang or fault, it is not tried again.
//! `DESCANT_ENGINES=portable` tries none. The emulated device measures nothing and takes any of them, by its seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use crate::data::cache;
use crate::device::{Cuda, Device, kernels};
use crate::error::Result;
use crate::io::write_atomic;
use crate::tensor::Tensor;

/// By how much another engine has to be faster than the portable one.
const MARGIN: f64 = 0.03;
/// Largest difference from the portable result, relative to its largest element: a few roundings to bf16.
const TOLERANCE: f64 = 1.5e-2;
/// Launches of a measurement, and measurements of which the best counts.
const LAUNCHES: usize = 20;
const MEASUREMENTS: usize = 3;

/// Position among `candidates` of the engine that computes what `key` names (operation and sizes). `run` computes it with a
/// candidate, on the actual operands and without side effects.
pub(super) fn choose(
    device: &Device,
    key: &str,
    candidates: &[&str],
    run: impl Fn(usize) -> Result<Vec<Tensor>>,
) -> Result<usize> {
    let gpu = match device {
        _ if candidates.len() < 2 => return Ok(0),
        Device::Cpu => return Ok(0),
        Device::Emulated(emulator) => return Ok(emulator.pick(candidates.len())),
        Device::Cuda(gpu) => gpu,
    };
    if std::env::var_os("DESCANT_ENGINES").is_some_and(|only| only == "portable") {
        return Ok(0);
    }
    // An engine that is no more (another version of a library) is no choice: it is measured anew.
    let position = |name: &String| candidates.iter().position(|c| c == name);
    static BOOK: Mutex<Option<Book>> = Mutex::new(None);
    let mut book = BOOK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let book = match &mut *book {
        Some(book) => book,
        none => none.insert(Book::open(path(gpu)?)),
    };
    if let Some(known) = book.known.get(key).and_then(position) {
        return Ok(known);
    }
    if gpu.is_recording()? || !book.remember(key, candidates[0]) {
        return Ok(0);
    }
    let values = |candidate| Ok(run(candidate)?.iter().flat_map(Tensor::to_f64).collect());
    let seconds = |candidate| seconds(gpu, || run(candidate).map(drop));
    match fastest(key, candidates, values, seconds) {
        Ok(Some(best)) => {
            book.remember(key, candidates[best]);
            Ok(best)
        }
        Ok(None) => {
            book.forget(key);
            Ok(0)
        }
        Err(e) => {
            eprintln!("warning: {key}: {e}; {} is used", candidates[0]);
            Ok(0)
        }
    }
}

/// Sizes of one class share a choice: those of packed samples change with every batch.
pub(super) fn class(size: usize) -> usize {
    size.next_power_of_two()
}

/// The fastest candidate whose result agrees with the first's; none where that result cannot tell.
fn fastest(
    key: &str,
    candidates: &[&str],
    result: impl Fn(usize) -> Result<Vec<f64>>,
    seconds: impl Fn(usize) -> Result<f64>,
) -> Result<Option<usize>> {
    let expected = result(0)?;
    let largest = expected.iter().fold(0.0f64, |most, x| if x.is_nan() { f64::NAN } else { most.max(x.abs()) });
    if !largest.is_finite() || largest == 0.0 || expected.iter().any(|x| x.is_nan()) {
        return Ok(None);
    }
    let (mut best, mut least) = (0, seconds(0)? * (1.0 - MARGIN));
    for candidate in 1..candidates.len() {
        // A NaN is as far away as can be.
        let far = |d: f64| if d.is_nan() { f64::INFINITY } else { d };
        let got = result(candidate)?;
        let error = got.iter().zip(&expected).fold(0.0f64, |most, (g, e)| most.max(far((g - e).abs()))) / largest;
        if error > TOLERANCE {
            eprintln!(
                "warning: {key}: {} differs from {} by {error:.1e} of the largest element and is not used",
                candidates[candidate], candidates[0]
            );
            continue;
        }
        let time = seconds(candidate)?;
        if time < least {
            (best, least) = (candidate, time);
        }
    }
    Ok(Some(best))
}

/// Seconds of a launch, the best of a few measurements.
fn seconds(gpu: &Cuda, run: impl Fn() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..MEASUREMENTS {
        gpu.synchronize()?;
        let start = Instant::now();
        (0..LAUNCHES).try_for_each(|_| run())?;
        gpu.synchronize()?;
        best = best.min(start.elapsed().as_secs_f64() / LAUNCHES as f64);
    }
    Ok(best)
}

/// One file for each model of GPU and version of the kernels.
fn path(gpu: &Cuda) -> Result<PathBuf> {
    let name: String = gpu.name()?.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(cache::user_dir().join(format!("engines-{name}-{:016x}.json", kernels::HASH)))
}

/// What has been chosen so far, by key.
struct Book {
    path: PathBuf,
    known: BTreeMap<String, String>,
}

impl Book {
    /// What the file holds; a missing or damaged one holds nothing.
    fn open(path: PathBuf) -> Self {
        let known = Self::read(&path);
        Book { path, known }
    }

    fn read(path: &Path) -> BTreeMap<String, String> {
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Whether the file now says so, too; beside what other processes have put there.
    fn remember(&mut self, key: &str, name: &str) -> bool {
        let mut all = Self::read(&self.path);
        all.insert(key.to_owned(), name.to_owned());
        self.known.insert(key.to_owned(), name.to_owned());
        self.write(&all)
    }

    fn forget(&mut self, key: &str) {
        self.known.remove(key);
        let mut all = Self::read(&self.path);
        all.remove(key);
        self.write(&all);
    }

    fn write(&self, all: &BTreeMap<String, String>) -> bool {
        let folder = self.path.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok());
        folder && write_atomic(&self.path, |file| Ok(serde_json::to_writer_pretty(file, all)?)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["portable", "second", "third"];

    /// What is chosen where the candidates give `results` in `times`.
    fn chosen(results: [f64; 3], times: [f64; 3]) -> Option<usize> {
        fastest("a product", &NAMES, |i| Ok(vec![1.0, results[i]]), |i| Ok(times[i])).unwrap()
    }

    #[test]
    fn the_fastest_that_agrees_is_chosen() {
        assert_eq!(chosen([0.5, 0.501, 0.499], [3.0, 2.0, 1.0]), Some(2));
        assert_eq!(chosen([0.5, 0.501, 0.6], [3.0, 2.0, 1.0]), Some(1), "a wrong one is not");
        assert_eq!(chosen([0.5, 0.5, f64::NAN], [3.0, 2.95, 1.0]), Some(0), "nor one that is hardly faster");
        assert_eq!(chosen([f64::NAN, 0.5, 0.5], [3.0, 2.0, 1.0]), None, "NaN cannot tell");
    }

    #[test]
    fn choices_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/engines.json");
        let mut book = Book::open(path.clone());
        assert!(book.remember("a", "portable") && book.remember("a", "second"));
        // Another process, which started before.
        let mut other = Book { path: path.clone(), known: BTreeMap::new() };
        assert!(other.remember("b", "third"));
        assert_eq!(Book::open(path.clone()).known["a"], "second");
        book.forget("a");
        assert_eq!(Book::open(path).known.into_iter().collect::<Vec<_>>(), [("b".to_owned(), "third".to_owned())]);
        let nowhere = folder.path().join("new/engines.json/x");
        assert!(!Book::open(nowhere).remember("a", "second"), "what cannot be written is not remembered");
    }
}
