//! Gram matrices G = X·Xᵀ of the rows of X [n, d] on a device, with X's columns centred: what VICReg and CKA are made of.

use crate::device::{DType, In, Launch, Out, kernels};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::with_storage;

/// Rows and columns of a block's tile.
pub(crate) const TILE: usize = 32;
/// Columns of a block that sums columns.
const WIDTH: usize = 32;

/// Writes G [n, n] to an f32 tensor from an element on; `mean` are the columns' means from an element on, and Σ G² over each
/// of the ⌈n/32⌉² tiles goes to `squares` from an element on.
pub(crate) fn gram(
    x: &Tensor,
    mean: Option<(&Tensor, usize)>,
    (to, at): (&mut Tensor, usize),
    squares: Option<(&mut Tensor, usize)>,
) -> Result<()> {
    let (n, d) = (x.rows(), x.cols());
    let tiles = n.div_ceil(TILE);
    let grid = Launch::grid(x.device(), [tiles, tiles, 1]);
    let mean = mean.map_or(In::NULL, |(mean, at)| mean.view(at, &[d]).input());
    let squares = squares.map_or(Out::NULL, |(squares, at)| squares.output::<f32>().shifted(at));
    let to = to.output::<f32>().shifted(at);
    with_storage!(x.dtype(), T => kernels::gram::forward::<T>(grid, x.input(), mean, to, squares, n as i32, d as i32))
}

/// G of X with its columns centred, on X's device.
pub fn centred_gram(x: &Tensor) -> Result<Tensor> {
    let (n, d) = (x.rows(), x.cols());
    let mut mean = Tensor::uninit_on(x.device(), &[d], DType::F32)?;
    let mut to = Tensor::uninit_on(x.device(), &[n, n], DType::F32)?;
    with_storage!(x.dtype(), T => {
        let grid = x.device().launch(d.div_ceil(WIDTH));
        kernels::gram::mean::<T>(grid, x.input(), mean.output(), n as i32, d as i32)?;
    });
    gram(x, Some((&mean, 0)), (&mut to, 0), None)?;
    Ok(to)
}

/// Rows of a matrix that a block sums.
const ROWS: usize = 16;

/// Σ K∘L, Σ K_ii·L_ii, tr K and tr L of two [n, n] matrices, read back.
pub(crate) fn pair_sums(k: &Tensor, l: &Tensor) -> Result<[f64; 4]> {
    let n = k.rows();
    let blocks = n.div_ceil(ROWS);
    let mut partial = Tensor::uninit_on(k.device(), &[blocks, 4], DType::F32)?;
    kernels::gram::products(k.device().launch(blocks), k.input(), l.input(), partial.output(), n as i32, ROWS as i32)?;
    let mut sums = [0.0; 4];
    for row in partial.to_host()?.to_f64().chunks_exact(4) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    Ok(sums)
}
