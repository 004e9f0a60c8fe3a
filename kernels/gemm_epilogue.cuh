// What matrix products share: how rows of an operand lie in memory, which tile a block takes, and what happens to a sum before
// it is stored. Included inside the namespace of the kernel file.
#pragma once

// Rows in groups: row r begins at element r / group · jump + r % group · stride. One group is an ordinary matrix; a row stride
// below the row's length makes rows overlap (a convolution's windows), with one group for each sequence.
struct Rows {
    int stride, group, jump;

    __device__ __forceinline__ int offset(int r) const {
        return r < group ? r * stride : r / group * jump + r % group * stride;
    }
};

struct Place {
    int row, column;
};

// The k that split `split` of `splits` sums, in stages of DEPTH.
struct Range {
    int begin, end;
};
template <int DEPTH>
__device__ __forceinline__ Range range_of(int split, int splits, int k) {
    const int stages = (k + DEPTH - 1) / DEPTH, each = (stages + splits - 1) / splits * DEPTH;
    return {min(split * each, k), min(split * each + each, k)};
}

// Tile number `id`: down eight tiles of rows before going right, so that the blocks that run together share operands in L2.
__device__ __forceinline__ Place tile_of(int id, int tiles_down, int tiles_across) {
    constexpr int BAND = 8;
    const int band = id / (BAND * tiles_across), within = id % (BAND * tiles_across);
    const int height = min(BAND, tiles_down - band * BAND);
    return {band * BAND + within % height, within / height};
}

// From a sum to what is stored, each step only where its pointer is given:
//   v = Σ + bias; keep v in `pre`; v = GELU(v); v = v·GELU′(slope); v = v + addend.
// `pre`, `slope` and `addend` lie like the output; `addend` may be the output itself.
template <typename T>
struct Epilogue {
    T* out;
    const float* bias;
    const T* addend;
    T* pre;
    const T* slope;
    int gelu;

    // Finishes the `n` ≤ 8 neighbours that begin at element `at` of the output, in column `column`.
    __device__ __forceinline__ void finish(float (&v)[8], size_t at, int column, int n) const {
        float other[8];
        if (bias) {
            load_eight(other, bias + column, n);
#pragma unroll
            for (int j = 0; j < 8; j++) v[j] += other[j];
        }
        if (gelu) {
            if (pre) store_eight(pre + at, v, n);
#pragma unroll
            for (int j = 0; j < 8; j++) v[j] = gelu_value(v[j]);
        }
        if (slope) {
            load_eight(other, slope + at, n);
#pragma unroll
            for (int j = 0; j < 8; j++) v[j] *= gelu_slope(other[j]);
        }
        if (addend) {
            load_eight(other, addend + at, n);
#pragma unroll
            for (int j = 0; j < 8; j++) v[j] += other[j];
        }
        store_eight(out + at, v, n);
    }
};

// Floats from row to row of a slab for `finish_rows`: eight rows at two columns fall into different banks.
template <int COLUMNS>
constexpr int SLAB_PITCH = COLUMNS + 8;

// Finishes the sixteen rows that a warp holds as mma_bf16 does, tile after tile of eight columns: through its `slab` of shared memory,
// so that every lane stores eight neighbours. They are rows `row` on and columns `column` on of an m × n result, whose item begins at
// element `base`; bare sums go to `partial` [m, n] where that is given. `epilogue` is one like `Epilogue`.
template <int COLUMNS, typename E>
__device__ __forceinline__ void finish_rows(float* slab, const float (&sums)[COLUMNS / 8][4], int row, int column, int m, int n,
                                            float* partial, const E& epilogue, size_t base, const Rows& rows) {
    constexpr int PITCH = SLAB_PITCH<COLUMNS>, EIGHTS = COLUMNS / 8, TOGETHER = WARP / EIGHTS;
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int j = 0; j < EIGHTS; j++) {
        float* const to = slab + lane / 4 * PITCH + j * 8 + lane % 4 * 2;
        store<2>(to, Pack<float, 2>{{sums[j][0], sums[j][1]}});
        store<2>(to + 8 * PITCH, Pack<float, 2>{{sums[j][2], sums[j][3]}});
    }
    __syncwarp();
#pragma unroll 1
    for (int from = lane / EIGHTS; from < 16; from += TOGETHER) {
        const int r = row + from, at = column + lane % EIGHTS * 8;
        if (r < m && at < n) {
            float v[8];
            load_eight(v, slab + from * PITCH + lane % EIGHTS * 8, 8);
            if (partial) store_eight(partial + static_cast<size_t>(r) * n + at, v, min(n - at, 8));
            else epilogue.finish(v, base + rows.offset(r) + at, at, min(n - at, 8));
        }
    }
    __syncwarp();
}
