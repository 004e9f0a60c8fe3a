//! Attention by kernels: `kernels/attention.cu`, `kernels/attention_backward.cu`, and their like for Hopper, `…_sm90a.cu`.

use super::AttentionSpec;
use super::engine::{Engine, HOPPER_BACKWARD_STEP, HOPPER_ROWS, Tiling, map, splits, width};
use crate::device::{DType, Launch, Out, kernels};
use crate::error::Result;
use crate::ops::dropout::Draws;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_storage;

/// Threads of a block.
const THREADS: usize = 128;

pub(super) fn launch(tape: &Tape, q: &Var, k: &Var, v: &Var, spec: &AttentionSpec) -> Result<Var> {
    let inputs = [q, k, v];
    let [q, k, v] = inputs.map(|x| x.value().clone());
    let spec = spec.clone();
    let (out, log_norm) = forward(&q, &k, &v, &spec)?;
    let saved = out.clone();
    Ok(tape.record(out, &inputs, move |dout| {
        let given = Given { q: &q, k: &k, v: &v, out: &saved, log_norm: &log_norm, dout };
        let engine = Engine::choose("attention's gradient", &[&q, &k, &v, dout], &spec, |engine| {
            Ok(backward(engine, given, &spec)?.into())
        })?;
        Ok(backward(engine, given, &spec)?.map(Some).into())
    }))
}

/// What the backward pass is given.
#[derive(Clone, Copy)]
struct Given<'a> {
    q: &'a Tensor,
    k: &'a Tensor,
    v: &'a Tensor,
    out: &'a Tensor,
    log_norm: &'a Tensor,
    dout: &'a Tensor,
}

