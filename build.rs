//! Compiles `kernels/*.cu` twice from one source: by nvcc into fatbins for GPUs, by the C++ compiler for the emulated device;
//! and emits one typed Rust function for each kernel (`src/device/kernels.rs` includes them).
//!
//! Neither compiler is required: what could not be compiled is known to the binary as absent.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/entry.rs"]
mod entry;
#[path = "build/host.rs"]
mod host;
#[path = "build/jobs.rs"]
mod jobs;
#[path = "build/nvcc.rs"]
mod nvcc;
#[path = "build/signature.rs"]
mod signature;
#[path = "build/source.rs"]
mod source;

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={}", root.join("kernels").display());
    println!("cargo:rerun-if-changed={}", root.join("build").display());
    println!("cargo:rerun-if-changed={}", root.join("build.rs").display());

    let mut sources = source::read_all(&root.join("kernels")).unwrap_or_else(|message| fail(&message));
    sources.extend(source::read_all(&root.join("kernels/host")).unwrap_or_else(|message| fail(&message)));
    for source in &sources {
        entry::write(source, &out).unwrap_or_else(|message| fail(&message));
    }
    let fatbins = nvcc::compile_all(&root, &out, &sources).unwrap_or_else(|message| fail(&message));
    let emulated = host::compile_all(&root, &out, &sources).unwrap_or_else(|message| fail(&message));
    bindings::write(&out, &sources, &fatbins, emulated);
}

/// Ends the build with a message that reads as one.
fn fail(message: &str) -> ! {
    eprintln!("\n{message}\n");
    std::process::exit(1)
}
