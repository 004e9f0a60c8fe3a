//! dispatch: s\[i\] = x[row of sorted row i]; dx\[t\] = Σ_j ds[slot of (t, j)].
//! combine: y\[t\] = Σ_j w[t, j]·s[slot of (t, j)]; ds\[slot\] = w[t, j]·dy\[t\], dw[t, j] = ⟨dy\[t\], s\[slot\]⟩.

use super::gate::gate;
use super::routing::Place;
use super::{Routing, clear, small};
use crate::device::{DType, PoolVec, Real, kernels};
use crate::error::{Error, Result};
use crate::ops::{Case, Input, rowwise};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;
use crate::{with_real, with_storage};

/// Rows x [T, d], each to its k experts → sorted rows [S, d].
pub fn dispatch(tape: &Tape, x: &Var, routing: &Routing) -> Result<Var> {
    let (rows, d, top_k, sorted) = (routing.rows, x.value().cols(), routing.top_k, routing.sorted());
    if x.value().rows() != rows {
        return Err(Error::op("dispatch", "x", format!("[{rows}, d]"), format!("{:?}", x.shape())));
    }
    let device = x.value().device().clone();
    let routing = routing.clone();
    if let Place::Host { source, .. } = &*routing.place {
        let value = with_real!(x.dtype(), F => {
            let (from, mut s) = (x.value().as_slice::<F>(), PoolVec::<F>::uninit(sorted * d));
            for (row, &c) in s.chunks_exact_mut(d).zip(source) {
                row.copy_from_slice(&from[c as usize / top_k * d..][..d]);
            }
            Tensor::from_pool(&[sorted, d], s)
        });
        return Ok(tape.record(value, &[x], move |ds| {
            let Place::Host { slot, .. } = &*routing.place else { unreachable!("matched above") };
            Ok(vec![Some(with_real!(ds.dtype(), F => {
                let (from, mut dx) = (ds.as_slice::<F>(), PoolVec::<F>::zeros(rows * d));
                for (c, &i) in slot.iter().enumerate() {
                    let row = &mut dx[c / top_k * d..][..d];
                    row.iter_mut().zip(&from[i as usize * d..][..d]).for_each(|(x, &g)| *x += g);
                }
                Tensor::from_pool(&[rows, d], dx)
            }))])
        }));
    }
    let mut s = Tensor::uninit_on(&device, &[sorted, d], x.dtype())?;
    let [r, i, k, columns] = [rows, sorted, top_k, d].map(|size| size as i32);
    with_storage!(x.dtype(), T => {
        let source = routing.source()?.input(0);
        kernels::route::scatter::<T>(rowwise(&device, sorted, d), x.value().input(), source, s.output(), i, k, columns)?;
        Ok(tape.record(s, &[x], move |ds| {
            let mut dx = Tensor::uninit_on(&device, &[rows, d], ds.dtype())?;
            let slot = routing.slot()?.input(0);
            let grid = rowwise(&device, rows, d);
            kernels::route::gather::<T>(grid, ds.input(), crate::device::In::NULL, slot, dx.output(), r, k, columns)?;
            Ok(vec![Some(dx)])
        }))
    })
}

/// Sorted rows s [S, d] under `weights` [T, k] → [T, d].
pub fn combine(tape: &Tape, s: &Var, weights: &Var, routing: &Routing) -> Result<Var> {
    let (rows, d, top_k, sorted) = (routing.rows, s.value().cols(), routing.top_k, routing.sorted());
    if s.value().rows() != sorted || weights.shape() != [rows, top_k] {
        let expected = format!("[{sorted}, d] and [{rows}, {top_k}]");
        return Err(Error::op(
            "combine",
            "rows and weights",
            expected,
            format!("{:?}, {:?}", s.shape(), weights.shape()),
        ));
    }
    let device = s.value().device().clone();
    let (routing, sv, wv) = (routing.clone(), s.value().clone(), weights.value().clone());
    if let Place::Host { slot, .. } = &*routing.place {
        let value = with_real!(s.dtype(), F => {
            let (from, w, mut y) = (sv.as_slice::<F>(), wv.as_slice::<F>(), PoolVec::<F>::zeros(rows * d));
            for (c, &i) in slot.iter().enumerate() {
                let row = &mut y[c / top_k * d..][..d];
                row.iter_mut().zip(&from[i as usize * d..][..d]).for_each(|(y, &s)| *y += w[c] * s);
            }
            Tensor::from_pool(&[rows, d], y)
        });
        return Ok(tape.record(value, &[s, weights], move |dy| {
            let Place::Host { slot, .. } = &*routing.place else { unreachable!("matched above") };
            Ok(with_real!(dy.dtype(), F => {
                let (from, w, dy) = (sv.as_slice::<F>(), wv.as_slice::<F>(), dy.as_slice::<F>());
                let (mut ds, mut dw) = (PoolVec::<F>::zeros(sorted * d), PoolVec::<F>::zeros(rows * top_k));
                for (c, &i) in slot.iter().enumerate() {
                    let (g, at) = (&dy[c / top_k * d..][..d], i as usize * d);
                    dw[c] = F::of(g.iter().zip(&from[at..][..d]).map(|(g, s)| g.f64() * s.f64()).sum());
                    ds[at..][..d].iter_mut().zip(g).for_each(|(s, &g)| *s = w[c] * g);
                }
                vec![Some(Tensor::from_pool(&[sorted, d], ds)), Some(Tensor::from_pool(&[rows, top_k], dw))]
            }))
        }));
    }
    let mut y = Tensor::uninit_on(&device, &[rows, d], s.dtype())?;
    let [r, i, k, columns] = [rows, sorted, top_k, d].map(|size| size as i32);
    with_storage!(s.dtype(), T => {
        let slot = routing.slot()?.input(0);
        kernels::route::gather::<T>(rowwise(&device, rows, d), sv.input(), wv.input(), slot, y.output(), r, k, columns)?;
        Ok(tape.record(y, &[s, weights], move |dy| {
            let mut ds = Tensor::uninit_on(&device, &[sorted, d], dy.dtype())?;
            let mut dw = Tensor::uninit_on(&device, &[rows, top_k], DType::F32)?;
            let (source, slot) = (routing.source()?.input(0), routing.slot()?.input(0));
            let grid = rowwise(&device, sorted, d);
            kernels::route::spread::<T>(grid, dy.input(), wv.input(), source, ds.output(), i, k, columns)?;
            let grid = device.launch((rows * top_k).div_ceil(WARPS));
            kernels::route::weights::<T>(grid, dy.input(), sv.input(), slot, dw.output(), r * k, k, columns)?;
            Ok(vec![Some(ds), Some(dw)])
        }))
    })
}

/// Warps of a block of `route::weights`, one a choice.
const WARPS: usize = 8;

/// Configurations for the gradient suite.
pub(super) fn cases() -> Vec<Case> {
    let case = |rows: usize, experts: usize, d: usize| {
        let name = format!("dispatch and combine {rows} rows of {d}, 2 of {experts}");
        Case::new(name, vec![Input::new(&[rows, d]), small(rows, experts)], move |t, v| {
            let gated = gate(t, &clear(t, &v[1])?, 2, false)?;
            combine(t, &dispatch(t, &v[0], &gated.routing)?, &gated.weights, &gated.routing)
        })
        .of_depth(2)
    };
    vec![case(1, 2, 3), case(33, 4, 5), case(133, 8, 24)]
}
