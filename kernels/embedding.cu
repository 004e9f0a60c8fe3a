// src/ops/embedding.rs: y[i] = table[index[i]], and its transpose.
//
// Both are bound by memory: the forward pass by writing y, the backward pass by reading dy once. Backward needs no sort and no
// atomics: the block of a symbol reads all indices (a few thousand, in L2) and adds the rows that carry it, each of its eight
// warps every eighth group of 32 indices in order, then the warps in order.
#include "rows.cuh"

template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ table, const uint32_t* __restrict__ index, T* __restrict__ y, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE];
        load_eight(v, table + static_cast<size_t>(index[row]) * d + column, n);
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dtable[v] = Σ dy[i] over index[i] = v: block (v, 256 columns), a lane eight of them.
template <typename T>
KERNEL(threads = 256)
backward(const T* __restrict__ dy, const uint32_t* __restrict__ index, float* __restrict__ dtable, int rows, int d) {
    constexpr int WARPS = 8, WIDTH = WARP * ELEMENTWISE;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int first = blockIdx.y * WIDTH, column = first + lane * ELEMENTWISE, n = columns_left(column, d);
    float sum[ELEMENTWISE] = {};
    for (int base = warp * WARP; base < rows; base += WARPS * WARP) {
        uint32_t found = lane_vote(base + lane < rows && index[min(base + lane, rows - 1)] == blockIdx.x);
        while (found) {
            const int row = base + __ffs(found) - 1;
            found &= found - 1;
            float v[ELEMENTWISE];
            load_eight(v, dy + static_cast<size_t>(row) * d + column, n);
#pragma unroll
            for (int j = 0; j < ELEMENTWISE; j++) sum[j] += v[j];
        }
    }
    SHARED(float, partial, [WARPS][WIDTH]);
    store_eight(&partial[warp][lane * ELEMENTWISE], sum, ELEMENTWISE);
    __syncthreads();
    float total = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) total += partial[w][threadIdx.x];
    if (first + static_cast<int>(threadIdx.x) < d) dtable[static_cast<size_t>(blockIdx.x) * d + first + threadIdx.x] = total;
}
