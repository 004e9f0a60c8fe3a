//! Nearest neighbours by Euclidean distance, exactly: n²·d operations, seconds for the thousands of points of a map.

use rayon::prelude::*;

use super::Points;

/// The nearest neighbours of every point, the point itself left out.
pub struct Neighbours {
    /// Neighbours per point.
    pub k: usize,
    /// `[n, k]`, nearest first; of equally near ones the lower index comes first.
    pub index: Vec<u32>,
    /// Their distances.
    pub distance: Vec<f64>,
}

impl Neighbours {
    /// The `k` nearest of each point, or all others where there are fewer.
    pub fn find(points: Points, k: usize) -> Self {
        let n = points.len();
        let k = k.min(n - 1);
        let nearest = |i: usize| {
            let mut others: Vec<(f64, u32)> = points.squared_from(i).into_iter().zip(0..).collect();
            others.remove(i);
            let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if k < others.len() {
                others.select_nth_unstable_by(k, order);
                others.truncate(k);
            }
            others.sort_unstable_by(order);
            others
        };
        let found: Vec<Vec<(f64, u32)>> = (0..n).into_par_iter().map(nearest).collect();
        let flat = || found.iter().flatten();
        Neighbours {
            k,
            index: flat().map(|&(_, j)| j).collect(),
            distance: flat().map(|&(square, _)| square.sqrt()).collect(),
        }
    }

    /// Neighbours of point i and their distances.
    pub fn of(&self, i: usize) -> (&[u32], &[f64]) {
        let range = i * self.k..(i + 1) * self.k;
        (&self.index[range.clone()], &self.distance[range])
    }
}
