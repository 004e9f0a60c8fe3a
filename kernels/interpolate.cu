// src/ops/interpolate.rs: linear interpolation in time of every sample from T to n rows, and its transpose. Source places are
// exact fractions: s = ((2t + 1)·T − n)/2n. Rows past the last sample become 0 and have gradient 0. Bound by writing the longer
// side once; the shorter stays in L2.
#include "rows.cuh"

struct Taps {
    int low, high;
    float weight; // of `high`
};

__device__ __forceinline__ Taps taps(int t, int n, int length) {
    const int numerator = max((2 * t + 1) * length - n, 0), low = min(numerator / (2 * n), length - 1);
    return {low, min(low + 1, length - 1), static_cast<float>(numerator - low * 2 * n) / static_cast<float>(2 * n)};
}

template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ x, const uint32_t* __restrict__ from, const uint32_t* __restrict__ to, T* __restrict__ y, int batch,
        int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        const int b = sample_of(to, batch, row);
        const bool filling = static_cast<uint32_t>(row) >= to[batch];
        const Taps at = taps(row - to[b], to[b + 1] - to[b], from[b + 1] - from[b]);
        const T* source = x + static_cast<size_t>(from[b]) * d + column;
        float v[ELEMENTWISE], w[ELEMENTWISE];
        load_eight(v, source + static_cast<size_t>(at.low) * d, n);
        load_eight(w, source + static_cast<size_t>(at.high) * d, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) v[j] = filling ? 0.0f : (1 - at.weight) * v[j] + at.weight * w[j];
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dx[i] gathers from the rows t that read it: s between i − 1 and i + 1, and all beyond at the ends.
template <typename T>
KERNEL(threads = 256)
backward(const T* __restrict__ dy, const uint32_t* __restrict__ from, const uint32_t* __restrict__ to, T* __restrict__ dx, int batch,
         int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        const int b = sample_of(from, batch, row);
        const int i = row - from[b], length = from[b + 1] - from[b], stretched = to[b + 1] - to[b];
        // s(t) > i − 1 from t = (i − ½)·n/T − ½ on, and s(t) < i + 1 until t = (i + 3/2)·n/T − ½.
        const int first = i >= length ? stretched : i == 0 ? 0 : max((2 * i - 1) * stretched / (2 * length) - 1, 0);
        const int last = i + 1 >= length ? stretched : min((2 * i + 3) * stretched / (2 * length) + 2, stretched);
        const T* source = dy + static_cast<size_t>(to[b]) * d + column;
        float sum[ELEMENTWISE] = {};
        for (int t = first; t < last; t++) {
            const Taps at = taps(t, stretched, length);
            const float weight = (at.low == i ? 1 - at.weight : 0.0f) + (at.high == i ? at.weight : 0.0f);
            if (weight == 0) continue;
            float v[ELEMENTWISE];
            load_eight(v, source + static_cast<size_t>(t) * d, n);
#pragma unroll
            for (int j = 0; j < ELEMENTWISE; j++) sum[j] += weight * v[j];
        }
        store_eight(dx + static_cast<size_t>(row) * d + column, sum, n);
    });
}
