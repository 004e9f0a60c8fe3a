// src/ops/moe/balance.rs: how the experts are used, over the rows of samples; `end` is the first row of none.
#include "rows.cuh"

constexpr int PER_BLOCK = 512;
constexpr int MOST_EXPERTS = 64;

// partial[block, 0, e] = Σ p[t, e], partial[block, 1, e] = choices of e, over the block's rows. A thread for each expert and part.
KERNEL(threads = 128)
sums(const float* __restrict__ p, const uint32_t* __restrict__ chosen, const uint32_t* __restrict__ end,
     float* __restrict__ partial, int rows, int experts, int k) {
    const int e = threadIdx.x % MOST_EXPERTS, part = threadIdx.x / MOST_EXPERTS;
    if (e >= experts) return;
    const int first = blockIdx.x * PER_BLOCK;
    const int last = min(min(first + PER_BLOCK, rows), static_cast<int>(end[0]));
    float sum = 0;
    for (int t = first; t < last; t++) {
        if (part == 0) sum += p[static_cast<size_t>(t) * experts + e];
        else if (chosen)
            for (int j = 0; j < k; j++) sum += chosen[static_cast<size_t>(t) * k + j] == static_cast<uint32_t>(e) ? 1.0f : 0.0f;
    }
    partial[(static_cast<size_t>(blockIdx.x) * 2 + part) * experts + e] = sum;
}

// The term and g_e of its gradient.
KERNEL(threads = 64)
finish(const float* __restrict__ partial, const uint32_t* __restrict__ end, float* __restrict__ y, float* __restrict__ gradient,
       int balance, int blocks, int experts, int k) {
    SHARED(float, term, [MOST_EXPERTS]);
    const int e = threadIdx.x;
    if (e < experts) {
        float p = 0, count = 0;
        for (int b = 0; b < blocks; b++) {
            p += partial[static_cast<size_t>(b) * 2 * experts + e];
            count += partial[(static_cast<size_t>(b) * 2 + 1) * experts + e];
        }
        const float rows = static_cast<float>(end[0]);
        p /= rows;
        const float log = logf(fmaxf(p, 1e-9f));
        const float g = balance ? static_cast<float>(experts) * count / (rows * static_cast<float>(k)) : log;
        term[e] = g * p;
        gradient[e] = balance ? g : g + 1.0f;
    }
    __syncthreads();
    if (e == 0) {
        float sum = balance ? 0.0f : logf(static_cast<float>(experts));
        for (int i = 0; i < experts; i++) sum += term[i];
        y[0] = sum;
    }
}

// dp[t, e] = g_e·dy/T, 0 in rows of no sample.
KERNEL(threads = 256)
spread(const float* __restrict__ dy, const float* __restrict__ gradient, const uint32_t* __restrict__ end, float* __restrict__ dp,
       int rows, int experts) {
    const float scale = dy[0] / static_cast<float>(end[0]);
    for_row_elements(rows, experts, [&](int row, int column, int n) {
        float v[ELEMENTWISE] = {};
        if (static_cast<uint32_t>(row) < end[0]) {
            for (int j = 0; j < n; j++) v[j] = scale * gradient[column + j];
        }
        store_eight(dp + static_cast<size_t>(row) * experts + column, v, n);
    });
}
