//! The first two principal components: where a map starts, so that its broad shape is the data's and not chance.

use nalgebra::{DMatrix, SymmetricEigen};

use super::{Place, Points};

/// Points on their two directions of greatest variance, scaled so that the first has standard deviation `spread`.
///
/// The sign of a direction is the one that makes its largest coefficient positive.
pub fn principal(points: Points, spread: f64) -> Vec<Place> {
    let (n, d) = (points.len(), points.dim);
    let mut x = DMatrix::from_row_iterator(n, d, points.values.iter().map(|&v| f64::from(v)));
    for mut column in x.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    let eigen = SymmetricEigen::new(x.tr_mul(&x));
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let along = |rank: usize| -> Vec<f64> {
        let Some(&which) = order.get(rank) else { return vec![0.0; n] };
        let direction = eigen.eigenvectors.column(which);
        let sign = direction[direction.iamax()].signum();
        (&x * direction * sign).iter().copied().collect()
    };
    let (first, second) = (along(0), along(1));
    let deviation = (first.iter().map(|v| v * v).sum::<f64>() / n as f64).sqrt();
    let scale = if deviation > 0.0 { spread / deviation } else { 0.0 };
    first.iter().zip(&second).map(|(a, b)| [a * scale, b * scale]).collect()
}
