//! A mixture of experts in place of the feed-forward network on every audio frame, as in arm moe-a4: four experts, two for each row.

use descant::device::DType;
use descant::ops::activation::gelu;
use descant::ops::moe::{combine, dispatch, expert_linear, gate};

use super::{Bench, Noise, Sizes, Work, passes};

const EXPERTS: usize = 4;
const TOP_K: usize = 2;

pub fn benches(sizes: &Sizes) -> Vec<Bench> {
    let (rows, d, ff) = (sizes.frames().total(), sizes.spec.audio.d, sizes.spec.audio.ff);
    let (choices, matrices) = (TOP_K * rows, 2 * EXPERTS * d * ff);
    let tensor = |shape: &[usize]| Noise::stored(sizes, shape);
    let logits = tensor(&[rows, EXPERTS]);
    // Probabilities and weights are f32; what is sorted is at least read and written.
    let gated = ((EXPERTS + TOP_K) * rows * DType::F32.bytes()) as f64;
    let gating = sizes.stored(EXPERTS * rows) + gated;
    let gates =
        passes("gate", "audio.frames", [Work { flops: 0.0, bytes: gating }; 2], vec![logits.clone()], |t, v| {
            Ok(gate(t, &v[0], TOP_K, false)?.weights)
        });
    // Hidden rows are kept before GELU for the gradient.
    let flops = 4.0 * (choices * d * ff) as f64;
    let forward = sizes.stored(2 * rows * d + choices * ff + matrices);
    let backward = sizes.stored(3 * rows * d + choices * ff + matrices) + (matrices * DType::F32.bytes()) as f64;
    let work = [Work { flops, bytes: forward }, Work { flops: 2.0 * flops, bytes: backward }];
    let inputs = vec![
        tensor(&[rows, d]),
        logits,
        tensor(&[EXPERTS, ff, d]),
        tensor(&[EXPERTS, ff]),
        tensor(&[EXPERTS, d, ff]),
        tensor(&[EXPERTS, d]),
    ];
    let layer = passes("moe", "audio.frames", work, inputs, |t, v| {
        let gated = gate(t, &v[1], TOP_K, false)?;
        let sorted = dispatch(t, &v[0], &gated.routing)?;
        let hidden = gelu(t, &expert_linear(t, &sorted, &v[2], &v[3], &gated.routing)?)?;
        let y = expert_linear(t, &hidden, &v[4], &v[5], &gated.routing)?;
        combine(t, &y, &gated.weights, &gated.routing)
    });
    gates.into_iter().chain(layer).collect()
}
