//! p[t, :] = softmax(logits[t, :]); the k largest are chosen, of equal ones the first. Their weights are the p themselves, or over
//! their sum: w_j = p_j/Σ_i p_i. Choices are constants for the gradient.
//!
//! dlogits = p⊙(dp − ⟨dp, p⟩), where dp is dw at the chosen; renormalised, dp_j = (dw_j − ⟨dw, w⟩)/Σ_i p_i.

use super::routing::MOST_EXPERTS;
use super::{Routing, clear, small};
use crate::device::{DType, Memory, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::ops::Case;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// What the gate says.
pub struct Gated {
    /// Weights of the chosen experts [T, k], the largest first (`f32` on a device).
    pub weights: Var,
    /// Softmax over all experts [T, E] (`f32` on a device).
    pub probabilities: Var,
    /// Where the rows go.
    pub routing: Routing,
}

/// Gates rows by `logits` [T, E], 1 ≤ k ≤ E ≤ 64.
pub fn gate(tape: &Tape, logits: &Var, top_k: usize, renormalise: bool) -> Result<Gated> {
    let (rows, experts) = (logits.value().rows(), logits.value().cols());
    if !(1..=experts).contains(&top_k) || experts > MOST_EXPERTS {
        let expected = format!("1 to E of at most {MOST_EXPERTS} experts");
        return Err(Error::op("gate", "top_k", expected, format!("{top_k} of {experts}")));
    }
    if !logits.value().device().is_cpu() {
        return launch(tape, logits, top_k, renormalise);
    }
    let p = with_real!(logits.dtype(), F => {
        let mut p = PoolVec::<F>::copy_of(logits.value().as_slice());
        p.chunks_exact_mut(experts).for_each(softmax);
        Tensor::from_pool(&[rows, experts], p)
    });
    let of = p.clone();
    let probabilities = tape.record(p, &[logits], move |dp| {
        Ok(vec![Some(with_real!(dp.dtype(), F => {
            let mut dx = PoolVec::<F>::copy_of(dp.as_slice());
            for (g, p) in dx.chunks_exact_mut(experts).zip(of.as_slice::<F>().chunks_exact(experts)) {
                let dot: f64 = g.iter().zip(p).map(|(g, p)| g.f64() * p.f64()).sum();
                g.iter_mut().zip(p).for_each(|(g, p)| *g = F::of(p.f64() * (g.f64() - dot)));
            }
            Tensor::from_pool(&[rows, experts], dx)
        }))])
    });
    let p = probabilities.value().to_f64();
    let mut chosen = Vec::with_capacity(rows * top_k);
    let mut order: Vec<u32> = Vec::new();
    for row in p.chunks_exact(experts) {
        order.clear();
        order.extend(0..experts as u32);
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        chosen.extend_from_slice(&order[..top_k]);
    }
    let at = move |c: usize, chosen: &[u32]| c / top_k * experts + chosen[c] as usize;
    let sums: Vec<f64> = (0..rows)
        .map(|t| if renormalise { (0..top_k).map(|j| p[at(t * top_k + j, &chosen)]).sum() } else { 1.0 })
        .collect();
    let weights: Vec<f64> = (0..rows * top_k).map(|c| p[at(c, &chosen)] / sums[c / top_k]).collect();
    let dtype = logits.dtype();
    let (w, picked) = (weights.clone(), chosen.clone());
    let weights = tape.record(Tensor::from_f64(&[rows, top_k], &weights, dtype), &[&probabilities], move |dw| {
        let (dw, mut dp) = (dw.to_f64(), vec![0.0; rows * experts]);
        for (t, sum) in sums.iter().enumerate() {
            let own = t * top_k..(t + 1) * top_k;
            let dot: f64 = if renormalise { own.clone().map(|c| dw[c] * w[c]).sum() } else { 0.0 };
            own.for_each(|c| dp[at(c, &picked)] = (dw[c] - dot) / sum);
        }
        Ok(vec![Some(Tensor::from_f64(&[rows, experts], &dp, dtype))])
    });
    Ok(Gated { weights, probabilities, routing: Routing::host(chosen, rows, experts) })
}

fn softmax<F: Real>(row: &mut [F]) {
    let largest = row.iter().map(|x| x.f64()).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x.f64() - largest).exp()).sum();
    row.iter_mut().for_each(|x| *x = F::of((x.f64() - largest).exp() / sum));
}

