//! Backward pass, sample by sample and from the last layer to the first.
//!
//! Of a layer, dn (the gradient before the affine map of the normalisation) is made for all rows with its sums over them.
//! Then, block by block of rows: dn becomes dy, dW += windowᵀ · dy with the layer's input made anew, dz of the layer before is
//! the transposed convolution of dy, and becomes dn of that layer at once, while it is in the core's cache.

use std::ops::Range;

use rayon::prelude::*;

use super::forward::Saved;
use super::kernel::{Lanes, panel_width};
use super::layer::{Layer, Phase, Shape};
use super::norm::{Slopes, accumulate};
use super::source::Normalised;
use super::sweep::sweep;
use crate::device::PoolVec;

/// Tasks that samples are shared out to at most: each has its own sums for the gradients of the parameters.
const TASKS: usize = 32;

/// Gradients of the parameters of one layer.
pub(super) struct Sums<F: Lanes> {
    /// [taps · inputs, outputs].
    pub(super) weights: PoolVec<F>,
    pub(super) bias: Vec<f64>,
    /// Of γ and β.
    pub(super) slopes: Slopes,
}

impl<F: Lanes> Sums<F> {
    fn zero(layer: &Layer<F>) -> Self {
        let outputs = layer.shape.outputs;
        let weights = PoolVec::zeros(layer.weight.len());
        Sums { weights, bias: vec![0.0; outputs], slopes: Slopes::zero(outputs) }
    }

    fn add(&mut self, other: &Self) {
        crate::ops::parallel_zip(&mut self.weights, &other.weights, |a, &b| *a += b);
        accumulate(&mut self.bias, &other.bias);
        self.slopes.add(&other.slopes.plain, &other.slopes.weighted);
    }
}

/// Gradients of the parameters of every layer, and of x if it `needs_x`.
pub(super) fn backward<F: Lanes>(
    layers: &[Layer<F>],
    x: &[F],
    saved: &Saved<F>,
    dz: &[F],
    needs_x: bool,
) -> (Vec<Sums<F>>, Option<PoolVec<F>>) {
    let (size, dz_size) = (layers[0].shape.input_size(), layers[layers.len() - 1].shape.output_size());
    let phases: Vec<_> = layers.iter().enumerate().map(|(l, layer)| layer.phases(l > 0 || needs_x)).collect();
    let mut dx = PoolVec::<F>::uninit(if needs_x { x.len() } else { 0 });
    let mut dxs: Vec<&mut [F]> = dx.chunks_mut(size).collect();
    dxs.resize_with(x.len() / size, Default::default);
    let task = dxs.len().div_ceil(TASKS).max(1);
    let parts: Vec<Vec<Sums<F>>> = dxs
        .par_chunks_mut(task)
        .enumerate()
        .map(|(i, dxs)| {
            let mut sums: Vec<_> = layers.iter().map(Sums::zero).collect();
            for (b, dx) in (i * task..).zip(dxs) {
                let (x, dz) = (&x[b * size..(b + 1) * size], &dz[b * dz_size..(b + 1) * dz_size]);
                let steps = (0..layers.len()).map(|l| saved.layer(layers, l, b, x)).collect();
                Sample { steps, phases: &phases, x }.run(dz, dx, &mut sums);
            }
            sums
        })
        .collect();
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| layers.iter().map(Sums::zero).collect());
    parts.for_each(|part| total.iter_mut().zip(&part).for_each(|(t, p)| t.add(p)));
    (total, needs_x.then_some(dx))
}

/// One sample on its way back.
struct Sample<'a, F: Lanes> {
    steps: Vec<Normalised<'a, F>>,
    phases: &'a [Vec<Phase<F>>],
    x: &'a [F],
}

/// dn of one layer, followed by as many elements as the kernel may read beyond its end, and its sums.
struct Gradient<F: Lanes> {
    dn: PoolVec<F>,
    slopes: Slopes,
}

/// Room for what one block of rows needs.
struct Scratch<F: Lanes> {
    /// Convolution of a transient layer.
    y: PoolVec<F>,
    /// Input that the rows touch.
    input: PoolVec<F>,
    /// GELU′ where that input came from.
    slope: PoolVec<F>,
}

