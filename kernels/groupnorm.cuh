// What the kernels of src/ops/conv_block share: the fast GELU, and how the statistics of a GroupNorm are laid out.
#pragma once

// Φ(x) and φ(x) by one exponential and one reciprocal: |ΔΦ| ≤ 8e-8 (Abramowitz and Stegun 7.1.26), half of f32's own step at 1.
// normcdff costs three times as much, and these kernels are limited by it.
struct Normal {
    float cdf, pdf;
};

__device__ __forceinline__ Normal normal(float x) {
    const float t = __fdividef(1.0f, 1.0f + 0.2316418881f * fabsf(x)), e = __expf(-0.5f * x * x);
    const float tail = (((((1.061405429f * t - 1.453152027f) * t) + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    const float outside = 0.5f * tail * e;
    return {x < 0 ? outside : 1.0f - outside, 0.3989422804f * e};
}

__device__ __forceinline__ float fast_gelu(float x) { return x * normal(x).cdf; }

__device__ __forceinline__ float fast_gelu_slope(float x) {
    const Normal n = normal(x);
    return n.cdf + x * n.pdf;
}

// `statistics` is [batch, 3, channels]: with y the convolution without its bias, ŷ = y · scale + offset is the normalised
// activation before γ and β, and `total` is Σ y over the sample's rows.
constexpr int SCALE = 0, OFFSET = 1, TOTAL = 2, STATISTICS = 3;

// Eight per-channel values from channel `c` on.
__device__ __forceinline__ void load_channels(float (&v)[8], const float* values, int c, int channels) {
    load_eight(v, values + c, min(max(channels - c, 0), 8));
}
