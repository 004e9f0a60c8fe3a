//! Forward pass, sample by sample: each layer's convolution with the statistics of its output, then the last activation.

use rayon::prelude::*;

use super::kernel::Lanes;
use super::layer::Layer;
use super::norm::{Moments, Normaliser};
use super::source::{Normalised, Source};
use crate::device::PoolVec;

/// What the backward pass needs.
pub(super) struct Saved<F: Lanes> {
    /// Convolution of each layer [batch, rows, outputs], without bias; empty where the layer is transient.
    pub(super) y: Vec<PoolVec<F>>,
    /// What normalises each layer of each sample.
    pub(super) norms: Vec<Vec<Normaliser<F>>>,
}

impl<F: Lanes> Saved<F> {
    /// Layer `l` of sample `b`, whose input is `x`.
    pub(super) fn layer<'a>(&'a self, layers: &'a [Layer<F>], l: usize, b: usize, x: &'a [F]) -> Normalised<'a, F> {
        let size = layers[l].shape.output_size();
        let y = (!layers[l].transient).then(|| &self.y[l][b * size..(b + 1) * size]);
        Normalised { layer: &layers[l], norm: &self.norms[b][l], x, y }
    }
}

/// z [batch, rows, outputs] of the last layer and, if `keep`, what the backward pass needs.
pub(super) fn forward<F: Lanes>(
    layers: &[Layer<F>],
    batch: usize,
    x: &[F],
    keep: bool,
) -> (PoolVec<F>, Option<Saved<F>>) {
    let (input_size, output_size) = (layers[0].shape.input_size(), layers[layers.len() - 1].shape.output_size());
    let room = |layer: &Layer<F>, samples: usize| {
        PoolVec::<F>::uninit(if layer.transient { 0 } else { samples * layer.shape.output_size() })
    };
    let mut z = PoolVec::<F>::uninit(batch * output_size);
    let samples = x.par_chunks(input_size).zip(z.par_chunks_mut(output_size));
    if !keep {
        samples.for_each(|(x, z)| {
            let mut y: Vec<_> = layers.iter().map(|layer| room(layer, 1)).collect();
            sample(layers, x, y.iter_mut().map(|y| &mut y[..]).collect(), z);
        });
        return (z, None);
    }
    let mut y: Vec<_> = layers.iter().map(|layer| room(layer, batch)).collect();
    let mut parts: Vec<Vec<&mut [F]>> = (0..batch).map(|_| Vec::new()).collect();
    for (y, layer) in y.iter_mut().zip(layers) {
        let mut chunks = y.chunks_mut(layer.shape.output_size());
        parts.iter_mut().for_each(|part| part.push(chunks.next().unwrap_or_default()));
    }
    let norms = samples.zip(parts).map(|((x, z), y)| sample(layers, x, y, z)).collect();
    (z, Some(Saved { y, norms }))
}

/// One sample: writes each layer's convolution to `ys` and the last activation to `z`.
fn sample<F: Lanes>(layers: &[Layer<F>], x: &[F], mut ys: Vec<&mut [F]>, z: &mut [F]) -> Vec<Normaliser<F>> {
    let mut norms: Vec<Normaliser<F>> = Vec::new();
    for l in 0..layers.len() {
        let (before, rest) = ys.split_at_mut(l);
        let source = match before.last() {
            Some(y) => Source::Layer(normalised(&layers[l - 1], &norms[l - 1], x, y)),
            None => Source::Input(x),
        };
        let moments = convolve(&layers[l], &source, rest[0]);
        let shape = &layers[l].shape;
        norms.push(moments.normaliser(layers[l].bias.as_slice(), shape.groups, shape.eps));
    }
    let last = layers.len() - 1;
    let (shape, source) = (&layers[last].shape, normalised(&layers[last], &norms[last], x, ys[last]));
    for t in shape.blocks() {
        source.z(&t, &mut z[t.start * shape.outputs..t.end * shape.outputs]);
    }
    norms
}

fn normalised<'a, F: Lanes>(layer: &'a Layer<F>, norm: &'a Normaliser<F>, x: &'a [F], y: &'a [F]) -> Normalised<'a, F> {
    Normalised { layer, norm, x, y: (!layer.transient).then_some(y) }
}

/// Convolution of one sample into `y` [rows, outputs] (nowhere if the layer is transient), and the moments of its channels.
fn convolve<F: Lanes>(layer: &Layer<F>, source: &Source<F>, y: &mut [F]) -> Moments {
    let shape = &layer.shape;
    let mut seen = PoolVec::<F>::uninit(shape.touched_size());
    let mut unkept = PoolVec::<F>::uninit(if layer.transient { shape.block_size() } else { 0 });
    let mut total: Option<Moments> = None;
    for t in shape.blocks() {
        let y = match layer.transient {
            true => &mut unkept[..t.len() * shape.outputs],
            false => &mut y[t.start * shape.outputs..t.end * shape.outputs],
        };
        layer.convolve(&t, source.rows(&shape.seen(&t), shape.inputs, &mut seen), y);
        let block = Moments::of(y, shape.outputs);
        total = Some(match total {
            Some(total) => total.merge(&block),
            None => block,
        });
    }
    total.unwrap_or_else(|| Moments::of::<F>(&[], shape.outputs))
}
