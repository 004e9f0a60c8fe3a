// What attention's kernels share: tiles in shared memory, products of tiles, which weights dropout keeps.
//
// A block is four warps. A warp owns 16·M rows of a product and all of its columns, in the layout of mma_bf16: tile (m, n) of a
// [M][N][4] array holds elements (16m + g + 8⌊e/2⌋, 8n + 2t + e mod 2), g = lane / 4, t = lane % 4. Products of f32 tiles (plain
// fused multiply-adds, for gradient tests) keep that layout, so everything around them is written once.
#pragma once
#include "common.cuh"

constexpr int THREADS = 128, WARPS = THREADS / WARP;
constexpr float LOG2_E = 1.44269504f;

// Elements from row to row of a tile in shared memory: 16 bytes more than a row has, so that the 16-byte pieces of eight
// neighbouring rows lie in different banks.
template <typename T, int DIM>
constexpr int PITCH = DIM + WIDE<T>;

// One head of one sample in packed [ΣT, d] matrices: `width` columns from column `column` on, `rows` rows from row `first` on.
struct Head {
    int first, rows, d, column, width;
    bool wide; // 16-byte pieces are whole and aligned

    // Head blockIdx.y of sample blockIdx.z in both `x` and `y`.
    template <typename T>
    __device__ __forceinline__ static Head of(const int* offsets, int heads, int d, const T* x, const T* y) {
        const int first = offsets[blockIdx.z], width = d / heads;
        const uintptr_t addresses = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y);
        const bool wide = width % WIDE<T> == 0 && addresses % 16 == 0;
        return {first, offsets[blockIdx.z + 1] - first, d, static_cast<int>(blockIdx.y) * width, width, wide};
    }

    __device__ __forceinline__ size_t at(int row, int i) const { return static_cast<size_t>(first + row) * d + column + i; }
};

// Starts copying rows `row` .. `row + ROWS` of `x` into a tile, zeros where there is none; arrives with the next group of copies
// and a barrier.
template <int ROWS, int DIM, typename T>
__device__ __forceinline__ void copy_tile(T* tile, const T* __restrict__ x, const Head& head, int row) {
    if (head.wide) {
        constexpr int PIECES = DIM / WIDE<T>;
#pragma unroll
        for (int i = threadIdx.x; i < ROWS * PIECES; i += THREADS) {
            const int r = i / PIECES, c = i % PIECES * WIDE<T>;
            const bool valid = row + r < head.rows && c < head.width;
            copy_async<16>(tile + r * PITCH<T, DIM> + c, valid ? x + head.at(row + r, c) : x, valid);
        }
    } else {
        for (int i = threadIdx.x; i < ROWS * DIM; i += THREADS) {
            const int r = i / DIM, c = i % DIM;
            const bool valid = row + r < head.rows && c < head.width;
            tile[r * PITCH<T, DIM> + c] = valid ? x[head.at(row + r, c)] : from_float<T>(0.0f);
        }
    }
}

// s[16M, 8N] += a · bᵀ over DIM columns; `a` is this warp's first row.
template <int DIM, int M, int N>
__device__ __forceinline__ void product_transposed(float (&s)[M][N][4], const bf16* a, const bf16* b) {
    constexpr int P = PITCH<bf16, DIM>;
    const int lane = threadIdx.x % WARP;
    const bf16* const from_a = a + lane % 16 * P + lane / 16 * 8;
    const bf16* const from_b = b + (lane / 16 * 8 + lane % 8) * P + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < DIM; k += 16) {
        uint32_t x[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) load_matrix(x[m], from_a + m * 16 * P + k);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t y[4];
            load_matrix(y, from_b + n * 8 * P + k);
            const uint32_t left[2] = {y[0], y[1]}, right[2] = {y[2], y[3]};
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_bf16(s[m][n], x[m], left);
                mma_bf16(s[m][n + 1], x[m], right);
            }
        }
    }
}

template <int DIM, int M, int N>
__device__ __forceinline__ void product_transposed(float (&s)[M][N][4], const float* a, const float* b) {
    constexpr int P = PITCH<float, DIM>;
    const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll 1
    for (int k = 0; k < DIM; k += 4) {
        Pack<float, 4> x[M][2];
#pragma unroll
        for (int m = 0; m < 2 * M; m++) x[m / 2][m % 2] = load<4>(a + (m * 8 + g) * P + k);
#pragma unroll
        for (int n = 0; n < 2 * N; n++) {
            const auto y = load<4>(b + (n / 2 * 8 + 2 * t + n % 2) * P + k);
#pragma unroll
            for (int m = 0; m < 2 * M; m++) {
                float& sum = s[m / 2][n / 2][m % 2 * 2 + n % 2];
#pragma unroll
                for (int i = 0; i < 4; i++) sum += x[m / 2][m % 2].at[i] * y.at[i];
            }
        }
    }
}

// o[16M, DIM] += p[16M, 8N] · b: p stays in registers, since the layout of a product is that of mma's left operand.
template <int DIM, int M, int N>
__device__ __forceinline__ void product(float (&o)[M][DIM / 8][4], const float (&p)[M][N][4], const bf16* b) {
    constexpr int P = PITCH<bf16, DIM>;
    const int lane = threadIdx.x % WARP;
    const bf16* const from_b = b + lane % 16 * P + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < N; n += 2) {
        uint32_t x[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++) x[m][i] = pack_bf16(p[m][n + i / 2][i % 2 * 2], p[m][n + i / 2][i % 2 * 2 + 1]);
        }
#pragma unroll
        for (int j = 0; j < DIM / 8; j += 2) {
            uint32_t y[4];
            load_matrix_transposed(y, from_b + n * 8 * P + j * 8);
            const uint32_t left[2] = {y[0], y[1]}, right[2] = {y[2], y[3]};
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_bf16(o[m][j], x[m], left);
                mma_bf16(o[m][j + 1], x[m], right);
            }
        }
    }
}

