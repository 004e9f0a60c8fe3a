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
