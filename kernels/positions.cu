// src/ops/positions.rs: y[b, t] = x[b, t] + table[t], the table's gradient, and what says where samples lie. All are bound by
// memory: one read and one write of x; the table stays in L2.
#include "rows.cuh"

template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ x, const T* __restrict__ table, const uint32_t* __restrict__ offsets, T* __restrict__ y, int batch,
        int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        const uint32_t t = row - offsets[sample_of(offsets, batch, row)];
        float v[ELEMENTWISE], p[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
        load_eight(p, table + static_cast<size_t>(t) * d + column, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) v[j] += p[j];
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dtable[t] = Σ_b dy[b, t], in order of b; 0 past the longest sample.
template <typename T>
KERNEL(threads = 256)
backward(const T* __restrict__ dy, const uint32_t* __restrict__ offsets, float* __restrict__ dtable, int batch, int longest, int d) {
    for_row_elements(longest, d, [&](int t, int column, int n) {
        float sum[ELEMENTWISE] = {};
        for (int b = 0; b < batch; b++) {
            const uint32_t row = offsets[b] + t;
            if (row >= offsets[b + 1]) continue;
            float v[ELEMENTWISE];
            load_eight(v, dy + static_cast<size_t>(row) * d + column, n);
#pragma unroll
            for (int j = 0; j < ELEMENTWISE; j++) sum[j] += v[j];
        }
        store_eight(dtable + static_cast<size_t>(t) * d + column, sum, n);
    });
}

// y[r] = x[r] + (sin(p·f₀), cos(p·f₀), sin(p·f₁), …) with p = onset[r]/unit: f32 angles, good to 5e-5 at 400 units.
template <typename T>
KERNEL(threads = 256)
onsets(const T* __restrict__ x, const float* __restrict__ onset, const float* __restrict__ frequency, T* __restrict__ y, float unit,
       int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        const float p = onset[row] / unit;
        float v[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) {
            if (j < n) v[j] += j % 2 == 0 ? sinf(p * frequency[(column + j) / 2]) : cosf(p * frequency[(column + j) / 2]);
        }
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// Offsets of samples of one length.
KERNEL(threads = 256)
uniform(uint32_t* __restrict__ offsets, uint32_t length, int count) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < count) offsets[i] = i * length;
}
