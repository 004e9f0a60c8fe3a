//! How many cells are trained at a time on this machine: a number, or as many as its memory holds.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::grid::resolved;
use super::state::{State, Sweep};
use crate::config::DeviceChoice;
use crate::config::setting::{Limits, Setting};
use crate::error::{Error, Result};
use crate::progress::say;

/// Share of the free memory that `auto` plans with; the rest is for a cell that takes more than those before it.
const SHARE: f64 = 0.9;
const GIB: f64 = (1_u64 << 30) as f64;

/// Cells at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as memory and cores allow.
    Auto,
    /// So many.
    Count(usize),
}

impl Setting for Jobs {
    fn kind(&self, limits: &Limits) -> String {
        limits.describe("auto or integer")
    }

    fn set(&mut self, text: &str, limits: &Limits) -> bool {
        let value = match text {
            "auto" => Some(Jobs::Auto),
            _ => text.parse().ok().filter(|&count: &usize| limits.hold(count as f64)).map(Jobs::Count),
        };
        value.map(|value| *self = value).is_some()
    }

    fn json(&self) -> Value {
        match self {
            Jobs::Auto => "auto".into(),
            Jobs::Count(count) => (*count).into(),
        }
    }
}

/// Decides how many cells may run; asked again whenever one could begin.
pub struct Slots {
    jobs: Jobs,
    cores: usize,
    /// Bytes of main memory that nothing held before the first cell began.
    free: u64,
    /// A GPU, whose memory is not seen here, may be what cells compute on.
    gpu: bool,
    /// What was said last.
    told: usize,
}

impl Slots {
    /// Looks at this machine where `jobs=auto` asks for it.
    ///
    /// # Errors
    /// [`Error::Input`] where the system does not say how much memory is free.
    pub fn new(jobs: Jobs, cores: usize, sweep: &Sweep) -> Result<Self> {
        let mut slots = Slots { jobs, cores, free: 0, gpu: false, told: 0 };
        if jobs == Jobs::Auto {
            slots.free = free_memory()?;
            let on_cpu =
                |settings: &[(String, String)]| resolved(settings).is_ok_and(|c| c.device == DeviceChoice::Cpu);
            let driver = Path::new("/proc/driver/nvidia/version").exists();
            slots.gpu = driver && !sweep.cells.iter().all(|cell| on_cpu(&cell.settings()));
        }
        Ok(slots)
    }

    /// How many cells may run at the same time. `auto`: one until one is done and its peak known; then as many of the largest peak so
    /// far as 90 % of the free memory hold, at most one a core; one on a GPU. Says what it assumes whenever that changes.
    pub fn count(&mut self, sweep: &Sweep) -> usize {
        if let Jobs::Count(count) = self.jobs {
            return count;
        }
        // One that failed or was stopped may not have got to where it takes most.
        let done = sweep.cells.iter().filter(|cell| cell.state == State::Done);
        let peak = done.filter_map(|cell| cell.peak_bytes).max();
        let count = if self.gpu { 1 } else { peak.map_or(1, |peak| fitting(self.free, peak, self.cores)) };
        if count != self.told {
            let (free, cores) = (self.free as f64 / GIB, self.cores);
            say(&match peak {
                _ if self.gpu => {
                    "jobs=auto: one cell at a time, because there is a GPU whose memory it may need".into()
                }
                None => "jobs=auto: one cell at first, to see how much memory it takes".into(),
                Some(peak) => format!(
                    "jobs=auto: {count} at a time: {:.2} GiB is the most that a cell has held, {free:.2} GiB were free, cores: {cores}",
                    peak as f64 / GIB
                ),
            });
            self.told = count;
        }
        count
    }
}

/// How many cells of `peak` bytes run in `free` bytes on `cores` cores; one at least.
fn fitting(free: u64, peak: u64, cores: usize) -> usize {
    let held = SHARE * free as f64 / peak.max(1) as f64;
    (held as usize).clamp(1, cores.max(1))
}

/// Bytes that new processes can have without anything being swapped out.
fn free_memory() -> Result<u64> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))?;
    field(&text, "MemAvailable").ok_or_else(|| Error::input(path, "MemAvailable", "kilobytes", "nothing"))
}

/// Most bytes of main memory that a process has held so far; `None` once it has ended.
pub fn peak_memory(process: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmHWM")
}

/// Bytes of the line `NAME: 123 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_memory_and_cores_allow_and_one_at_least() {
        let gib = 1 << 30;
        assert_eq!(fitting(16 * gib, 2 * gib, 64), 7);
        assert_eq!(fitting(16 * gib, 2 * gib, 4), 4);
        assert_eq!(fitting(gib, 2 * gib, 4), 1);
        assert_eq!(fitting(gib, 0, 0), 1);
    }

    #[test]
    fn memory_is_read_from_the_system() {
        assert_eq!(field("VmPeak:\t 9 kB\nVmHWM:\t  123 kB\n", "VmHWM"), Some(123 * 1024));
        assert_eq!(field("VmHWMx: 1 kB\nVmHWM: many\n", "VmHWM"), None);
        assert!(free_memory().unwrap() > 1 << 20);
        assert!(peak_memory(std::process::id()).unwrap() > 1 << 20);
    }

    #[test]
    fn a_number_or_auto() {
        let limits = Limits::of(1.0..=1024.0);
        let mut jobs = Jobs::Count(1);
        assert!(jobs.set("auto", &limits) && jobs == Jobs::Auto && jobs.json() == "auto");
        assert!(jobs.set("3", &limits) && jobs == Jobs::Count(3) && jobs.json() == 3);
        assert!(!jobs.set("0", &limits) && !jobs.set("many", &limits) && jobs == Jobs::Count(3));
        assert_eq!(jobs.kind(&limits), "auto or integer, 1 to 1024");
    }
}
