//! One layer of a stack: its sizes, its parameters as the kernels want them, and its convolution on a block of rows.

use std::ops::Range;

use super::kernel::{Lanes, Panels};
use super::window::Windows;
use super::{ConvLayer, ConvSpec};
use crate::device::PoolVec;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Elements of the largest array that belongs to one block of rows: all of them together stay in a core's second-level cache.
const BLOCK: usize = 64 * 1024;
/// Up to this many terms per output element, the convolution of the stack's input is done anew wherever its result is
/// needed: that costs less than writing it to memory and reading it back.
const CHEAP_TERMS: usize = 16;

/// Sizes of a layer, checked.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) time: usize,
    pub(super) inputs: usize,
    pub(super) rows: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) groups: usize,
    pub(super) eps: f64,
}

impl Shape {
    /// Sizes of `layer` on `time` rows of `inputs` channels.
    pub(super) fn new(layer: &ConvLayer, time: usize, inputs: usize) -> Result<Self> {
        let ConvSpec { kernel, stride, padding, groups, eps } = *layer.spec;
        let wrong = |arg, expected: String, got: String| Err(Error::op("conv_block", arg, expected, got));
        let weight = layer.weight.shape();
        let outputs = weight.first().copied().unwrap_or(0);
        if weight != [outputs, inputs, kernel] || inputs == 0 {
            return wrong("weight", format!("[out, {inputs} in, kernel {kernel}]"), format!("{weight:?}"));
        }
        for (name, v) in [("bias", layer.bias), ("gamma", layer.gamma), ("beta", layer.beta)] {
            if v.shape() != [outputs] {
                return wrong(name, format!("[{outputs}]"), format!("{:?}", v.shape()));
            }
        }
        if groups == 0 || outputs == 0 || outputs % groups != 0 {
            return wrong("weight", format!("output channels in {groups} equal groups"), format!("{weight:?}"));
        }
        match layer.spec.output_rows(time) {
            Some(rows) if time > 0 => Ok(Shape { time, inputs, rows, outputs, kernel, stride, padding, groups, eps }),
            _ => wrong("x", format!("rows for at least one window of {:?}", layer.spec), format!("{time} rows")),
        }
    }

    /// Elements of one sample's input.
    pub(super) fn input_size(&self) -> usize {
        self.time * self.inputs
    }

    /// Elements of one sample's output.
    pub(super) fn output_size(&self) -> usize {
        self.rows * self.outputs
    }

    fn block_rows(&self) -> usize {
        (BLOCK / self.stride.saturating_mul(self.inputs).max(self.outputs)).max(64)
    }

    /// All output rows, in blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let (rows, size) = (self.rows, self.block_rows());
        (0..rows).step_by(size).map(move |from| from..rows.min(from + size))
    }

    /// Input rows that the output rows `t` see.
    pub(super) fn seen(&self, t: &Range<usize>) -> Range<usize> {
        let clip = |row: usize| row.saturating_sub(self.padding).min(self.time);
        clip(t.start * self.stride)..clip((t.end - 1) * self.stride + self.kernel)
    }

    /// Input rows that no output row from `t.end` on sees but those from `t.start` on may: a partition of the input.
    pub(super) fn owned(&self, t: &Range<usize>) -> Range<usize> {
        let clip = |row: usize| (row * self.stride).saturating_sub(self.padding).min(self.time);
        let end = if t.end == self.rows { self.time } else { clip(t.end) };
        (if t.start == 0 { 0 } else { clip(t.start) })..end
    }

    /// Elements of output in a block of rows.
    pub(super) fn block_size(&self) -> usize {
        self.block_rows().min(self.rows) * self.outputs
    }

    /// Input rows that a block of rows sees or owns.
    pub(super) fn touched(&self, t: &Range<usize>) -> Range<usize> {
        let seen = self.seen(t);
        seen.start..seen.end.max(self.owned(t).end)
    }

    /// Elements of input that a block of rows may touch.
    pub(super) fn touched_size(&self) -> usize {
        let rows = (self.block_rows() + 1).saturating_mul(self.stride).saturating_add(self.kernel);
        rows.min(self.time) * self.inputs
    }
}

/// A layer ready to run.
pub(super) struct Layer<F: Lanes> {
    pub(super) shape: Shape,
    /// Parameters as the tape has them.
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    pub(super) gamma: Tensor,
    pub(super) beta: Tensor,
    /// [taps · inputs, outputs].
    panels: Panels<F>,
    /// Whether its convolution is done anew wherever it is needed.
    pub(super) transient: bool,
}

