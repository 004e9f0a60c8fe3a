// src/ops/layernorm.rs: y = (s − mean)/σ·γ + β over rows of d features, s = x + r.
//
// A warp takes a row and holds it in registers, eight neighbouring elements a lane and CHUNKS times over, so that every
// element is read once: d ≤ 256·CHUNKS.
#include "common.cuh"

constexpr int WARPS = 8;
constexpr int CHUNK = WARP * 8;

// How many of the eight elements from column i on there are.
__device__ __forceinline__ int present(int i, int d) { return min(max(d - i, 0), 8); }

// x + r of n ≤ 8 neighbouring elements; absent ones are 0.
template <typename T>
__device__ __forceinline__ void load_sum(float (&s)[8], const T* x, const T* residual, size_t at, int n) {
    load_eight(s, x + at, n);
    if (residual) {
        float r[8];
        load_eight(r, residual + at, n);
#pragma unroll
        for (int j = 0; j < 8; j++) s[j] += r[j];
    }
}

template <typename T, int CHUNKS>
KERNEL(threads = 256, CHUNKS = 1 | 2 | 4 | 8)
forward(const T* __restrict__ x, const T* __restrict__ residual, const float* __restrict__ gamma,
        const float* __restrict__ beta, T* __restrict__ y, float* __restrict__ mean, float* __restrict__ scale, float epsilon,
        int rows, int d) {
    const int row = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    float s[CHUNKS][8];
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        const int i = c * CHUNK + lane * 8;
        load_sum(s[c], x, residual, static_cast<size_t>(row) * d + i, present(i, d));
    }
    float sum = 0;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
        for (int j = 0; j < 8; j++) sum += s[c][j];
    }
    const float m = warp_sum(sum) / d;
    float squares = 0;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        const int n = present(c * CHUNK + lane * 8, d);
#pragma unroll
        for (int j = 0; j < 8; j++) squares += j < n ? (s[c][j] - m) * (s[c][j] - m) : 0.0f;
    }
    const float inverse = rsqrtf(warp_sum(squares) / d + epsilon);
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        const int i = c * CHUNK + lane * 8, n = present(i, d);
        float g[8], b[8];
        load_eight(g, gamma + i, n);
        load_eight(b, beta + i, n);
#pragma unroll
        for (int j = 0; j < 8; j++) s[c][j] = (s[c][j] - m) * inverse * g[j] + b[j];
        store_eight(y + static_cast<size_t>(row) * d + i, s[c], n);
    }
    if (lane == 0) mean[row] = m, scale[row] = inverse;
}

// With g = dy∘γ: ds = (g − mean(g) − x̂·mean(g∘x̂))/σ. A warp strides over rows and sums dy∘x̂ and dy on the way; each block
// leaves its sums in row blockIdx.x of `partial` [blocks, 2d]: dγ, then dβ.
template <typename T, int CHUNKS>
KERNEL(threads = 256, CHUNKS = 1 | 2 | 4 | 8)
backward(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ residual, const float* __restrict__ gamma,
         const float* __restrict__ mean, const float* __restrict__ scale, T* __restrict__ ds, float* __restrict__ partial,
         int rows, int d) {
    // The sums of eight chunks leave no registers for the row, which is then read twice.
    constexpr bool KEPT = CHUNKS < 8;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    float dgamma[CHUNKS][8] = {}, dbeta[CHUNKS][8] = {};
    for (int row = blockIdx.x * WARPS + warp; row < rows; row += gridDim.x * WARPS) {
        const float m = mean[row], inverse = scale[row];
        const size_t start = static_cast<size_t>(row) * d;
        float kept_s[KEPT ? CHUNKS : 1][8], kept_g[KEPT ? CHUNKS : 1][8];
        // x̂ and dy of a chunk, and what γ makes of dy.
        const auto read = [&](int c, float (&s)[8], float (&dy_)[8]) {
            const int i = c * CHUNK + lane * 8, n = present(i, d);
            load_sum(s, x, residual, start + i, n);
            load_eight(dy_, dy + start + i, n);
#pragma unroll
            for (int j = 0; j < 8; j++) s[j] = (s[j] - m) * inverse;
        };
        const auto weigh = [&](int c, float (&g)[8]) {
            const int i = c * CHUNK + lane * 8;
            float w[8];
            load_eight(w, gamma + i, present(i, d));
#pragma unroll
            for (int j = 0; j < 8; j++) g[j] *= w[j];
        };
        float sum = 0, along = 0;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            float(&s)[8] = kept_s[KEPT ? c : 0], (&g)[8] = kept_g[KEPT ? c : 0];
            read(c, s, g);
#pragma unroll
            for (int j = 0; j < 8; j++) dgamma[c][j] += g[j] * s[j], dbeta[c][j] += g[j];
            weigh(c, g);
#pragma unroll
            for (int j = 0; j < 8; j++) sum += g[j], along += g[j] * s[j];
        }
        sum = warp_sum(sum) / d, along = warp_sum(along) / d;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            float(&s)[8] = kept_s[KEPT ? c : 0], (&g)[8] = kept_g[KEPT ? c : 0];
            if constexpr (!KEPT) read(c, s, g), weigh(c, g);
            const int i = c * CHUNK + lane * 8;
#pragma unroll
            for (int j = 0; j < 8; j++) g[j] = (g[j] - sum - s[j] * along) * inverse;
            store_eight(ds + start + i, g, present(i, d));
        }
    }
    SHARED(float, sums, [WARPS][CHUNK]);
    float* const row = partial + static_cast<size_t>(blockIdx.x) * 2 * d;
#pragma unroll
    for (int c = 0; c < 2 * CHUNKS; c++) {
        const float(&mine)[8] = c < CHUNKS ? dgamma[c % CHUNKS] : dbeta[c % CHUNKS];
        store_eight(&sums[warp][lane * 8], mine, 8);
        __syncthreads();
        float total = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) total += sums[w][threadIdx.x];
        const int column = c % CHUNKS * CHUNK + threadIdx.x;
        if (column < d) row[c / CHUNKS * d + column] = total;
        __syncthreads();
    }
}
