//! The emulator finds what it says it finds: copies of a sound kernel with one thing wrong each.

use crate::device::{Device, Launch, Memory, kernels};
use crate::error::Result;

const BLOCKS: usize = 2;
const N: usize = 64 * BLOCKS;

/// Runs `kernels/host/faults.cu` with `fault`; what it wrote.
fn reverse(seed: u64, fault: usize) -> Result<Vec<f32>> {
    let device = Device::emulated(seed)?;
    let values: Vec<f32> = (0..N).map(|i| i as f32).collect();
    let (x, y) = (Memory::upload(&device, &values)?, Memory::uninit(&device, N * 4)?);
    kernels::faults::reverse(Launch::new(&device, BLOCKS), fault, x.input(0), y.output(0))?;
    let mut got = vec![0.0; N];
    y.read(0, &mut got)?;
    Ok(got)
}

/// What `fault` leads to, which names the kernel and the block.
fn message(seed: u64, fault: usize) -> String {
    let message = reverse(seed, fault).expect_err("a fault").to_string();
    assert!(message.contains(&format!("faults_reverse_{fault}, block (")), "{message}");
    message
}

/// In a build under AddressSanitizer (tools/emulated-asan), beside what the emulator checks without instrumentation.
#[cfg(address_sanitizer)]
#[test]
fn emulated_faults_are_found_by_address_sanitizer() {
    let faults = [(5, "index beyond its array"), (6, "out of bounds"), (10, "stack-buffer-overflow")];
    for seed in 0..10 {
        for (fault, says) in faults {
            let message = message(seed, fault);
            assert!(message.contains(says) && message.contains("faults.cu:"), "seed {seed}, fault {fault}: {message}");
        }
    }
    println!("{}", message(0, 10));
}

#[cfg(not(address_sanitizer))]
#[test]
fn emulated_faults_are_found_in_every_order() {
    // What the message says; a thread that went past a barrier races unless those it left behind stall first.
    let faults: [(usize, &[&str]); 8] = [
        (2, &["race: thread"]),
        (3, &["race: thread", "barrier not reached by all"]),
        (4, &["divergent barrier"]),
        (5, &["out of bounds: index beyond its array: thread 0"]),
        (6, &["out of bounds: thread 63"]),
        (7, &["another block wrote it"]),
        (8, &["not aligned"]),
        (9, &["barrier not reached by all"]),
    ];
    for seed in 0..10 {
        let expected: Vec<f32> = (0..N).map(|i| (i / 64 * 64 + 63 - i % 64) as f32).collect();
        assert_eq!(reverse(seed, 0).unwrap(), expected);
        assert!(reverse(seed, 1).unwrap().iter().all(|x| x.is_nan()), "seed {seed}: without the wait nothing arrives");
        for (fault, says) in faults {
            let message = message(seed, fault);
            assert!(says.iter().any(|says| message.contains(says)), "seed {seed}, fault {fault}: {message}");
        }
    }
    for fault in [2, 4, 6] {
        println!("{}", message(0, fault));
    }
}