impl<F: Lanes> Layer<F> {
    /// `first`: whether it is the first of its stack.
    pub(super) fn new(shape: Shape, layer: &ConvLayer, first: bool) -> Self {
        let [weight, bias, gamma, beta] =
            [layer.weight, layer.bias, layer.gamma, layer.beta].map(|v| v.value().clone());
        let (inputs, kernel) = (shape.inputs, shape.kernel);
        let w = weight.as_slice::<F>();
        let at = |row: usize, o: usize| w[(o * inputs + row % inputs) * kernel + row / inputs];
        let panels = Panels::pack(kernel * inputs, shape.outputs, at);
        let transient = first && kernel * inputs <= CHEAP_TERMS;
        Layer { shape, weight, bias, gamma, beta, panels, transient }
    }

    /// What output rows `t` see of `input`, which holds the rows [`Shape::seen`].
    pub(super) fn windows<'a>(&self, t: &Range<usize>, input: &'a [F]) -> Windows<'a, F> {
        let Shape { inputs, kernel, stride, padding, .. } = self.shape;
        let start = (t.start * stride) as isize - padding as isize - self.shape.seen(t).start as isize;
        Windows { data: input, channels: inputs, taps: kernel, step: stride, start }
    }

    /// Convolution without bias for output rows `t`, from the input rows that they see.
    pub(super) fn convolve(&self, t: &Range<usize>, input: &[F], y: &mut [F]) {
        self.windows(t, input).product(0..t.len(), &self.panels, y, self.shape.outputs);
    }

    /// The transposed convolution, by phases of the stride; none if it is not `needed`.
    pub(super) fn phases(&self, needed: bool) -> Vec<Phase<F>> {
        let Shape { inputs, kernel, stride, padding, outputs, .. } = self.shape;
        let w = self.weight.as_slice::<F>();
        let phase = |r: usize| {
            let newest = padding.saturating_sub(r).div_ceil(stride);
            let taps = kernel.saturating_sub(r).div_ceil(stride);
            let at = |row: usize, c: usize| {
                let k = r + stride * (taps - 1 - row / outputs);
                w[(row % outputs * inputs + c) * kernel + k]
            };
            let panels = Panels::pack(taps * outputs, inputs, at);
            Phase { first: newest * stride + r - padding, oldest: newest as isize - taps as isize + 1, taps, panels }
        };
        (0..if needed { stride } else { 0 }).map(phase).collect()
    }
}

/// The input rows j with (j + padding) mod stride = r, and the taps k = r, r + stride, … through which they reach output rows
/// (j + padding − k) / stride. Those are consecutive, so that dx of a phase is a stride-1 convolution of dy: again a matrix
/// product over a strided view, and nothing is scattered.
pub(super) struct Phase<F: Lanes> {
    /// First such row.
    first: usize,
    /// First output row that it reaches, by the last tap.
    oldest: isize,
    taps: usize,
    /// [taps · outputs, inputs], the last tap first.
    panels: Panels<F>,
}

impl<F: Lanes> Phase<F> {
    /// Writes this phase's rows among input rows `j` to `dx`, which holds the rows `j`; `dy` holds all output rows that they
    /// reach, from the very first one on.
    pub(super) fn apply(&self, shape: &Shape, dy: &[F], j: &Range<usize>, dx: &mut [F]) {
        let (inputs, stride) = (shape.inputs, shape.stride);
        let index = |row: usize| row.saturating_sub(self.first).div_ceil(stride);
        let range = index(j.start)..index(j.end);
        if range.is_empty() {
            return;
        }
        let windows = Windows { data: dy, channels: shape.outputs, taps: self.taps, step: 1, start: self.oldest };
        let from = (self.first + range.start * stride - j.start) * inputs;
        windows.product(range, &self.panels, &mut dx[from..], inputs * stride);
    }
}

/// `sums` [taps · inputs, outputs] in the order of the weights, [outputs, inputs, taps].
pub(super) fn in_weight_order<F: Lanes>(shape: &Shape, sums: &[F]) -> PoolVec<F> {
    let Shape { inputs, kernel, outputs, .. } = *shape;
    let mut out = PoolVec::uninit(sums.len());
    for (i, w) in out.iter_mut().enumerate() {
        let (o, c, k) = (i / (inputs * kernel), i / kernel % inputs, i % kernel);
        *w = sums[(k * inputs + c) * outputs + o];
    }
    out
}
