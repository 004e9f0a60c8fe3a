// src/ops/activation.rs: GELU(x) = x·Φ(x) and ReLU(x) = max(x, 0), element by element.
#include "common.cuh"

template <typename T>
KERNEL(threads = 256)
gelu(const T* __restrict__ x, T* __restrict__ y, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float v[ELEMENTWISE];
        load_eight(v, x + i, n);
        for (int j = 0; j < ELEMENTWISE; j++) v[j] = gelu_value(v[j]);
        store_eight(y + i, v, n);
    });
}

// dx = dy·(Φ(x) + x·φ(x))
template <typename T>
KERNEL(threads = 256)
gelu_backward(const T* __restrict__ dy, const T* __restrict__ x, T* __restrict__ dx, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float v[ELEMENTWISE], g[ELEMENTWISE];
        load_eight(v, x + i, n);
        load_eight(g, dy + i, n);
        for (int j = 0; j < ELEMENTWISE; j++) g[j] *= gelu_slope(v[j]);
        store_eight(dx + i, g, n);
    });
}

template <typename T>
KERNEL(threads = 256)
relu(const T* __restrict__ x, T* __restrict__ y, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float v[ELEMENTWISE];
        load_eight(v, x + i, n);
        for (int j = 0; j < ELEMENTWISE; j++) v[j] = fmaxf(v[j], 0.0f);
        store_eight(y + i, v, n);
    });
}

// dx = dy·[y > 0]
template <typename T>
KERNEL(threads = 256)
relu_backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float v[ELEMENTWISE], g[ELEMENTWISE];
        load_eight(v, y + i, n);
        load_eight(g, dy + i, n);
        for (int j = 0; j < ELEMENTWISE; j++) g[j] = v[j] > 0 ? g[j] : 0.0f;
        store_eight(dx + i, g, n);
    });
}
