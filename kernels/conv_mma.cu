// src/ops/conv_block: convolutions on tensor cores, [batch, time, inputs] to [batch, rows, outputs], channels in multiples of 8.
//
// All three are matrix products over strided views (conv_mma.cuh): no window is copied, what lies outside the input arrives
// as zeros from cp.async. Weights are packed [outputs, taps, inputs] (conv_weights.cu). Tiles never cross from one sample into the
// next, so that they need no division and a tile's GroupNorm sums belong to one sample; 9600, 4800 and 2400 rows leave 0 to 1.3 %
// of the tiles empty.
//
// At paper size (16 segments) one pass over conv2–4 is 0.48 TFLOP, and each kernel has 400 to 1500 FLOP per byte of memory:
// tensor cores limit them. Expected on an H100: 450 to 500 TFLOP/s, near the ceiling of mma.sync there (about 60 % of what wgmma
// gets), so about 1 ms a pass; on an A100 70 to 75 % of its peak.
#include "common.cuh"
#include "conv_mma.cuh"

// y = windows · Wᵀ. Grid: blocks of outputs, of rows, samples. Of each output over each 64 rows, Σ y and Σ (y − mean)² go into
// moments [batch, parts, 2, outputs].
KERNEL(threads = 128, blocks = 2)
forward(const bf16* __restrict__ x, const bf16* __restrict__ w, bf16* __restrict__ y, float* __restrict__ moments, int time,
        int inputs, int rows, int outputs, int taps, int stride, int padding) {
    SHARED(Slab, stages, [STAGES]);
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    const bf16* const sample = x + static_cast<size_t>(blockIdx.z) * time * inputs;
    Accumulators c = {};
    multiply<false, false>(c, stages, taps * ((inputs + DEPTH - 1) / DEPTH), [&, tap = 0, channel = 0](Slab& slab) mutable {
        copy_tile<false>(slab.a, x, [&](int row, int piece) {
            const int at = (m0 + row) * stride + tap - padding, i = channel + piece * PIECE;
            return at >= 0 && at < time && i < inputs ? sample + static_cast<size_t>(at) * inputs + i : nullptr;
        });
        copy_tile<false>(slab.b, w, [&](int column, int piece) {
            const int o = n0 + column, i = channel + piece * PIECE;
            return o < outputs && i < inputs ? w + (static_cast<size_t>(o) * taps + tap) * inputs + i : nullptr;
        });
        channel += DEPTH;
        if (channel >= inputs) channel = 0, tap++;
    });

    const int m = m0 + warp_row(), n = n0 + warp_column(), count = min(rows - m, WARP_TILE);
    const int parts = (rows + WARP_TILE - 1) / WARP_TILE;
    float* const part = moments + (static_cast<size_t>(blockIdx.z) * parts + m / WARP_TILE) * 2 * outputs;
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float sums[2] = {}, mean = 0;
#pragma unroll
            for (int pass = 0; pass < 2; pass++) {
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    const float v = c[i / 2][j][i % 2 * 2 + e];
                    if (element_row(i / 2, i % 2) < count) sums[pass] += pass == 0 ? v : (v - mean) * (v - mean);
                }
#pragma unroll
                for (int step = 4; step < WARP; step *= 2) sums[pass] += shuffle_xor(sums[pass], step);
                mean = sums[0] / max(count, 1);
            }
            const int column = n + element_column(j) + e;
            if (threadIdx.x % WARP < 4 && count > 0 && column < outputs) part[column] = sums[0], part[outputs + column] = sums[1];
        }
    }
    bf16* const to = y + (static_cast<size_t>(blockIdx.z) * rows + m) * outputs + n;
    store_rows(c, stages, outputs - n, [&](int row) { return row < count ? to + static_cast<size_t>(row) * outputs : nullptr; });
}

