//! Time of the convolution blocks of the audio front end (paper table 15), forward and backward, with the share of the
//! matrix-product peak measured in the same run. `cargo bench --bench conv [small|paper] [batch] [repeats]`.

use std::time::Instant;

use descant::device::{DType, PoolVec};
use descant::linalg::{Mat, MatMut, Threads, matmul};
use descant::ops::conv_block::{ConvSpec, conv_block};
use descant::tape::{Tape, Var};
use descant::tensor::Tensor;

/// Best of `repeats` runs, in seconds: the machine may be shared.
fn best(repeats: usize, mut run: impl FnMut() -> f64) -> f64 {
    (0..repeats).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Uniform in ±scale.
fn noise(shape: &[usize], scale: f64) -> Tensor {
    let mut state = 1u64;
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            scale * ((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        })
        .collect();
    Tensor::from_f64(shape, &values, DType::F32)
}

/// GFLOP/s of a 2048³ product on all threads.
fn peak(repeats: usize) -> f64 {
    const N: usize = 2048;
    let (a, b) = (PoolVec::<f32>::zeros(N * N), PoolVec::<f32>::zeros(N * N));
    let mut c = PoolVec::<f32>::zeros(N * N);
    let seconds = best(repeats, || {
        let start = Instant::now();
        matmul(MatMut::new(&mut c, N, N), false, 1.0, Mat::new(&a, N, N), Mat::new(&b, N, N), Threads::All);
        start.elapsed().as_secs_f64()
    });
    2.0 * (N as f64).powi(3) / seconds / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let channels =
        if arguments.first().is_some_and(|p| p == "paper") { [512, 512, 512, 1024] } else { [64, 64, 64, 128] };
    let number = |i: usize, default| arguments.get(i).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (batch, repeats): (usize, usize) = (number(1, 16), number(2, 7));
    let peak = peak(repeats);
    println!("matrix product 2048³: {peak:.0} GFLOP/s; batch {batch}, best of {repeats}");
    println!("layer                        forward ms  GFLOP/s  % peak   backward ms  GFLOP/s  % peak   inference ms");
    let (mut time, mut inputs, mut totals) = (96_000, 1, [0.0; 3]);
    for (layer, outputs) in channels.into_iter().enumerate() {
        let (kernel, stride, padding) = if layer == 0 { (10, 5, 0) } else { (3, 2, 1) };
        let spec = ConvSpec { kernel, stride, padding, groups: 32, eps: 1e-5 };
        let rows = spec.output_rows(time).expect("the kernel fits");
        let x = noise(&[batch, time, inputs], 0.5);
        let parameters = [noise(&[outputs, inputs, kernel], 0.1), noise(&[outputs], 0.1), noise(&[outputs], 1.0)];
        let beta = noise(&[outputs], 0.3);
        let dz = noise(&[batch, rows, outputs], 1.0);
        let mut measured = [f64::INFINITY; 3];
        for _ in 0..repeats {
            let tape = Tape::recording();
            let x = if layer == 0 { Var::constant(x.clone()) } else { tape.leaf(x.clone()) };
            let [weight, bias, gamma] = parameters.clone().map(|p| tape.leaf(p));
            let beta = tape.leaf(beta.clone());
            let start = Instant::now();
            let z = conv_block(&tape, &x, &weight, &bias, &gamma, &beta, &spec).expect("shapes fit");
            measured[0] = measured[0].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            tape.backward(&z, dz.clone()).expect("shapes fit");
            measured[1] = measured[1].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            conv_block(&Tape::inference(), &x, &weight, &bias, &gamma, &beta, &spec).expect("shapes fit");
            measured[2] = measured[2].min(start.elapsed().as_secs_f64());
        }
        let flops = 2.0 * (batch * rows * kernel * inputs * outputs) as f64;
        let rate = |seconds: f64, products: f64| products * flops / seconds / 1e9;
        let (f, b) = (rate(measured[0], 1.0), rate(measured[1], if layer == 0 { 1.0 } else { 2.0 }));
        println!(
            "{:<28} {:>10.1} {f:>8.0} {:>7.0}   {:>11.1} {b:>8.0} {:>7.0}   {:>12.1}",
            format!("{time}×{inputs} to {rows}×{outputs}"),
            1e3 * measured[0],
            100.0 * f / peak,
            1e3 * measured[1],
            100.0 * b / peak,
            1e3 * measured[2],
        );
        totals.iter_mut().zip(measured).for_each(|(t, m)| *t += 1e3 * m);
        (time, inputs) = (rows, outputs);
    }
    let [forward, backward, inference] = totals;
    println!(
        "all: forward {forward:.1} ms, backward {backward:.1} ms, together {:.1} ms; inference {inference:.1} ms",
        forward + backward
    );
}
