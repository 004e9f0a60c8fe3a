//! Matrix products of every linear layer: the layer itself, the gradient of its input (dx), and that of its weight (dw).

use descant::Result;
use descant::device::{DType, Device};
use descant::ops::gemm::{View, dy_w, dyt_x, x_wt};
use descant::ops::linear::linear_gelu;

use super::{Bench, Calls, Noise, Sizes, Work, passes};

/// A layer of `inputs` to `outputs` features on so many rows.
#[derive(Clone, Copy)]
struct Layer {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

pub fn benches(sizes: &Sizes) -> Vec<Bench> {
    let (audio, midi, head) = (&sizes.spec.audio, &sizes.spec.midi, &sizes.spec.head);
    let (frames, tokens, notes) = (sizes.frames().total(), sizes.tokens().total(), sizes.notes.total());
    let layers = [
        // A block on every frame (d0, d4a4); keys and values of reverse cross-attention are its first shape too.
        ("audio.frames.qkvo", frames, audio.d, audio.d),
        ("audio.frames.ffn.l1", frames, audio.d, audio.ff),
        ("audio.frames.ffn.l2", frames, audio.ff, audio.d),
        ("audio.frames.concat", frames, audio.d + 8, audio.d),
        // On the 188 rows that reverse cross-attention leaves (a4r, d4-a4r).
        ("audio.tokens.inp", tokens, 8, audio.d),
        ("audio.tokens.qkvo", tokens, audio.d, audio.d),
        ("audio.tokens.ffn.l1", tokens, audio.d, audio.ff),
        ("audio.tokens.ffn.l2", tokens, audio.ff, audio.d),
        ("midi.qkvo", notes, midi.d, midi.d),
        ("midi.ffn.l1", notes, midi.d, midi.ff),
        ("midi.ffn.l2", notes, midi.ff, midi.d),
        ("midi.concat", notes, midi.d + 4, midi.d),
        ("head.audio.0", sizes.batch, audio.d, head.hidden),
        ("head.3", sizes.batch, head.hidden, head.hidden),
        ("head.6", sizes.batch, head.hidden, head.out),
    ];
    let each = |(place, rows, inputs, outputs)| products(sizes, place, Layer { rows, inputs, outputs });
    let mut benches: Vec<Bench> = layers.into_iter().flat_map(each).collect();
    benches.extend(activated(sizes, "audio.frames.ffn.l1", Layer { rows: frames, inputs: audio.d, outputs: audio.ff }));
    benches
}

impl Layer {
    fn flops(self) -> f64 {
        2.0 * (self.rows * self.inputs * self.outputs) as f64
    }
}

/// The three products, each with two inputs of noise.
fn products(sizes: &Sizes, place: &str, layer: Layer) -> [Bench; 3] {
    let Layer { rows, inputs, outputs } = layer;
    let stored = Noise::stored;
    let (x, w, dy) =
        (stored(sizes, &[rows, inputs]), stored(sizes, &[outputs, inputs]), stored(sizes, &[rows, outputs]));
    let activations = sizes.stored(rows * (inputs + outputs));
    let weights = inputs * outputs;
    let bench = |pass: &str, bytes: f64, prepare| {
        let work = Work { flops: layer.flops(), bytes };
        Bench { id: format!("linear/{place}/{pass}"), work, prepare }
    };
    let (dtype, dx_operands, dw_operands) = (sizes.dtype, [dy.clone(), w.clone()], [dy, x.clone()]);
    let forward = move |device: &Device| -> Result<Calls> {
        let (x, w, bias) = (x.tensor(device)?, w.tensor(device)?, Noise::vector(outputs).tensor(device)?);
        Ok(Box::new(move || {
            let (x, w, bias) = (x.clone(), w.clone(), bias.clone());
            Ok(Box::new(move || x_wt(View::of(&x), View::of(&w)).bias(&bias).run(dtype).map(drop)))
        }))
    };
    let dx = move |device: &Device| -> Result<Calls> {
        let [dy, w] = [dx_operands[0].tensor(device)?, dx_operands[1].tensor(device)?];
        Ok(Box::new(move || {
            let (dy, w) = (dy.clone(), w.clone());
            Ok(Box::new(move || dy_w(View::of(&dy), View::of(&w)).run(dtype).map(drop)))
        }))
    };
    let dw = move |device: &Device| -> Result<Calls> {
        let [dy, x] = [dw_operands[0].tensor(device)?, dw_operands[1].tensor(device)?];
        Ok(Box::new(move || {
            let (dy, x) = (dy.clone(), x.clone());
            Ok(Box::new(move || dyt_x(View::of(&dy), View::of(&x)).run(DType::F32).map(drop)))
        }))
    };
    let gradient = (weights * DType::F32.bytes()) as f64;
    [
        bench("forward", activations + sizes.stored(weights), Box::new(forward) as _),
        bench("dx", activations + sizes.stored(weights), Box::new(dx) as _),
        bench("dw", activations + gradient, Box::new(dw) as _),
    ]
}

/// GELU in the product's epilogue, its pre-activation kept.
fn activated(sizes: &Sizes, place: &str, layer: Layer) -> Vec<Bench> {
    let Layer { rows, inputs, outputs } = layer;
    let forward = sizes.stored(rows * (inputs + 2 * outputs) + inputs * outputs);
    let backward = sizes.stored(rows * (2 * inputs + 2 * outputs) + inputs * outputs)
        + (inputs * outputs * DType::F32.bytes()) as f64;
    let work = [Work { flops: layer.flops(), bytes: forward }, Work { flops: 2.0 * layer.flops(), bytes: backward }];
    let inputs =
        vec![Noise::stored(sizes, &[rows, inputs]), Noise::stored(sizes, &[outputs, inputs]), Noise::vector(outputs)];
    passes("linear_gelu", place, work, inputs, |tape, v| linear_gelu(tape, &v[0], &v[1], &v[2]))
}