// dx[j] = Σ dy[t] · W[tap] over j = t·stride + tap − padding. Inputs j with the same phase (j + padding) mod stride are reached by
// the same taps, phase + stride·i, from consecutive rows t = u − i: one dense product for each phase, nothing is scattered.
// Grid: blocks of inputs, of rows u times phases, samples.
KERNEL(threads = 128, blocks = 2)
data_gradient(const bf16* __restrict__ dy, const bf16* __restrict__ w, bf16* __restrict__ dx, int time, int inputs, int rows,
              int outputs, int taps, int stride, int padding) {
    SHARED(Slab, stages, [STAGES]);
    const int phase = blockIdx.y % stride, n0 = blockIdx.x * TILE;
    const int first = padding > phase ? (padding - phase + stride - 1) / stride : 0, u0 = first + blockIdx.y / stride * TILE;
    const int reaching = taps > phase ? (taps - phase + stride - 1) / stride : 0;
    const bf16* const sample = dy + static_cast<size_t>(blockIdx.z) * rows * outputs;
    Accumulators c = {};
    multiply<false, true>(c, stages, reaching * ((outputs + DEPTH - 1) / DEPTH), [&, back = 0, channel = 0](Slab& slab) mutable {
        copy_tile<false>(slab.a, dy, [&](int row, int piece) {
            const int t = u0 + row - back, o = channel + piece * PIECE;
            return t >= 0 && t < rows && o < outputs ? sample + static_cast<size_t>(t) * outputs + o : nullptr;
        });
        copy_tile<true>(slab.b, w, [&](int row, int piece) {
            const int o = channel + row, i = n0 + piece * PIECE, tap = phase + stride * back;
            return o < outputs && i < inputs ? w + (static_cast<size_t>(o) * taps + tap) * inputs + i : nullptr;
        });
        channel += DEPTH;
        if (channel >= outputs) channel = 0, back++;
    });
    const int n = n0 + warp_column(), u = u0 + warp_row();
    bf16* const to = dx + static_cast<size_t>(blockIdx.z) * time * inputs + n;
    store_rows(c, stages, inputs - n, [&](int row) {
        const int at = (u + row) * stride + phase - padding;
        return at < time ? to + static_cast<size_t>(at) * inputs : nullptr;
    });
}

// Σ dyᵀ · windows over a share of the rows, into partial [shares, outputs, taps, inputs]. Slabs of 32 rows are numbered over all
// samples, and share blockIdx.z takes `slabs_per_share` of them. Grid: taps times blocks of inputs, blocks of outputs, shares.
KERNEL(threads = 128, blocks = 2)
weight_gradient(const bf16* __restrict__ dy, const bf16* __restrict__ x, float* __restrict__ partial, int batch, int time,
                int inputs, int rows, int outputs, int taps, int stride, int padding, int slabs_per_share) {
    SHARED(Slab, stages, [STAGES]);
    const int blocks = (inputs + TILE - 1) / TILE, tap = blockIdx.x / blocks;
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x % blocks * TILE;
    const int per_sample = (rows + DEPTH - 1) / DEPTH, first = blockIdx.z * slabs_per_share;
    const int slabs = max(min(slabs_per_share, batch * per_sample - first), 0);
    Accumulators c = {};
    multiply<true, true>(c, stages, slabs, [&, sample = first / per_sample, t0 = first % per_sample * DEPTH](Slab& slab) mutable {
        copy_tile<true>(slab.a, dy, [&](int row, int piece) {
            const int t = t0 + row, o = m0 + piece * PIECE;
            return t < rows && o < outputs ? dy + (static_cast<size_t>(sample) * rows + t) * outputs + o : nullptr;
        });
        copy_tile<true>(slab.b, x, [&](int row, int piece) {
            const int t = t0 + row, at = t * stride + tap - padding, i = n0 + piece * PIECE;
            const bool there = t < rows && at >= 0 && at < time && i < inputs;
            return there ? x + (static_cast<size_t>(sample) * time + at) * inputs + i : nullptr;
        });
        t0 += DEPTH;
        if (t0 >= rows) t0 = 0, sample++;
    });
    const int n = n0 + warp_column(), m = m0 + warp_row();
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int o = m + element_row(i, h);
            float* const to = partial + ((static_cast<size_t>(blockIdx.z) * outputs + o) * taps + tap) * inputs;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const int column = n + element_column(j);
                if (o < outputs && column < inputs) store<2>(to + column, Pack<float, 2>{c[i][j][h * 2], c[i][j][h * 2 + 1]});
            }
        }
    }
}
