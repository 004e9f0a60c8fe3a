// src/ops/add.rs: y = x + z.
#include "common.cuh"

template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ x, const T* __restrict__ z, T* __restrict__ y, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float a[ELEMENTWISE], b[ELEMENTWISE];
        load_eight(a, x + i, n);
        load_eight(b, z + i, n);
        for (int j = 0; j < ELEMENTWISE; j++) a[j] += b[j];
        store_eight(y + i, a, n);
    });
}

// y = value.
template <typename T>
KERNEL(threads = 256)
fill(T* __restrict__ y, float value, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float v[ELEMENTWISE];
        for (int j = 0; j < ELEMENTWISE; j++) v[j] = value;
        store_eight(y + i, v, n);
    });
}
