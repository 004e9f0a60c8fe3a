// src/ops/conv_block: the first convolution, one channel in, ten taps, fused with its GroupNorm and GELU.
//
// Its output is the largest tensor of the model (315 MB for 16 segments in bf16), so it is written once and never read here.
// Statistics need no pass over it: with m and R the windows' first and second moments, a channel's mean is w·m + b and its
// second moment wᵀRw + 2b·w·m + b². R and m are one matrix, M = Σ v·vᵀ over windows v = (x₀ … x₉, 1, 0 …).
//
// Backward is one pass over dz as well. y is recomputed (ten fused multiply-adds), and with G = Σ dn·v, where
// dn = dz·GELU′(γ·ŷ + β), everything else follows per channel: Σ dn·ŷ from G, and as dy = scale·(γ·dn − P − ŷ·Q), dW from G and M.
//
// Limits: about 30 instructions an element forward and 45 backward on the FMA pipes, against 2 bytes; on an H100 about 0.16 ms
// (65 % of the write bandwidth) and 0.25 ms for 16 segments.
#include "common.cuh"
#include "groupnorm.cuh"

constexpr int TAPS = 10, ONE = TAPS;
constexpr int SIDE = 16; // of M; what is above ONE is zero
constexpr int THREADS = 256, WARPS = THREADS / WARP;

// The windows' part of a waveform that windows `first` .. `first` + `count` see, as floats; zero outside.
template <typename T>
__device__ __forceinline__ void stage(float* wave, const T* sample, int first, int count, int time, int stride, int padding) {
    const int from = first * stride - padding, length = (count - 1) * stride + TAPS;
    for (int i = threadIdx.x; i < length; i += THREADS) {
        const int at = from + i;
        wave[i] = at >= 0 && at < time ? to_float(sample[at]) : 0.0f;
    }
    __syncthreads();
}

// CHANNELS · TAPS weights from channel c on: weight(flat, j, k) is channel c + j's tap k.
template <int CHANNELS, typename T>
__device__ __forceinline__ void load_weights(float (&flat)[CHANNELS * TAPS / 8][8], const T* w, int c, int channels) {
#pragma unroll
    for (int i = 0; i < CHANNELS * TAPS / 8; i++) {
        load_eight(flat[i], w + c * TAPS + i * 8, min(max((channels - c) * TAPS - i * 8, 0), 8));
    }
}

template <int N>
__device__ __forceinline__ float weight(const float (&flat)[N][8], int j, int k) {
    return flat[(j * TAPS + k) / 8][(j * TAPS + k) % 8];
}

