//! Terms that keep experts in use, over the rows of samples (rows that only fill up do not count).
//!
//! With f_e the share of choices that went to expert e and P_e its mean probability: balance = E·Σ_e f_e·P_e (Fedus et al. 2022, eq. 4; f is
//! a constant for the gradient), at least 1 where both agree; entropy = ln E + Σ_e P_e·ln P_e, 0 where all are used alike. Both have
//! gradients of the form dp[t, e] = g_e·dy/T: g_e = E·f_e, and ln P_e + 1.

use super::gate::gate;
use super::routing::{MOST_EXPERTS, Place};
use super::{Routing, clear, small};
use crate::device::{DType, Launch, Memory, kernels};
use crate::error::{Error, Result};
use crate::ops::{Case, Ragged, rowwise};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// Least P_e whose logarithm is taken.
const LEAST: f64 = 1e-9;

/// Load balance of `probabilities` [T, E] (`f32` on a device) under their routing.
pub fn load_balance(tape: &Tape, probabilities: &Var, routing: &Routing, rows: &Ragged) -> Result<Var> {
    if routing.rows != probabilities.value().rows() {
        let got = format!("{} rows", routing.rows);
        return Err(Error::op("load_balance", "routing", format!("{} rows", probabilities.value().rows()), got));
    }
    term(tape, probabilities, Some(routing), rows)
}

/// How far from even the experts are used, in nats.
pub fn utilisation_entropy(tape: &Tape, probabilities: &Var, rows: &Ragged) -> Result<Var> {
    term(tape, probabilities, None, rows)
}

/// Load balance where there is a routing, else the entropy.
fn term(tape: &Tape, p: &Var, routing: Option<&Routing>, rows: &Ragged) -> Result<Var> {
    let (total, experts) = (p.value().rows(), p.value().cols());
    if total != rows.total() || rows.end() == 0 {
        return Err(Error::op(
            "experts' use",
            "rows",
            format!("1 to {total}"),
            format!("{} of {}", rows.end(), rows.total()),
        ));
    }
    if !p.value().device().is_cpu() {
        return launch(tape, p, routing, rows);
    }
    let (values, end, dtype) = (p.value().to_f64(), rows.end(), p.dtype());
    let mean = |e: usize| values[e..end * experts].iter().step_by(experts).sum::<f64>() / end as f64;
    let means: Vec<f64> = (0..experts).map(mean).collect();
    let (value, gradient): (f64, Vec<f64>) = match routing.map(|routing| (&*routing.place, routing.top_k)) {
        Some((Place::Host { chosen, .. }, top_k)) => {
            let mut scaled = vec![0.0; experts];
            chosen[..end * top_k].iter().for_each(|&e| scaled[e as usize] += experts as f64 / (end * top_k) as f64);
            (scaled.iter().zip(&means).map(|(f, p)| f * p).sum(), scaled)
        }
        Some((Place::Device { .. }, _)) => {
            return Err(Error::op("load_balance", "routing", "on the CPU", "on a device"));
        }
        None => {
            let logs: Vec<f64> = means.iter().map(|p| p.max(LEAST).ln()).collect();
            let sum: f64 = means.iter().zip(&logs).map(|(p, l)| p * l).sum();
            ((experts as f64).ln() + sum, logs.iter().map(|l| l + 1.0).collect())
        }
    };
    Ok(tape.record(Tensor::from_f64(&[], &[value], dtype), &[p], move |dy| {
        let scale = dy.item() / end as f64;
        let of = |i: usize| if i < end * experts { scale * gradient[i % experts] } else { 0.0 };
        let dp: Vec<f64> = (0..total * experts).map(of).collect();
        Ok(vec![Some(Tensor::from_f64(&[total, experts], &dp, dtype))])
    }))
}

/// Rows that a block of `balance::sums` takes.
const PER_BLOCK: usize = 512;

fn launch(tape: &Tape, p: &Var, routing: Option<&Routing>, rows: &Ragged) -> Result<Var> {
    let (total, experts, device) = (p.value().rows(), p.value().cols(), p.value().device().clone());
    let blocks = total.div_ceil(PER_BLOCK);
    let (offsets, last) = (rows.on(&device)?, rows.samples());
    let partial = Memory::uninit(&device, blocks * 2 * experts * 4)?;
    let mut y = Tensor::uninit_on(&device, &[], DType::F32)?;
    let mut gradient = Tensor::uninit_on(&device, &[experts], DType::F32)?;
    let (chosen, top_k) = match routing {
        Some(routing) => (routing.chosen()?.input(0), routing.top_k),
        None => (crate::device::In::NULL, 1),
    };
    let [r, e, k, b] = [total, experts, top_k, blocks].map(|size| size as i32);
    let balance = i32::from(routing.is_some());
    let grid = Launch::grid(&device, [blocks, 1, 1]);
    kernels::balance::sums(grid, p.value().input(), chosen, offsets.input(last), partial.output(0), r, e, k)?;
    let (from, to) = (partial.input(0), gradient.output());
    kernels::balance::finish(device.launch(1), from, offsets.input(last), y.output(), to, balance, b, e, k)?;
    Ok(tape.record(y, &[p], move |dy| {
        let mut dp = Tensor::uninit_on(&device, &[total, experts], DType::F32)?;
        let grid = rowwise(&device, total, experts);
        kernels::balance::spread(grid, dy.input(), gradient.input(), offsets.input(last), dp.output(), r, e)?;
        Ok(vec![Some(dp)])
    }))
}

/// Configurations for the gradient suite.
pub(super) fn cases() -> Vec<Case> {
    const _: () = assert!(MOST_EXPERTS <= 64, "a thread of balance.cu for each expert");
    let case = |name: &str, rows: Ragged, experts: usize, balance: bool| {
        let name = format!("{} {name}", if balance { "load_balance" } else { "utilisation_entropy" });
        Case::new(name, vec![small(rows.total(), experts)], move |t, v| {
            let gated = gate(t, &clear(t, &v[0])?, 2, false)?;
            match balance {
                true => load_balance(t, &gated.probabilities, &gated.routing, &rows),
                false => utilisation_entropy(t, &gated.probabilities, &rows),
            }
        })
        .of_depth(2)
    };
    [false, true]
        .into_iter()
        .flat_map(|balance| {
            [
                case("of a batch", Ragged::from_lengths([3, 4]), 4, balance),
                case("beside rows of no sample", Ragged::filled(&[3, 7], 17), 5, balance),
                case("of many rows", Ragged::uniform(2, 300), 8, balance),
            ]
        })
        .collect()
}
