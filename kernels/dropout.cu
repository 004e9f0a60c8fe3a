// src/ops/dropout.rs: y = x·mask/(1 − p), forward and backward alike; the mask's bits are the CPU's. Two Philox blocks of 10 rounds
// for eight elements (32 bytes of bf16 moved): at 40 integer multiplications they hide under the memory's time.
#include "rows.cuh"

template <typename T>
KERNEL(threads = 256)
apply(const T* __restrict__ x, T* __restrict__ y, uint32_t below, float scale, const uint64_t* __restrict__ counter, uint64_t key,
      int rows, int d) {
    const uint64_t step = *counter;
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const Random4 four = philox(step | row, column / 4 + half, key);
#pragma unroll
            for (int j = 0; j < 4; j++) v[half * 4 + j] = four.word[j] < below ? 0.0f : v[half * 4 + j] * scale;
        }
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}
