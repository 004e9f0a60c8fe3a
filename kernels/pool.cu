// src/ops/pool.rs: mean, or root of the mean square, over the rows of each sample.
//
// Bound by reading x once: a block takes 64 columns of a sample, 32 rows at a time (eight threads read a line of a row), so that
// a batch of 16 at d = 768 fills 192 blocks with three megabytes of loads under way: enough for the bandwidth of an H100.
#include "rows.cuh"

constexpr int WIDTH = 64;                           // columns of a block
constexpr int ACROSS = WIDTH / ELEMENTWISE;         // threads of a row
constexpr int DOWN = ROW_THREADS / ACROSS;          // rows at a time

// Calls finish(y, mean) for the mean over the rows of a sample of `of` a value, column by column.
template <typename T, typename Of, typename Finish>
__device__ __forceinline__ void pool(const T* x, const uint32_t* offsets, T* y, int d, Of of, Finish finish) {
    const uint32_t first = offsets[blockIdx.y], last = offsets[blockIdx.y + 1];
    const int across = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS;
    const int column = blockIdx.x * WIDTH + across * ELEMENTWISE, n = columns_left(column, d);
    float sum[ELEMENTWISE] = {};
#pragma unroll 4
    for (uint32_t row = first + down; row < last; row += DOWN) {
        float v[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) sum[j] += of(v[j]);
    }
    SHARED(float, partial, [DOWN][WIDTH]);
    store_eight(&partial[down][across * ELEMENTWISE], sum, ELEMENTWISE);
    __syncthreads();
    const int mine = blockIdx.x * WIDTH + threadIdx.x;
    if (threadIdx.x < WIDTH && mine < d) {
        float total = 0;
#pragma unroll
        for (int i = 0; i < DOWN; i++) total += partial[i][threadIdx.x];
        const float mean = total / static_cast<float>(last - first);
        y[static_cast<size_t>(blockIdx.y) * d + mine] = from_float<T>(finish(mean));
    }
}

template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ x, const uint32_t* __restrict__ offsets, T* __restrict__ y, int d) {
    pool(x, offsets, y, d, [](float v) { return v; }, [](float mean) { return mean; });
}

template <typename T>
KERNEL(threads = 256)
rms(const T* __restrict__ x, const uint32_t* __restrict__ offsets, T* __restrict__ y, float epsilon, int d) {
    pool(x, offsets, y, d, [](float v) { return v * v; }, [&](float mean) { return sqrtf(mean + epsilon); });
}

// dx[r] = dy[b]/T_b, 0 in rows past the last sample.
template <typename T>
KERNEL(threads = 256)
backward(const T* __restrict__ dy, const uint32_t* __restrict__ offsets, T* __restrict__ dx, int batch, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        const int b = sample_of(offsets, batch, row);
        const bool filling = static_cast<uint32_t>(row) >= offsets[batch];
        const float scale = filling ? 0.0f : 1.0f / static_cast<float>(offsets[b + 1] - offsets[b]);
        float v[ELEMENTWISE];
        load_eight(v, dy + static_cast<size_t>(b) * d + column, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) v[j] *= scale;
        store_eight(dx + static_cast<size_t>(row) * d + column, v, n);
    });
}

// dx[r] = dy[b]·x[r]/(T_b·y[b]), 0 in rows past the last sample.
template <typename T>
KERNEL(threads = 256)
rms_backward(const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ dy, const uint32_t* __restrict__ offsets,
             T* __restrict__ dx, int batch, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE] = {};
        if (static_cast<uint32_t>(row) < offsets[batch]) {
            const int b = sample_of(offsets, batch, row);
            const float scale = 1.0f / static_cast<float>(offsets[b + 1] - offsets[b]);
            float root[ELEMENTWISE], g[ELEMENTWISE];
            load_eight(v, x + static_cast<size_t>(row) * d + column, n);
            load_eight(root, y + static_cast<size_t>(b) * d + column, n);
            load_eight(g, dy + static_cast<size_t>(b) * d + column, n);
            for (int j = 0; j < n; j++) v[j] *= scale * g[j] / root[j];
        }
        store_eight(dx + static_cast<size_t>(row) * d + column, v, n);
    });
}