/// O, and for each head and query log₂ Σ exp(score).
fn forward(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<(Tensor, Tensor)> {
    let run = |engine| Ok(vec![forward_by(engine, q, k, v, spec)?.0]);
    forward_by(Engine::choose("attention", &[q, k, v], spec, run)?, q, k, v, spec)
}

fn forward_by(engine: Engine, q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<(Tensor, Tensor)> {
    let (device, heads, batch, rows, d) = (q.device(), spec.heads, spec.queries.batch(), q.rows(), q.cols());
    let width = width(q, spec)?;
    let tiling = match engine {
        Engine::Portable => Tiling::forward(width, q.dtype()),
        Engine::Hopper => Tiling::hopper(width),
    };
    let blocks = tiling.blocks(&spec.queries);
    let splits = splits(blocks * heads * batch, tiling.together, spec.keys.longest().div_ceil(tiling.step));
    let mut out = Tensor::uninit_on(device, q.shape(), q.dtype())?;
    let mut log_norm = Tensor::uninit_on(device, &[heads, rows], DType::F32)?;
    let mut partial = match splits {
        1 => None,
        n => Some((
            Tensor::uninit_on(device, &[n, rows, d], DType::F32)?,
            Tensor::uninit_on(device, &[n, heads, rows], DType::F32)?,
        )),
    };
    let (query_offsets, key_offsets) = (spec.queries.on(device)?, spec.keys.on(device)?);
    let draws = spec.dropout.as_ref().map_or(Ok(Draws::NONE), |dropout| dropout.draws(device))?;
    let grid = Launch::grid(device, [blocks * splits, heads, batch]).shared(tiling.shared);
    let [rows_, heads_, d_, splits_] = [rows, heads, d, splits].map(|n| n as i32);
    let scale = (std::f64::consts::LOG2_E / ((d / heads) as f64).sqrt()) as f32;
    with_storage!(q.dtype(), T => {
        let (partial_out, logs_out) = match &mut partial {
            None => (Out::NULL, log_norm.output()),
            Some((partial, logs)) => (partial.output(), logs.output()),
        };
        match engine {
            Engine::Portable => kernels::attention::forward::<T>(
                grid, width, q.input(), k.input(), v.input(), query_offsets.input(0), key_offsets.input(0), out.output(),
                partial_out, logs_out, rows_, heads_, d_, splits_, scale, draws.below, draws.scale, draws.counter,
                draws.key,
            )?,
            Engine::Hopper => kernels::attention_sm90a::forward(
                grid, width, map(q, HOPPER_ROWS)?, map(k, HOPPER_ROWS)?, map(v, HOPPER_ROWS)?, query_offsets.input(0), key_offsets.input(0),
                out.output::<T>().cast(), partial_out, logs_out, rows_, heads_, d_, splits_, scale, draws.below,
                draws.scale, draws.counter, draws.key,
            )?,
        }
        if let Some((partial, logs)) = &partial {
            let threads = rows * heads * (d / heads).div_ceil(8);
            kernels::attention::combine::<T>(
                device.launch(threads.div_ceil(THREADS)), partial.input(), logs.input(), out.output(), log_norm.output(),
                rows_, heads_, d_, splits_,
            )?;
        }
    });
    Ok((out, log_norm))
}

/// dQ, dK, dV.
fn backward(engine: Engine, given: Given, spec: &AttentionSpec) -> Result<[Tensor; 3]> {
    let Given { q, k, v, out, log_norm, dout } = given;
    let (device, heads, batch, rows, d) = (q.device(), spec.heads, spec.queries.batch(), q.rows(), q.cols());
    let width = width(q, spec)?;
    let [by_keys, by_queries] = match engine {
        Engine::Portable => Tiling::backward(width, q.dtype()),
        Engine::Hopper => [Tiling::hopper_backward(width), Tiling::hopper_backward(width)],
    };
    let like = |x: &Tensor| Tensor::uninit_on(device, x.shape(), x.dtype());
    let (mut dq, mut dk, mut dv) = (like(q)?, like(k)?, like(v)?);
    let mut dot = Tensor::uninit_on(device, &[heads, rows], DType::F32)?;
    let (query_offsets, key_offsets) = (spec.queries.on(device)?, spec.keys.on(device)?);
    let draws = spec.dropout.as_ref().map_or(Ok(Draws::NONE), |dropout| dropout.draws(device))?;
    let grid = |tiling: &Tiling, rows| Launch::grid(device, [tiling.blocks(rows), heads, batch]).shared(tiling.shared);
    let (key_grid, query_grid) = (grid(&by_keys, &spec.keys), grid(&by_queries, &spec.queries));
    let [rows_, heads_, d_] = [rows, heads, d].map(|n| n as i32);
    let scale = (1.0 / ((d / heads) as f64).sqrt()) as f32;
    with_storage!(q.dtype(), T => {
        let parts = width / 8;
        kernels::attention_backward::dots::<T>(
            device.launch((rows * heads * parts).div_ceil(THREADS)), parts, dout.input(), out.input(), dot.output(), rows_,
            heads_, d_,
        )?;
        match engine {
            Engine::Portable => {
                kernels::attention_backward::keys::<T>(
                    key_grid, width, q.input(), k.input(), v.input(), dout.input(), log_norm.input(), dot.input(),
                    query_offsets.input(0), key_offsets.input(0), dk.output(), dv.output(), rows_, heads_, d_, scale,
                    draws.below, draws.scale, draws.counter, draws.key,
                )?;
                kernels::attention_backward::queries::<T>(
                    query_grid, width, q.input(), k.input(), v.input(), dout.input(), log_norm.input(), dot.input(),
                    query_offsets.input(0), key_offsets.input(0), dq.output(), rows_, heads_, d_, scale, draws.below,
                    draws.scale, draws.counter, draws.key,
                )?;
            }
            Engine::Hopper => {
                let (own, step) = (HOPPER_ROWS, HOPPER_BACKWARD_STEP);
                kernels::attention_backward_sm90a::keys(
                    key_grid, width, map(q, step)?, map(k, own)?, map(v, own)?, map(dout, step)?, log_norm.input(),
                    dot.input(), query_offsets.input(0), key_offsets.input(0), dk.output::<T>().cast(),
                    dv.output::<T>().cast(), rows_, heads_, d_, scale, draws.below, draws.scale, draws.counter, draws.key,
                )?;
                kernels::attention_backward_sm90a::queries(
                    query_grid, width, map(q, own)?, map(k, step)?, map(v, step)?, map(dout, own)?, log_norm.input(),
                    dot.input(), query_offsets.input(0), key_offsets.input(0), dq.output::<T>().cast(), rows_, heads_, d_,
                    scale, draws.below, draws.scale, draws.counter, draws.key,
                )?;
            }
        }
    });
    Ok([dq, dk, dv])
}

#[cfg(test)]
mod tests {
    use super::super::case;
    use super::*;
    use crate::device::Device;
    use crate::ops::Ragged;
    use crate::ops::dropout::Dropout;

    /// Every width, several blocks and steps, rows of no 16-byte pieces, samples without queries or without keys.
    fn follows_the_cpu(device: &Device, dtype: DType, tolerance: f64) {
        let dropout = |site| Some(Dropout::new(0.2, 3, 5, site));
        let cases = [
            case("of 16 columns", 2, 32, &[0, 5, 2, 131], &[4, 0, 70, 9], dropout(1)),
            case("of 24 columns", 2, 48, &[20], &[67], None),
            case("of 23 columns", 1, 23, &[9], &[17], dropout(2)),
            case("of 64 columns", 2, 128, &[130, 3], &[70, 129], dropout(3)),
            case("of 96 columns", 1, 96, &[18], &[37], None),
            case("of 128 columns", 1, 128, &[75], &[133], dropout(4)),
        ];
        for case in cases {
            let error = case.device_error(device, dtype).unwrap();
            println!("{}: {dtype:?} on {}: error {error:.2e}", case.name, device.name());
            assert!(error < tolerance, "{}: {dtype:?}: error {error:.2e}", case.name);
        }
    }

    /// Sums of at most 133 terms in f32; rounding to bf16 of the weights and of what is stored.
    const TOLERANCES: [(DType, f64); 2] = [(DType::F32, 2e-5), (DType::BF16, 1.2e-2)];

    #[test]
    fn emulated_attention_follows_the_cpu_at_every_width() {
        for (seed, (dtype, tolerance)) in TOLERANCES.into_iter().enumerate() {
            follows_the_cpu(&Device::emulated(seed as u64).unwrap(), dtype, tolerance);
        }
    }

    /// Largest difference of values and of finite log-normalisers.
    fn difference(x: &Tensor, y: &Tensor) -> f64 {
        let far = |d: f64| if d.is_nan() { f64::INFINITY } else { d };
        let pairs = x.to_f64().into_iter().zip(y.to_f64());
        pairs.filter(|(x, y)| x != y).fold(0.0, |most, (x, y)| far((x - y).abs()).max(most))
    }

    /// Both widths; blocks and steps that end early, a ring that goes round, keys split, samples without queries or keys, dropout.
    fn hopper_follows_the_portable(device: &Device) {
        let draw = |rows: usize, cols: usize, seed: u64| {
            let mut stream = crate::random::Philox::new(seed, 0).stream(0);
            let values: Vec<f64> = (0..rows * cols).map(|_| f64::from(stream.uniform_f32()) * 4.0 - 2.0).collect();
            Tensor::from_f64(&[rows, cols], &values, DType::F64).to_device(device, DType::BF16).unwrap()
        };
        let dropout = |site| Some(Dropout::new(0.2, 3, 5, site));
        let cases: [(usize, usize, &[usize], &[usize], _); 5] = [
            (1, 64, &[5, 0, 131, 9], &[300, 4, 129, 0], None),
            (2, 64, &[70, 3], &[33, 260], dropout(1)),
            (1, 128, &[66], &[400], None),
            (1, 128, &[3, 130, 1], &[129, 1, 5], dropout(2)),
            (2, 128, &[20, 20], &[20, 20], None),
        ];
        for (i, (heads, width, queries, keys, dropout)) in cases.into_iter().enumerate() {
            let (queries, keys) = (Ragged::from_lengths(queries.to_vec()), Ragged::from_lengths(keys.to_vec()));
            let d = heads * width;
            let q = draw(queries.total(), d, i as u64);
            let (k, v) = (draw(keys.total(), d, 10 + i as u64), draw(keys.total(), d, 20 + i as u64));
            let spec = AttentionSpec { heads, queries, keys, dropout };
            let by = |engine| forward_by(engine, &q, &k, &v, &spec).unwrap();
            let ((out, logs), (hopper_out, hopper_logs)) = (by(Engine::Portable), by(Engine::Hopper));
            let (values, norms) = (difference(&out, &hopper_out), difference(&logs, &hopper_logs));
            println!("case {i} on {}: values {values:.1e}, log-normalisers {norms:.1e}", device.name());
            assert!(values < 2e-2 && norms < 1e-4, "case {i}: values {values:.1e}, log-normalisers {norms:.1e}");

            let dout = draw(spec.queries.total(), d, 30 + i as u64);
            let given = Given { q: &q, k: &k, v: &v, out: &out, log_norm: &logs, dout: &dout };
            let by = |engine| backward(engine, given, &spec).unwrap();
            let gradients: Vec<f64> =
                by(Engine::Portable).iter().zip(&by(Engine::Hopper)).map(|(x, y)| difference(x, y)).collect();
            println!("case {i} on {}: gradients {gradients:.4?}", device.name());
            assert!(gradients.iter().all(|&error| error < 5e-2), "case {i}: gradients {gradients:.4?}");
        }
    }

    #[test]
    fn emulated_hopper_attention_follows_the_portable() {
        (0..3).for_each(|seed| hopper_follows_the_portable(&Device::emulated(seed).unwrap()));
    }

    #[test]
    fn cuda_hopper_attention_follows_the_portable() {
        match Device::cuda() {
            Err(e) => println!("SKIPPED (visible): {e}"),
            Ok(gpu) if !gpu.is_hopper() => println!("SKIPPED (visible): the GPU is no Hopper"),
            Ok(gpu) => hopper_follows_the_portable(&gpu),
        }
    }

    #[test]
    fn cuda_attention_follows_the_cpu_at_every_width() {
        match Device::cuda() {
            Err(e) => println!("SKIPPED (visible): {e}"),
            Ok(gpu) => TOLERANCES.into_iter().for_each(|(dtype, tolerance)| follows_the_cpu(&gpu, dtype, tolerance)),
        }
    }
}
