//! Runtime choice of instruction set for hot loops.

/// Runs a closure compiled for the best instruction set of this machine (AVX-512, AVX2+FMA or baseline):
/// `vectorised!(|| …)`.
///
/// The closure is inlined into a function of that instruction set, and so must be everything it calls: mark the helpers
/// it uses `#[inline(always)]`. One binary thus runs everywhere and is still vectorised for the machine it finds. (A macro,
/// because only here can the closure get its `#[inline(always)]`: without one, larger closures stay functions of their own
/// and silently run as baseline code.)
#[macro_export]
#[doc(hidden)]
macro_rules! __vectorised {
    (|| $body:expr) => {
        $crate::device::simd::vectorised(
            #[inline(always)]
            || $body,
        )
    };
}
pub use crate::__vectorised as vectorised;

/// What [`vectorised!`] expands to; the closure must be `#[inline(always)]`.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// The instruction set that [`vectorised!`] uses on this machine.
pub fn instruction_set() -> &'static str {
    match pulp::Arch::new() {
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V4(_) => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V3(_) => "AVX2 and FMA",
        #[cfg(target_arch = "aarch64")]
        pulp::Arch::Neon(_) => "NEON",
        _ => "baseline",
    }
}
