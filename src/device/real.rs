//! The scalar type that CPU kernels are generic over: `f32` for speed, `f64` as the oracle.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use super::pool::Pool;
use super::{Buffer, DType, PoolVec};

/// A floating-point element with the few functions the operations need, written to vectorise.
pub trait Real:
    bytemuck::Pod
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + Sum
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
{
    /// Element type tag.
    const DTYPE: DType;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Most negative finite value.
    const LOWEST: Self;

    /// Nearest value to `x`.
    fn of(x: f64) -> Self;
    /// Exact widening.
    fn f64(self) -> f64;
    /// e^self; branch-free in `f32`.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// self · a + b, rounded once: one instruction where [`vectorised`](super::simd::vectorised) finds it, slow elsewhere.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Larger of the two (neither is NaN).
    fn max(self, other: Self) -> Self;
    /// Standard normal distribution at `self`: (cumulative Φ, density φ).
    fn normal(self) -> (Self, Self);
    /// Wraps host memory.
    fn buffer(data: PoolVec<Self>) -> Buffer;
    /// Reads host memory if it holds this type.
    fn slice(buffer: &Buffer) -> Option<&[Self]>;
    /// Writes host memory if it holds this type.
    fn slice_mut(buffer: &mut Buffer) -> Option<&mut [Self]>;
    #[doc(hidden)]
    fn pool() -> &'static Pool<Self>;
}

/// Bounds inside which `exp` neither overflows nor becomes subnormal in `f32`.
const EXP_RANGE: (f32, f32) = (-87.33654, 88.37626);
/// 1.5·2²³: adding it leaves a float's rounded integer part in its low mantissa bits.
const ROUND_MAGIC: f32 = 12_582_912.0;

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn horner<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for c in &coefficients[1..] {
        sum = sum.mul_add(x, *c);
    }
    sum
}

impl Real for f32 {
    const DTYPE: DType = DType::F32;
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const LOWEST: f32 = f32::MIN;

    #[inline(always)]
    fn of(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn f64(self) -> f64 {
        f64::from(self)
    }
    /// e^x = 2^n · e^r, n = round(x/ln 2), with a degree-6 polynomial in r; relative error < 5e-7.
    #[inline(always)]
    fn exp(self) -> f32 {
        let x = self.clamp(EXP_RANGE.0, EXP_RANGE.1);
        let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND_MAGIC);
        let n = shifted - ROUND_MAGIC;
        // ln 2 in two parts, so that the reduction is exact to f32.
        let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
        let p = horner(r, [0.001_388_889, 0.008_333_334, 0.041_666_668, 0.166_666_67, 0.5, 1.0, 1.0]);
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
        p * scale
    }
    #[inline(always)]
    fn ln(self) -> f32 {
        f32::ln(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32) -> f32 {
        f32::mul_add(self, a, b)
    }
    #[inline(always)]
    fn max(self, other: f32) -> f32 {
        if self > other { self } else { other }
    }
    /// Abramowitz & Stegun 7.1.26 on the tail (absolute error < 5e-7 in f32 arithmetic), sharing one exponential with the density.
    #[inline(always)]
    fn normal(self) -> (f32, f32) {
        let gauss = Real::exp(-0.5 * self * self);
        let t = 1.0 / self.abs().mul_add(0.231_641_9, 1.0);
        let tail = t * horner(t, [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_36, 0.127_414_8]) * gauss;
        let cdf = if self > 0.0 { 1.0 - tail } else { tail };
        (cdf, gauss * 0.398_942_3)
    }
    fn buffer(data: PoolVec<f32>) -> Buffer {
        Buffer::F32(data)
    }
    fn slice(buffer: &Buffer) -> Option<&[f32]> {
        if let Buffer::F32(v) = buffer { Some(v) } else { None }
    }
    fn slice_mut(buffer: &mut Buffer) -> Option<&mut [f32]> {
        if let Buffer::F32(v) = buffer { Some(v) } else { None }
    }
    fn pool() -> &'static Pool<f32> {
        static POOL: Pool<f32> = Pool::new();
        &POOL
    }
}

impl Real for f64 {
    const DTYPE: DType = DType::F64;
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LOWEST: f64 = f64::MIN;

    #[inline(always)]
    fn of(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn exp(self) -> f64 {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> f64 {
        f64::ln(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn mul_add(self, a: f64, b: f64) -> f64 {
        f64::mul_add(self, a, b)
    }
    #[inline(always)]
    fn max(self, other: f64) -> f64 {
        if self > other { self } else { other }
    }
    fn normal(self) -> (f64, f64) {
        let cdf = 0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2);
        (cdf, (-0.5 * self * self).exp() * 0.398_942_280_401_432_7)
    }
    fn buffer(data: PoolVec<f64>) -> Buffer {
        Buffer::F64(data)
    }
    fn slice(buffer: &Buffer) -> Option<&[f64]> {
        if let Buffer::F64(v) = buffer { Some(v) } else { None }
    }
    fn slice_mut(buffer: &mut Buffer) -> Option<&mut [f64]> {
        if let Buffer::F64(v) = buffer { Some(v) } else { None }
    }
    fn pool() -> &'static Pool<f64> {
        static POOL: Pool<f64> = Pool::new();
        &POOL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_exp_and_normal_follow_f64() {
        let mut worst = (0.0f64, 0.0f64, 0.0f64);
        for i in -80_000..80_000 {
            let x = i as f32 * 1e-3;
            let e = (Real::exp(x).f64() / f64::exp(x.f64()) - 1.0).abs();
            let (c, d) = x.normal();
            let (c64, d64) = x.f64().normal();
            worst = (worst.0.max(e), worst.1.max((c.f64() - c64).abs()), worst.2.max((d.f64() - d64).abs()));
        }
        assert!(worst.0 < 5e-7, "exp: relative error {}", worst.0);
        assert!(worst.1 < 5e-7, "Φ: absolute error {}", worst.1);
        assert!(worst.2 < 2e-7, "φ: absolute error {}", worst.2);
    }
}
