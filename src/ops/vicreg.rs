//! VICReg loss of two batches of embeddings (paper eq. 3; Bardes et al. 2022):
//! L = λ_inv·inv + λ_var·var + λ_cov·cov over x, y [B, D].
//!
//! inv = mean (x − y)²; var: hinge max(0, 1 − √(var_unbiased + 1e-4)) averaged over dimensions; cov: squared off-diagonal
//! covariances (unbiased) over D. [`Variant`] says how the two sides combine.
//!
//! Covariances never form a D×D matrix: with centred X [B, D] and G = X·Xᵀ [B, B], ‖XᵀX‖² = ‖G‖² and (XᵀX)·… = X·G.

use super::gram::{TILE, gram};
use super::{Case, Input};
use crate::device::{DType, Launch, Out, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Added to the variance under the square root.
const EPSILON: f64 = 1e-4;
/// Standard deviation from which on the hinge is silent.
const TARGET: f64 = 1.0;

/// How the terms of the two sides are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// inv a mean over batch and dimensions, var the mean of both sides, cov their sum (the authors' published code).
    Code,
    /// As `Code`, with var the sum of both sides.
    Sum,
    /// The article's formula: inv is the squared distance summed over dimensions; var and cov the sums of both sides.
    Bardes,
}

/// λ of each term and how the sides combine.
#[derive(Debug, Clone, Copy)]
pub struct VicregSpec {
    /// Weight of the invariance term.
    pub invariance: f64,
    /// Weight of the variance term.
    pub variance: f64,
    /// Weight of the covariance term.
    pub covariance: f64,
    /// How the sides combine.
    pub variant: Variant,
}

/// The unweighted terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VicregTerms {
    /// Invariance.
    pub invariance: f64,
    /// Variance.
    pub variance: f64,
    /// Covariance.
    pub covariance: f64,
}

/// One side: centred embeddings, per-dimension standard deviations and the Gram matrix of the samples.
struct Side<F: Real> {
    centred: PoolVec<F>,
    deviation: Vec<f64>,
    square: Vec<f64>,
    gram: Vec<f64>,
}

impl<F: Real> Side<F> {
    fn new(x: &Tensor) -> Self {
        let (n, d) = (x.rows(), x.cols());
        let mut centred = PoolVec::<F>::copy_of(x.as_slice());
        let (mut deviation, mut square) = (vec![0.0; d], vec![0.0; d]);
        for c in 0..d {
            let mean = centred[c..].iter().step_by(d).map(|x| x.f64()).sum::<f64>() / n as f64;
            centred[c..].iter_mut().step_by(d).for_each(|x| *x = F::of(x.f64() - mean));
            square[c] = centred[c..].iter().step_by(d).map(|x| x.f64() * x.f64()).sum();
            deviation[c] = (square[c] / (n - 1) as f64 + EPSILON).sqrt();
        }
        let mut gram = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let (a, b) = (&centred[i * d..][..d], &centred[j * d..][..d]);
                let dot = a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum();
                gram[i * n + j] = dot;
                gram[j * n + i] = dot;
            }
        }
        Side { centred, deviation, square, gram }
    }

    fn variance(&self) -> f64 {
        let hinge: f64 = self.deviation.iter().map(|s| (TARGET - s).max(0.0)).sum();
        hinge / self.deviation.len() as f64
    }

    fn covariance(&self, n: usize) -> f64 {
        let all: f64 = self.gram.iter().map(|g| g * g).sum();
        let diagonal: f64 = self.square.iter().map(|s| s * s).sum();
        (all - diagonal) / ((n - 1) * (n - 1)) as f64 / self.deviation.len() as f64
    }

    /// Adds w_var·∂variance + w_cov·∂covariance to `grad` [n, d].
    fn add_gradient(&self, n: usize, w_var: f64, w_cov: f64, grad: &mut [f64]) {
        let d = self.deviation.len();
        let (m, scale_cov) = ((n - 1) as f64, w_cov * 4.0 / ((n - 1) * (n - 1) * d) as f64);
        for i in 0..n {
            for c in 0..d {
                let x = self.centred[i * d + c].f64();
                let s = self.deviation[c];
                let hinge = if s < TARGET { -w_var * x / (m * s * d as f64) } else { 0.0 };
                grad[i * d + c] += hinge - scale_cov * x * self.square[c];
            }
            for j in 0..n {
                let g = scale_cov * self.gram[i * n + j];
                let row = &self.centred[j * d..][..d];
                grad[i * d..][..d].iter_mut().zip(row).for_each(|(o, x)| *o += g * x.f64());
            }
        }
    }
}

