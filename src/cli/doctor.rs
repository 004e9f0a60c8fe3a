//! `engine doctor`: what this machine has, what this binary can do with it, and whether it computes right. Exit code 1 where it does
//! not; 3 where `device=cuda` asks for a GPU and there is none.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::output::{print, print_json};
use super::{Settings, use_threads};
use crate::config::{Config, DeviceChoice, among};
use crate::device::{About, Device, cublaslt, simd};
use crate::error::{Error, Result};
use crate::selftest::{self, Finding};
use crate::train::corpus;

/// Keys of `engine train` that matter here; the others are accepted, so that the settings of a training run can be tried.
const ASKED: &[&str] = &["data", "data.cache", "data.synth_dir", "device", "out", "threads"];

/// All that is found out.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    /// Whether the binary holds kernels for GPUs (built with nvcc), and for the emulated device (with a C++ compiler).
    built_with_nvcc: bool,
    built_with_emulator: bool,
    threads: usize,
    instruction_set: &'static str,
    gpu: Option<About>,
    /// Why there is no GPU.
    no_gpu: Option<String>,
    /// Version of the library, where it is found.
    cublaslt: Option<String>,
    disks: Vec<Disk>,
    self_test: SelfTest,
}

/// Room where something will be written.
#[derive(Serialize)]
struct Disk {
    role: &'static str,
    path: PathBuf,
    /// Bytes, where the system tells.
    free: Option<u64>,
}

#[derive(Serialize)]
struct SelfTest {
    device: &'static str,
    seconds: f64,
    families: Vec<Finding>,
}

/// Looks at everything and prints what it found.
pub fn run(args: &Settings) -> Result<()> {
    if args.keys {
        return args.listed_where::<Config>(|name| among(ASKED, name)).map(drop);
    }
    let config = Config::resolve(&args.settings, false)?;
    use_threads(config.threads)?;
    let found = Device::cuda();
    if let (DeviceChoice::Cuda, Err(_)) = (config.device, &found) {
        return found.map(drop);
    }
    let report = Report::of(&config, found)?;
    match args.json {
        true => print_json(&report)?,
        false => print(&report.to_string())?,
    }
    match report.self_test.families.iter().filter(|family| family.fault.is_some()).count() {
        0 => Ok(()),
        wrong => Err(Error::Unwell(format!("{wrong} kernel families are not well on {}", report.self_test.device))),
    }
}

impl Report {
    fn of(config: &Config, found: Result<Device>) -> Result<Report> {
        let gpu = match &found {
            Ok(Device::Cuda(gpu)) => Some(gpu.about()?),
            _ => None,
        };
        let tested = match &found {
            Ok(gpu) if config.device != DeviceChoice::Cpu => gpu.clone(),
            _ => Device::Cpu,
        };
        let began = Instant::now();
        let families = selftest::run(&tested);
        let self_test = SelfTest { device: tested.name(), seconds: began.elapsed().as_secs_f64(), families };
        Ok(Report {
            version: env!("CARGO_PKG_VERSION"),
            built_with_nvcc: Device::built_for_cuda(),
            built_with_emulator: Device::built_for_emulation(),
            threads: rayon::current_num_threads(),
            instruction_set: simd::instruction_set(),
            gpu,
            no_gpu: found.err().map(|error| match error {
                Error::Device { reason, .. } => reason,
                other => other.to_string(),
            }),
            cublaslt: cublaslt_version(),
            disks: disks(config),
            self_test,
        })
    }
}

/// Version of cuBLASLt, where it is installed: `13.0.2`.
fn cublaslt_version() -> Option<String> {
    let version = cublaslt::installed()?;
    Some(format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100))
}

fn disks(config: &Config) -> Vec<Disk> {
    let data = corpus::location(config);
    let folders = [("run folder", config.out.clone()), ("cache of decoded audio", config.data.cache_dir(&data))];
    folders.map(|(role, path)| Disk { free: free(&path), role, path }).into()
}

/// Bytes that an ordinary user may still write where `path` is or would be.
fn free(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    available(absolute.ancestors().find(|folder| folder.exists())?)
}

#[cfg(unix)]
fn available(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|disk| disk.f_bavail * disk.f_frsize)
}

#[cfg(not(unix))]
fn available(_: &Path) -> Option<u64> {
    None
}

/// Bytes for people.
fn gib(bytes: impl TryInto<u64>) -> String {
    format!("{:.1} GiB", bytes.try_into().unwrap_or(u64::MAX) as f64 / f64::from(1 << 30))
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut line = |what: &str, text: &str| writeln!(f, "{what:<16}{text}");
        line("engine", self.version)?;
        let kernels = match self.built_with_nvcc {
            true => "for sm_80, sm_86, sm_89 and sm_90a, and as PTX for newer GPUs",
            false => "none: built without nvcc (tools/cuda-toolchain installs it)",
        };
        line("CUDA kernels", kernels)?;
        line("emulated device", if self.built_with_emulator { "there, for tests" } else { "none: built without C++" })?;
        line("CPU", &format!("{} threads, {}", self.threads, self.instruction_set))?;
        match &self.gpu {
            Some(gpu) => {
                let driver = gpu.driver.as_ref().map_or_else(String::new, |version| format!("{version}, "));
                line("GPU", &gpu.name)?;
                line("  driver", &format!("{driver}up to CUDA {}", gpu.cuda))?;
                let (capability, processors) = (&gpu.compute_capability, gpu.multiprocessors);
                line("  capability", &format!("{capability}, {processors} multiprocessors"))?;
                let (unused, all) = (gib(gpu.memory_free as u64), gib(gpu.memory_total as u64));
                line("  memory", &format!("{unused} of {all} free"))?;
                line("  code", &gpu.code)?;
            }
            None => line("GPU", &format!("none ({})", self.no_gpu.as_deref().unwrap_or_default()))?,
        }
        let library = self.cublaslt.as_deref();
        line("cuBLASLt", library.unwrap_or("not found: matrix products take the kernels of kernels/gemm.cu"))?;
        for Disk { role, path, free } in &self.disks {
            let free = free.map_or_else(|| "unknown".into(), gib);
            line("disk", &format!("{free} free for the {role}, {}", path.display()))?;
        }
        write!(f, "{}", self.self_test)
    }
}

impl Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let against = if self.device == "cpu" { "single against double precision" } else { "against the CPU" };
        writeln!(f, "self-test on {}, {against}, {:.1} s:", self.device, self.seconds)?;
        for Finding { family, storage, cases, error, fault } in &self.families {
            match fault {
                None => {
                    let percent = 100.0 * error;
                    writeln!(
                        f,
                        "  {family:<14}{storage:<6}{cases:>3} cases, error {percent:.0} % of what is tolerated"
                    )?;
                }
                Some(fault) => writeln!(f, "  {family:<14}{storage:<6}WRONG: {fault}")?,
            }
        }
        Ok(())
    }
}
