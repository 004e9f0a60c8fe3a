//! GroupNorm statistics and its per-channel form.
//!
//! Groups may be as narrow as two channels, so nothing is looped over by group in the hot path: means and deviations are
//! expanded to one coefficient per channel, and every inner loop runs over contiguous channels.

use super::sweep::sweep;
use crate::device::Real;

/// Mean and sum of squared deviations from it, of each channel over `rows` rows.
#[derive(Clone)]
pub(super) struct Moments {
    rows: usize,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Moments {
    /// Moments of the columns of `y` [rows, channels], in two passes so that a large mean does no harm.
    pub(super) fn of<F: Real>(y: &[F], channels: usize) -> Self {
        let rows = y.len() / channels;
        let (mut mean, mut deviation) = (vec![F::ZERO; channels], vec![F::ZERO; channels]);
        sweep(
            rows,
            [],
            [y],
            [],
            [&mut mean],
            channels,
            #[inline(always)]
            |[], [y], []| ([], [y]),
        );
        let scale = F::of(1.0 / rows.max(1) as f64);
        mean.iter_mut().for_each(|m| *m *= scale);
        sweep(
            rows,
            [&mean],
            [y],
            [],
            [&mut deviation],
            channels,
            #[inline(always)]
            |[mean], [y], []| ([], [(y - mean) * (y - mean)]),
        );
        let widen = |v: Vec<F>| v.into_iter().map(F::f64).collect();
        Moments { rows, mean: widen(mean), deviation: widen(deviation) }
    }

    /// Moments of these rows and the `other` ones together.
    pub(super) fn merge(mut self, other: &Moments) -> Self {
        let (a, b) = (self.rows as f64, other.rows as f64);
        for c in 0..self.mean.len() {
            let delta = other.mean[c] - self.mean[c];
            self.mean[c] += delta * b / (a + b);
            self.deviation[c] += other.deviation[c] + delta * delta * a * b / (a + b);
        }
        self.rows += other.rows;
        self
    }

    /// What normalises each channel, where `bias` is still to be added to the rows.
    pub(super) fn normaliser<F: Real>(&self, bias: &[F], groups: usize, eps: f64) -> Normaliser<F> {
        let channels = bias.len();
        let width = channels / groups;
        let mut out = Normaliser { scale: vec![F::ZERO; channels], offset: vec![F::ZERO; channels], width };
        for group in 0..groups {
            let range = group * width..(group + 1) * width;
            let centre = |c: usize| self.mean[c] + bias[c].f64();
            let mean = range.clone().map(centre).sum::<f64>() / width as f64;
            let within = range.clone().map(|c| self.deviation[c]).sum::<f64>() / self.rows as f64;
            let between = range.clone().map(|c| (centre(c) - mean) * (centre(c) - mean)).sum::<f64>();
            let scale = 1.0 / ((within + between) / width as f64 + eps).sqrt();
            for c in range {
                out.scale[c] = F::of(scale);
                out.offset[c] = F::of((bias[c].f64() - mean) * scale);
            }
        }
        out
    }
}

/// ŷ = y · scale + offset for each channel of one sample: convolution bias, mean and deviation folded together.
pub(super) struct Normaliser<F> {
    pub(super) scale: Vec<F>,
    pub(super) offset: Vec<F>,
    /// Channels per group.
    width: usize,
}

/// Sums over rows, per channel: Σ dn and Σ dn · ŷ, where n = γ · ŷ + β. They are the gradients of β and γ.
#[derive(Clone)]
pub(super) struct Slopes {
    pub(super) plain: Vec<f64>,
    pub(super) weighted: Vec<f64>,
}

impl Slopes {
    pub(super) fn zero(channels: usize) -> Self {
        Slopes { plain: vec![0.0; channels], weighted: vec![0.0; channels] }
    }

    /// Adds the sums over other rows.
    pub(super) fn add<F: Real>(&mut self, plain: &[F], weighted: &[F]) {
        accumulate(&mut self.plain, plain);
        accumulate(&mut self.weighted, weighted);
    }
}

/// total += part.
pub(super) fn accumulate<F: Real>(total: &mut [f64], part: &[F]) {
    total.iter_mut().zip(part).for_each(|(t, p)| *t += p.f64());
}

/// dy = dn · slope + y · curve + level for each channel of one sample: the whole of GroupNorm's backward.
pub(super) struct NormGradient<F> {
    pub(super) slope: Vec<F>,
    pub(super) curve: Vec<F>,
    pub(super) level: Vec<F>,
}

impl<F: Real> Normaliser<F> {
    /// n = y · scale + offset: the affine map of the normalisation folded in as well.
    pub(super) fn affine(&self, gamma: &[F], beta: &[F]) -> (Vec<F>, Vec<F>) {
        let scale = self.scale.iter().zip(gamma).map(|(&s, &g)| s * g).collect();
        let offset = self.offset.iter().zip(gamma).zip(beta).map(|((&o, &g), &b)| o * g + b).collect();
        (scale, offset)
    }

    /// With r = scale and N elements per group: dy = r · (γ·dn − Σγ·dn / N − ŷ · Σγ·dn·ŷ / N), the sums over the group.
    pub(super) fn gradient(&self, gamma: &[F], slopes: &Slopes, rows: usize) -> NormGradient<F> {
        let channels = gamma.len();
        let zeros = || vec![F::ZERO; channels];
        let mut out = NormGradient { slope: zeros(), curve: zeros(), level: zeros() };
        let count = (rows * self.width) as f64;
        for first in (0..channels).step_by(self.width) {
            let range = first..first + self.width;
            let plain = range.clone().map(|c| gamma[c].f64() * slopes.plain[c]).sum::<f64>() / count;
            let weighted = range.clone().map(|c| gamma[c].f64() * slopes.weighted[c]).sum::<f64>() / count;
            for c in range {
                let (r, offset) = (self.scale[c].f64(), self.offset[c].f64());
                out.slope[c] = F::of(r * gamma[c].f64());
                out.curve[c] = F::of(-r * r * weighted);
                out.level[c] = F::of(-r * (plain + offset * weighted));
            }
        }
        out
    }
}
