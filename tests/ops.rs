//! Every case of every operation: finite-difference gradients in f64, single against double precision, and the CUDA kernels
//! against the CPU, emulated and on a GPU where there is one.

use descant::device::{DType, Device};
use descant::ops::all_cases;

/// Central differences with step 1e-5 leave about 1e-9 of truncation and rounding on smooth functions of size 1.
const GRADIENT_TOLERANCE: f64 = 2e-7;

#[test]
fn gradients_match_finite_differences() {
    for case in all_cases() {
        let error = case.gradient_error().unwrap();
        assert!(error < GRADIENT_TOLERANCE, "{}: gradient error {error:.2e}", case.name);
    }
}

#[test]
fn single_precision_follows_double() {
    for case in all_cases() {
        let error = case.single_precision_error().unwrap();
        assert!(error < case.tolerance(DType::F32), "{}: f32 against f64 {error:.2e}", case.name);
    }
}

/// Runs every case on `device`, storing activations as `dtype`; operations that have no kernel are listed, not hidden.
fn kernels_follow_the_cpu(device: &Device, dtype: DType) {
    let (mut wrong, mut skipped) = (Vec::new(), Vec::new());
    for case in all_cases() {
        match case.device_error(device, dtype) {
            Ok(error) if error < case.tolerance(dtype) => {}
            Ok(error) => wrong.push(format!("{}: {dtype:?} on {}: error {error:.2e}", case.name, device.name())),
            Err(e) if e.to_string().ends_with("has no kernel") => skipped.push(case.name),
            Err(e) => wrong.push(format!("{}: {e}", case.name)),
        }
    }
    if !skipped.is_empty() {
        println!("SKIPPED (visible): no kernel for {}", skipped.join("; "));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn emulated_kernels_follow_the_cpu_in_f32() {
    for seed in 0..3 {
        kernels_follow_the_cpu(&Device::emulated(seed).unwrap(), DType::F32);
    }
}

#[test]
fn emulated_kernels_follow_the_cpu_in_bf16() {
    for seed in 3..6 {
        kernels_follow_the_cpu(&Device::emulated(seed).unwrap(), DType::BF16);
    }
}

#[test]
fn cuda_kernels_follow_the_cpu() {
    match Device::cuda() {
        Err(e) => println!("SKIPPED (visible): {e}"),
        Ok(gpu) => {
            kernels_follow_the_cpu(&gpu, DType::F32);
            kernels_follow_the_cpu(&gpu, DType::BF16);
        }
    }
}
