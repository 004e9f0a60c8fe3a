// src/ops/conv_block: GroupNorm and GELU around a convolution, z = GELU(γ·ŷ + β), over y [batch, rows, channels].
//
// Forward reads y once and writes z once; backward reads dz and y twice and writes dy once: GELU′ is recomputed rather than
// stored. All are limited by memory. In the three passes a warp takes 256 neighbouring channels of a row (512 bytes in bf16) and
// keeps the channels' coefficients in registers over its rows; per element there are about 20 instructions against 4 to 6
// bytes, so that an H100 is within reach of its bandwidth (expected: 80 to 90 %). Everything else is per channel, and small.
#include "common.cuh"
#include "groupnorm.cuh"

constexpr int THREADS = 256, WARPS = THREADS / WARP;
constexpr int COLUMNS = WARP * 8; // channels of a block

// Calls f(i, n) for each row of this warp: offset of this lane's first element, and how many of its eight there are.
// Grid: blocks of channels, slices of rows, samples.
template <typename F>
__device__ __forceinline__ void for_rows(int rows, int rows_per_slice, int channels, F f) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x % WARP * 8, n = min(max(channels - c, 0), 8);
    const int first = blockIdx.y * rows_per_slice, last = min(first + rows_per_slice, rows);
    for (int t = first + threadIdx.x / WARP; t < last; t += WARPS) {
        f((static_cast<size_t>(blockIdx.z) * rows + t) * channels + c, n);
    }
}

// Of each channel over `part_rows` rows: Σ y and Σ (y − mean)², into partial [batch, parts, 2, channels].
// What the tensor-core convolution does in its epilogue.
template <typename T>
KERNEL(threads = 256)
moments(const T* __restrict__ y, float* __restrict__ partial, int rows, int part_rows, int channels) {
    const int lane = threadIdx.x / WARP, column = threadIdx.x % WARP, c = blockIdx.x * WARP + column;
    const int first = blockIdx.y * part_rows, count = min(part_rows, rows - first);
    const T* const from = y + (static_cast<size_t>(blockIdx.z) * rows + first) * channels + c;
    SHARED(float, sums, [2][WARPS][WARP]);
    float mean = 0;
#pragma unroll
    for (int pass = 0; pass < 2; pass++) {
        float sum = 0;
        if (c < channels) {
            for (int t = lane; t < count; t += WARPS) {
                const float v = to_float(from[static_cast<size_t>(t) * channels]);
                sum += pass == 0 ? v : (v - mean) * (v - mean);
            }
        }
        sums[pass][lane][column] = sum;
        __syncthreads();
        float total = 0;
#pragma unroll
        for (int i = 0; i < WARPS; i++) total += sums[pass][i][column];
        mean = total / count;
        if (lane == 0 && c < channels) {
            partial[((static_cast<size_t>(blockIdx.z) * gridDim.y + blockIdx.y) * 2 + pass) * channels + c] = total;
        }
    }
}

// Parts to statistics; a block for each group and sample. With μ the group's mean, its variance is the sum over parts and
// channels of Σ (y − mean)² + n·(mean + bias − μ)², so that a large mean does no harm.
KERNEL(threads = 256)
statistics(const float* __restrict__ partial, const float* __restrict__ bias, float* __restrict__ statistics, int rows,
           int part_rows, int channels, int groups, float epsilon) {
    const int width = channels / groups, first = blockIdx.x * width, parts = (rows + part_rows - 1) / part_rows;
    const float* const from = partial + static_cast<size_t>(blockIdx.y) * parts * 2 * channels + first;
    float* const row = statistics + static_cast<size_t>(blockIdx.y) * STATISTICS * channels + first;
    // Threads side by side take neighbouring channels, and `lanes` threads share a channel's parts.
    const int span = min(width, THREADS), lanes = THREADS / span, lane = threadIdx.x / span, column = threadIdx.x % span;
    const float count = static_cast<float>(rows) * width;
    SHARED(float, sums, [THREADS]);
    float sum = 0;
    for (int base = 0; base < width; base += span) {
        const int c = base + column;
        float mine = 0;
        if (lane < lanes && c < width) {
            for (int part = lane; part < parts; part += lanes) mine += from[static_cast<size_t>(part) * 2 * channels + c];
        }
        sums[threadIdx.x] = mine;
        __syncthreads();
        if (lane == 0 && c < width) {
            float total = 0;
            for (int i = 0; i < lanes; i++) total += sums[i * span + column];
            row[TOTAL * channels + c] = total;
            sum += total + rows * bias[first + c];
        }
        __syncthreads();
    }
    const float mean = block_sum<THREADS>(sum) / count;
    float squares = 0;
    for (int base = 0; base < width; base += span) {
        const int c = base + column;
        if (lane < lanes && c < width) {
            for (int part = lane; part < parts; part += lanes) {
                const float* const both = from + static_cast<size_t>(part) * 2 * channels + c;
                const float n = min(part_rows, rows - part * part_rows), away = both[0] / n + bias[first + c] - mean;
                squares += both[channels] + n * away * away;
            }
        }
    }
    const float inverse = rsqrtf(block_sum<THREADS>(squares) / count + epsilon);
    for (int c = threadIdx.x; c < width; c += THREADS) {
        row[SCALE * channels + c] = inverse;
        row[OFFSET * channels + c] = (bias[first + c] - mean) * inverse;
    }
}

