// Kernels over rows of features: a thread takes eight neighbouring columns of one row, so that whole warps read whole lines.
#pragma once
#include "common.cuh"

constexpr int ROW_THREADS = 256;

// Calls f(row, column, n) for the `n` ≤ 8 columns from `column` on that this thread handles; ops/parallel.rs makes the grid.
template <typename F>
__device__ __forceinline__ void for_row_elements(int rows, int d, F f) {
    const unsigned chunks = (d + ELEMENTWISE - 1) / ELEMENTWISE;
    const unsigned i = blockIdx.x * ROW_THREADS + threadIdx.x, row = i / chunks;
    if (row >= static_cast<unsigned>(rows)) return;
    const int column = static_cast<int>(i % chunks) * ELEMENTWISE;
    f(static_cast<int>(row), column, min(ELEMENTWISE, d - column));
}

// The sample that owns row `row` of a packed batch: the last one that starts at or before it.
__device__ __forceinline__ int sample_of(const uint32_t* offsets, int batch, uint32_t row) {
    int low = 0, high = batch; // offsets[low] <= row < offsets[high]
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (offsets[middle] <= row) low = middle;
        else
            high = middle;
    }
    return low;
}

// How many of the eight columns from `column` on there are.
__device__ __forceinline__ int columns_left(int column, int d) { return min(max(d - column, 0), ELEMENTWISE); }

// Sum of a value over the eight warps of a block, lane by lane, in the warps' order; all threads call it and get it.
__device__ __forceinline__ float sum_over_warps(float x) {
    SHARED(float, partial, [8][WARP]);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    partial[warp][lane] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (int w = 0; w < 8; w++) sum += partial[w][lane];
    __syncthreads(); // `partial` may be written again
    return sum;
}
