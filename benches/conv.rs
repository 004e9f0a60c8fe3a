//! Time of the convolution blocks of the audio front end (paper table 15), forward and backward, with the share of the
//! matrix-product peak measured in the same run. `cargo bench --bench conv [small|paper] [batch] [repeats]`.

use std::time::Instant;

use descant::device::{DType, PoolVec};
use descant::linalg::{Mat, MatMut, Threads, matmul};
use descant::ops::conv_block::{ConvLayer, ConvSpec, conv_stack};
use descant::tape::{Tape, Var};
use descant::tensor::Tensor;

/// Input samples: four seconds.
const TIME: usize = 96_000;

struct Layer {
    inputs: usize,
    rows: usize,
    spec: ConvSpec,
    /// Weight, bias, γ, β.
    parameters: [Tensor; 4],
}

impl Layer {
    /// Multiplications and additions of the convolution for one sample.
    fn flops(&self) -> f64 {
        2.0 * (self.rows * self.parameters[0].len()) as f64
    }
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

/// GFLOP/s of a 2048³ product on all threads, the best of `repeats`: the machine may be shared.
fn peak(repeats: usize) -> f64 {
    const N: usize = 2048;
    let (a, b) = (PoolVec::<f32>::zeros(N * N), PoolVec::<f32>::zeros(N * N));
    let mut c = PoolVec::<f32>::zeros(N * N);
    let seconds = (0..repeats).map(|_| {
        let start = Instant::now();
        matmul(MatMut::new(&mut c, N, N), false, 1.0, Mat::new(&a, N, N), Mat::new(&b, N, N), Threads::All);
        start.elapsed().as_secs_f64()
    });
    2.0 * (N as f64).powi(3) / seconds.fold(f64::INFINITY, f64::min) / 1e9
}

/// Seconds of forward, backward and inference, the best of `repeats`.
fn measure(layers: &[&Layer], time: usize, batch: usize, repeats: usize) -> [f64; 3] {
    let (first, last) = (layers[0], layers[layers.len() - 1]);
    let x = noise(&[batch, time, first.inputs], 0.5);
    let dz = noise(&[batch, last.rows, last.parameters[1].len()], 1.0);
    let mut best = [f64::INFINITY; 3];
    for _ in 0..repeats {
        let tape = Tape::recording();
        let x = if first.inputs == 1 { Var::constant(x.clone()) } else { tape.leaf(x.clone()) };
        let vars: Vec<_> = layers.iter().map(|l| l.parameters.clone().map(|p| tape.leaf(p))).collect();
        let stack: Vec<_> = layers
            .iter()
            .zip(&vars)
            .map(|(l, [weight, bias, gamma, beta])| ConvLayer { weight, bias, gamma, beta, spec: &l.spec })
            .collect();
        let clock = |slot: &mut f64, start: Instant| *slot = slot.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let z = conv_stack(&tape, &x, &stack).expect("shapes fit");
        clock(&mut best[0], start);
        let start = Instant::now();
        conv_stack(&Tape::inference(), &x, &stack).expect("shapes fit");
        clock(&mut best[2], start);
        let start = Instant::now();
        tape.backward(&z, dz.clone()).expect("shapes fit");
        clock(&mut best[1], start);
    }
    best
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let paper = arguments.first().is_some_and(|p| p == "paper");
    let number = |i: usize, default| arguments.get(i).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (batch, repeats): (usize, usize) = (number(1, 16), number(2, 7));

    let (mut layers, mut time, mut inputs) = (Vec::new(), TIME, 1);
    for outputs in if paper { [512, 512, 512, 1024] } else { [64, 64, 64, 128] } {
        let (kernel, stride, padding) = if inputs == 1 { (10, 5, 0) } else { (3, 2, 1) };
        let spec = ConvSpec { kernel, stride, padding, groups: 32, eps: 1e-5 };
        let shapes = [vec![outputs, inputs, kernel], vec![outputs], vec![outputs], vec![outputs]];
        let rows = spec.output_rows(time).expect("the kernel fits");
        layers.push(Layer { inputs, rows, spec, parameters: shapes.map(|shape| noise(&shape, 0.3)) });
        (time, inputs) = (rows, outputs);
    }
    let peak = peak(repeats);
    println!("matrix product 2048³: {peak:.0} GFLOP/s; batch {batch}, best of {repeats}");
    println!("layer                      forward ms  GFLOP/s  % peak   backward ms  GFLOP/s  % peak   inference ms");
    let report = |name: &str, layers: &[&Layer], time: usize| {
        let [forward, backward, inference] = measure(layers, time, batch, repeats);
        let flops = |l: &&Layer| batch as f64 * l.flops();
        // The first layer has no gradient of its input to compute.
        let back: f64 = layers.iter().map(|l| flops(l) * if l.inputs == 1 { 1.0 } else { 2.0 }).sum();
        let (f, b) = (layers.iter().map(flops).sum::<f64>() / forward / 1e9, back / backward / 1e9);
        println!(
            "{name:<26} {:>10.1} {f:>8.0} {:>7.0}   {:>11.1} {b:>8.0} {:>7.0}   {:>12.1}",
            1e3 * forward,
            100.0 * f / peak,
            1e3 * backward,
            100.0 * b / peak,
            1e3 * inference,
        );
        1e3 * (forward + backward)
    };
    let mut time = TIME;
    for layer in &layers {
        let (rows, outputs) = (layer.rows, layer.parameters[1].len());
        report(&format!("{time}×{} to {rows}×{outputs}", layer.inputs), &[layer], time);
        time = rows;
    }
    let total = report("all, one stack", &layers.iter().collect::<Vec<_>>(), TIME);
    println!("all, one stack, forward and backward: {total:.1} ms");
}
