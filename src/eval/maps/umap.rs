//! UMAP (McInnes, Healy & Melville 2018), as umap-learn computes it with its defaults, from principal components.
//!
//! Each point's distances become memberships exp(−(d − ρ_i)/σ_i), ρ_i the nearest and σ_i such that they sum to log2(k);
//! both directions join as a + b − ab. The layout pulls edges together and pushes random pairs apart along the gradient of the cross-entropy
//! between memberships and 1/(1 + a·d^{2b}).

use super::neighbours::Neighbours;
use super::plane::principal;
use super::{Place, Points, squared};
use crate::progress::Progress;
use crate::random::{Philox, Stream, site};

/// How UMAP proceeds; the defaults are umap-learn's for fewer than 10,000 points.
#[derive(Debug, Clone, Copy)]
pub struct Umap {
    /// Neighbours of a point, itself included.
    pub neighbours: usize,
    /// Passes over the edges.
    pub epochs: usize,
    /// Random points pushed away for each edge pulled together.
    pub negatives: usize,
    /// Seed of these.
    pub seed: u64,
}

impl Default for Umap {
    fn default() -> Self {
        Umap { neighbours: 15, epochs: 500, negatives: 5, seed: 42 }
    }
}

/// The curve 1/(1 + A·d^{2B}) closest to 1 up to min_dist = 0.1 and exp(−(d − 0.1)) beyond, by least squares over 300 distances up to 3.
const A: f64 = 1.576_943_460_405_378;
const B: f64 = 0.895_060_878_122_604_7;
/// Bisections for σ, how close the sum must come, and the least σ beside the mean distance.
const BISECTIONS: usize = 64;
const CLOSE: f64 = 1e-5;
const LEAST: f64 = 1e-3;
/// Standard deviation of the start: the span umap-learn starts from.
const START: f64 = 4.0;
/// Largest move of a point by one pull or push, before the rate.
const CLIP: f64 = 4.0;
const RANDOM: u64 = site("eval.maps.umap");

/// The membership of an edge, i < j.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// One end.
    pub i: u32,
    /// The other.
    pub j: u32,
    /// 0–1.
    pub membership: f64,
}

/// A map of `points`.
pub fn umap(points: Points, how: &Umap) -> Vec<Place> {
    let edges = graph(points, how.neighbours);
    let mut stream = Philox::new(how.seed, RANDOM).stream(0);
    let mut y = principal(points, START);
    // Equal points would never part: nothing pushes along no distance.
    y.iter_mut().flatten().for_each(|v| *v += 1e-4 * stream.normal());
    layout(&mut y, &edges, how, &mut stream);
    y
}

/// Joined memberships of all neighbours, by (i, j).
pub fn graph(points: Points, k: usize) -> Vec<Edge> {
    let n = points.len();
    let neighbours = Neighbours::find(points, k - 1);
    let mean = neighbours.distance.iter().sum::<f64>() / neighbours.distance.len() as f64;
    let mut directed: Vec<Edge> = Vec::new();
    for i in 0..n {
        let (index, distance) = neighbours.of(i);
        let (rho, sigma) = scale(distance, (k as f64).log2(), mean);
        for (&j, &d) in index.iter().zip(distance) {
            let membership = if d <= rho || sigma == 0.0 { 1.0 } else { (-(d - rho) / sigma).exp() };
            let (i, j) = (i.min(j as usize) as u32, j.max(i as u32));
            directed.push(Edge { i, j, membership });
        }
    }
    directed.sort_by_key(|e| (e.i, e.j));
    directed.dedup_by(|next, kept| {
        let same = (next.i, next.j) == (kept.i, kept.j);
        if same {
            kept.membership += next.membership - next.membership * kept.membership;
        }
        same
    });
    directed
}

/// (ρ, σ) of a point whose neighbours are at `distance`, nearest first, itself not among them.
fn scale(distance: &[f64], target: f64, mean_of_all: f64) -> (f64, f64) {
    let rho = distance.iter().copied().find(|&d| d > 0.0).unwrap_or(0.0);
    let (mut low, mut high, mut sigma) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..BISECTIONS {
        let sum: f64 = distance.iter().map(|d| if d - rho > 0.0 { (-(d - rho) / sigma).exp() } else { 1.0 }).sum();
        if (sum - target).abs() < CLOSE {
            break;
        }
        if sum > target {
            high = sigma;
            sigma = (low + high) / 2.0;
        } else {
            low = sigma;
            sigma = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * sigma };
        }
    }
    // umap-learn's mean counts the point itself, at distance 0.
    let own = distance.iter().sum::<f64>() / (distance.len() + 1) as f64;
    let mean = if rho > 0.0 { own } else { mean_of_all };
    (rho, sigma.max(LEAST * mean))
}

