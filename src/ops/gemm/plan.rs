//! Which kernel computes a product, in what tiles, and into how many parts k is split.

use super::{Layout, Product, Size, library};
use crate::device::{DType, Device};
use crate::error::Result;
use crate::ops::choice;

/// Blocks that fill the largest GPU (132 multiprocessors, two blocks on each).
const FULL: usize = 264;
/// k of a split: enough that its sums are worth writing and reading once more.
const SHORTEST_SPLIT: usize = 512;
const MOST_SPLITS: usize = 64;

/// What computes a product. A further one is a variant here, an arm in `Product::launch` or `Product::sums`, and a candidate in [`choose`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// Tensor cores, square tiles of 64 or 128.
    Tensor { tile: usize },
    /// FMA, any alignment.
    Plain,
    /// Hopper's tensor cores and copy engine, tiles of 128.
    Hopper,
    /// cuBLASLt by one of its algorithms for the product.
    Library { algorithm: usize },
}

impl Engine {
    pub fn tile(self) -> usize {
        match self {
            Engine::Tensor { tile } => tile,
            Engine::Plain => 64,
            Engine::Hopper | Engine::Library { .. } => 128,
        }
    }

    /// As it is remembered; another version of the library may number its algorithms otherwise.
    fn name(self, device: &Device) -> String {
        match self {
            Engine::Tensor { .. } => "tensor".into(),
            Engine::Plain => "plain".into(),
            Engine::Hopper => "hopper".into(),
            Engine::Library { algorithm } => format!("cublaslt {} algorithm {algorithm}", library::version(device)),
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
    pub fn portable(size: Size, aligned: bool) -> Self {
        let engine = match aligned {
            false => Engine::Plain,
            true if blocks(size, 128) * splits(size, 128) >= FULL / 2 => Engine::Tensor { tile: 128 },
            true => Engine::Tensor { tile: 64 },
        };
        Plan { engine, splits: splits(size, engine.tile()) }
    }

    /// On Hopper's own instructions.
    fn hopper(size: Size) -> Self {
        Plan { engine: Engine::Hopper, splits: splits(size, Engine::Hopper.tile()) }
    }
}

/// The plan of a product that is stored as `out`: where several engines can compute it, the one that was measured to be fastest.
pub(super) fn choose(product: &Product, out: DType) -> Result<Plan> {
    let (size, device, dtype) = (product.size(), product.a.tensor.device(), product.a.tensor.dtype());
    let aligned = dtype == DType::BF16 && product.a.is_aligned() && product.b.is_aligned();
    let mut plans = vec![Plan::portable(size, aligned)];
    if aligned && device.is_hopper() && product.is_mappable() {
        plans.push(Plan::hopper(size));
    }
    // The library has no epilogue of ours but the addition, and would need a pass of its own for the rest.
    if product.only_adds() {
        let dense = Layout::dense(size.m, size.n);
        let signature = library::signature(product.form, size, product.a, product.b, dense, out);
        let algorithms = signature.map_or(Ok(0), |s| library::algorithms(device, &s))?;
        plans.extend((0..algorithms).map(|algorithm| Plan { engine: Engine::Library { algorithm }, splits: 1 }));
    }
    if plans.len() == 1 {
        return Ok(plans[0]); // names and key are only for a choice
    }
    let names: Vec<String> = plans.iter().map(|plan| plan.engine.name(device)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let [m, n, k] = [size.m, size.n, size.k].map(choice::class);
    let epilogue = if product.only_adds() { "" } else { " and more" };
    let key =
        format!("product {:?} up to {m}x{n}x{k}, {} times, {dtype:?} to {out:?}{epilogue}", product.form, size.batch);
    Ok(plans[choice::choose(device, &key, &names, |i| Ok(vec![product.bare(plans[i]).run(out)?]))?])
}

fn blocks(size: Size, tile: usize) -> usize {
    size.m.div_ceil(tile) * size.n.div_ceil(tile) * size.batch
}

fn splits(size: Size, tile: usize) -> usize {
    let longest = (size.k / SHORTEST_SPLIT).clamp(1, MOST_SPLITS);
    (FULL / blocks(size, tile).max(1)).clamp(1, longest)
}

/// Dynamic shared memory of a product of `kernels/gemm_tile.cuh`: stages of two operands, 32 of k deep, in bf16.
pub(in crate::ops) fn shared_bytes(tile: usize) -> usize {
    let stages = if tile == 128 { 3 } else { 4 };
    stages * 2 * tile * 32 * 2
}

/// k of a stage of `kernels/gemm_sm90a.cu`: rows of a copied tile where an operand is contiguous across k.
pub(super) const HOPPER_DEPTH: usize = 64;
/// Dynamic shared memory of `tensor` in `kernels/gemm_sm90a.cu`: three stages of two operands in bf16, and what aligns them.
pub(super) const HOPPER_SHARED: usize = 3 * 2 * 128 * HOPPER_DEPTH * 2 + 1024;
