// src/ops/film.rs: rows scaled and shifted by what belongs to their sample; rows of no sample pass through.
//
// Bound by memory: x is read once in either direction, γ and β come from the caches.
#include "rows.cuh"

constexpr int WIDTH = 64;                           // columns of a block of `modulation`
constexpr int ACROSS = WIDTH / ELEMENTWISE;         // threads of a row
constexpr int DOWN = ROW_THREADS / ACROSS;          // rows at a time

// y = (1 + γ)·x + β.
template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ x, const T* __restrict__ modulation, const uint32_t* __restrict__ offsets, T* __restrict__ y,
        int batch, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
        if (static_cast<uint32_t>(row) < offsets[batch]) {
            const T* gamma = modulation + static_cast<size_t>(sample_of(offsets, batch, row)) * 2 * d;
            float g[ELEMENTWISE], b[ELEMENTWISE];
            load_eight(g, gamma + column, n);
            load_eight(b, gamma + d + column, n);
#pragma unroll
            for (int j = 0; j < ELEMENTWISE; j++) v[j] = (1.0f + g[j]) * v[j] + b[j];
        }
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dx = (1 + γ)·dy.
template <typename T>
KERNEL(threads = 256)
input(const T* __restrict__ dy, const T* __restrict__ modulation, const uint32_t* __restrict__ offsets, T* __restrict__ dx,
      int batch, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE];
        load_eight(v, dy + static_cast<size_t>(row) * d + column, n);
        if (static_cast<uint32_t>(row) < offsets[batch]) {
            float g[ELEMENTWISE];
            load_eight(g, modulation + static_cast<size_t>(sample_of(offsets, batch, row)) * 2 * d + column, n);
#pragma unroll
            for (int j = 0; j < ELEMENTWISE; j++) v[j] *= 1.0f + g[j];
        }
        store_eight(dx + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dγ[b] = Σ x·dy and dβ[b] = Σ dy over the rows of sample b: a block takes 64 columns of a sample.
template <typename T>
KERNEL(threads = 256)
modulation(const T* __restrict__ x, const T* __restrict__ dy, const uint32_t* __restrict__ offsets, T* __restrict__ dm, int d) {
    const uint32_t first = offsets[blockIdx.y], last = offsets[blockIdx.y + 1];
    const int across = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS;
    const int column = blockIdx.x * WIDTH + across * ELEMENTWISE, n = columns_left(column, d);
    float gamma[ELEMENTWISE] = {}, beta[ELEMENTWISE] = {};
    for (uint32_t row = first + down; row < last; row += DOWN) {
        float v[ELEMENTWISE], g[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
        load_eight(g, dy + static_cast<size_t>(row) * d + column, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) gamma[j] += v[j] * g[j], beta[j] += g[j];
    }
    SHARED(float, partial, [2][DOWN][WIDTH]);
    store_eight(&partial[0][down][across * ELEMENTWISE], gamma, ELEMENTWISE);
    store_eight(&partial[1][down][across * ELEMENTWISE], beta, ELEMENTWISE);
    __syncthreads();
    const int which = threadIdx.x / WIDTH, mine = blockIdx.x * WIDTH + threadIdx.x % WIDTH;
    if (which < 2 && mine < d) {
        float total = 0;
#pragma unroll
        for (int i = 0; i < DOWN; i++) total += partial[which][i][threadIdx.x % WIDTH];
        dm[static_cast<size_t>(blockIdx.y) * 2 * d + which * d + mine] = from_float<T>(total);
    }
}
