// src/ops/temporal.rs: differences and standardisation over the rows of each sample, column by column.
#include "rows.cuh"

constexpr int LANES = ROW_THREADS / WARP; // rows at a time in a block of 32 columns

// Whether row `row` has a next one in its sample, and a previous one.
struct Place {
    bool next, previous;
};

__device__ __forceinline__ Place place_of(const uint32_t* offsets, int batch, uint32_t row) {
    if (row >= offsets[batch]) return {false, false};
    const int b = sample_of(offsets, batch, row);
    return {row + 1 < offsets[b + 1], row > offsets[b]};
}

// y[t] = τ₀·x[t] + τ₁·x[t + 1]; 0 in rows without a next.
template <typename T>
KERNEL(threads = 256)
difference(const T* __restrict__ x, const T* __restrict__ taps, const uint32_t* __restrict__ offsets, T* __restrict__ y, int batch,
           int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE] = {};
        if (place_of(offsets, batch, row).next) {
            float next[ELEMENTWISE];
            load_eight(v, x + static_cast<size_t>(row) * d + column, n);
            load_eight(next, x + static_cast<size_t>(row + 1) * d + column, n);
            for (int j = 0; j < n; j++) v[j] = to_float(taps[column + j]) * v[j] + to_float(taps[d + column + j]) * next[j];
        }
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dx[t] = τ₀·dy[t] where t has a next, + τ₁·dy[t − 1] where it has a previous.
template <typename T>
KERNEL(threads = 256)
difference_input(const T* __restrict__ dy, const T* __restrict__ taps, const uint32_t* __restrict__ offsets, T* __restrict__ dx,
                 int batch, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        const Place place = place_of(offsets, batch, row);
        float sum[ELEMENTWISE] = {}, v[ELEMENTWISE];
        if (place.next) {
            load_eight(v, dy + static_cast<size_t>(row) * d + column, n);
            for (int j = 0; j < n; j++) sum[j] = to_float(taps[column + j]) * v[j];
        }
        if (place.previous) {
            load_eight(v, dy + static_cast<size_t>(row - 1) * d + column, n);
            for (int j = 0; j < n; j++) sum[j] += to_float(taps[d + column + j]) * v[j];
        }
        store_eight(dx + static_cast<size_t>(row) * d + column, sum, n);
    });
}

// dτ of 32 columns, sample after sample.
template <typename T>
KERNEL(threads = 256)
taps(const T* __restrict__ x, const T* __restrict__ dy, const uint32_t* __restrict__ offsets, float* __restrict__ dt, int batch,
     int d) {
    const int column = blockIdx.x * WARP + threadIdx.x % WARP, lane = threadIdx.x / WARP;
    float now = 0, later = 0;
    if (column < d) {
        for (int b = 0; b < batch; b++) {
            for (uint32_t t = offsets[b] + lane; t + 1 < offsets[b + 1]; t += LANES) {
                const size_t at = static_cast<size_t>(t) * d + column;
                const float g = to_float(dy[at]);
                now += to_float(x[at]) * g, later += to_float(x[at + d]) * g;
            }
        }
    }
    now = sum_over_warps(now), later = sum_over_warps(later);
    if (lane == 0 && column < d) dt[column] = now, dt[d + column] = later;
}

// y = (x − μ)/(σ + ε) of 32 columns of a sample; leaves μ and σ. Groups past the last sample become 0.
template <typename T>
KERNEL(threads = 256)
standardise(const T* __restrict__ x, const uint32_t* __restrict__ offsets, T* __restrict__ y, float* __restrict__ moments,
            float epsilon, int samples, int d) {
    const uint32_t first = offsets[blockIdx.y], last = offsets[blockIdx.y + 1];
    const int column = blockIdx.x * WARP + threadIdx.x % WARP, lane = threadIdx.x / WARP;
    const bool mine = column < d, real = static_cast<int>(blockIdx.y) < samples;
    const float scale = last > first ? 1.0f / static_cast<float>(last - first) : 0.0f;
    float sum = 0, square = 0;
    if (mine && real) {
        for (uint32_t t = first + lane; t < last; t += LANES) sum += to_float(x[static_cast<size_t>(t) * d + column]);
    }
    const float mean = sum_over_warps(sum) * scale;
    if (mine && real) {
        for (uint32_t t = first + lane; t < last; t += LANES) {
            const float v = to_float(x[static_cast<size_t>(t) * d + column]) - mean;
            square += v * v;
        }
    }
    const float deviation = sqrtf(sum_over_warps(square) * scale);
    if (!mine) return;
    for (uint32_t t = first + lane; t < last; t += LANES) {
        const size_t at = static_cast<size_t>(t) * d + column;
        y[at] = from_float<T>(real ? (to_float(x[at]) - mean) / (deviation + epsilon) : 0.0f);
    }
    if (lane == 0) {
        moments[(static_cast<size_t>(blockIdx.y) * 2) * d + column] = mean;
        moments[(static_cast<size_t>(blockIdx.y) * 2 + 1) * d + column] = deviation;
    }
}

// dx = (dy − mean dy − (x − μ)/σ·mean(dy·y))/(σ + ε), 0 where σ ≤ flat.
template <typename T>
KERNEL(threads = 256)
standardise_input(const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ moments,
                  const uint32_t* __restrict__ offsets, T* __restrict__ dx, float epsilon, float flat, int samples, int d) {
    const uint32_t first = offsets[blockIdx.y], last = offsets[blockIdx.y + 1];
    const int column = blockIdx.x * WARP + threadIdx.x % WARP, lane = threadIdx.x / WARP;
    const bool mine = column < d, real = static_cast<int>(blockIdx.y) < samples;
    const float scale = last > first ? 1.0f / static_cast<float>(last - first) : 0.0f;
    const float mean = mine ? moments[(static_cast<size_t>(blockIdx.y) * 2) * d + column] : 0.0f;
    const float deviation = mine ? moments[(static_cast<size_t>(blockIdx.y) * 2 + 1) * d + column] : 0.0f;
    float sum = 0, along = 0;
    if (mine && real) {
        for (uint32_t t = first + lane; t < last; t += LANES) {
            const size_t at = static_cast<size_t>(t) * d + column;
            const float g = to_float(dy[at]);
            sum += g, along += g * (to_float(x[at]) - mean) / (deviation + epsilon);
        }
    }
    sum = sum_over_warps(sum) * scale, along = sum_over_warps(along) * scale;
    if (!mine) return;
    const bool moves = real && deviation > flat;
    const float slope = moves ? along / deviation : 0.0f;
    for (uint32_t t = first + lane; t < last; t += LANES) {
        const size_t at = static_cast<size_t>(t) * d + column;
        const float g = (to_float(dy[at]) - sum - (to_float(x[at]) - mean) * slope) / (deviation + epsilon);
        dx[at] = from_float<T>(moves ? g : 0.0f);
    }
}
