//! Element-wise passes over [rows, channels] with one set of coefficients and sums per channel.

#![allow(clippy::needless_range_loop)] // indices into several small arrays at once read better, and vectorise

use crate::device::Real;
use crate::device::simd::vectorised;

/// Channels that are taken down all rows together: four of the widest registers of `f32`, so that coefficients and sums stay
/// in registers or on the stack, and each visit to a row reads whole cache lines.
const WIDE: usize = 64;
/// As above, for what is left.
const NARROW: usize = 8;

/// Calls `f(coefficients, inputs, outputs)` for every element and replaces its outputs, and adds the second value that `f`
/// returns to the sums of the element's channel. `f` must be `#[inline(always)]`.
#[inline(always)]
pub(super) fn sweep<F: Real, const C: usize, const I: usize, const O: usize, const S: usize>(
    rows: usize,
    coefficients: [&[F]; C],
    inputs: [&[F]; I],
    outputs: [&mut [F]; O],
    sums: [&mut [F]; S],
    channels: usize,
    f: impl Fn([F; C], [F; I], [F; O]) -> ([F; O], [F; S]),
) {
    let mut pass = Pass { rows, channels, coefficients, inputs, outputs, sums, f };
    vectorised!(|| {
        let mut first = 0;
        while first + WIDE <= channels {
            pass.strip::<WIDE>(first);
            first += WIDE;
        }
        while first + NARROW <= channels {
            pass.strip::<NARROW>(first);
            first += NARROW;
        }
        while first < channels {
            pass.strip::<1>(first);
            first += 1;
        }
    });
}

struct Pass<'a, F, G, const C: usize, const I: usize, const O: usize, const S: usize> {
    rows: usize,
    channels: usize,
    coefficients: [&'a [F]; C],
    inputs: [&'a [F]; I],
    outputs: [&'a mut [F]; O],
    sums: [&'a mut [F]; S],
    f: G,
}

#[inline(always)]
fn part<F: Real, const W: usize>(data: &[F], from: usize) -> [F; W] {
    let mut out = [F::ZERO; W];
    out.copy_from_slice(&data[from..from + W]);
    out
}

impl<F: Real, G, const C: usize, const I: usize, const O: usize, const S: usize> Pass<'_, F, G, C, I, O, S>
where
    G: Fn([F; C], [F; I], [F; O]) -> ([F; O], [F; S]),
{
    #[inline(always)]
    fn strip<const W: usize>(&mut self, first: usize) {
        let coefficients = self.coefficients.map(|c| part::<F, W>(c, first));
        let mut sums = [[F::ZERO; W]; S];
        for row in 0..self.rows {
            let from = row * self.channels + first;
            let mut inputs = [[F::ZERO; W]; I];
            for i in 0..I {
                inputs[i] = part(self.inputs[i], from);
            }
            let mut outputs = [[F::ZERO; W]; O];
            for o in 0..O {
                outputs[o] = part(self.outputs[o], from);
            }
            for w in 0..W {
                let (mut c, mut x, mut old) = ([F::ZERO; C], [F::ZERO; I], [F::ZERO; O]);
                for k in 0..C {
                    c[k] = coefficients[k][w];
                }
                for i in 0..I {
                    x[i] = inputs[i][w];
                }
                for o in 0..O {
                    old[o] = outputs[o][w];
                }
                let (new, summands) = (self.f)(c, x, old);
                for o in 0..O {
                    outputs[o][w] = new[o];
                }
                for s in 0..S {
                    sums[s][w] += summands[s];
                }
            }
            for o in 0..O {
                self.outputs[o][from..from + W].copy_from_slice(&outputs[o]);
            }
        }
        for s in 0..S {
            for w in 0..W {
                self.sums[s][first + w] += sums[s][w];
            }
        }
    }
}
