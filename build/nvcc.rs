//! Fatbins: machine code for every supported GPU, and PTX of the lowest for the driver to compile on those to come.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::entry;
use super::jobs::{Job, run_all};
use super::source::Source;

/// Machine code for Ampere (A100), Ampere (RTX 30, A40) and Ada (RTX 40, L40), from one pass of the front end, with its PTX.
const PORTABLE: &str = "-gencode=arch=compute_80,code=[compute_80,sm_80,sm_86,sm_89]";
/// Machine code for Hopper (H100, H200), with instructions that only it has.
const HOPPER: &str = "-gencode=arch=compute_90a,code=sm_90a";

/// One fatbin for each source, or none at all without nvcc.
pub fn compile_all(root: &Path, out: &Path, sources: &[Source]) -> Result<Vec<Option<PathBuf>>, String> {
    for name in ["NVCC", "CUDA_HOME", "PATH", "CARGO_TARGET_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let Some(nvcc) = find(root, out) else {
        println!(
            "cargo:warning=no nvcc in $NVCC, $CUDA_HOME or PATH: building without CUDA kernels (tools/cuda-toolchain installs one)"
        );
        return Ok(vec![None; sources.len()]);
    };
    if nvcc.is_file() {
        println!("cargo:rerun-if-changed={}", nvcc.display());
    }
    let jobs = sources.iter().filter(|s| !s.emulated_only()).map(|source| {
        let mut command = vec![nvcc.display().to_string(), "-fatbin".into(), "-std=c++17".into(), "-O3".into()];
        // Line tables let profilers and sanitizers name the source; they change no instruction. What ptxas says of registers
        // and spills goes to the log that tools/kernel-table reads.
        command.extend(["-lineinfo", "-Xptxas=-v", "--compress-mode=size", "--threads", "4"].map(String::from));
        command.extend(["-Werror", "all-warnings", "-I"].map(String::from));
        command.push(root.join("kernels").display().to_string());
        command.extend(Some(PORTABLE).filter(|_| !source.hopper_only()).map(String::from));
        command.push(HOPPER.into());
        let output = fatbin(source, out);
        command.extend([entry::path(source, out).display().to_string(), "-o".into(), output.display().to_string()]);
        Job { command, output, hash: source.hash }
    });
    run_all(jobs.collect())?;
    Ok(sources.iter().map(|s| (!s.emulated_only()).then(|| fatbin(s, out))).collect())
}

fn fatbin(source: &Source, out: &Path) -> PathBuf {
    out.join(format!("{}.fatbin", source.module))
}

/// $NVCC (`none` forbids it), $CUDA_HOME/bin, PATH, then what tools/cuda-toolchain installs.
fn find(root: &Path, out: &Path) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(nvcc) = variable("NVCC") {
        return (nvcc.as_os_str() != "none").then_some(nvcc);
    }
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let target = out.ancestors().nth(4).map(Path::to_owned);
    let homes = variable("CUDA_HOME").into_iter().map(|home| home.join("bin"));
    let path = std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect::<Vec<_>>()).unwrap_or_default();
    let installed = target.into_iter().chain([root.join("target")]).map(|t| t.join("cuda-toolchain/bin"));
    let mut candidates = homes.chain(path).chain(installed).map(|folder| folder.join("nvcc"));
    candidates
        .find(|nvcc| nvcc.is_file() && Command::new(nvcc).arg("--version").output().is_ok_and(|o| o.status.success()))
}
