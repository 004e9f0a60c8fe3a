//! Which kernels compute attention, and how they tile.

use super::AttentionSpec;
use crate::device::{DType, Matrix, TensorMap};
use crate::error::{Error, Result};
use crate::ops::{Ragged, choice};
use crate::tensor::Tensor;

/// Columns that the kernels are built for; narrower heads are padded in shared memory.
const WIDTHS: [usize; 4] = [16, 32, 64, 128];
/// Widths that the kernel for Hopper is built for.
const HOPPER_WIDTHS: [usize; 2] = [64, 128];
/// Rows of its block, keys of its step in the forward pass.
pub(super) const HOPPER_ROWS: usize = 128;
/// Rows of its step in the backward passes.
pub(super) const HOPPER_BACKWARD_STEP: usize = 64;
/// Multiprocessors of the largest GPU.
const MULTIPROCESSORS: usize = 132;
/// Most blocks that share the keys of a query.
const MOST_SPLITS: usize = 16;

/// How a kernel tiles: rows of a block, rows of the other side in a step, and the dynamic shared memory for both.
pub(super) struct Tiling {
    rows: usize,
    pub step: usize,
    pub shared: usize,
    /// Blocks that share a multiprocessor.
    pub together: usize,
}

/// What computes attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Engine {
    Portable,
    /// Hopper's tensor cores and copy engine.
    Hopper,
}

impl Engine {
    /// The engine of `pass`, which `run` computes with either, without side effects. `operands`: packed rows, the queries first.
    pub fn choose(
        pass: &str,
        operands: &[&Tensor],
        spec: &AttentionSpec,
        run: impl Fn(Engine) -> Result<Vec<Tensor>>,
    ) -> Result<Engine> {
        let (q, heads, batch) = (operands[0], spec.heads, spec.queries.batch());
        let device = q.device();
        let width = q.cols() / heads;
        let built = q.dtype() == DType::BF16 && HOPPER_WIDTHS.contains(&width) && device.is_hopper();
        if !built || operands.iter().any(|x| x.rows() == 0 || !x.is_aligned()) {
            return Ok(Engine::Portable);
        }
        let [queries, keys] = [&spec.queries, &spec.keys].map(|rows| choice::class(rows.longest()));
        let dropout = if spec.dropout.is_some() { " with dropout" } else { "" };
        let key =
            format!("{pass}, {width} columns{dropout}, {batch} samples, {heads} heads, up to {queries} over {keys}");
        let engines = [Engine::Portable, Engine::Hopper];
        Ok(engines[choice::choose(device, &key, &["portable", "hopper"], |i| run(engines[i]))?])
    }
}

impl Tiling {
    /// `resident` tiles of a block's rows stay; two tiles of a step are used while two are on their way.
    fn new(width: usize, dtype: DType, row_tiles: usize, step: usize, resident: usize) -> Self {
        let rows = 64 * row_tiles;
        let pitch = width * dtype.bytes() + 16;
        Tiling { rows, step, shared: (resident * rows + 4 * step) * pitch, together: 2 }
    }

    pub fn hopper(width: usize) -> Self {
        // Queries, then keys and values twice; and what aligns them.
        let shared = 5 * HOPPER_ROWS * width * DType::BF16.bytes() + 1024;
        Tiling { rows: HOPPER_ROWS, step: HOPPER_ROWS, shared, together: 1 }
    }

    /// Of either pass.
    pub fn hopper_backward(width: usize) -> Self {
        // Two tiles that stay, two of a step twice; and what aligns them.
        let rows = 2 * HOPPER_ROWS + 4 * HOPPER_BACKWARD_STEP;
        let shared = rows * width * DType::BF16.bytes() + 1024;
        Tiling { rows: HOPPER_ROWS, step: HOPPER_BACKWARD_STEP, shared, together: 1 }
    }

    pub fn forward(width: usize, dtype: DType) -> Self {
        let (row_tiles, halve) = if dtype == DType::BF16 { (2, 1) } else { (1, 2) };
        Self::new(width, dtype, row_tiles, if width < 128 { 64 } else { 32 } / halve, 1)
    }

    /// Of the pass over key blocks, then of that over query blocks.
    pub fn backward(width: usize, dtype: DType) -> [Self; 2] {
        let (row_tiles, query_step, key_step) = match (dtype, width < 128) {
            (DType::BF16, true) => (2, 32, 64),
            (DType::BF16, false) => (1, 32, 32),
            (_, true) => (1, 32, 32),
            (_, false) => (1, 8, 8),
        };
        [query_step, key_step].map(|step| Self::new(width, dtype, row_tiles, step, 2))
    }

    /// Blocks along x for the longest sample.
    pub fn blocks(&self, rows: &Ragged) -> usize {
        rows.longest().div_ceil(self.rows)
    }
}

/// How many blocks share the keys so that the GPU is full, where `together` fit on a multiprocessor.
pub(super) fn splits(blocks: usize, together: usize, steps: usize) -> usize {
    (MULTIPROCESSORS * together / blocks.max(1)).min(steps).clamp(1, MOST_SPLITS)
}

/// Width that the kernel is built for.
pub(super) fn width(q: &Tensor, spec: &AttentionSpec) -> Result<usize> {
    let width = q.cols() / spec.heads;
    let built = WIDTHS.into_iter().find(|&w| w >= width);
    built.ok_or_else(|| Error::op("attention", "heads", "heads of ≤ 128 columns", format!("{width} columns")))
}

/// Packed rows as the copy engine finds them, in tiles of `tile_rows`.
pub(super) fn map(x: &Tensor, tile_rows: usize) -> Result<TensorMap> {
    let matrix = Matrix { extent: [x.cols(), x.rows(), 1], strides: [x.cols(), x.len()], tile_rows };
    TensorMap::new(x.device(), x.input(), matrix)
}

#[cfg(test)]
mod tests {
    use super::splits;

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
