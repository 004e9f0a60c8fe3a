// src/descriptors/device.rs: A8, the energy of each pitch class and the spectral flux. A warp takes a frame and reads it and the one
// before it, which another warp of the block has just brought to L1.
#include "common.cuh"

constexpr int CLASSES = 12, WARPS = 8;

// energy[row, 12] = Σ |X|² over the bins of a class, flux[row] = Σ max(0, |X| − |X before|), 0 in a sample's first frame.
// `classes`: the pitch class of each bin from bin 1 on.
KERNEL(threads = 256)
energies(const float* __restrict__ spectrum, const uint32_t* __restrict__ classes, float* __restrict__ energy,
         float* __restrict__ flux, int rows, int frames, int bins) {
    const int lane = threadIdx.x % WARP, row = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (row >= rows) return; // a whole warp
    const bool first = row % frames == 0;
    const float* now = spectrum + static_cast<size_t>(row) * bins;
    float sum[CLASSES] = {}, rise = 0;
    for (int k = lane; k < bins; k += WARP) {
        const float m = now[k];
        if (!first) rise += fmaxf(m - (now - bins)[k], 0.0f);
        const uint32_t mine = k > 0 ? classes[k - 1] : CLASSES;
#pragma unroll
        for (int c = 0; c < CLASSES; c++) sum[c] += mine == static_cast<uint32_t>(c) ? m * m : 0.0f;
    }
    float own = 0;
#pragma unroll
    for (int c = 0; c < CLASSES; c++) {
        const float total = warp_sum(sum[c]);
        if (lane == c) own = total;
    }
    rise = warp_sum(rise);
    if (lane < CLASSES) energy[static_cast<size_t>(row) * CLASSES + lane] = own;
    if (lane == 0) flux[row] = rise;
}

// y[sample, frame, 12]: the energies times the flux as a share of the sample's largest, over their sum. A block a sample.
template <typename T>
KERNEL(threads = 256)
gate(const float* __restrict__ energy, const float* __restrict__ flux, T* __restrict__ y, int frames, float epsilon) {
    const size_t start = static_cast<size_t>(blockIdx.x) * frames;
    float most = 0;
    for (int t = threadIdx.x; t < frames; t += 256) most = fmaxf(most, flux[start + t]);
    most = warp_max(most);
    SHARED(float, largest, [WARPS]);
    if (threadIdx.x % WARP == 0) largest[threadIdx.x / WARP] = most;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < WARPS; i++) most = fmaxf(most, largest[i]);
    for (int t = threadIdx.x; t < frames; t += 256) {
        const float share = most > 0.0f ? flux[start + t] / most : 0.0f;
        float row[CLASSES], sum = epsilon;
#pragma unroll
        for (int c = 0; c < CLASSES; c++) sum += row[c] = energy[(start + t) * CLASSES + c] * share;
#pragma unroll
        for (int c = 0; c < CLASSES; c++) y[(start + t) * CLASSES + c] = from_float<T>(row[c] / sum);
    }
}