// M over a slice of windows, into partial [batch, slices, 256]: a thread for each element.
template <typename T>
KERNEL(threads = 256)
moments(const T* __restrict__ x, float* __restrict__ partial, int time, int rows, int rows_per_slice, int stride, int padding) {
    DYNAMIC_SHARED(bytes);
    float* const wave = reinterpret_cast<float*>(bytes) + 2; // after a zero and a one
    const int first = blockIdx.x * rows_per_slice, count = min(rows_per_slice, rows - first);
    if (threadIdx.x < 2) wave[static_cast<int>(threadIdx.x) - 2] = threadIdx.x;
    stage(wave, x + static_cast<size_t>(blockIdx.y) * time, first, count, time, stride, padding);
    const int j = threadIdx.x / SIDE, k = threadIdx.x % SIDE;
    const float* a = wave + (j < TAPS ? j : j == ONE ? -1 : -2);
    const float* b = wave + (k < TAPS ? k : k == ONE ? -1 : -2);
    const int step_a = j < TAPS ? stride : 0, step_b = k < TAPS ? stride : 0;
    float sum = 0;
    for (int t = 0; t < count; t++, a += step_a, b += step_b) sum += *a * *b;
    partial[(static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * THREADS + threadIdx.x] = sum;
}

// Statistics of every channel from the slices' M, and M itself [batch, 256]; a block for each group and sample. Few and small
// numbers, so that double costs nothing.
template <typename T>
KERNEL(threads = 256)
statistics(const float* __restrict__ partial, const T* __restrict__ w, const float* __restrict__ bias,
           float* __restrict__ statistics, float* __restrict__ moments, int slices, int rows, int channels, int groups,
           float epsilon) {
    SHARED(double, mean, [SIDE]);             // of the windows
    SHARED(double, covariance, [SIDE][SIDE]); // of the windows
    const int j = threadIdx.x / SIDE, k = threadIdx.x % SIDE;
    const float* const from = partial + static_cast<size_t>(blockIdx.y) * slices * THREADS + threadIdx.x;
    double sum = 0;
#pragma unroll 8
    for (int i = 0; i < slices; i++) sum += from[static_cast<size_t>(i) * THREADS];
    if (blockIdx.x == 0) moments[blockIdx.y * THREADS + threadIdx.x] = static_cast<float>(sum);
    if (j == ONE) mean[k] = sum / rows;
    __syncthreads();
    covariance[j][k] = sum / rows - mean[j] * mean[k];
    __syncthreads();

    const int width = channels / groups, first = blockIdx.x * width;
    const auto channel_mean = [&](int c) {
        double sum = 0;
#pragma unroll
        for (int i = 0; i < TAPS; i++) sum += to_float(w[c * TAPS + i]) * mean[i];
        return static_cast<float>(sum);
    };
    float means = 0, within = 0, between = 0;
    for (int c = first + threadIdx.x; c < first + width; c += THREADS) {
        double variance = 0;
        for (int a = 0; a < TAPS; a++) {
            double along = 0;
#pragma unroll
            for (int b = 0; b < TAPS; b++) along += covariance[a][b] * to_float(w[c * TAPS + b]);
            variance += to_float(w[c * TAPS + a]) * along;
        }
        within += fmaxf(static_cast<float>(variance), 0.0f);
        means += channel_mean(c) + bias[c];
    }
    const float centre = block_sum<THREADS>(means) / width;
    for (int c = first + threadIdx.x; c < first + width; c += THREADS) {
        const float away = channel_mean(c) + bias[c] - centre;
        between += away * away;
    }
    const float inverse = rsqrtf(block_sum<THREADS>(within + between) / width + epsilon);
    float* const row = statistics + static_cast<size_t>(blockIdx.y) * STATISTICS * channels;
    for (int c = first + threadIdx.x; c < first + width; c += THREADS) {
        row[SCALE * channels + c] = inverse;
        row[OFFSET * channels + c] = (bias[c] - centre) * inverse;
        row[TOTAL * channels + c] = channel_mean(c) * rows;
    }
}

// z = GELU(γ·ŷ + β). A lane holds the weights of eight channels; warps take turns at the rows of a slice.
template <typename T>
KERNEL(threads = 256, blocks = 2)
forward(const T* __restrict__ x, const T* __restrict__ w, const float* __restrict__ statistics, const float* __restrict__ gamma,
        const float* __restrict__ beta, T* __restrict__ z, int time, int rows, int rows_per_slice, int channels, int stride,
        int padding) {
    DYNAMIC_SHARED(bytes);
    float* const wave = reinterpret_cast<float*>(bytes);
    const int first = blockIdx.y * rows_per_slice, count = min(rows_per_slice, rows - first);
    stage(wave, x + static_cast<size_t>(blockIdx.z) * time, first, count, time, stride, padding);
    const int c = (blockIdx.x * WARP + threadIdx.x % WARP) * 8, n = min(max(channels - c, 0), 8);
    const float* const row = statistics + static_cast<size_t>(blockIdx.z) * STATISTICS * channels;
    float flat[TAPS][8], slope[8], level[8], g[8], b[8];
    load_weights<8>(flat, w, c, channels);
    load_channels(slope, row + SCALE * channels, c, channels);
    load_channels(level, row + OFFSET * channels, c, channels);
    load_channels(g, gamma, c, channels);
    load_channels(b, beta, c, channels);
#pragma unroll
    for (int j = 0; j < 8; j++) slope[j] *= g[j], level[j] = level[j] * g[j] + b[j];
    for (int t = threadIdx.x / WARP; t < count; t += WARPS) {
        float y[8] = {};
#pragma unroll
        for (int k = 0; k < TAPS; k++) {
            const float v = wave[t * stride + k];
#pragma unroll
            for (int j = 0; j < 8; j++) y[j] += v * weight(flat, j, k);
        }
#pragma unroll
        for (int j = 0; j < 8; j++) y[j] = fast_gelu(y[j] * slope[j] + level[j]);
        store_eight(z + (static_cast<size_t>(blockIdx.z) * rows + first + t) * channels + c, y, n);
    }
}

// G over a slice of rows, into partial [batch, slices, 11, channels], the last of the eleven Σ dn. A lane holds four channels.
template <typename T>
KERNEL(threads = 256, blocks = 2)
backward(const T* __restrict__ dz, const T* __restrict__ x, const T* __restrict__ w, const float* __restrict__ statistics,
         const float* __restrict__ gamma, const float* __restrict__ beta, float* __restrict__ partial, int time, int rows,
         int rows_per_slice, int channels, int stride, int padding) {
    constexpr int EACH = 4;
    DYNAMIC_SHARED(bytes);
    float* const wave = reinterpret_cast<float*>(bytes);
    const int first = blockIdx.y * rows_per_slice, count = min(rows_per_slice, rows - first);
    stage(wave, x + static_cast<size_t>(blockIdx.z) * time, first, count, time, stride, padding);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int c = (blockIdx.x * WARP + lane) * EACH, n = min(max(channels - c, 0), EACH);
    const bool whole = n == EACH && channels % EACH == 0 && reinterpret_cast<uintptr_t>(dz) % (EACH * sizeof(T)) == 0;
    const float* const row = statistics + static_cast<size_t>(blockIdx.z) * STATISTICS * channels;
    float flat[EACH * TAPS / 8][8], slope[EACH], level[EACH], sum[TAPS + 1][EACH] = {};
    load_weights<EACH>(flat, w, c, channels);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
        const int from = min(c + j, channels - 1);
        slope[j] = row[SCALE * channels + from] * gamma[from];
        level[j] = row[OFFSET * channels + from] * gamma[from] + beta[from];
    }
    for (int t = warp; t < count; t += WARPS) {
        const T* const from = dz + (static_cast<size_t>(blockIdx.z) * rows + first + t) * channels + c;
        float d[EACH], y[EACH] = {}, v[TAPS];
        if (whole) {
            const auto pack = load<EACH>(from);
#pragma unroll
            for (int j = 0; j < EACH; j++) d[j] = to_float(pack.at[j]);
        } else {
#pragma unroll
            for (int j = 0; j < EACH; j++) d[j] = j < n ? to_float(from[j]) : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < TAPS; k++) {
            v[k] = wave[t * stride + k];
#pragma unroll
            for (int j = 0; j < EACH; j++) y[j] += v[k] * weight(flat, j, k);
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const float dn = d[j] * fast_gelu_slope(y[j] * slope[j] + level[j]);
#pragma unroll
            for (int k = 0; k < TAPS; k++) sum[k][j] += dn * v[k];
            sum[ONE][j] += dn;
        }
    }
    SHARED(float, sums, [WARPS][WARP * EACH]);
    float* const to = partial + (static_cast<size_t>(blockIdx.z) * gridDim.y + blockIdx.y) * (TAPS + 1) * channels;
    const int column = blockIdx.x * WARP * EACH + threadIdx.x;
#pragma unroll
    for (int k = 0; k <= TAPS; k++) {
        store<EACH>(&sums[warp][lane * EACH], Pack<float, EACH>{sum[k][0], sum[k][1], sum[k][2], sum[k][3]});
        __syncthreads();
        if (threadIdx.x < WARP * EACH) {
            float total = 0;
#pragma unroll
            for (int i = 0; i < WARPS; i++) total += sums[i][threadIdx.x];
            if (column < channels) to[k * channels + column] = total;
        }
        __syncthreads();
    }
}

