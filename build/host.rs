//! The same kernels compiled by the C++ compiler, for the emulated device.

use std::path::Path;
use std::process::Command;

use super::entry;
use super::jobs::{Job, run_all};
use super::source::{Source, closure, fnv};

/// The instrumentation of `-fsanitize=thread` without its library: every load and store calls `__tsan_*`, which
/// `kernels/host/emulator.cpp` answers with the emulator's own checks. `bounds` reports an index beyond a local array.
const FLAGS: [&str; 11] = [
    "-std=c++17",
    "-O1",
    "-g1",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fno-exceptions",
    "-fno-rtti",
    "-fPIC",
    "-c",
];
const CHECKED: [&str; 2] = ["-fsanitize=thread", "-fsanitize=bounds"];
/// In place of the emulator's own checks, for a run of its own (tools/emulated-asan): GCC does not do both at once.
const ADDRESS: [&str; 3] = ["-fsanitize=address", "-fsanitize-recover=address", "-fsanitize=bounds"];

/// Compiles and links the emulated kernels; false where there is no C++ compiler.
pub fn compile_all(root: &Path, out: &Path, sources: &[Source]) -> Result<bool, String> {
    println!("cargo:rerun-if-env-changed=DESCANT_EMULATED_ASAN");
    println!("cargo:rustc-check-cfg=cfg(address_sanitizer)");
    let address = std::env::var_os("DESCANT_EMULATED_ASAN").is_some_and(|v| v == "1");
    let folder = root.join("kernels");
    let mut build = cc::Build::new();
    build.cpp(true).cargo_metadata(false).cargo_warnings(false);
    let compiler = match build.try_get_compiler() {
        Ok(compiler) if Command::new(compiler.path()).arg("--version").output().is_ok_and(|o| o.status.success()) => {
            compiler
        }
        _ => {
            println!(
                "cargo:warning=no C++ compiler: building without the emulated device, which the tests of the kernels use"
            );
            return Ok(false);
        }
    };
    let compile = |flags: &[&str], input: &Path, output: &Path, hash| {
        let mut command = vec![compiler.path().display().to_string()];
        command.extend(flags.iter().map(|f| f.to_string()));
        command.extend(["-I".into(), folder.display().to_string(), "-x".into(), "c++".into()]);
        command.extend([input.display().to_string(), "-o".into(), output.display().to_string()]);
        Job { command, output: output.to_owned(), hash }
    };
    let runtime = folder.join("host/emulator.cpp");
    let hash = closure(&runtime).iter().fold(0, |h, f| fnv(h, &std::fs::read(f).unwrap_or_default()));
    let (name, checks) = if address { ("asan", &ADDRESS[..]) } else { ("emulated", &CHECKED[..]) };
    let runtime_flags = if address { [&FLAGS[..], &["-DADDRESS_SANITIZER"]].concat() } else { FLAGS.to_vec() };
    let mut jobs = vec![compile(&runtime_flags, &runtime, &out.join(format!("emulator.{name}.o")), hash)];
    let checked = [&FLAGS[..], checks].concat();
    for source in sources {
        let object = out.join(format!("{}.{name}.o", source.module));
        jobs.push(compile(&checked, &entry::path(source, out), &object, source.hash));
    }
    let objects: Vec<String> = jobs.iter().map(|j| j.output.display().to_string()).collect();
    let archive = out.join(format!("lib{name}_kernels.a"));
    if run_all(jobs)? || !archive.exists() {
        let _ = std::fs::remove_file(&archive);
        let mut archiver = build.try_get_archiver().map_err(|e| e.to_string())?;
        let status = archiver.arg("crs").arg(&archive).args(&objects).status().map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("{}: the archiver failed", archive.display()));
        }
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static={name}_kernels");
    if address {
        println!("cargo:rustc-link-lib=asan");
        println!("cargo:rustc-cfg=address_sanitizer");
    }
    let standard_library = if cfg!(target_os = "macos") { "c++" } else { "stdc++" };
    println!("cargo:rustc-link-lib={standard_library}");
    Ok(true)
}
