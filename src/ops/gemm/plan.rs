//! Which kernel computes a product, in what tiles, and into how many parts k is split.

use super::Size;

/// Blocks that fill the largest GPU (132 multiprocessors, two blocks on each).
const FULL: usize = 264;
/// k of a split: enough that its sums are worth writing and reading once more.
const SHORTEST_SPLIT: usize = 512;
const MOST_SPLITS: usize = 64;

/// What computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// Tensor cores, square tiles of 64 or 128.
    Tensor { tile: usize },
    /// FMA, any alignment.
    Plain,
    /// cuBLASLt by its n-th algorithm.
    Library { algorithm: usize },
}

impl Engine {
    pub fn tile(self) -> usize {
        match self {
            Engine::Tensor { tile } => tile,
            Engine::Plain | Engine::Library { .. } => 64,
        }
    }
}

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub engine: Engine,
    /// Parts of k, each summed by its own blocks.
    pub splits: usize,
}

impl Plan {
    /// The largest tile that still fills the GPU, with k split where there are few tiles. Depends on nothing but the sizes, so that
    /// a product has the same bits on every run.
    pub fn choose(size: Size, aligned: bool) -> Self {
        let blocks = |tile: usize| size.m.div_ceil(tile) * size.n.div_ceil(tile) * size.batch;
        let splits = |tile: usize| {
            let longest = (size.k / SHORTEST_SPLIT).clamp(1, MOST_SPLITS);
            (FULL / blocks(tile).max(1)).clamp(1, longest)
        };
        let engine = match aligned {
            false => Engine::Plain,
            true if blocks(128) * splits(128) >= FULL / 2 => Engine::Tensor { tile: 128 },
            true => Engine::Tensor { tile: 64 },
        };
        Plan { engine, splits: splits(engine.tile()) }
    }
}

/// Dynamic shared memory of `tensor` in `kernels/gemm.cu`: stages of two operands, 32 of k deep, in bf16.
pub(super) fn shared_bytes(tile: usize) -> usize {
    let stages = if tile == 128 { 3 } else { 4 };
    stages * 2 * tile * 32 * 2
}
