//! Attention by kernels: `kernels/attention.cu`, `kernels/attention_sm90a.cu`, `kernels/attention_backward.cu`.

use super::AttentionSpec;
use crate::device::{DType, Launch, Matrix, Out, TensorMap, kernels};
use crate::error::{Error, Result};
use crate::ops::dropout::Draws;
use crate::ops::{Ragged, choice};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_storage;

/// Columns that the kernels are built for; narrower heads are padded in shared memory.
const WIDTHS: [usize; 4] = [16, 32, 64, 128];
/// Widths that the kernel for Hopper is built for.
const HOPPER_WIDTHS: [usize; 2] = [64, 128];
/// Queries of its block, keys of its step.
const HOPPER_ROWS: usize = 128;
/// Multiprocessors of the largest GPU.
const MULTIPROCESSORS: usize = 132;
/// Most blocks that share the keys of a query.
const MOST_SPLITS: usize = 16;
/// Threads of a block.
const THREADS: usize = 128;

/// How a kernel tiles: rows of a block, rows of the other side in a step, and the dynamic shared memory for both.
struct Tiling {
    rows: usize,
    step: usize,
    shared: usize,
    /// Blocks that share a multiprocessor.
    together: usize,
}

/// What computes the forward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Engine {
    Portable,
    /// Hopper's tensor cores and copy engine.
    Hopper,
}

impl Tiling {
    /// `resident` tiles of a block's rows stay; two tiles of a step are used while two are on their way.
    fn new(width: usize, dtype: DType, row_tiles: usize, step: usize, resident: usize) -> Self {
        let rows = 64 * row_tiles;
        let pitch = width * dtype.bytes() + 16;
        Tiling { rows, step, shared: (resident * rows + 4 * step) * pitch, together: 2 }
    }

    fn hopper(width: usize) -> Self {
        // Queries, then keys and values twice; and what aligns them.
        let shared = 5 * HOPPER_ROWS * width * DType::BF16.bytes() + 1024;
        Tiling { rows: HOPPER_ROWS, step: HOPPER_ROWS, shared, together: 1 }
    }

    fn forward(width: usize, dtype: DType) -> Self {
        let (row_tiles, halve) = if dtype == DType::BF16 { (2, 1) } else { (1, 2) };
        Self::new(width, dtype, row_tiles, if width < 128 { 64 } else { 32 } / halve, 1)
    }

    /// Of the pass over key blocks, then of that over query blocks.
    fn backward(width: usize, dtype: DType) -> [Self; 2] {
        let (row_tiles, query_step, key_step) = match (dtype, width < 128) {
            (DType::BF16, true) => (2, 32, 64),
            (DType::BF16, false) => (1, 32, 32),
            (_, true) => (1, 32, 32),
            (_, false) => (1, 8, 8),
        };
        [query_step, key_step].map(|step| Self::new(width, dtype, row_tiles, step, 2))
    }

    /// Blocks along x for the longest sample.
    fn blocks(&self, rows: &Ragged) -> usize {
        rows.longest().div_ceil(self.rows)
    }
}

/// How many blocks share the keys so that the GPU is full, where `together` fit on a multiprocessor.
fn splits(blocks: usize, together: usize, steps: usize) -> usize {
    (MULTIPROCESSORS * together / blocks.max(1)).min(steps).clamp(1, MOST_SPLITS)
}

pub(super) fn launch(tape: &Tape, q: &Var, k: &Var, v: &Var, spec: &AttentionSpec) -> Result<Var> {
    let inputs = [q, k, v];
    let [q, k, v] = inputs.map(|x| x.value().clone());
    let spec = spec.clone();
    let (out, log_norm) = forward(&q, &k, &v, &spec)?;
    let saved = out.clone();
    Ok(tape.record(out, &inputs, move |dout| backward(&q, &k, &v, &saved, &log_norm, dout, &spec)))
}

/// Width that the kernel is built for.
fn width(q: &Tensor, spec: &AttentionSpec) -> Result<usize> {
    let width = q.cols() / spec.heads;
    let built = WIDTHS.into_iter().find(|&w| w >= width);
    built.ok_or_else(|| Error::op("attention", "heads", "heads of ≤ 128 columns", format!("{width} columns")))
}