// Σ dn and Σ dn·ŷ, sums [batch, 2, channels], from G [batch, 11, channels].
template <typename T>
KERNEL(threads = 256)
slopes(const float* __restrict__ g, const T* __restrict__ w, const float* __restrict__ statistics, float* __restrict__ sums,
       int channels) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels) return;
    const float* const from = g + static_cast<size_t>(blockIdx.y) * (TAPS + 1) * channels + c;
    const float* const row = statistics + static_cast<size_t>(blockIdx.y) * STATISTICS * channels + c;
    float* const to = sums + static_cast<size_t>(blockIdx.y) * 2 * channels + c;
    float along = 0;
#pragma unroll
    for (int k = 0; k < TAPS; k++) along += to_float(w[c * TAPS + k]) * from[k * channels];
    to[0] = from[ONE * channels];
    to[channels] = row[SCALE * channels] * along + row[OFFSET * channels] * from[ONE * channels];
}

// dW [channels, 10] = Σ over samples of scale·(γ·G − P·m − Q·Σŷ·v), where Σŷ·v = scale·M·w + offset·m and m is M's column ONE.
template <typename T>
KERNEL(threads = 256)
weight_gradient(const float* __restrict__ g, const float* __restrict__ moments, const T* __restrict__ w,
                const float* __restrict__ statistics, const float* __restrict__ gamma, const float* __restrict__ means,
                float* __restrict__ dw, int batch, int channels, int groups) {
    const int i = blockIdx.x * THREADS + threadIdx.x, c = i / TAPS, k = i % TAPS;
    if (c >= channels) return;
    const int group = c / (channels / groups);
    float sum = 0;
    for (int sample = 0; sample < batch; sample++) {
        const float* const m = moments + static_cast<size_t>(sample) * THREADS + k * SIDE;
        const float* const row = statistics + static_cast<size_t>(sample) * STATISTICS * channels + c;
        const float* const mean = means + (static_cast<size_t>(sample) * groups + group) * 2;
        const float scale = row[SCALE * channels];
        float along = 0;
#pragma unroll
        for (int j = 0; j < TAPS; j++) along += to_float(w[c * TAPS + j]) * m[j];
        const float normed = scale * along + row[OFFSET * channels] * m[ONE];
        const float dn = g[(static_cast<size_t>(sample) * (TAPS + 1) + k) * channels + c];
        sum += scale * (gamma[c] * dn - mean[0] * m[ONE] - mean[1] * normed);
    }
    dw[i] = sum;
}
