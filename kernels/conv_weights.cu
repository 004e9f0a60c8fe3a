// src/ops/conv_block: weights between the order they are kept in, [outputs, inputs, taps], and the one that products read,
// [outputs, taps, inputs]. At most a few million elements: microseconds.
#include "common.cuh"

constexpr int THREADS = 256;

template <typename T>
KERNEL(threads = 256)
pack(const T* __restrict__ w, T* __restrict__ packed, int inputs, int taps, size_t count) {
    const size_t i = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    const size_t row = i / inputs, o = row / taps, c = i % inputs, tap = row % taps;
    packed[i] = w[(o * inputs + c) * taps + tap];
}

// dW in the order of w: partial [shares, outputs, taps, inputs] summed over shares, in order.
KERNEL(threads = 256)
sum(const float* __restrict__ partial, float* __restrict__ dw, int shares, int inputs, int taps, size_t count) {
    const size_t i = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (i >= count) return;
    float total = 0;
#pragma unroll 4
    for (int share = 0; share < shares; share++) total += partial[share * count + i];
    const size_t row = i / inputs, o = row / taps, c = i % inputs, tap = row % taps;
    dw[(o * inputs + c) * taps + tap] = total;
}
