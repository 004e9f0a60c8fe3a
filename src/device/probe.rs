//! A first look at a device that runs kernels: every primitive of `kernels/common.cuh` against plain Rust.

use half::bf16;

use super::{Device, Launch, Memory, kernels};
use crate::error::Result;
use crate::random::{Philox, site};

/// Depth of the product; odd in steps of 16.
const DEPTH: usize = 80;

/// Largest error of a tensor-core product of bf16 matrices against f64: asynchronous copies, matrix loads, mma.
pub fn product_error(device: &Device) -> Result<f64> {
    let mut stream = Philox::new(1, site("probe")).stream(0);
    let mut draw = |n| (0..n).map(|_| bf16::from_f32(stream.uniform_f32() - 0.5)).collect::<Vec<_>>();
    let (a, b) = (draw(16 * DEPTH), draw(DEPTH * 16));
    let (on_a, on_b) = (Memory::upload(device, &a)?, Memory::upload(device, &b)?);
    let c = Memory::uninit(device, 16 * 16 * 4)?;
    kernels::probe::product(Launch::new(device, 1), on_a.input(0), on_b.input(0), c.output(0), DEPTH as i32)?;
    let mut got = [0.0f32; 256];
    c.read(0, &mut got)?;
    let entry = |i: usize| {
        let (row, column) = (i / 16, i % 16);
        (0..DEPTH).map(|k| a[row * DEPTH + k].to_f64() * b[k * 16 + column].to_f64()).sum::<f64>()
    };
    Ok(worst((0..256).map(|i| f64::from(got[i]) - entry(i))))
}

/// Whether the device draws the same random words as [`Philox`].
pub fn draws_the_same(device: &Device) -> Result<bool> {
    let philox = Philox::new(42, site("probe"));
    let [low, high] = philox.key();
    let words = Memory::uninit(device, 64 * 16)?;
    let counter = 3 << 40 | 5;
    let key = u64::from(high) << 32 | u64::from(low);
    kernels::probe::random(Launch::new(device, 1), words.output(0), counter, key)?;
    let mut got = [0u32; 256];
    words.read(0, &mut got)?;
    Ok((0..64).all(|i| got[i * 4..i * 4 + 4] == philox.u32x4(counter, i as u64)))
}

/// Largest error of sums and exchanges within a block.
pub fn reduction_error(device: &Device) -> Result<f64> {
    let mut stream = Philox::new(2, site("probe")).stream(0);
    let x: Vec<f32> = (0..64).map(|_| stream.uniform_f32() - 0.5).collect();
    let (on_x, y) = (Memory::upload(device, &x)?, Memory::uninit(device, 12)?);
    kernels::probe::reduce(Launch::new(device, 1), on_x.input(0), y.output(0))?;
    let mut got = [0.0f32; 3];
    y.read(0, &mut got)?;
    let expected = [x.iter().sum(), x[32..].iter().copied().fold(f32::MIN, f32::max), x[37]];
    Ok(worst(got.iter().zip(expected).map(|(g, e)| f64::from(g - e))))
}

fn worst(differences: impl Iterator<Item = f64>) -> f64 {
    differences.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d.abs()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(device: &Device) {
        // Sums of 80 products of bf16 in f32.
        assert!(product_error(device).unwrap() < 1e-6);
        assert!(reduction_error(device).unwrap() < 1e-6);
        assert!(draws_the_same(device).unwrap());
    }

    #[test]
    fn emulated_primitives_do_what_they_say() {
        for seed in 0..6 {
            check(&Device::emulated(seed).unwrap());
        }
    }

    #[test]
    fn cuda_primitives_do_what_they_say() {
        match Device::cuda() {
            Err(e) => println!("SKIPPED (visible): {e}"),
            Ok(gpu) => check(&gpu),
        }
    }
}
