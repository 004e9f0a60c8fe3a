//! Attention by kernels: `kernels/attention.cu`, `kernels/attention_backward.cu`.

use super::AttentionSpec;
use crate::device::{DType, Launch, Out, kernels};
use crate::error::{Error, Result};
use crate::ops::Ragged;
use crate::ops::dropout::Draws;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::with_storage;

/// Columns that the kernels are built for; narrower heads are padded in shared memory.
const WIDTHS: [usize; 4] = [16, 32, 64, 128];
/// Blocks that fill a large GPU: two on each of 132 multiprocessors.
const BLOCKS: usize = 264;
/// Most blocks that share the keys of a query.
const MOST_SPLITS: usize = 16;
/// Threads of a block.
const THREADS: usize = 128;

/// How a kernel tiles: rows of a block, rows of the other side in a step, and the dynamic shared memory for both.
struct Tiling {
    rows: usize,
    step: usize,
    shared: usize,
}

impl Tiling {
    /// `resident` tiles of a block's rows stay; two tiles of a step are used while two are on their way.
    fn new(width: usize, dtype: DType, row_tiles: usize, step: usize, resident: usize) -> Self {
        let rows = 64 * row_tiles;
        let pitch = width * dtype.bytes() + 16;
        Tiling { rows, step, shared: (resident * rows + 4 * step) * pitch }
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

/// How many blocks share the keys so that the GPU is full.
fn splits(blocks: usize, steps: usize) -> usize {
    (BLOCKS / blocks.max(1)).min(steps).clamp(1, MOST_SPLITS)
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
    let (device, heads, batch, rows, d) = (q.device(), spec.heads, spec.queries.batch(), q.rows(), q.cols());
    let width = width(q, spec)?;
    let tiling = Tiling::forward(width, q.dtype());
    let blocks = tiling.blocks(&spec.queries);
    let splits = splits(blocks * heads * batch, spec.keys.longest().div_ceil(tiling.step));
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
        kernels::attention::forward::<T>(
            grid, width, q.input(), k.input(), v.input(), query_offsets.input(0), key_offsets.input(0), out.output(),
            partial_out, logs_out, rows_, heads_, d_, splits_, scale, draws.below, draws.scale, draws.counter, draws.key,
        )?;
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
        assert_eq!(splits(blocks(1), 75), 16);
        assert_eq!(splits(blocks(16), 75), 1);
        assert_eq!(splits(1, 3), 3);
        assert_eq!(splits(0, 0), 1);
    }
}