/// Moves the points: an edge is pulled as often as its membership asks for, each time with pushes from random points.
fn layout(y: &mut [Place], edges: &[Edge], how: &Umap, stream: &mut Stream) {
    let n = y.len();
    let strongest = edges.iter().map(|e| e.membership).fold(0.0, f64::max);
    // Both directions of an edge, as both ends take negatives.
    let mut pulls: Vec<Pull> = Vec::new();
    for edge in edges.iter().filter(|e| e.membership >= strongest / how.epochs as f64) {
        let every = strongest / edge.membership;
        pulls.push(Pull { head: edge.i as usize, tail: edge.j as usize, every, next: every });
        pulls.push(Pull { head: edge.j as usize, tail: edge.i as usize, every, next: every });
    }
    pulls.sort_by_key(|p| (p.head, p.tail));
    let progress = Progress::new("UMAP", how.epochs as u64, "passes");
    for epoch in 0..how.epochs {
        let rate = 1.0 - epoch as f64 / how.epochs as f64;
        for pull in &mut pulls {
            if pull.next > epoch as f64 {
                continue;
            }
            pull.next += pull.every;
            let (head, tail) = (y[pull.head], y[pull.tail]);
            let square = squared(head, tail);
            if square > 0.0 {
                let along = -2.0 * A * B * square.powf(B - 1.0) / (1.0 + A * square.powf(B));
                let step = moved(along, head, tail, rate);
                (0..2).for_each(|axis| {
                    y[pull.head][axis] += step[axis];
                    y[pull.tail][axis] -= step[axis];
                });
            }
            for _ in 0..how.negatives {
                let other = stream.below(n as u64) as usize;
                let (head, away) = (y[pull.head], y[other]);
                let square = squared(head, away);
                if other == pull.head || square == 0.0 {
                    continue;
                }
                let along = 2.0 * B / ((0.001 + square) * (1.0 + A * square.powf(B)));
                let step = moved(along, head, away, rate);
                (0..2).for_each(|axis| y[pull.head][axis] += step[axis]);
            }
        }
        progress.advance(1);
    }
}

struct Pull {
    head: usize,
    tail: usize,
    /// Epochs from one pull to the next.
    every: f64,
    next: f64,
}

fn moved(along: f64, from: Place, to: Place, rate: f64) -> Place {
    [0, 1].map(|axis| (along * (from[axis] - to[axis])).clamp(-CLIP, CLIP) * rate)
}

#[cfg(test)]
mod tests {
    use super::super::trust::trustworthiness;
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn follows_umap_learn() {
        let golden = Golden::open("maps");
        let x = golden.f32("x");
        let points = Points::new(&x, 16, 50).unwrap();
        let n = points.len();
        let mut dense = vec![0.0; n * n];
        for Edge { i, j, membership } in graph(points, 15) {
            dense[i as usize * n + j as usize] = membership;
            dense[j as usize * n + i as usize] = membership;
        }
        let expected = golden.f64("umap/graph");
        let worst = dense.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // umap-learn holds distances and memberships in f32.
        assert!(worst < 2e-5, "{worst}");
        let map = umap(points, &Umap::default());
        let (own, theirs) = (trustworthiness(points, &map, 12), golden.f64("umap/trust")[0]);
        assert!(own > theirs - 0.01, "trustworthiness {own}, umap-learn {theirs}");
        assert_eq!(umap(points, &Umap::default()), map);
    }

    #[test]
    fn the_curve_is_the_least_squares_fit() {
        let wanted = |d: f64| if d < 0.1 { 1.0 } else { (0.1 - d).exp() };
        let error = |a: f64, b: f64| -> f64 {
            (0..300)
                .map(|i| 3.0 * f64::from(i) / 299.0)
                .map(|d| (1.0 / (1.0 + a * d.powf(2.0 * b)) - wanted(d)).powi(2))
                .sum()
        };
        let best = error(A, B);
        for (da, db) in [(1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)] {
            assert!(error(A + da, B + db) > best);
        }
    }

    #[test]
    fn few_and_equal_points_stay_finite() {
        for n in [4, 5, 60] {
            let x = vec![1.0; n * 3];
            let map = umap(Points::new(&x, 3, 4).unwrap(), &Umap::default());
            assert!(map.iter().flatten().all(|v| v.is_finite()), "{n}: {map:?}");
        }
    }
}
