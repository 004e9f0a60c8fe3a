// src/ops/conv_block: convolutions of any size in either storage, by plain fused multiply-adds: the f32 build, and bf16 where
// channels come in no multiples of 8. The same products as in conv_mma.cu, see there; tiles of 64 × 64, a thread 4 × 4.
// Their elements are fetched one by one, with divisions: a third of the FMA peak at best. No training in bf16 comes here.
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int TILE = 64, DEPTH = 16, EACH = 4;

// sum += Σ a(row, k) · b(k, column) over k < depth. A thread has rows y + 16i and columns x + 16j of the block's tile.
template <typename A, typename B>
__device__ __forceinline__ void multiply(float (&sum)[EACH][EACH], int depth, A a, B b) {
    SHARED(float, tile_a, [DEPTH][TILE + 1]);
    SHARED(float, tile_b, [DEPTH][TILE + 1]);
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;
    for (int from = 0; from < depth; from += DEPTH) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int k = threadIdx.x % DEPTH, at = threadIdx.x / DEPTH + i * 16;
            tile_a[k][at] = from + k < depth ? a(at, from + k) : 0.0f;
            tile_b[k][at] = from + k < depth ? b(from + k, at) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            float row[EACH], column[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) row[i] = tile_a[k][y + i * 16], column[i] = tile_b[k][x + i * 16];
#pragma unroll
            for (int i = 0; i < EACH; i++) {
#pragma unroll
                for (int j = 0; j < EACH; j++) sum[i][j] += row[i] * column[j];
            }
        }
        __syncthreads();
    }
}

// Calls f(row, column, value) for the thread's elements.
template <typename F>
__device__ __forceinline__ void for_sums(const float (&sum)[EACH][EACH], F f) {
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) f(static_cast<int>(threadIdx.x) / 16 + i * 16, static_cast<int>(threadIdx.x) % 16 + j * 16, sum[i][j]);
    }
}

// y = windows · Wᵀ. Grid: blocks of outputs, of rows, samples.
template <typename T>
KERNEL(threads = 256, blocks = 3)
forward(const T* __restrict__ x, const T* __restrict__ w, T* __restrict__ y, int time, int inputs, int rows, int outputs, int taps,
        int stride, int padding) {
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE, depth = taps * inputs;
    const T* const sample = x + static_cast<size_t>(blockIdx.z) * time * inputs;
    float sum[EACH][EACH] = {};
    multiply(
        sum, depth,
        [&](int row, int k) {
            const int at = (m0 + row) * stride + k / inputs - padding;
            return at >= 0 && at < time ? to_float(sample[static_cast<size_t>(at) * inputs + k % inputs]) : 0.0f;
        },
        [&](int k, int column) {
            const int o = n0 + column;
            return o < outputs ? to_float(w[static_cast<size_t>(o) * depth + k]) : 0.0f;
        });
    for_sums(sum, [&](int row, int column, float v) {
        const int t = m0 + row, o = n0 + column;
        if (t < rows && o < outputs) y[(static_cast<size_t>(blockIdx.z) * rows + t) * outputs + o] = from_float<T>(v);
    });
}

// dx by phases, as in conv_mma.cu.
template <typename T>
KERNEL(threads = 256)
data_gradient(const T* __restrict__ dy, const T* __restrict__ w, T* __restrict__ dx, int time, int inputs, int rows, int outputs,
              int taps, int stride, int padding) {
    const int phase = blockIdx.y % stride, n0 = blockIdx.x * TILE;
    const int first = padding > phase ? (padding - phase + stride - 1) / stride : 0, u0 = first + blockIdx.y / stride * TILE;
    const int reaching = taps > phase ? (taps - phase + stride - 1) / stride : 0;
    const T* const sample = dy + static_cast<size_t>(blockIdx.z) * rows * outputs;
    float sum[EACH][EACH] = {};
    multiply(
        sum, reaching * outputs,
        [&](int row, int k) {
            const int t = u0 + row - k / outputs;
            return t >= 0 && t < rows ? to_float(sample[static_cast<size_t>(t) * outputs + k % outputs]) : 0.0f;
        },
        [&](int k, int column) {
            const int i = n0 + column, tap = phase + stride * (k / outputs);
            return i < inputs ? to_float(w[(static_cast<size_t>(k % outputs) * taps + tap) * inputs + i]) : 0.0f;
        });
    for_sums(sum, [&](int row, int column, float v) {
        const int at = (u0 + row) * stride + phase - padding, i = n0 + column;
        if (at < time && i < inputs) dx[(static_cast<size_t>(blockIdx.z) * time + at) * inputs + i] = from_float<T>(v);
    });
}

// Σ dyᵀ · windows over a share of all samples' rows, into partial [shares, outputs, taps, inputs].
// Grid: blocks of taps · inputs, of outputs, shares.
template <typename T>
KERNEL(threads = 256)
weight_gradient(const T* __restrict__ dy, const T* __restrict__ x, float* __restrict__ partial, int batch, int time, int inputs,
                int rows, int outputs, int taps, int stride, int padding, int rows_per_share) {
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE, first = blockIdx.z * rows_per_share;
    float sum[EACH][EACH] = {};
    multiply(
        sum, max(min(rows_per_share, batch * rows - first), 0),
        [&](int row, int k) {
            const int o = m0 + row;
            return o < outputs ? to_float(dy[static_cast<size_t>(first + k) * outputs + o]) : 0.0f;
        },
        [&](int k, int column) {
            const int sample = (first + k) / rows, t = (first + k) % rows, n = n0 + column;
            const int at = t * stride + n / inputs - padding;
            if (n >= taps * inputs || at < 0 || at >= time) return 0.0f;
            return to_float(x[(static_cast<size_t>(sample) * time + at) * inputs + n % inputs]);
        });
    for_sums(sum, [&](int row, int column, float v) {
        const int o = m0 + row, n = n0 + column;
        if (o < outputs && n < taps * inputs) partial[(static_cast<size_t>(blockIdx.z) * outputs + o) * taps * inputs + n] = v;
    });
}
