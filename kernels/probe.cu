// src/device/probe.rs: every primitive of common.cuh once, to be compared with plain Rust: what `engine doctor` runs first.
#include "common.cuh"

constexpr int DEPTH = 16; // rows of b that one mma takes

// c[16, 16] = a[16, k] · b[k, 16], k a multiple of 16. Two warps share the tiles of a and b, copied one step ahead; each takes
// eight columns.
KERNEL(threads = 64)
product(const bf16* __restrict__ a, const bf16* __restrict__ b, float* __restrict__ c, int k) {
    SHARED(bf16, tile_a, [2][16][DEPTH]);
    SHARED(bf16, tile_b, [2][DEPTH][16]);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    // Both tiles have 16 rows of two 16-byte pieces: warp 0 copies a's, warp 1 b's.
    const auto copy = [&](int stage, int from) {
        const int row = lane / 2, column = lane % 2 * 8;
        if (warp == 0) copy_async<16>(&tile_a[stage][row][column], a + row * k + from + column, from < k);
        if (warp == 1) copy_async<16>(&tile_b[stage][row][column], b + (from + row) * 16 + column, from < k);
        copy_async_commit();
    };
    float sum[4] = {};
    copy(0, 0);
    for (int from = 0, stage = 0; from < k; from += DEPTH, stage ^= 1) {
        if (from + DEPTH < k) copy(stage ^ 1, from + DEPTH);
        else copy_async_commit();
        copy_async_wait<1>();
        __syncthreads();
        uint32_t x[4], y[2];
        load_matrix(x, &tile_a[stage][lane % 16][lane / 16 * 8]);
        load_matrix_transposed(y, &tile_b[stage][lane % 16][warp * 8]);
        mma_bf16(sum, x, y);
        __syncthreads(); // before the tiles are overwritten
    }
    const int row = lane / 4, column = warp * 8 + lane % 4 * 2;
    c[row * 16 + column] = sum[0];
    c[row * 16 + column + 1] = sum[1];
    c[(row + 8) * 16 + column] = sum[2];
    c[(row + 8) * 16 + column + 1] = sum[3];
}

// Four words for every (counter, i).
KERNEL(threads = 64)
random(uint32_t* __restrict__ words, uint64_t counter, uint64_t key) {
    const Random4 four = philox(counter, threadIdx.x, key);
#pragma unroll
    for (int i = 0; i < 4; i++) words[threadIdx.x * 4 + i] = four.word[i];
}

// y[0] = Σ x over the block, y[1] the largest of the last warp's, y[2] what lane 5 of the last warp holds.
KERNEL(threads = 64)
reduce(const float* __restrict__ x, float* __restrict__ y) {
    const float v = x[threadIdx.x];
    const float sum = block_sum<64>(v), largest = warp_max(v), fifth = shuffle(v, 5);
    if (threadIdx.x == 63) y[0] = sum, y[1] = largest, y[2] = fifth;
}
