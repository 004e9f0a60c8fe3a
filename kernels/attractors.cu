// src/descriptors/device.rs: A7 and A9, the just intervals between a frame's spectral peaks.
//
// A warp takes a frame: eight times the loudest bin that is left, by 32 lanes side by side, then a lane for each of the 28 pairs. The
// spectra of a batch of 16 are 12 MB, read once from L2 and then from L1: some tens of µs behind the transform.
#include "common.cuh"

constexpr int COLUMNS = 12, PEAKS = 8, PAIRS = PEAKS * (PEAKS - 1) / 2, WARPS = 8;

// A bin and how loud it is; of two that are equally loud the lower comes first.
struct Peak {
    float magnitude;
    uint32_t bin;
};

__device__ __forceinline__ bool before(Peak a, Peak b) {
    return a.magnitude > b.magnitude || (a.magnitude == b.magnitude && a.bin < b.bin);
}

// activation[frame, 12]: Σ over the pairs of √(|X_i|·|X_j|)·exp(−sharpness·(interval − attractor)²); bins below `first` are no peaks.
KERNEL(threads = 256)
activations(const float* __restrict__ spectrum, const float* __restrict__ attractors, float* __restrict__ activation, int frames,
            int bins, int first, float sharpness) {
    const int lane = threadIdx.x % WARP, frame = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (frame >= frames) return; // a whole warp
    const float* row = spectrum + static_cast<size_t>(frame) * bins;
    Peak last = {3e38f, 0}, mine = last; // lane i < 8 keeps the i-th peak
    for (int i = 0; i < PEAKS; i++) {
        Peak best = {-1.0f, 0xffffffffu};
        for (int k = first + lane; k < bins; k += WARP) {
            const Peak here = {row[k], static_cast<uint32_t>(k)};
            if (before(last, here) && before(here, best)) best = here;
        }
#pragma unroll
        for (int step = WARP / 2; step > 0; step /= 2) {
            const Peak other = {shuffle_xor(best.magnitude, step), shuffle_xor(best.bin, step)};
            if (before(other, best)) best = other;
        }
        last = best;
        if (lane == i) mine = best;
    }
    // Pair (i, j) of this lane, i < j; the last four lanes have none.
    int i = lane, j = 1;
    while (i >= j) i -= j++;
    const int other = min(j, PEAKS - 1);
    const float root = sqrtf(shuffle(mine.magnitude, i)) * sqrtf(shuffle(mine.magnitude, other));
    const uint32_t one = shuffle(mine.bin, i), two = shuffle(mine.bin, other);
    uint32_t low = min(one, two);
    const uint32_t high = max(one, two);
    // Folded into an octave as whole numbers, so that octaves are exactly 0.
    while (high >= 2 * low) low *= 2;
    const float interval = log2f(static_cast<float>(high) / static_cast<float>(low));
    float own = 0;
    for (int c = 0; c < COLUMNS; c++) {
        const float far = interval - attractors[c];
        const float sum = warp_sum(lane < PAIRS ? root * expf(-sharpness * far * far) : 0.0f);
        if (lane == c) own = sum;
    }
    if (lane < COLUMNS) activation[static_cast<size_t>(frame) * COLUMNS + lane] = own;
}

// y[sample, frame, 12]: each frame's activations over their sum (A7), WEIGHTED by ln(1/(df + 1e-3)) within 0 to 5 with df the share
// of the sample's frames in which they exceed 0.05 (A9). A block a sample.
template <typename T, int WEIGHTED>
KERNEL(threads = 256, WEIGHTED = 0 | 1)
rows(const float* __restrict__ activation, T* __restrict__ y, int frames, float epsilon) {
    const size_t start = static_cast<size_t>(blockIdx.x) * frames * COLUMNS;
    SHARED(float, weight, [COLUMNS]);
    for (int c = threadIdx.x / WARP; c < COLUMNS; c += WARPS) {
        float sounding = 0;
        for (int t = threadIdx.x % WARP; WEIGHTED && t < frames; t += WARP) {
            sounding += activation[start + static_cast<size_t>(t) * COLUMNS + c] > 0.05f ? 1.0f : 0.0f;
        }
        const float share = warp_sum(sounding) / static_cast<float>(frames);
        if (threadIdx.x % WARP == 0) weight[c] = WEIGHTED ? fminf(fmaxf(logf(1.0f / (share + 1e-3f)), 0.0f), 5.0f) : 1.0f;
    }
    __syncthreads();
    for (int t = threadIdx.x; t < frames; t += 256) {
        const size_t at = start + static_cast<size_t>(t) * COLUMNS;
        float row[COLUMNS], sum = epsilon;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) sum += row[c] = activation[at + c] * weight[c];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) y[at + c] = from_float<T>(row[c] / sum);
    }
}