/// The loss on a tape, and its terms where it was computed.
pub struct Vicreg {
    /// Weighted loss, a scalar (`f32` on a device).
    pub loss: Var,
    terms: Terms,
}

enum Terms {
    Host(VicregTerms),
    Device {
        /// Loss, invariance, variance, covariance.
        terms: Tensor,
        /// Centred sum of squares of each column of both sides [2, D].
        square: Tensor,
        rows: usize,
    },
}

/// Numbers that [`Vicreg::report`] writes.
pub const REPORTED: usize = 7;

impl Vicreg {
    /// The unweighted terms; waits for a device.
    pub fn terms(&self) -> Result<VicregTerms> {
        match &self.terms {
            Terms::Host(terms) => Ok(*terms),
            Terms::Device { terms, .. } => {
                let all = terms.to_host()?.to_f64();
                Ok(VicregTerms { invariance: all[1], variance: all[2], covariance: all[3] })
            }
        }
    }
}

impl Vicreg {
    /// Writes loss, invariance, variance, covariance, the mean standard deviation of x's columns and of y's, and the gradient's
    /// `norm` (one f32) to [`REPORTED`] numbers of the device.
    pub fn report(&self, norm: &Tensor, to: Out<f32>) -> Result<()> {
        let Terms::Device { terms, square, rows } = &self.terms else {
            return Err(Error::op("vicreg", "report", "a loss of a device", "one of the CPU"));
        };
        let (rows, columns) = (*rows as i32, square.cols() as i32);
        let one = terms.device().launch(1);
        kernels::vicreg::figures(one, terms.input(), square.input(), norm.input(), to, rows, columns)
    }
}

/// The weighted loss and its unweighted terms.
pub fn vicreg(tape: &Tape, x: &Var, y: &Var, spec: &VicregSpec) -> Result<Vicreg> {
    let &[n, d] = x.shape() else {
        return Err(Error::op("vicreg", "x", "[batch ≥ 2, dimensions]", format!("{:?}", x.shape())));
    };
    if n < 2 || y.shape() != x.shape() {
        return Err(Error::op(
            "vicreg",
            "x and y",
            "equal shapes, batch ≥ 2",
            format!("{:?}, {:?}", x.shape(), y.shape()),
        ));
    }
    let (inv_over, var_over) = match spec.variant {
        Variant::Code => ((n * d) as f64, 2.0),
        Variant::Sum => ((n * d) as f64, 1.0),
        Variant::Bardes => (n as f64, 1.0),
    };
    if !x.value().device().is_cpu() {
        return launch(tape, x, y, spec, inv_over, var_over);
    }
    with_real!(x.dtype(), F => {
        let (side_x, side_y) = (Side::<F>::new(x.value()), Side::<F>::new(y.value()));
        let difference: Vec<f64> =
            x.value().as_slice::<F>().iter().zip(y.value().as_slice::<F>()).map(|(x, y)| x.f64() - y.f64()).collect();
        let terms = VicregTerms {
            invariance: difference.iter().map(|e| e * e).sum::<f64>() / inv_over,
            variance: (side_x.variance() + side_y.variance()) / var_over,
            covariance: side_x.covariance(n) + side_y.covariance(n),
        };
        let spec = *spec;
        let loss =
            spec.invariance * terms.invariance + spec.variance * terms.variance + spec.covariance * terms.covariance;
        let value = Tensor::from_f64(&[], &[loss], F::DTYPE);
        let loss = tape.record(value, &[x, y], move |dy| {
            let upstream = dy.item();
            let side = |side: &Side<F>, sign: f64| {
                let scale = sign * 2.0 * spec.invariance * upstream / inv_over;
                let mut grad: Vec<f64> = difference.iter().map(|e| e * scale).collect();
                side.add_gradient(n, spec.variance * upstream / var_over, spec.covariance * upstream, &mut grad);
                Some(Tensor::from_f64(&[n, d], &grad, F::DTYPE))
            };
            Ok(vec![side(&side_x, 1.0), side(&side_y, -1.0)])
        });
        Ok(Vicreg { loss, terms: Terms::Host(terms) })
    })
}

