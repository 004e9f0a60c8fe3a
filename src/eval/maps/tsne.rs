//! t-SNE (van der Maaten & Hinton 2008; neighbours as van der Maaten 2014, repulsion exact).
//!
//! p_{j|i} ∝ exp(−β_i ‖x_i − x_j‖²) over the 3·perplexity nearest neighbours, β_i such that the entropy is ln(perplexity);
//! p_ij = (p_{j|i} + p_{i|j})/2n. On the map q_ij ∝ w_ij = 1/(1 + ‖y_i − y_j‖²). Gradient descent with momentum and gains on
//! KL(P‖Q): ∂KL/∂y_i = 4 Σ_j (p_ij − q_ij)·w_ij·(y_i − y_j).

use rayon::prelude::*;

use super::neighbours::Neighbours;
use super::plane::principal;
use super::{LANES, Place, Points, squared};
use crate::device::simd::vectorised;
use crate::progress::Progress;

/// How t-SNE proceeds; the defaults are scikit-learn's.
#[derive(Debug, Clone, Copy)]
pub struct Tsne {
    /// Effective number of neighbours.
    pub perplexity: f64,
    /// Steps in all.
    pub steps: usize,
    /// Steps at the beginning in which P is exaggerated.
    pub early: usize,
    /// By how much.
    pub exaggeration: f64,
}

impl Default for Tsne {
    fn default() -> Self {
        Tsne { perplexity: 30.0, steps: 1000, early: 250, exaggeration: 12.0 }
    }
}

/// Standard deviation of the start.
const START: f64 = 1e-4;
/// Bisections for β, and how close the entropy must come.
const BISECTIONS: usize = 100;
const CLOSE: f64 = 1e-5;
/// Momentum in the early steps and later.
const MOMENTUM: [f64; 2] = [0.5, 0.8];

/// Symmetric joint probabilities: row i holds (j, p_ij) by j.
pub type Joint = Vec<Vec<(u32, f64)>>;

/// A map of `points`, and its KL divergence.
pub fn tsne(points: Points, how: &Tsne) -> (Vec<Place>, f64) {
    let n = points.len();
    let joint = joint(points, how.perplexity);
    let mut y = principal(points, START);
    let (mut velocity, mut gains) = (vec![[0.0f64; 2]; n], vec![[1.0f64; 2]; n]);
    let rate = (n as f64 / how.exaggeration / 4.0).max(50.0);
    let progress = Progress::new("t-SNE", how.steps as u64, "steps");
    for step in 0..how.steps {
        let early = step < how.early;
        let exaggeration = if early { how.exaggeration } else { 1.0 };
        let momentum = MOMENTUM[usize::from(!early)];
        let gradient = gradient(&joint, &y, exaggeration);
        for i in 0..n {
            for axis in 0..2 {
                let (v, g, gain) = (&mut velocity[i][axis], gradient[i][axis], &mut gains[i][axis]);
                *gain = if *v * g < 0.0 { *gain + 0.2 } else { (*gain * 0.8).max(0.01) };
                *v = momentum * *v - rate * *gain * g;
                y[i][axis] += *v;
            }
        }
        progress.advance(1);
    }
    let kl = divergence(&joint, &y);
    (y, kl)
}

/// p_ij of every pair of neighbours.
pub fn joint(points: Points, perplexity: f64) -> Joint {
    let n = points.len();
    // Where there are hardly more points than that, no distribution over them has the perplexity asked for.
    let perplexity = perplexity.min((n - 1) as f64 / 3.0);
    let neighbours = Neighbours::find(points, (3.0 * perplexity) as usize + 1);
    let mut joint: Joint = vec![Vec::new(); n];
    for i in 0..n {
        let (index, distance) = neighbours.of(i);
        for (&j, p) in index.iter().zip(conditional(distance, perplexity.ln())) {
            let half = p / (2.0 * n as f64);
            joint[i].push((j, half));
            joint[j as usize].push((i as u32, half));
        }
    }
    for row in &mut joint {
        row.sort_by_key(|&(j, _)| j);
        row.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
    joint
}

/// p_{j|i} of the neighbours at `distance`, with entropy `entropy` in nats.
fn conditional(distance: &[f64], entropy: f64) -> Vec<f64> {
    let nearest = distance[0] * distance[0];
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    let mut p = Vec::new();
    for _ in 0..BISECTIONS {
        // Relative to the nearest: the same shares, and no underflow far from everything.
        p = distance.iter().map(|d| (-beta * (d * d - nearest)).exp()).collect();
        let sum: f64 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= sum);
        let found: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
        if (found - entropy).abs() <= CLOSE {
            break;
        }
        if found > entropy {
            low = beta;
            beta = if high.is_finite() { (beta + high) / 2.0 } else { 2.0 * beta };
        } else {
            high = beta;
            beta = (beta + low) / 2.0;
        }
    }
    p
}