template <int DIM, int M, int N>
__device__ __forceinline__ void product(float (&o)[M][DIM / 8][4], const float (&p)[M][N][4], const float* b) {
    const int lane = threadIdx.x % WARP, t = lane % 4;
#pragma unroll 1
    for (int holder = 0; holder < 4; holder++) {
#pragma unroll
        for (int n = 0; n < 2 * N; n++) {
            float x[2 * M];
#pragma unroll
            for (int m = 0; m < 2 * M; m++) x[m] = shuffle(p[m / 2][n / 2][m % 2 * 2 + n % 2], lane - t + holder);
            const float* const row = b + (n / 2 * 8 + 2 * holder + n % 2) * PITCH<float, DIM> + 2 * t;
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) {
                const auto y = load<2>(row + j * 8);
#pragma unroll
                for (int m = 0; m < 4 * M; m++) o[m / 4][j][m % 4] += x[m / 2] * y.at[m % 2];
            }
        }
    }
}

// Rows of a product into memory as T: row i of this warp's is row `row + i` of the head.
template <int DIM, int M, typename T>
__device__ __forceinline__ void store_product(T* x, const Head& head, int row, const float (&o)[M][DIM / 8][4]) {
    const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < 2 * M; m++) {
        const int r = row + m * 8 + g;
        if (r >= head.rows) continue;
#pragma unroll
        for (int j = 0; j < DIM / 8; j++) {
            const int c = j * 8 + 2 * t;
            const float low = o[m / 2][j][m % 2 * 2], high = o[m / 2][j][m % 2 * 2 + 1];
            T* const to = x + head.at(r, c);
            if (head.wide) {
                if (c < head.width) store<2>(to, Pack<T, 2>{{from_float<T>(low), from_float<T>(high)}});
            } else {
                if (c < head.width) to[0] = from_float<T>(low);
                if (c + 1 < head.width) to[1] = from_float<T>(high);
            }
        }
    }
}

// ---- dropout: the bits of src/ops/dropout.rs, where a row is (query, head) and a column a key of its sample ----------

// One Philox call draws for four neighbouring keys of a query, which four or two lanes hold: each lane calls for one such group
// and the lanes swap a bit for each weight.
struct Keep {
    const uint64_t* counter; // read where it is used: a register pair less all along
    uint64_t key;
    uint32_t below; // words below it drop: 0 keeps everything
    int first_query, heads, head;

    __device__ __forceinline__ uint32_t four(int query, int quad) const {
        const uint64_t row = static_cast<uint64_t>(first_query + query) * heads + head;
        const Random4 words = philox(*counter | row, quad, key);
        uint32_t bits = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) bits |= static_cast<uint32_t>(words.word[i] >= below) << i;
        return bits;
    }
};

// to = from where kept, else 0.
template <int M, int N, typename Bits>
__device__ __forceinline__ void apply_bits(float (&to)[M][N][4], const float (&from)[M][N][4], const Bits& bits) {
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int i = 0; i < 4 * N; i++) to[m][i / 4][i % 4] = bits.at(m, i / 4, i % 4) ? from[m][i / 4][i % 4] : 0.0f;
    }
}

// For a product whose rows are queries and columns keys; `key` is a multiple of 4.
template <int M, int N>
struct KeepByQuery {
    uint32_t bits[M][(N + 3) / 4];

    __device__ __forceinline__ void draw(const Keep& keep, int query, int key) {
        const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4, half = t % 2;
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int n = 0; n < N; n++) {
                const uint32_t mine = keep.four(query + m * 16 + half * 8 + g, (key + n * 8) / 4 + t / 2);
                const uint32_t placed = mine << (n % 4 * 8 + half * 4);
                bits[m][n / 4] = n % 4 == 0 ? placed : bits[m][n / 4] | placed;
            }
#pragma unroll
            for (int i = 0; i < (N + 3) / 4; i++) bits[m][i] |= shuffle_xor(bits[m][i], 1);
        }
    }

    __device__ __forceinline__ void apply(float (&to)[M][N][4], const float (&from)[M][N][4]) const { apply_bits(to, from, *this); }

    __device__ __forceinline__ bool at(int m, int n, int e) const {
        return bits[m][n / 4] >> (n % 4 * 8 + e / 2 * 4 + threadIdx.x % 2 * 2 + e % 2) & 1;
    }
};

// For a product whose rows are keys and columns queries; `key` is a multiple of 4.
template <int M, int N>
struct KeepByKey {
    uint32_t bits[M][(N + 1) / 2];

    __device__ __forceinline__ void draw(const Keep& keep, int query, int key) {
        const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4, e = g % 4;
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int n = 0; n < N; n++) {
                const uint32_t mine = keep.four(query + n * 8 + 2 * t + e % 2, (key + m * 16 + e / 2 * 8) / 4 + g / 4);
                const uint32_t placed = mine << (n % 2 * 16 + e * 4);
                bits[m][n / 2] = n % 2 == 0 ? placed : bits[m][n / 2] | placed;
            }
#pragma unroll
            for (int i = 0; i < (N + 1) / 2; i++) {
                bits[m][i] |= shuffle_xor(bits[m][i], 4);
                bits[m][i] |= shuffle_xor(bits[m][i], 8);
            }
        }
    }

    __device__ __forceinline__ void apply(float (&to)[M][N][4], const float (&from)[M][N][4]) const { apply_bits(to, from, *this); }

    __device__ __forceinline__ bool at(int m, int n, int e) const {
        return bits[m][n / 2] >> (n % 2 * 16 + e * 4 + threadIdx.x % WARP / 4 % 4) & 1;
    }
};