/// Rows that a block takes, one a thread.
const PER_BLOCK: usize = 128;

fn launch(tape: &Tape, logits: &Var, top_k: usize, renormalise: bool) -> Result<Gated> {
    let (rows, experts) = (logits.value().rows(), logits.value().cols());
    let device = logits.value().device().clone();
    let mut p = Tensor::uninit_on(&device, &[rows, experts], DType::F32)?;
    let mut w = Tensor::uninit_on(&device, &[rows, top_k], DType::F32)?;
    let chosen = Memory::uninit(&device, (rows * top_k).max(1) * 4)?;
    let [r, e, k, renormalise] = [rows, experts, top_k, usize::from(renormalise)].map(|size| size as i32);
    let dtype = logits.dtype();
    with_storage!(dtype, T => {
        let grid = device.launch(rows.div_ceil(PER_BLOCK));
        kernels::gate::forward::<T>(
            grid, logits.value().input(), p.output(), w.output(), chosen.output(0), renormalise, r, e, k,
        )?;
    });
    let (of, weighed) = (p.clone(), w.clone());
    let on = device.clone();
    let probabilities = tape.record(p, &[logits], move |dp| {
        let mut dx = Tensor::uninit_on(&on, &[rows, experts], dtype)?;
        with_storage!(dtype, T => {
            kernels::gate::logits::<T>(on.launch(rows.div_ceil(PER_BLOCK)), of.input(), dp.input(), dx.output(), r, e)?;
        });
        Ok(vec![Some(dx)])
    });
    let routing = Routing::device(chosen, rows, experts, top_k)?;
    let (p, sent) = (probabilities.value().clone(), routing.clone());
    let weights = tape.record(w, &[&probabilities], move |dw| {
        let mut dp = Tensor::uninit_on(&device, &[rows, experts], DType::F32)?;
        let grid = device.launch(rows.div_ceil(PER_BLOCK));
        let chosen = sent.chosen()?.input(0);
        kernels::gate::probabilities(
            grid,
            p.input(),
            weighed.input(),
            dw.input(),
            chosen,
            dp.output(),
            renormalise,
            r,
            e,
            k,
        )?;
        Ok(vec![Some(dp)])
    });
    Ok(Gated { weights, probabilities, routing })
}

/// Configurations for the gradient suite.
pub(super) fn cases() -> Vec<Case> {
    let sizes = [(1, 1, 1, false), (7, 4, 2, false), (7, 4, 2, true), (133, 8, 2, true), (5, 3, 3, true)];
    let weights = sizes.map(|(rows, experts, k, renormalise)| {
        let name = format!("gate {rows} rows, {k} of {experts}{}", if renormalise { ", renormalised" } else { "" });
        Case::new(name, vec![small(rows, experts)], move |t, v| Ok(gate(t, &clear(t, &v[0])?, k, renormalise)?.weights))
    });
    let probabilities = Case::new("gate, all probabilities", vec![small(9, 5)], |t, v| {
        Ok(gate(t, &clear(t, &v[0])?, 2, false)?.probabilities)
    });
    weights.into_iter().chain([probabilities]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_probabilities_the_first_are_chosen_and_bad_k_is_refused() {
        let tape = Tape::inference();
        let logits = Var::constant(Tensor::from_slice(&[2, 3], &[0.0f32, 0.0, 0.0, 2.0, 1.0, 3.0]));
        let gated = gate(&tape, &logits, 2, true).unwrap();
        // Experts 0 and 1, then 2 and 0.
        assert_eq!(gated.routing.host_slots(), [0, 2, 3, 1]);
        assert_eq!(gated.weights.value().to_f32()[..2], [0.5, 0.5]);
        assert!(gate(&tape, &logits, 4, false).is_err() && gate(&tape, &logits, 0, false).is_err());
    }
}