// z = GELU(γ·ŷ + β).
template <typename T>
KERNEL(threads = 256)
activate(const T* __restrict__ y, const float* __restrict__ statistics, const float* __restrict__ gamma,
         const float* __restrict__ beta, T* __restrict__ z, int rows, int rows_per_slice, int channels) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x % WARP * 8;
    const float* const row = statistics + static_cast<size_t>(blockIdx.z) * STATISTICS * channels;
    float slope[8], level[8], g[8], b[8];
    load_channels(slope, row + SCALE * channels, c, channels);
    load_channels(level, row + OFFSET * channels, c, channels);
    load_channels(g, gamma, c, channels);
    load_channels(b, beta, c, channels);
#pragma unroll
    for (int j = 0; j < 8; j++) slope[j] *= g[j], level[j] = level[j] * g[j] + b[j];
    for_rows(rows, rows_per_slice, channels, [&](size_t i, int n) {
        float v[8];
        load_eight(v, y + i, n);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = fast_gelu(v[j] * slope[j] + level[j]);
        store_eight(z + i, v, n);
    });
}

// With dn = dz·GELU′(γ·ŷ + β): Σ dn and Σ dn·ŷ of each channel over a slice of rows, into partial [batch, slices, 2, channels].
template <typename T>
KERNEL(threads = 256)
slopes(const T* __restrict__ dz, const T* __restrict__ y, const float* __restrict__ statistics, const float* __restrict__ gamma,
       const float* __restrict__ beta, float* __restrict__ partial, int rows, int rows_per_slice, int channels) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x % WARP * 8;
    const float* const row = statistics + static_cast<size_t>(blockIdx.z) * STATISTICS * channels;
    float scale[8], offset[8], g[8], b[8], sum[2][8] = {};
    load_channels(scale, row + SCALE * channels, c, channels);
    load_channels(offset, row + OFFSET * channels, c, channels);
    load_channels(g, gamma, c, channels);
    load_channels(b, beta, c, channels);
    for_rows(rows, rows_per_slice, channels, [&](size_t i, int n) {
        float v[8], d[8];
        load_eight(v, y + i, n);
        load_eight(d, dz + i, n);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const float normed = v[j] * scale[j] + offset[j], dn = d[j] * fast_gelu_slope(normed * g[j] + b[j]);
            sum[0][j] += dn;
            sum[1][j] += dn * normed;
        }
    });
    SHARED(float, sums, [WARPS][COLUMNS]);
    float* const to = partial + (static_cast<size_t>(blockIdx.z) * gridDim.y + blockIdx.y) * 2 * channels;
    const int column = blockIdx.x * COLUMNS + threadIdx.x;
#pragma unroll
    for (int which = 0; which < 2; which++) {
        store_eight(&sums[threadIdx.x / WARP][threadIdx.x % WARP * 8], sum[which], 8);
        __syncthreads();
        float total = 0;
#pragma unroll
        for (int i = 0; i < WARPS; i++) total += sums[i][threadIdx.x];
        if (column < channels) to[which * channels + column] = total;
        __syncthreads();
    }
}

