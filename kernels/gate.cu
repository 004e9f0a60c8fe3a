// src/ops/moe/gate.rs: softmax over a handful of experts and the k largest. A thread for each row.
#include "common.cuh"

constexpr int THREADS = 128;

template <typename T>
KERNEL(threads = 128)
forward(const T* __restrict__ logits, float* __restrict__ p, float* __restrict__ weights, uint32_t* __restrict__ chosen,
        int renormalise, int rows, int experts, int k) {
    const int row = blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows) return;
    const T* x = logits + static_cast<size_t>(row) * experts;
    float* own = p + static_cast<size_t>(row) * experts;
    float largest = to_float(x[0]);
    for (int e = 1; e < experts; e++) largest = fmaxf(largest, to_float(x[e]));
    float sum = 0;
    for (int e = 0; e < experts; e++) sum += expf(to_float(x[e]) - largest);
    for (int e = 0; e < experts; e++) own[e] = expf(to_float(x[e]) - largest) / sum;
    uint64_t taken = 0;
    float total = 0;
    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int e = 0; e < experts; e++) {
            if ((taken >> e & 1) == 0 && (best < 0 || own[e] > own[best])) best = e;
        }
        taken |= static_cast<uint64_t>(1) << best;
        chosen[static_cast<size_t>(row) * k + j] = static_cast<uint32_t>(best);
        weights[static_cast<size_t>(row) * k + j] = own[best];
        total += own[best];
    }
    if (renormalise) {
        for (int j = 0; j < k; j++) weights[static_cast<size_t>(row) * k + j] /= total;
    }
}

// dlogits = p·(dp − ⟨dp, p⟩).
template <typename T>
KERNEL(threads = 128)
logits(const float* __restrict__ p, const float* __restrict__ dp, T* __restrict__ dx, int rows, int experts) {
    const int row = blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows) return;
    const size_t at = static_cast<size_t>(row) * experts;
    float dot = 0;
    for (int e = 0; e < experts; e++) dot += dp[at + e] * p[at + e];
    for (int e = 0; e < experts; e++) dx[at + e] = from_float<T>(p[at + e] * (dp[at + e] - dot));
}

// dp of the chosen: dw, or (dw − ⟨dw, w⟩) over the sum of their p.
KERNEL(threads = 128)
probabilities(const float* __restrict__ p, const float* __restrict__ weights, const float* __restrict__ dw,
              const uint32_t* __restrict__ chosen, float* __restrict__ dp, int renormalise, int rows, int experts, int k) {
    const int row = blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows) return;
    const size_t at = static_cast<size_t>(row) * experts, first = static_cast<size_t>(row) * k;
    for (int e = 0; e < experts; e++) dp[at + e] = 0;
    float dot = 0, sum = 0;
    for (int j = 0; j < k; j++) {
        dot += dw[first + j] * weights[first + j];
        sum += p[at + chosen[first + j]];
    }
    for (int j = 0; j < k; j++) {
        const float g = dw[first + j];
        dp[at + chosen[first + j]] = renormalise ? (g - dot) / sum : g;
    }
}
