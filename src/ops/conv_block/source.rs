//! Rows of a layer's input, made where and when they are needed.
//!
//! A layer's activation z is never stored: what is kept of a layer is its convolution y, and z = GELU(γ · ŷ + β) is made
//! again block by block inside the core's cache, which is several times faster than reading it from memory.

use std::ops::Range;

use super::kernel::Lanes;
use super::layer::Layer;
use super::norm::{Normaliser, Slopes};
use super::sweep::sweep;
use crate::ops::activation::{gelu_slope, gelu_value};

/// A layer of one sample whose statistics are known.
#[derive(Clone, Copy)]
pub(super) struct Normalised<'a, F: Lanes> {
    pub(super) layer: &'a Layer<F>,
    pub(super) norm: &'a Normaliser<F>,
    /// The stack's input, for a transient layer.
    pub(super) x: &'a [F],
    /// Convolution of all rows, unless the layer is transient.
    pub(super) y: Option<&'a [F]>,
}

impl<F: Lanes> Normalised<'_, F> {
    fn channels(&self) -> usize {
        self.layer.shape.outputs
    }

    fn convolve(&self, rows: &Range<usize>, y: &mut [F]) {
        let (seen, inputs) = (self.layer.shape.seen(rows), self.layer.shape.inputs);
        self.layer.convolve(rows, &self.x[seen.start * inputs..seen.end * inputs], y);
    }

    /// Convolution (without bias) of these rows; in `scratch` if it is not stored.
    pub(super) fn y<'b>(&'b self, rows: &Range<usize>, scratch: &'b mut [F]) -> &'b [F] {
        let channels = self.channels();
        match self.y {
            Some(y) => &y[rows.start * channels..rows.end * channels],
            None => {
                let y = &mut scratch[..rows.len() * channels];
                self.convolve(rows, y);
                y
            }
        }
    }

    /// Writes z = GELU(γ · ŷ + β) of these rows.
    pub(super) fn z(&self, rows: &Range<usize>, z: &mut [F]) {
        let channels = self.channels();
        let (scale, offset) = self.norm.affine(self.layer.gamma.as_slice(), self.layer.beta.as_slice());
        match self.y {
            Some(y) => sweep(
                rows.len(),
                [&scale, &offset],
                [&y[rows.start * channels..]],
                [z],
                [],
                channels,
                #[inline(always)]
                |[a, b], [y], [_]| ([gelu_value(y.mul_add(a, b))], []),
            ),
            None => {
                self.convolve(rows, z);
                sweep(
                    rows.len(),
                    [&scale, &offset],
                    [],
                    [z],
                    [],
                    channels,
                    #[inline(always)]
                    |[a, b], [], [y]| ([gelu_value(y.mul_add(a, b))], []),
                );
            }
        }
    }

    /// Writes z and GELU′(γ · ŷ + β) of these rows; their convolution is then in `scratch` if it is not stored.
    pub(super) fn z_and_slope(&self, rows: &Range<usize>, z: &mut [F], slope: &mut [F], scratch: &mut [F]) {
        let (scale, offset) = self.norm.affine(self.layer.gamma.as_slice(), self.layer.beta.as_slice());
        sweep(
            rows.len(),
            [&scale, &offset],
            [self.y(rows, scratch)],
            [z, slope],
            [],
            self.channels(),
            #[inline(always)]
            |[a, b], [y], _| {
                let n = y.mul_add(a, b);
                let (cdf, density) = n.normal();
                ([n * cdf, n.mul_add(density, cdf)], [])
            },
        );
    }

    /// Turns `dn`, which holds dz of some rows with convolution `y`, into dn = dz · slope, and adds to its sums.
    pub(super) fn through_gelu(&self, y: &[F], slope: &[F], dn: &mut [F], sums: &mut Slopes) {
        let channels = self.channels();
        let (mut plain, mut weighted) = (vec![F::ZERO; channels], vec![F::ZERO; channels]);
        sweep(
            dn.len() / channels,
            [&self.norm.scale, &self.norm.offset],
            [y, slope],
            [dn],
            [&mut plain, &mut weighted],
            channels,
            #[inline(always)]
            |[scale, offset], [y, slope], [dz]| {
                let dn = dz * slope;
                ([dn], [dn, dn * y.mul_add(scale, offset)])
            },
        );
        sums.add(&plain, &weighted);
    }

    /// The same from `dz` to `dn`, making the slope on the way.
    pub(super) fn through_own_gelu(&self, y: &[F], dz: &[F], dn: &mut [F], sums: &mut Slopes) {
        let channels = self.channels();
        let (mut plain, mut weighted) = (vec![F::ZERO; channels], vec![F::ZERO; channels]);
        sweep(
            dn.len() / channels,
            [&self.norm.scale, &self.norm.offset, self.layer.gamma.as_slice(), self.layer.beta.as_slice()],
            [y, dz],
            [dn],
            [&mut plain, &mut weighted],
            channels,
            #[inline(always)]
            |[scale, offset, gamma, beta], [y, dz], [_]| {
                let normal = y.mul_add(scale, offset);
                let dn = dz * gelu_slope(normal.mul_add(gamma, beta));
                ([dn], [dn, dn * normal])
            },
        );
        sums.add(&plain, &weighted);
    }
}

/// Where a layer's input comes from.
pub(super) enum Source<'a, F: Lanes> {
    /// The stack's input.
    Input(&'a [F]),
    /// The layer before.
    Layer(Normalised<'a, F>),
}

impl<F: Lanes> Source<'_, F> {
    /// These rows of `channels` elements; in `scratch` if they have to be made.
    pub(super) fn rows<'b>(&'b self, rows: &Range<usize>, channels: usize, scratch: &'b mut [F]) -> &'b [F] {
        match self {
            Source::Input(x) => &x[rows.start * channels..rows.end * channels],
            Source::Layer(layer) => {
                let z = &mut scratch[..rows.len() * channels];
                layer.z(rows, z);
                z
            }
        }
    }
}
