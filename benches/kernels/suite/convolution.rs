//! The audio front end: each convolution with its GroupNorm and GELU, and the stack of all four.

use descant::ops::conv_block::{ConvLayer, ConvSpec, conv_stack};
use descant::tape::{Tape, Var};

use super::{Bench, CONVOLUTIONS, Noise, Sizes, Work, passes};

/// A layer and the rows it reads and writes.
struct Layer {
    spec: ConvSpec,
    time: usize,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

pub fn benches(sizes: &Sizes) -> Vec<Bench> {
    let layers = layers(sizes);
    let mut benches: Vec<Bench> = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        benches.extend(stack(sizes, &format!("{i}"), std::slice::from_ref(layer)));
    }
    benches.extend(stack(sizes, "stack", &layers));
    benches
}

fn layers(sizes: &Sizes) -> Vec<Layer> {
    let audio = &sizes.spec.audio;
    let (mut time, mut inputs) = (sizes.samples, 1);
    let mut layers = Vec::new();
    for (((kernel, stride, padding), rows), outputs) in CONVOLUTIONS.into_iter().zip(sizes.rows()).zip(audio.cnn) {
        let spec = ConvSpec { kernel, stride, padding, groups: audio.groups, eps: 1e-5 };
        layers.push(Layer { spec, time, rows, inputs, outputs });
        (time, inputs) = (rows, outputs);
    }
    layers
}

/// The waveform is no parameter: the first layer has no gradient of its input.
fn stack(sizes: &Sizes, place: &str, layers: &[Layer]) -> Vec<Bench> {
    let (mut flops, mut bytes) = ([0.0, 0.0], [0.0, 0.0]);
    let first = &layers[0];
    let x = Noise::stored(sizes, &[sizes.batch, first.time, first.inputs]);
    let mut inputs = vec![if first.inputs == 1 { x.constant() } else { x }];
    for layer in layers {
        let Layer { spec, time, rows, inputs: channels, outputs } = *layer;
        let weights = outputs * channels * spec.kernel;
        let product = 2.0 * (sizes.batch * rows * weights) as f64;
        let (read, written) = (sizes.stored(sizes.batch * time * channels), sizes.stored(sizes.batch * rows * outputs));
        let data = f64::from(u8::from(channels > 1));
        flops = [flops[0] + product, flops[1] + (1.0 + data) * product];
        // Forward: x in, the convolution's result (for the backward pass) and z out. Backward: x, that result and dz in, dx out.
        bytes = [bytes[0] + read + 2.0 * written, bytes[1] + (1.0 + data) * read + 2.0 * written];
        inputs.push(Noise::stored(sizes, &[outputs, channels, spec.kernel]));
        inputs.extend([outputs; 3].map(Noise::vector));
    }
    let specs: Vec<ConvSpec> = layers.iter().map(|layer| layer.spec).collect();
    let apply = move |tape: &Tape, v: &[Var]| {
        let layers: Vec<ConvLayer> = v[1..]
            .as_chunks()
            .0
            .iter()
            .zip(&specs)
            .map(|([weight, bias, gamma, beta], spec)| ConvLayer { weight, bias, gamma, beta, spec })
            .collect();
        conv_stack(tape, &v[0], &layers)
    };
    let work = [0, 1].map(|pass| Work { flops: flops[pass], bytes: bytes[pass] });
    passes("conv", place, work, inputs, apply)
}
