//! Runtime choice of instruction set for hot loops.

/// Runs `body` compiled for the best instruction set of this machine (AVX-512, AVX2+FMA or baseline).
///
/// The closure and everything it calls must inline for this to take effect, so keep bodies small and mark the helpers
/// they use `#[inline(always)]`. One binary thus runs everywhere and is still vectorised for the machine it finds.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}
