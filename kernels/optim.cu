// src/optim/device.rs: gradients into one flat buffer, their norm, AdamW over flat parameters.
//
// All three are bound by memory. Gathering reads and writes each gradient once (8 bytes a parameter) and squares it on the way;
// AdamW moves 30 bytes a parameter: 0.75 ms for the 78.6 M of a4r at an H100's 3 TB/s. Step-dependent numbers and the norm are
// read from device memory, so that a recorded step stays valid.
#include "common.cuh"

constexpr int ROUNDS = 4; // of 2,048 elements; a block of `gather` handles 8,192: src/optim/device.rs knows

// sources[e] is the address of parameter e's gradient (0: none flowed), which goes to flat[places[e]..] and has sizes[e] elements;
// places are multiples of 8 and places[entries] = count. partial[block] = Σ g².
KERNEL(threads = 256)
gather(const uint64_t* __restrict__ sources, const uint64_t* __restrict__ places, const uint64_t* __restrict__ sizes,
       float* __restrict__ flat, float* __restrict__ partial, int entries, size_t count) {
    float squares = 0;
#pragma unroll 1
    for (int round = 0; round < ROUNDS; round++) {
        const size_t i = ((static_cast<size_t>(blockIdx.x) * ROUNDS + round) * 256 + threadIdx.x) * ELEMENTWISE;
        if (i >= count) break;
        int low = 0, high = entries; // places[low] <= i < places[high]
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (places[middle] <= i) low = middle;
            else
                high = middle;
        }
        const uint64_t within = i - places[low], size = sizes[low];
        const float* source = reinterpret_cast<const float*>(sources[low]);
        const int n = source && within < size ? static_cast<int>(min(size - within, static_cast<uint64_t>(ELEMENTWISE))) : 0;
        float g[ELEMENTWISE];
        load_eight(g, source + within, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) squares += g[j] * g[j];
        store_eight(flat + i, g, ELEMENTWISE);
    }
    squares = block_sum<256>(squares);
    if (threadIdx.x == 0) partial[blockIdx.x] = squares;
}

// One block: norm = √Σ partial, in double.
KERNEL(threads = 256)
norm(const float* __restrict__ partial, float* __restrict__ y, int count) {
    SHARED(double, sums, [256]);
    double mine = 0;
    for (int i = threadIdx.x; i < count; i += 256) mine += partial[i];
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (int step = 128; step > 0; step /= 2) {
        if (static_cast<int>(threadIdx.x) < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) *y = static_cast<float>(sqrt(sums[0]));
}

// rates: 1 − lr·decay, lr/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ). `working` (bf16, may be null) follows the parameters. A norm that is no number
// leaves everything as it is.
KERNEL(threads = 256)
adamw(const float* __restrict__ gradient, const float* __restrict__ norm, const float* __restrict__ rates, float* __restrict__ p,
      float* __restrict__ m, float* __restrict__ v, bf16* __restrict__ working, float beta1, float beta2, float eps, float limit,
      size_t count) {
    const float length = *norm, keep = rates[0], rate = rates[1], root = rates[2];
    if (!(length <= 3.4e38f)) return;
    const float scale = limit > 0 && length > limit ? limit / length : 1.0f;
    for_elements(count, [&](size_t i, int n) {
        float g[ELEMENTWISE], a[ELEMENTWISE], b[ELEMENTWISE], w[ELEMENTWISE];
        load_eight(g, gradient + i, n);
        load_eight(a, m + i, n);
        load_eight(b, v + i, n);
        load_eight(w, p + i, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) {
            const float clipped = g[j] * scale;
            a[j] = beta1 * a[j] + (1 - beta1) * clipped;
            b[j] = beta2 * b[j] + (1 - beta2) * clipped * clipped;
            w[j] = w[j] * keep - rate * a[j] / (sqrtf(b[j]) * root + eps);
        }
        store_eight(m + i, a, n);
        store_eight(v + i, b, n);
        store_eight(p + i, w, n);
        if (working) store_eight(working + i, w, n);
    });
}

// working = p in bf16.
KERNEL(threads = 256)
narrow(const float* __restrict__ p, bf16* __restrict__ working, size_t count) {
    for_elements(count, [&](size_t i, int n) {
        float w[ELEMENTWISE];
        load_eight(w, p + i, n);
        store_eight(working + i, w, n);
    });
}
