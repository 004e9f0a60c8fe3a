// src/ops/weighted_sum.rs: a scalar times a weight, alone or on top of what is there.
#include "common.cuh"

KERNEL(threads = 32)
add(const float* __restrict__ x, float* __restrict__ y, float weight, int first) {
    if (threadIdx.x == 0) y[0] = weight * x[0] + (first ? 0.0f : y[0]);
}