/// Columns, and rows of the backward pass, of a block of `kernels/vicreg.cu`; sums it leaves.
const WIDTH: usize = 32;
const ROWS: usize = 8;
const SUMS: usize = 3;

fn launch(tape: &Tape, x: &Var, y: &Var, spec: &VicregSpec, inv_over: f64, var_over: f64) -> Result<Vicreg> {
    let (n, d) = (x.value().rows(), x.value().cols());
    let device = x.value().device().clone();
    let (blocks, tiles) = (d.div_ceil(WIDTH), n.div_ceil(TILE).pow(2));
    let uninit = |shape: &[usize]| Tensor::uninit_on(&device, shape, DType::F32);
    let (mut mean, mut square, mut partial) = (uninit(&[2, d])?, uninit(&[2, d])?, uninit(&[2, blocks, SUMS])?);
    let (mut squares, mut grams, mut terms) = (uninit(&[2, tiles])?, uninit(&[2, n, n])?, uninit(&[4])?);
    let [rows, columns] = [n, d].map(|size| size as i32);
    let epsilon = EPSILON as f32;
    let (x_value, y_value) = (x.value().clone(), y.value().clone());
    with_storage!(x.dtype(), T => {
        kernels::vicreg::columns::<T>(
            Launch::grid(&device, [blocks, 2, 1]), x_value.input(), y_value.input(), mean.output(), square.output(),
            partial.output(), epsilon, rows, columns,
        )?;
    });
    for (side, value) in [&x_value, &y_value].into_iter().enumerate() {
        gram(value, Some((&mean, side * d)), (&mut grams, side * n * n), Some((&mut squares, side * tiles)))?;
    }
    kernels::vicreg::finish(
        device.launch(1),
        partial.input(),
        squares.input(),
        terms.output(),
        spec.invariance as f32,
        spec.variance as f32,
        spec.covariance as f32,
        inv_over as f32,
        var_over as f32,
        blocks as i32,
        tiles as i32,
        rows,
        columns,
    )?;
    let (m, width) = ((n - 1) as f64, d as f64);
    let weights = [
        spec.invariance * 2.0 / inv_over,
        spec.variance / (var_over * m * width),
        spec.covariance * 4.0 / (m * m * width),
    ]
    .map(|weight| weight as f32);
    let squared = square.clone();
    let loss = tape.record(terms.view(0, &[]), &[x, y], move |dloss| {
        let mut dx = Tensor::uninit_on(&device, x_value.shape(), x_value.dtype())?;
        let mut dy = Tensor::uninit_on(&device, y_value.shape(), y_value.dtype())?;
        let grid = Launch::grid(&device, [blocks, 2, n.div_ceil(ROWS)]);
        with_storage!(x_value.dtype(), T => {
            kernels::vicreg::backward::<T>(
                grid, dloss.input(), x_value.input(), y_value.input(), mean.input(), squared.input(), grams.input(),
                dx.output(), dy.output(), weights[0], weights[1], weights[2], epsilon, rows, columns,
            )?;
        });
        Ok(vec![Some(dx), Some(dy)])
    });
    Ok(Vicreg { loss, terms: Terms::Device { terms, square, rows: n } })
}

/// Configurations for the gradient suite.
pub fn cases() -> Vec<Case> {
    [(Variant::Code, 5, 4), (Variant::Sum, 5, 4), (Variant::Bardes, 5, 4), (Variant::Code, 35, 41)]
        .map(|(variant, n, d)| {
            let spec = VicregSpec { invariance: 10.0, variance: 10.0, covariance: 1.0, variant };
            let inputs = vec![Input::within(&[n, d], -2.0, 2.0), Input::new(&[n, d])];
            Case::new(format!("vicreg {variant:?} {n}×{d}"), inputs, move |t, v| {
                Ok(vicreg(t, &v[0], &v[1], &spec)?.loss)
            })
        })
        .into()
}
