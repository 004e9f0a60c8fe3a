// src/ops/reduce.rs: sums in a fixed order.
#include "common.cuh"

// y[k, j] = Σ x[i, j] over the rows of slice k: a block sums 32 columns of one slice, eight rows at a time.
template <typename T>
KERNEL(threads = 256)
columns(const T* __restrict__ x, float* __restrict__ y, int rows, int rows_per_slice, int d) {
    constexpr int LANES = 256 / WARP;
    const int column = blockIdx.x * WARP + threadIdx.x % WARP, lane = threadIdx.x / WARP;
    const int first = blockIdx.y * rows_per_slice, last = min(first + rows_per_slice, rows);
    float sum = 0;
    if (column < d) {
        for (int i = first + lane; i < last; i += LANES) sum += to_float(x[static_cast<size_t>(i) * d + column]);
    }
    SHARED(float, partial, [LANES][WARP]);
    partial[lane][threadIdx.x % WARP] = sum;
    __syncthreads();
    if (lane == 0 && column < d) {
        float total = 0;
#pragma unroll
        for (int i = 0; i < LANES; i++) total += partial[i][threadIdx.x];
        y[static_cast<size_t>(blockIdx.y) * d + column] = total;
    }
}
