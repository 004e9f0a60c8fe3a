//! The emulator finds what it says it finds: copies of a sound kernel with one thing wrong each.

use half::bf16;

use crate::device::{Device, Launch, Matrix, Memory, TensorMap, kernels};
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

/// Depth of the product of `kernels/host/faults_sm90a.cu`: its ring of two goes round three times.
const DEPTH: usize = 6 * 64;

fn entry(i: usize) -> bf16 {
    bf16::from_f32((i * 7 % 23) as f32 - 11.0)
}

/// Runs `kernels/host/faults_sm90a.cu` with `fault`; what it wrote.
fn product(seed: u64, fault: usize) -> Result<Vec<f32>> {
    let device = Device::emulated(seed)?;
    let [a, b] = [64 * DEPTH, 64 * 64].map(|n| Memory::upload(&device, &(0..n).map(entry).collect::<Vec<_>>()));
    let (a, b, c) = (a?, b?, Memory::uninit(&device, 64 * 64 * 4)?);
    let matrix = Matrix { extent: [DEPTH, 64, 1], strides: [DEPTH, 64 * DEPTH], tile_rows: 64 };
    let map = TensorMap::new(&device, a.input(0), matrix)?;
    let launch = Launch::new(&device, 1).shared(3 * 64 * 128 + 1024 + 512);
    kernels::faults_sm90a::product(launch, fault, map, b.input(0), c.output(0), DEPTH as i32)?;
    let mut got = vec![0.0; 64 * 64];
    c.read(0, &mut got)?;
    Ok(got)
}

#[test]
fn emulated_hopper_faults_are_found_in_every_order() {
    let dot = |row: usize, column: usize| -> f32 {
        (0..DEPTH).map(|k| entry(row * DEPTH + k).to_f32() * entry(column * 64 + k % 64).to_f32()).sum()
    };
    let expected: Vec<f32> = (0..64 * 64).map(|i| dot(i / 64, i % 64)).collect();
    // What the message says; a stage freed or filled at the wrong time may also leave somebody waiting for ever.
    let too_early =
        ["may still", "shared memory changed", "race", "barrier not reached by all", "one arrival too many"];
    let faults: [(usize, &[&str]); 14] = [
        (1, &["wgmma reads a tile that may still be under way"]),
        (2, &too_early),
        (3, &["may still read by wgmma", "may still be under way"]),
        (4, &["no fence_async after it"]),
        (5, &["race: wgmma reads what"]),
        (6, &["no wgmma_fence"]),
        (7, &["registers of a wgmma under way", "may still read by wgmma", "barrier not reached by all"]),
        (8, &["registers of a wgmma under way"]),
        (10, &["bytes on their way to a barrier that expects"]),
        (11, &["initialized with no fence_async"]),
        (12, &["divergent wgmma", "barrier not reached by all"]),
        (13, &["not a multiple of 1024"]),
        (14, &too_early),
        (15, &too_early),
    ];
    let mut missed = Vec::new();
    for seed in 0..10 {
        assert_eq!(product(seed, 0).unwrap(), expected, "seed {seed}");
        assert_ne!(product(seed, 9).unwrap(), expected, "seed {seed}: a wrong descriptor gives wrong numbers");
        for (fault, says) in faults {
            let message = product(seed, fault).map_or_else(|e| e.to_string(), |_| "no fault found".into());
            if !says.iter().any(|says| message.contains(says)) {
                missed.push(format!("seed {seed}, fault {fault}: {message}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    println!("{}", product(0, 1).unwrap_err());
    println!("{}", product(0, 3).unwrap_err());
    println!("{}", product(0, 4).unwrap_err());
}
