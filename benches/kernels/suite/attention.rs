//! Attention of the towers, forward (two products a head) and backward (five).

use descant::ops::Ragged;
use descant::ops::attention::{AttentionSpec, attention};
use descant::ops::dropout::Dropout;

use super::{Bench, Noise, Sizes, Work, passes};

/// The paper's dropout of attention weights.
const DROPOUT: f32 = 0.1;

pub fn benches(sizes: &Sizes) -> Vec<Bench> {
    let (audio, midi, inject) = (&sizes.spec.audio, &sizes.spec.midi, sizes.spec.inject_heads);
    let (frames, tokens, notes) = (sizes.frames(), sizes.tokens(), sizes.notes.clone());
    let dropped = || Some(Dropout::new(DROPOUT, 1, 0, 1));
    [
        at(sizes, "audio.frames", audio.d, audio.heads, [&frames, &frames], None),
        at(sizes, "audio.frames.dropout", audio.d, audio.heads, [&frames, &frames], dropped()),
        at(sizes, "audio.tokens", audio.d, audio.heads, [&tokens, &tokens], None),
        at(sizes, "audio.reverse", audio.d, inject, [&tokens, &frames], None),
        at(sizes, "audio.cross", audio.d, inject, [&frames, &tokens], None),
        at(sizes, "midi", midi.d, midi.heads, [&notes, &notes], None),
        at(sizes, "midi.dropout", midi.d, midi.heads, [&notes, &notes], dropped()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn at(
    sizes: &Sizes,
    place: &str,
    d: usize,
    heads: usize,
    [queries, keys]: [&Ragged; 2],
    dropout: Option<Dropout>,
) -> Vec<Bench> {
    let pairs: usize = (0..queries.batch()).map(|b| queries.length(b) * keys.length(b)).sum();
    let product = 2.0 * (pairs * d) as f64;
    let (q, k) = (queries.total(), keys.total());
    let work = [
        // q, k and v in, o out.
        Work { flops: 2.0 * product, bytes: sizes.stored(2 * (q + k) * d) },
        // q, k, v, o and do in, dq, dk and dv out.
        Work { flops: 5.0 * product, bytes: sizes.stored(4 * (q + k) * d) },
    ];
    let inputs = [q, k, k].map(|rows| Noise::stored(sizes, &[rows, d])).to_vec();
    let spec = AttentionSpec { heads, queries: queries.clone(), keys: keys.clone(), dropout };
    passes("attention", place, work, inputs, move |tape, v| attention(tape, &v[0], &v[1], &v[2], &spec))
}
