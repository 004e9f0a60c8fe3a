//! Tensor maps: how Hopper's copy engine finds a matrix in device memory.

use half::bf16;

use super::{Device, In};
use crate::error::{Error, Result};

/// Columns of a tile: with bf16 one row of shared memory's 128-byte swizzle.
pub(crate) const TILE_COLUMNS: usize = 64;
/// What the copy engine takes: addresses and strides are multiples of 16 bytes.
const ALIGNMENT: u64 = 16;
/// First word of an emulated map.
pub(super) const EMULATED: u64 = 0x70a5_0a3b_f16d_e5c0;

/// A tensor map, `const TensorMap&` of a kernel: items of rows of columns, of which tiles of `tile_rows` × 64 are copied.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(128))]
pub struct TensorMap([u64; 16]);

/// The matrix that a map describes, in elements of bf16.
#[derive(Debug, Clone, Copy)]
pub struct Matrix {
    /// Columns, rows, items.
    pub extent: [usize; 3],
    /// From row to row, from item to item.
    pub strides: [usize; 2],
    /// Rows of a tile, at most 256.
    pub tile_rows: usize,
}

impl TensorMap {
    /// Of the matrix at `start`, whose address and strides are multiples of 16 bytes.
    pub fn new(device: &Device, start: In<bf16>, matrix: Matrix) -> Result<Self> {
        let Matrix { extent, strides, tile_rows } = matrix;
        let [columns, rows, items] = extent.map(|n| n as u64);
        let strides = strides.map(|n| n as u64 * size_of::<bf16>() as u64);
        let fits = extent.iter().all(|n| (1..=1 << 31).contains(n)) && (1..=256).contains(&tile_rows);
        let aligned = |n: u64| n.is_multiple_of(ALIGNMENT) && n < 1 << 40;
        if !fits || !start.address().is_multiple_of(ALIGNMENT) || !strides.into_iter().all(aligned) {
            let expected = "1 to 2³¹ items, rows and columns, strides of multiples of 16 bytes";
            return Err(Error::op("tensor map", "matrix", expected, format!("{matrix:?} at {:#x}", start.address())));
        }
        match device {
            Device::Cpu => Err(device.error("host memory has no tensor maps")),
            Device::Emulated(_) => {
                let [row_bytes, item_bytes] = strides;
                let words = [EMULATED, start.address(), columns, rows, items, row_bytes, item_bytes, tile_rows as u64];
                Ok(TensorMap(std::array::from_fn(|i| words.get(i).copied().unwrap_or_default())))
            }
            Device::Cuda(gpu) => {
                let tile = [TILE_COLUMNS as u32, tile_rows as u32, 1];
                Ok(TensorMap(gpu.tensor_map(start.address(), [columns, rows, items], strides, tile)?))
            }
        }
    }
}
