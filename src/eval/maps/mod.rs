//! Maps of the shared space: high-dimensional embeddings laid out in the plane (paper, test 10, figures 9 and 10).
//!
//! | map | file | keeps |
//! |---|---|---|
//! | t-SNE (van der Maaten & Hinton 2008) | [`tsne`] | who is whose neighbour |
//! | UMAP (McInnes et al. 2018) | [`umap`] | neighbours, and more of how clusters lie to each other |
//!
//! Both start from the first two principal components ([`plane`]), search neighbours exactly ([`neighbours`]) and draw
//! every random number from a seed: the same points give the same map. [`trust`] says how far a map can be trusted.

pub mod neighbours;
pub mod plane;
pub mod trust;
pub mod tsne;
pub mod umap;

use crate::device::simd::vectorised;
use crate::error::{Error, Result};

/// Points in rows.
#[derive(Clone, Copy)]
pub struct Points<'a> {
    values: &'a [f32],
    dim: usize,
}

/// A point of a map.
pub type Place = [f64; 2];

impl<'a> Points<'a> {
    /// `values` [n, dim], n ≥ `least`, all finite.
    pub fn new(values: &'a [f32], dim: usize, least: usize) -> Result<Self> {
        let wrong = |expected: String, got: String| Err(Error::op("map", "points", expected, got));
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return wrong(format!("rows of {dim} values"), format!("{} values", values.len()));
        }
        if values.len() / dim < least {
            return wrong(format!("at least {least}"), (values.len() / dim).to_string());
        }
        match values.iter().position(|x| !x.is_finite()) {
            Some(at) => wrong("finite values".into(), format!("{} in row {}", values[at], at / dim)),
            None => Ok(Points { values, dim }),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dim..][..self.dim]
    }

    /// Squared Euclidean distances of point i to all.
    fn squared_from(&self, i: usize) -> Vec<f64> {
        let own = self.row(i);
        vectorised!(|| self.values.chunks_exact(self.dim).map(|row| squared_distance(own, row)).collect())
    }
}

/// Sums that run side by side: as many as fit a wide register, and the same on every machine.
const LANES: usize = 8;

#[inline(always)]
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |a: f32, b: f32| (f64::from(a) - f64::from(b)).powi(2);
    let mut sums = [0.0; LANES];
    let ((wide_a, rest_a), (wide_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in wide_a.iter().zip(wide_b) {
        for lane in 0..LANES {
            sums[lane] += square(a[lane], b[lane]);
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(&a, &b)| square(a, b)).sum();
    sums.iter().sum::<f64>() + rest
}

/// Squared distance of two places.
fn squared(a: Place, b: Place) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}