/// ∂KL/∂y_i with P exaggerated. Attraction is over neighbours, repulsion over all points.
fn gradient(joint: &Joint, y: &[Place], exaggeration: f64) -> Vec<Place> {
    let axes = [0, 1].map(|axis| y.iter().map(|place| place[axis]).collect::<Vec<f64>>());
    let forces = |i: usize| {
        let own = y[i];
        let mut attract = [0.0; 2];
        for &(j, p) in &joint[i] {
            let other = y[j as usize];
            let pull = exaggeration * p / (1.0 + squared(own, other));
            attract[0] += pull * (own[0] - other[0]);
            attract[1] += pull * (own[1] - other[1]);
        }
        (attract, repulsion(own, &axes))
    };
    let forces: Vec<(Place, [f64; 3])> = (0..y.len()).into_par_iter().map(forces).collect();
    // Each point has met itself, at w = 1.
    let z: f64 = forces.iter().map(|(_, [w, ..])| w - 1.0).sum();
    forces.iter().map(|(a, [_, x, y])| [4.0 * (a[0] - x / z), 4.0 * (a[1] - y / z)]).collect()
}

/// Σ w, Σ w²·Δx and Σ w²·Δy of a point with all points at `axes`, itself included.
fn repulsion(own: Place, [xs, ys]: &[Vec<f64>; 2]) -> [f64; 3] {
    vectorised!(|| {
        let mut sums = [[0.0; LANES]; 3];
        let ((wide_x, rest_x), (wide_y, rest_y)) = (xs.as_chunks::<LANES>(), ys.as_chunks::<LANES>());
        for (x, y) in wide_x.iter().zip(wide_y) {
            for lane in 0..LANES {
                let of = term(own, x[lane], y[lane]);
                (0..3).for_each(|k| sums[k][lane] += of[k]);
            }
        }
        let mut all = sums.map(|lanes| lanes.iter().sum::<f64>());
        for (&x, &y) in rest_x.iter().zip(rest_y) {
            let of = term(own, x, y);
            (0..3).for_each(|k| all[k] += of[k]);
        }
        all
    })
}

#[inline(always)]
fn term(own: Place, x: f64, y: f64) -> [f64; 3] {
    let (x, y) = (own[0] - x, own[1] - y);
    let w = 1.0 / (1.0 + x * x + y * y);
    [w, w * w * x, w * w * y]
}

/// KL(P‖Q) in nats.
pub fn divergence(joint: &Joint, y: &[Place]) -> f64 {
    let row = |i: usize| y.iter().map(|&other| 1.0 / (1.0 + squared(y[i], other))).sum::<f64>() - 1.0;
    let z: f64 = (0..y.len()).into_par_iter().map(row).collect::<Vec<_>>().iter().sum();
    let term = |i: usize, j: u32, p: f64| p * (p * z * (1.0 + squared(y[i], y[j as usize]))).ln();
    joint
        .iter()
        .enumerate()
        .flat_map(|(i, row)| row.iter().map(move |&(j, p)| (i, j, p)))
        .map(|(i, j, p)| term(i, j, p))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::trust::trustworthiness;
    use super::*;
    use crate::golden::Golden;

    #[test]
    fn follows_scikit_learn() {
        let golden = Golden::open("maps");
        let x = golden.f32("x");
        let points = Points::new(&x, 16, 50).unwrap();
        let found = joint(points, 30.0);
        let n = points.len();
        let mut dense = vec![0.0; n * n];
        found.iter().enumerate().for_each(|(i, row)| row.iter().for_each(|&(j, p)| dense[i * n + j as usize] = p));
        let expected = golden.f64("tsne/joint");
        let worst = dense.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Both stop bisecting within 1e-5 of the entropy; the largest p is 3e-4.
        assert!(worst < 1e-8, "{worst}");

        let (map, kl) = tsne(points, &Tsne::default());
        let (theirs, trust) = (golden.f64("tsne/kl")[0], golden.f64("tsne/trust")[0]);
        assert!((kl - theirs).abs() < 0.05 * theirs, "KL {kl}, scikit-learn {theirs}");
        let own = trustworthiness(points, &map, 12);
        assert!(own > trust - 0.01, "trustworthiness {own}, scikit-learn {trust}");
        assert_eq!(tsne(points, &Tsne::default()).0, map);
    }

    #[test]
    fn few_and_equal_points_stay_finite() {
        for n in [4, 5, 60] {
            let x = vec![1.0; n * 3];
            let (map, kl) = tsne(Points::new(&x, 3, 4).unwrap(), &Tsne::default());
            assert!(map.iter().flatten().all(|v| v.is_finite()) && kl.is_finite(), "{n}: {map:?} {kl}");
        }
    }
}
