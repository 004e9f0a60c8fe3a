//! Trustworthiness of a map (Venna & Kaski 2001): 1 where all neighbours on the map are neighbours in the space.

use rayon::prelude::*;

use super::neighbours::Neighbours;
use super::{Place, Points, squared};

/// 1 − 2/(n·k·(2n − 3k − 1)) · Σ_i Σ_{j among the k nearest of i on the map} max(0, rank of j in the space − k), k < n/2.
pub fn trustworthiness(points: Points, map: &[Place], k: usize) -> f64 {
    let n = points.len();
    let space = Neighbours::find(points, n - 1);
    let penalty = |i: usize| -> f64 {
        let mut rank = vec![0; n];
        space.of(i).0.iter().enumerate().for_each(|(r, &j)| rank[j as usize] = r + 1);
        let mut near: Vec<usize> = (0..n).filter(|&j| j != i).collect();
        near.sort_by(|&a, &b| squared(map[i], map[a]).total_cmp(&squared(map[i], map[b])));
        near[..k].iter().map(|&j| rank[j].saturating_sub(k) as f64).sum()
    };
    let total: f64 = (0..n).into_par_iter().map(penalty).collect::<Vec<_>>().iter().sum();
    let (n, k) = (n as f64, k as f64);
    1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * total
}