/// O, and for each head and query log₂ Σ exp(score).
fn forward(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec) -> Result<(Tensor, Tensor)> {
    let mut engines = vec![Engine::Portable];
    let (width, rows) = (q.cols() / spec.heads, [q.rows(), k.rows()]);
    let mappable = q.dtype() == DType::BF16 && HOPPER_WIDTHS.contains(&width) && rows.iter().all(|&n| n > 0);
    if mappable && q.device().is_hopper() && [q, k, v].iter().all(|x| x.is_aligned()) {
        engines.push(Engine::Hopper);
    }
    let names: Vec<&str> = engines.iter().map(|e| if *e == Engine::Hopper { "hopper" } else { "portable" }).collect();
    let [longest_queries, longest_keys] = [&spec.queries, &spec.keys].map(|rows| choice::class(rows.longest()));
    let dropout = if spec.dropout.is_some() { " with dropout" } else { "" };
    let (heads, batch) = (spec.heads, spec.queries.batch());
    let key = format!(
        "attention of {width} columns{dropout}, {batch} samples, {heads} heads, up to {longest_queries} queries, {longest_keys} keys"
    );
    let run = |i: usize| Ok(forward_by(engines[i], q, k, v, spec)?.0);
    forward_by(engines[choice::choose(q.device(), &key, &names, run)?], q, k, v, spec)
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
                grid, width, map(q)?, map(k)?, map(v)?, query_offsets.input(0), key_offsets.input(0),
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

/// Packed rows as the copy engine finds them.
fn map(x: &Tensor) -> Result<TensorMap> {
    let matrix = Matrix { extent: [x.cols(), x.rows(), 1], strides: [x.cols(), x.len()], tile_rows: HOPPER_ROWS };
    TensorMap::new(x.device(), x.input(), matrix)
}

/// dQ, dK, dV.
fn backward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    log_norm: &Tensor,
    dout: &Tensor,
    spec: &AttentionSpec,
) -> Result<Vec<Option<Tensor>>> {
    let (device, heads, batch, rows, d) = (q.device(), spec.heads, spec.queries.batch(), q.rows(), q.cols());
    let width = width(q, spec)?;
    let [by_keys, by_queries] = Tiling::backward(width, q.dtype());
    let like = |x: &Tensor| Tensor::uninit_on(device, x.shape(), x.dtype());
    let (mut dq, mut dk, mut dv) = (like(q)?, like(k)?, like(v)?);
    let mut dot = Tensor::uninit_on(device, &[heads, rows], DType::F32)?;
    let (query_offsets, key_offsets) = (spec.queries.on(device)?, spec.keys.on(device)?);
    let draws = spec.dropout.as_ref().map_or(Ok(Draws::NONE), |dropout| dropout.draws(device))?;
    let grid = |tiling: &Tiling, rows| Launch::grid(device, [tiling.blocks(rows), heads, batch]).shared(tiling.shared);
    let [rows_, heads_, d_] = [rows, heads, d].map(|n| n as i32);
    let scale = (1.0 / ((d / heads) as f64).sqrt()) as f32;
    with_storage!(q.dtype(), T => {
        let parts = width / 8;
        kernels::attention_backward::dots::<T>(
            device.launch((rows * heads * parts).div_ceil(THREADS)), parts, dout.input(), out.input(), dot.output(), rows_,
            heads_, d_,
        )?;
        kernels::attention_backward::keys::<T>(
            grid(&by_keys, &spec.keys), width, q.input(), k.input(), v.input(), dout.input(), log_norm.input(), dot.input(),
            query_offsets.input(0), key_offsets.input(0), dk.output(), dv.output(), rows_, heads_, d_, scale,
            draws.below, draws.scale, draws.counter, draws.key,
        )?;
        kernels::attention_backward::queries::<T>(
            grid(&by_queries, &spec.queries), width, q.input(), k.input(), v.input(), dout.input(), log_norm.input(),
            dot.input(), query_offsets.input(0), key_offsets.input(0), dq.output(), rows_, heads_, d_, scale,
            draws.below, draws.scale, draws.counter, draws.key,
        )?;
    });
    Ok(vec![Some(dq), Some(dk), Some(dv)])
}

#[cfg(test)]
mod tests {
    use super::super::case;
    use super::*;
    use crate::device::Device;
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

    #[test]
    fn keys_are_split_only_where_queries_are_few() {
        // The paper's reverse cross-attention: 188 queries over 2,400 keys, 8 heads; one sample, then 16.
        let blocks = |samples: usize| 2 * 8 * samples;
        assert_eq!(splits(blocks(1), 2, 75), 16);
        assert_eq!(splits(blocks(1), 1, 19), 8);
        assert_eq!(splits(blocks(16), 2, 75), 1);
        assert_eq!(splits(1, 2, 3), 3);
        assert_eq!(splits(0, 2, 0), 1);
    }
}
