// src/ops/triplet.rs: the triplet margin of a batch. Small: a block for each sample.
#include "common.cuh"

constexpr int THREADS = 256;

// norms[i] = ‖a_i − o_i + ε‖, ‖a_i − o_{i+1 mod B} + ε‖.
template <typename T>
KERNEL(threads = 256)
distances(const T* __restrict__ a, const T* __restrict__ o, float* __restrict__ norms, float epsilon, int rows, int d) {
    const int i = blockIdx.x, next = i + 1 == rows ? 0 : i + 1;
    float plus = 0, minus = 0;
    for (int c = threadIdx.x; c < d; c += THREADS) {
        const float x = to_float(a[static_cast<size_t>(i) * d + c]) + epsilon;
        const float near = x - to_float(o[static_cast<size_t>(i) * d + c]), far = x - to_float(o[static_cast<size_t>(next) * d + c]);
        plus += near * near, minus += far * far;
    }
    plus = block_sum<THREADS>(plus);
    minus = block_sum<THREADS>(minus);
    if (threadIdx.x == 0) norms[2 * i] = sqrtf(plus), norms[2 * i + 1] = sqrtf(minus);
}

// The mean of the hinges.
KERNEL(threads = 256)
forward(const float* __restrict__ norms, float* __restrict__ y, float margin, int rows) {
    float sum = 0;
    for (int i = threadIdx.x; i < rows; i += THREADS) sum += fmaxf(margin + norms[2 * i] - norms[2 * i + 1], 0.0f);
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) y[0] = sum / static_cast<float>(rows);
}

// Gradients of anchor i and of its match, which is the negative of anchor i − 1.
template <typename T>
KERNEL(threads = 256)
backward(const float* __restrict__ dy, const T* __restrict__ a, const T* __restrict__ o, const float* __restrict__ norms,
         T* __restrict__ da, T* __restrict__ d_other, float margin, float epsilon, int rows, int d) {
    const int i = blockIdx.x, next = i + 1 == rows ? 0 : i + 1, before = i == 0 ? rows - 1 : i - 1;
    const float scale = dy[0] / static_cast<float>(rows);
    const auto share = [&](int j) { return margin + norms[2 * j] - norms[2 * j + 1] > 0.0f ? scale : 0.0f; };
    const float plus = share(i) / norms[2 * i], minus = share(i) / norms[2 * i + 1], other = share(before) / norms[2 * before + 1];
    for (int c = threadIdx.x; c < d; c += THREADS) {
        const auto apart = [&](int anchor, int match) {
            return to_float(a[static_cast<size_t>(anchor) * d + c]) - to_float(o[static_cast<size_t>(match) * d + c]) + epsilon;
        };
        const float near = plus * apart(i, i);
        da[static_cast<size_t>(i) * d + c] = from_float<T>(near - minus * apart(i, next));
        d_other[static_cast<size_t>(i) * d + c] = from_float<T>(other * apart(before, i) - near);
    }
}
