// A small sound kernel (FAULT = 0) in the manner of the kernels for Hopper, and copies of it with one thing wrong each: the emulator
// must find every one. Compiled for the emulator's own tests only.
#include "common.cuh"
#include "hopper.cuh"

constexpr int STAGES = 2, WARPS = 4; // of the ring; of the warpgroup that sums, after which the producer comes
constexpr int SIDE = 64, TILE_BYTES = SIDE * TILE_ROW_BYTES;

// c[64, 64] = a[64, k] · b[64, 64]ᵀ summed over the k / 64 parts of a: `a` through a ring by the copy engine, `b` once by plain stores.
template <int FAULT>
KERNEL(threads = 160, FAULT = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15)
product(const TensorMap& a, const bf16* b, float* c, int k) {
    DYNAMIC_SHARED(memory);
    SHARED(Barrier, full, [STAGES]);
    SHARED(Barrier, empty, [STAGES]);
    unsigned char* const ring = tile_aligned(memory) + (FAULT == 13 ? 512 : 0); // 13: tiles out of step with the swizzle
    unsigned char* const tile_b = ring + STAGES * TILE_BYTES;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (threadIdx.x == WARPGROUP) {
        for (int s = 0; s < STAGES; s++) {
            barrier_init(&full[s], 1);
            barrier_init(&empty[s], FAULT == 14 ? 1 : WARPS); // 14: the first warp of four frees a stage
        }
        if (FAULT != 11) fence_async(); // 11: the copy engine does not see the barriers
    }
    __syncthreads();
    RingPosition<STAGES> at;
    if (warp == WARPS) {
        if (lane > 0) return;
        for (int from = 0; from < k; from += SIDE, at.next()) {
            if (FAULT != 2) barrier_wait(&empty[at.stage], at.parity ^ 1);        // 2: no wait for a free stage
            barrier_arrive_expecting(&full[at.stage], FAULT == 10 ? TILE_BYTES / 2 : TILE_BYTES); // 10: too few bytes
            copy_tile_async(ring + at.stage * TILE_BYTES, a, &full[at.stage], from, 0, 0);
        }
        return;
    }
    for (int i = threadIdx.x; i < SIDE * 8; i += WARPGROUP) {
        const int row = i / 8, chunk = i % 8;
        store<8>(reinterpret_cast<bf16*>(tile_b + row * TILE_ROW_BYTES) + (chunk ^ row % 8) * 8, load<8>(b + row * SIDE + chunk * 8));
    }
    if (FAULT != 4) fence_async();                  // 4: wgmma does not see the stores
    if (FAULT != 5) named_barrier(1, WARPGROUP);    // 5: nor those of other threads
    float sums[SIDE / 8][4] = {};
    const uint64_t right = tile_descriptor(tile_b, 0) - (FAULT == 9 ? uint64_t{EIGHT_ROWS / 2} << 28 : 0); // 9: half the stride
    for (int from = 0; from < k; from += SIDE, at.next()) {
        const uint64_t left = tile_descriptor(ring + at.stage * TILE_BYTES, 0);
        if (FAULT != 1) barrier_wait(&full[at.stage], at.parity); // 1: no wait for the copy
        if (FAULT != 6) wgmma_fence();                            // 6: no fence before registers are used
        if (FAULT == 12 && warp == 3 && from > 0) break;          // 12: a warp starts fewer products than its group
        for (int step = 0; step < SIDE / 16; step++)
            wgmma<false, false>(sums, advanced<false>(left, step), advanced<false>(right, step), true);
        wgmma_commit();
        if (FAULT == 3 && lane == 0) barrier_arrive(&empty[at.stage]); // 3: frees a stage that is still read
        if (FAULT == 8) sums[0][0] += 1.0f;                            // 8: touches sums under way
        if (FAULT != 7) wgmma_wait<0>();                               // 7: no wait for the products
        if (FAULT != 3 && lane == 0) {
            if (FAULT != 14 || warp == 0) barrier_arrive(&empty[at.stage]);
            if (FAULT == 15 && warp == 0) barrier_arrive(&empty[at.stage]); // 15: arrives twice
        }
    }
    for (int j = 0; j < SIDE / 8; j++) {
        for (int e = 0; e < 4; e++) {
            const int row = warp * 16 + e / 2 * 8 + lane / 4, column = j * 8 + lane % 4 * 2 + e % 2;
            c[row * SIDE + column] = sums[j][e];
        }
    }
}