// P = mean of γ·dn and Q = mean of γ·dn·ŷ over each group, into means [batch, groups, 2], from sums [batch, 2, channels].
KERNEL(threads = 128)
group_means(const float* __restrict__ sums, const float* __restrict__ gamma, float* __restrict__ means, int rows, int channels,
            int groups) {
    const int width = channels / groups, first = blockIdx.x * width;
    const float* const row = sums + static_cast<size_t>(blockIdx.y) * 2 * channels + first;
    float p = 0, q = 0;
    for (int c = threadIdx.x; c < width; c += 128) {
        p += gamma[first + c] * row[c];
        q += gamma[first + c] * row[channels + c];
    }
    p = block_sum<128>(p), q = block_sum<128>(q);
    if (threadIdx.x == 0) {
        const float count = static_cast<float>(rows) * width;
        float* const to = means + (static_cast<size_t>(blockIdx.y) * groups + blockIdx.x) * 2;
        to[0] = p / count, to[1] = q / count;
    }
}

// gradients [3, channels] of bias, γ and β, summed over samples in order. Σ ŷ over rows is known from `total`, so that
// dbias = Σ dy = Σ scale·(γ·Σdn − rows·P − Q·Σŷ) takes no pass over dy.
KERNEL(threads = 64)
parameters(const float* __restrict__ sums, const float* __restrict__ statistics, const float* __restrict__ gamma,
           const float* __restrict__ means, float* __restrict__ gradients, int batch, int rows, int channels, int groups) {
    const int c = blockIdx.x * 64 + threadIdx.x;
    if (c >= channels) return;
    const int group = c / (channels / groups);
    float bias = 0, scaled = 0, shifted = 0;
    for (int sample = 0; sample < batch; sample++) {
        const float* const row = statistics + static_cast<size_t>(sample) * STATISTICS * channels;
        const float* const mean = means + (static_cast<size_t>(sample) * groups + group) * 2;
        const float* const sum = sums + static_cast<size_t>(sample) * 2 * channels;
        const float scale = row[SCALE * channels + c];
        const float normed = row[TOTAL * channels + c] * scale + rows * row[OFFSET * channels + c];
        bias += scale * (gamma[c] * sum[c] - rows * mean[0] - mean[1] * normed);
        scaled += sum[channels + c];
        shifted += sum[c];
    }
    gradients[c] = bias, gradients[channels + c] = scaled, gradients[2 * channels + c] = shifted;
}

// dy = scale·(γ·dn − P − ŷ·Q).
template <typename T>
KERNEL(threads = 256)
backward(const T* __restrict__ dz, const T* __restrict__ y, const float* __restrict__ statistics, const float* __restrict__ gamma,
         const float* __restrict__ beta, const float* __restrict__ means, T* __restrict__ dy, int rows, int rows_per_slice,
         int channels, int groups) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x % WARP * 8, width = channels / groups;
    const float* const row = statistics + static_cast<size_t>(blockIdx.z) * STATISTICS * channels;
    // GELU's argument is y·slope + level, and dy = dn·slope + y·curve + shift.
    float slope[8], level[8], curve[8], shift[8], g[8], b[8];
    load_channels(slope, row + SCALE * channels, c, channels);
    load_channels(level, row + OFFSET * channels, c, channels);
    load_channels(g, gamma, c, channels);
    load_channels(b, beta, c, channels);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const int group = min(c + j, channels - 1) / width;
        const float* const mean = means + (static_cast<size_t>(blockIdx.z) * groups + group) * 2;
        curve[j] = -slope[j] * slope[j] * mean[1];
        shift[j] = -slope[j] * (mean[0] + level[j] * mean[1]);
        slope[j] *= g[j], level[j] = level[j] * g[j] + b[j];
    }
    for_rows(rows, rows_per_slice, channels, [&](size_t i, int n) {
        float v[8], d[8];
        load_eight(v, y + i, n);
        load_eight(d, dz + i, n);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const float dn = d[j] * fast_gelu_slope(v[j] * slope[j] + level[j]);
            d[j] = dn * slope[j] + (v[j] * curve[j] + shift[j]);
        }
        store_eight(dy + i, d, n);
    });
}
