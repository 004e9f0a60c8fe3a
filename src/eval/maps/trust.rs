//! Trustworthiness of a map (Venna & Kaski 2001): 1 where all neighbours on the map are neighbours in the space.

use rayon::prelude::*;

use super::{Place, Points, squared};

/// 1 − 2/(n·k·(2n − 3k − 1)) · Σ_i Σ_{j among the k nearest of i on the map} max(0, rank of j in the space − k), k < n/2. Of equally near
/// points the one with the lower index comes first. Working memory is a few rows of distances.
pub fn trustworthiness(points: Points, map: &[Place], k: usize) -> f64 {
    let n = points.len();
    let penalty = |i: usize| -> f64 {
        let space = points.squared_from(i);
        let plane: Vec<f64> = map.iter().map(|&place| squared(map[i], place)).collect();
        let order = |distance: &[f64], a: usize, b: usize| distance[a].total_cmp(&distance[b]).then(a.cmp(&b));
        let mut near: Vec<usize> = (0..n).filter(|&j| j != i).collect();
        near.select_nth_unstable_by(k - 1, |&a, &b| order(&plane, a, b));
        let rank = |j: usize| 1 + (0..n).filter(|&a| a != i && order(&space, a, j).is_lt()).count();
        near[..k].iter().map(|&j| rank(j).saturating_sub(k) as f64).sum()
    };
    let total: f64 = (0..n).into_par_iter().map(penalty).collect::<Vec<_>>().iter().sum();
    1.0 - worst_share(n, k) * total
}

/// Trustworthiness of a map that is drawn by lot, on average: around 0.5.
pub fn by_chance(n: usize, k: usize) -> f64 {
    // Ranks in the space are then 1 … n − 1, all as likely.
    let (points, others, beyond) = (n as f64, (n - 1) as f64, (n - 1 - k) as f64);
    1.0 - worst_share(n, k) * points * k as f64 * beyond * (beyond + 1.0) / (2.0 * others)
}

/// One over the penalty of the worst map.
fn worst_share(n: usize, k: usize) -> f64 {
    let (n, k) = (n as f64, k as f64);
    2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    #[test]
    fn a_map_by_lot_is_worth_what_chance_gives() {
        let mut stream = Philox::new(3, 3).stream(0);
        let values: Vec<f32> = (0..400 * 5).map(|_| stream.normal() as f32).collect();
        let map: Vec<Place> = (0..400).map(|_| [stream.normal(), stream.normal()]).collect();
        let (found, expected) = (trustworthiness(Points::new(&values, 5, 4).unwrap(), &map, 12), by_chance(400, 12));
        assert!((found - expected).abs() < 0.02 && (0.48..0.53).contains(&expected), "{found} {expected}");
    }
}
