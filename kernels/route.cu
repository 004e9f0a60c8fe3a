// src/ops/moe/route.rs: rows to their experts' places and back. Bound by memory.
#include "rows.cuh"

constexpr uint32_t EMPTY = 0xffffffff;

// s[i] = x[t] for the row t that sorted row i comes from; 0 where it is empty.
template <typename T>
KERNEL(threads = 256)
scatter(const T* __restrict__ x, const uint32_t* __restrict__ source, T* __restrict__ s, int sorted, int k, int d) {
    for_row_elements(sorted, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE] = {};
        if (source[row] != EMPTY) load_eight(v, x + static_cast<size_t>(source[row] / k) * d + column, n);
        store_eight(s + static_cast<size_t>(row) * d + column, v, n);
    });
}

// ds[i] = w·dy[t]; 0 where sorted row i is empty.
template <typename T>
KERNEL(threads = 256)
spread(const T* __restrict__ dy, const float* __restrict__ weights, const uint32_t* __restrict__ source, T* __restrict__ ds,
       int sorted, int k, int d) {
    for_row_elements(sorted, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE] = {};
        if (source[row] != EMPTY) {
            load_eight(v, dy + static_cast<size_t>(source[row] / k) * d + column, n);
            const float w = weights[source[row]];
#pragma unroll
            for (int j = 0; j < ELEMENTWISE; j++) v[j] *= w;
        }
        store_eight(ds + static_cast<size_t>(row) * d + column, v, n);
    });
}

// y[t] = Σ_j w[t, j]·s[slot[t, j]]; no weights: 1.
template <typename T>
KERNEL(threads = 256)
gather(const T* __restrict__ s, const float* __restrict__ weights, const uint32_t* __restrict__ slot, T* __restrict__ y, int rows,
       int k, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float sum[ELEMENTWISE] = {};
        for (int j = 0; j < k; j++) {
            const size_t choice = static_cast<size_t>(row) * k + j;
            const float w = weights ? weights[choice] : 1.0f;
            float v[ELEMENTWISE];
            load_eight(v, s + static_cast<size_t>(slot[choice]) * d + column, n);
#pragma unroll
            for (int i = 0; i < ELEMENTWISE; i++) sum[i] += w * v[i];
        }
        store_eight(y + static_cast<size_t>(row) * d + column, sum, n);
    });
}

// dw[t, j] = ⟨dy[t], s[slot[t, j]]⟩: a warp for each choice.
template <typename T>
KERNEL(threads = 256)
weights(const T* __restrict__ dy, const T* __restrict__ s, const uint32_t* __restrict__ slot, float* __restrict__ dw, int choices,
        int k, int d) {
    const int choice = blockIdx.x * (ROW_THREADS / WARP) + threadIdx.x / WARP;
    if (choice >= choices) return;
    const T* g = dy + static_cast<size_t>(choice / k) * d;
    const T* x = s + static_cast<size_t>(slot[choice]) * d;
    float sum = 0;
    for (int c = threadIdx.x % WARP; c < d; c += WARP) sum += to_float(g[c]) * to_float(x[c]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) dw[choice] = sum;
}