fn elements(rows: &Range<usize>, channels: usize) -> Range<usize> {
    rows.start * channels..rows.end * channels
}

impl<F: Lanes> Sample<'_, F> {
    /// Adds this sample to the sums of every layer, and writes dx unless it is empty.
    fn run(&self, dz: &[F], dx: &mut [F], sums: &mut [Sums<F>]) {
        let largest = |size: &dyn Fn(&Shape) -> usize| {
            PoolVec::uninit(self.steps.iter().map(|s| size(&s.layer.shape)).max().unwrap_or(0))
        };
        let y = |shape: &Shape| shape.block_size().max(shape.touched_size());
        let (input, slope) = (largest(&Shape::touched_size), largest(&Shape::touched_size));
        let mut scratch = Scratch { y: largest(&y), input, slope };

        let last = self.steps.len() - 1;
        let mut gradient = self.room(last);
        let Gradient { dn, slopes } = &mut gradient;
        let step = &self.steps[last];
        for t in step.layer.shape.blocks() {
            let at = elements(&t, step.layer.shape.outputs);
            step.through_own_gelu(step.y(&t, &mut scratch.y), &dz[at.clone()], &mut dn[at], slopes);
        }
        for l in (0..=last).rev() {
            let mut below = (l > 0).then(|| self.room(l - 1));
            self.layer(l, &mut gradient, below.as_mut(), dx, &mut sums[l], &mut scratch);
            sums[l].slopes.add(&gradient.slopes.plain, &gradient.slopes.weighted);
            if let Some(below) = below {
                gradient = below;
            }
        }
    }

    fn room(&self, l: usize) -> Gradient<F> {
        let shape = &self.steps[l].layer.shape;
        let dn = PoolVec::uninit(shape.output_size() + panel_width::<F>());
        Gradient { dn, slopes: Slopes::zero(shape.outputs) }
    }

    /// Layer `l`: its sums, and the gradient of the layer below or of x.
    fn layer(
        &self,
        l: usize,
        gradient: &mut Gradient<F>,
        mut below: Option<&mut Gradient<F>>,
        dx: &mut [F],
        sums: &mut Sums<F>,
        scratch: &mut Scratch<F>,
    ) {
        let (step, shape) = (&self.steps[l], &self.steps[l].layer.shape);
        let before = l.checked_sub(1).map(|l| &self.steps[l]);
        let affine = step.norm.gradient(step.layer.gamma.as_slice(), &gradient.slopes, shape.rows);
        let dn = &mut gradient.dn;
        for t in shape.blocks() {
            let at = elements(&t, shape.outputs);
            let mut bias = vec![F::ZERO; shape.outputs];
            sweep(
                t.len(),
                [&affine.slope, &affine.curve, &affine.level],
                [step.y(&t, &mut scratch.y)],
                [&mut dn[at.clone()]],
                [&mut bias],
                shape.outputs,
                #[inline(always)]
                |[slope, curve, level], [y], [dn]| {
                    let dy = dn.mul_add(slope, y.mul_add(curve, level));
                    ([dy], [dy])
                },
            );
            accumulate(&mut sums.bias, &bias);

            let touched = shape.touched(&t);
            let input = match before {
                Some(before) => {
                    let input = &mut scratch.input[..touched.len() * shape.inputs];
                    before.z_and_slope(&touched, input, &mut scratch.slope, &mut scratch.y);
                    &*input
                }
                None => &self.x[elements(&touched, shape.inputs)],
            };
            let windows = step.layer.windows(&t, input);
            windows.correlate(t.len(), &dn[at.start..], shape.outputs, &mut sums.weights);

            let owned = shape.owned(&t);
            let at_input = elements(&owned, shape.inputs);
            let transpose =
                |out: &mut [F]| self.phases[l].iter().for_each(|phase| phase.apply(shape, &dn[..at.end], &owned, out));
            if let (Some(before), Some(below)) = (before, &mut below) {
                let dn = &mut below.dn[at_input.clone()];
                transpose(dn);
                let y = before.y.map_or(&scratch.y[..], |y| &y[at_input]);
                before.through_gelu(y, &scratch.slope, dn, &mut below.slopes);
            } else if !dx.is_empty() {
                transpose(&mut dx[at_input]);
            }
        }
    }
}
