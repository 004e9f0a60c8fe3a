//! Operations that read and write rows: their limit is memory.

use descant::device::{DType, Mirrored};
use descant::ops::activation::gelu;
use descant::ops::add::add;
use descant::ops::concat::concat;
use descant::ops::dropout::{Dropout, dropout};
use descant::ops::embedding::embedding;
use descant::ops::film::film;
use descant::ops::interpolate::interpolate;
use descant::ops::layernorm::layernorm;
use descant::ops::pool::mean_pool;
use descant::ops::positions::add_positions;

use super::{Bench, Noise, Sizes, Work, passes};

pub fn benches(sizes: &Sizes) -> Vec<Bench> {
    let (audio, midi) = (&sizes.spec.audio, &sizes.spec.midi);
    let (frames, tokens, notes) = (sizes.frames(), sizes.tokens(), sizes.notes.clone());
    let tensor = |rows: usize, d: usize| Noise::stored(sizes, &[rows, d]);
    let moves = |read: usize, written: usize| Work { flops: 0.0, bytes: sizes.stored(read + written) };
    let dropped = || Some(Dropout::new(0.1, 1, 0, 1));
    let (ff, d) = (frames.total() * audio.ff, frames.total() * audio.d);
    let (notes_d, descriptor) = (notes.total() * midi.d, tokens.total() * 8);
    let stretched = frames.total() * 8;
    let table = audio.max_frames.min(frames.longest());
    // Gradients of tables are f32.
    let table_bytes = |rows: usize, d: usize| (rows * d * DType::F32.bytes()) as f64;
    let mut positions = [moves(d + table * audio.d, d), moves(d, 0)];
    positions[1].bytes += table_bytes(table, audio.d);
    let symbols = 128;
    let mut looked_up = [moves(notes_d / 2, notes_d / 2), moves(notes_d / 2, 0)];
    looked_up[1].bytes += table_bytes(symbols, midi.d / 2);
    let pitch: Mirrored<u32> = (0..notes.total() as u32).map(|i| i * 7 % symbols as u32).collect();
    let (pooled, from, to, joined) = (frames.clone(), tokens.clone(), frames.clone(), frames.total());
    let (modulated, modulation) = (frames.clone(), sizes.batch * 2 * audio.d);

    [
        norm(sizes, "audio.frames", frames.total(), audio.d, true),
        norm(sizes, "audio.tokens", tokens.total(), audio.d, true),
        norm(sizes, "midi", notes.total(), midi.d, false),
        passes(
            "gelu",
            "audio.frames",
            [moves(ff, ff), moves(2 * ff, ff)],
            vec![tensor(frames.total(), audio.ff)],
            |t, v| gelu(t, &v[0]),
        ),
        passes("dropout", "audio.frames", [moves(d, d); 2], vec![tensor(frames.total(), audio.d)], move |t, v| {
            dropout(t, &v[0], dropped())
        }),
        // The gradient of a sum is no work.
        passes("add", "midi", [moves(2 * notes_d, notes_d); 2], vec![tensor(notes.total(), midi.d); 2], |t, v| {
            add(t, &v[0], &v[1])
        })
        .into_iter()
        .take(1)
        .collect(),
        passes(
            "positions",
            "audio.frames",
            positions,
            vec![tensor(frames.total(), audio.d), tensor(table, audio.d)],
            move |t, v| add_positions(t, &v[0], &v[1], &frames),
        ),
        passes("embedding", "midi.pitch", looked_up, vec![tensor(symbols, midi.d / 2)], move |t, v| {
            embedding(t, &v[0], &pitch)
        }),
        passes(
            "film",
            "audio.frames",
            [moves(d + modulation, d), moves(2 * d + modulation, d + modulation)],
            vec![tensor(joined, audio.d), tensor(sizes.batch, 2 * audio.d)],
            move |t, v| film(t, &v[0], &v[1], &modulated),
        ),
        passes("pool", "audio.frames", [moves(d, 0), moves(0, d)], vec![tensor(joined, audio.d)], move |t, v| {
            mean_pool(t, &v[0], &pooled)
        }),
        passes(
            "interpolate",
            "audio.frames",
            [moves(descriptor, stretched), moves(stretched, descriptor)],
            vec![tensor(tokens.total(), 8)],
            move |t, v| interpolate(t, &v[0], &from, &to),
        ),
        passes(
            "concat",
            "audio.frames",
            [moves(d + stretched, d + stretched), moves(d, d)],
            vec![tensor(joined, audio.d), tensor(joined, 8).constant()],
            |t, v| concat(t, &[&v[0], &v[1]]),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// LayerNorm of rows, of a sum where there is a residual.
fn norm(sizes: &Sizes, place: &str, rows: usize, d: usize, residual: bool) -> Vec<Bench> {
    let terms = 1 + usize::from(residual);
    let bytes = |tensors: usize| Work { flops: 0.0, bytes: sizes.stored(tensors * rows * d) };
    let mut inputs = vec![Noise::stored(sizes, &[rows, d]); terms];
    inputs.extend([Noise::vector(d), Noise::vector(d)]);
    passes("layernorm", place, [bytes(terms + 1), bytes(terms + 2)], inputs, move |tape, v| {
        layernorm(tape, &v[0], residual.then(|| &v[1]), &v[terms], &v[terms + 1])
    })
}
