// src/device/gemm: C[m, n] = A[m, k]·B[k, n] with rows at any stride, a batch of them, and the epilogues of gemm_epilogue.cuh.
//
//   FORM 0   A[m, k], B[n, k]   y = x·Wᵀ     both contiguous along k
//   FORM 1   A[m, k], B[k, n]   dx = dy·W    B contiguous along n
//   FORM 2   A[k, m], B[k, n]   dW = dyᵀ·x   both contiguous across k
//
// `tensor`: tensor cores of sm_80 and later. A block of four warps makes a TILE × TILE tile, each warp a quarter, 32 of k at a time
// through a ring of stages filled by 16-byte asynchronous copies. Stages are swizzled by XOR on 16-byte chunks, so that copies and
// ldmatrix touch every bank once; ldmatrix transposes what is not contiguous along k, so all forms run the same inner loop. There is
// one barrier for each 32 of k, and fragments are loaded one step ahead of the mma that uses them.
//   What limits it: with TILE = 128 a warp's 64 × 64 × 16 step reads 4 KiB of shared memory for 32 mma: half of the time the
// tensor cores of an A100 need, so they are the limit; two blocks of 4 warps share an SM (≤ 255 registers, 48 KiB each, which fits the 100 KiB
// of sm_86/89 too), one computing while the other waits. Expected: 80 to 85 % of the dense bf16 peak on sm_80/86/89 from
// 2048² on. On Hopper mma.sync reaches about 60 % of what wgmma does: gemm_sm90a.cu. TILE = 64 is for products with too few tiles.
//
// `plain`: FMA on 64 × 64 tiles, any element addresses; f32 products (the gradient tests), and bf16 whose rows are not aligned to 16 bytes.
//
// With few tiles and a long k (weight gradients), k is split: each split writes its sums to `partial`, `finish` adds them in order.
#include "common.cuh"
#include "gemm_epilogue.cuh"

constexpr int THREADS = 128;
constexpr int DEPTH = 32; // of k in a stage

// A stage of one operand: EXTENT of m or n by DEPTH of k, with the contiguous dimension inside.
template <int EXTENT, bool ALONG_K>
struct Tile {
    static constexpr int INNER = ALONG_K ? DEPTH : EXTENT, OUTER = ALONG_K ? EXTENT : DEPTH;
    static constexpr int CHUNKS = INNER / 8; // of 16 bytes in a row
    static constexpr int STEP = THREADS / CHUNKS, PASSES = OUTER / STEP; // rows that the block copies at once
    static constexpr int ELEMENTS = INNER * OUTER;

    // Where a chunk lies. Eight rows at one chunk, which ldmatrix reads, fall into different banks.
    static __device__ __forceinline__ int at(int outer, int chunk) {
        return outer * INNER + (chunk ^ (CHUNKS == 4 ? outer / 2 % 4 : outer % 8)) * 8;
    }
};

// Copies one operand's stages, one after the other.
template <int EXTENT, bool ALONG_K>
struct Loader;

// Contiguous along k: a thread keeps its rows and moves along them.
template <int EXTENT>
struct Loader<EXTENT, true> {
    using Shape = Tile<EXTENT, true>;
    const bf16* base;
    int offset[Shape::PASSES]; // of each row; −1: beyond the operand
    int k, end;

    __device__ __forceinline__ Loader(const bf16* base, Rows rows, int first, int limit, int begin, int end)
        : base(base), k(begin + threadIdx.x % Shape::CHUNKS * 8), end(end) {
#pragma unroll
        for (int p = 0; p < Shape::PASSES; p++) {
            const int row = first + p * Shape::STEP + threadIdx.x / Shape::CHUNKS;
            offset[p] = row < limit ? rows.offset(row) : -1;
        }
    }

    __device__ __forceinline__ void copy(bf16* stage) {
#pragma unroll
        for (int p = 0; p < Shape::PASSES; p++) {
            const bool valid = offset[p] >= 0 && k < end;
            bf16* to = stage + Shape::at(p * Shape::STEP + threadIdx.x / Shape::CHUNKS, threadIdx.x % Shape::CHUNKS);
            copy_async<16>(to, valid ? base + offset[p] + k : base, valid);
        }
        k += DEPTH;
    }
};

// Contiguous across k: a thread keeps its columns and steps down the rows, from group to group.
template <int EXTENT>
struct Loader<EXTENT, false> {
    using Shape = Tile<EXTENT, false>;
    const bf16* base;
    Rows rows;
    unsigned offset; // of row k, which may lie beyond the operand
    int within, k, end;

    __device__ __forceinline__ Loader(const bf16* base, Rows rows, int first, int limit, int begin, int end)
        : base(base), rows(rows) {
        const int column = first + threadIdx.x % Shape::CHUNKS * 8;
        k = begin + threadIdx.x / Shape::CHUNKS;
        this->end = column < limit ? end : 0;
        offset = static_cast<unsigned>(rows.offset(k) + column);
        within = k < rows.group ? k : k % rows.group;
    }

    __device__ __forceinline__ void copy(bf16* stage) {
#pragma unroll
        for (int p = 0; p < Shape::PASSES; p++) {
            const bool valid = k < end;
            bf16* to = stage + Shape::at(p * Shape::STEP + threadIdx.x / Shape::CHUNKS, threadIdx.x % Shape::CHUNKS);
            copy_async<16>(to, valid ? base + offset : base, valid);
            k += Shape::STEP, within += Shape::STEP, offset += Shape::STEP * rows.stride;
            while (within >= rows.group) within -= rows.group, offset += rows.jump - rows.group * rows.stride;
        }
    }
};

// Rows first … first + 15 of A at k … k + 15, as mma takes them.
template <typename Shape, bool ALONG_K>
__device__ __forceinline__ void load_a(uint32_t (&r)[4], const bf16* stage, int first, int k) {
    const int lane = threadIdx.x % WARP;
    if constexpr (ALONG_K) load_matrix(r, stage + Shape::at(first + lane % 16, k / 8 + lane / 16));
    else load_matrix_transposed(r, stage + Shape::at(k + lane / 16 * 8 + lane % 8, first / 8 + lane / 8 % 2));
}

// Columns first … first + 15 of B at k … k + 15: two operands of mma.
template <typename Shape, bool ALONG_K>
__device__ __forceinline__ void load_b(uint32_t (&low)[2], uint32_t (&high)[2], const bf16* stage, int first, int k) {
    const int lane = threadIdx.x % WARP;
    uint32_t r[4];
    if constexpr (ALONG_K) load_matrix(r, stage + Shape::at(first + lane / 16 * 8 + lane % 8, k / 8 + lane / 8 % 2));
    else load_matrix_transposed(r, stage + Shape::at(k + lane % 16, first / 8 + lane / 16));
    low[0] = r[0], low[1] = r[1], high[0] = r[2], high[1] = r[3];
}

// Operands, rows and columns must be aligned to 8 elements where they are contiguous. Grid: tiles, 1, batch · splits.
// `partial` [batch, splits, m, n] takes the bare sums where it is given.
template <int FORM, int TILE>
KERNEL(threads = 128, blocks = 2, FORM = 0 | 1 | 2, TILE = 64 | 128)
tensor(const bf16* __restrict__ a, const bf16* __restrict__ b, bf16* c, float* __restrict__ partial,
       const float* __restrict__ bias, const bf16* addend, bf16* pre, const bf16* slope, int gelu, int m, int n, int k,
       int a_stride, int a_group, int a_jump, int b_stride, int b_group, int b_jump, int c_stride, int c_group, int c_jump,
       size_t a_batch, size_t b_batch, size_t c_batch, int splits) {
    constexpr bool A_ALONG = FORM != 2, B_ALONG = FORM == 0;
    constexpr int STAGES = TILE == 128 ? 3 : 4, STEPS = DEPTH / 16;
    constexpr int SIDE = TILE / 2, DOWN = SIDE / 16, ACROSS = SIDE / 8; // of a warp: elements, mma tiles
    using TileA = Tile<TILE, A_ALONG>;
    using TileB = Tile<TILE, B_ALONG>;
    DYNAMIC_SHARED(bytes);
    bf16* const ring = reinterpret_cast<bf16*>(bytes);
    const auto stage_a = [&](int stage) { return ring + stage * (TileA::ELEMENTS + TileB::ELEMENTS); };
    const auto stage_b = [&](int stage) { return stage_a(stage) + TileA::ELEMENTS; };

    const int warp = threadIdx.x / WARP;
    const int row = warp / 2 * SIDE, column = warp % 2 * SIDE; // of the warp within the tile
    const Place tile = tile_of(blockIdx.x, (m + TILE - 1) / TILE, (n + TILE - 1) / TILE);
    const int item = blockIdx.z / splits;
    const Range range = range_of<DEPTH>(blockIdx.z % splits, splits, k);
    const int stages = (range.end - range.begin + DEPTH - 1) / DEPTH;

    Loader<TILE, A_ALONG> loader_a(a + item * a_batch, {a_stride, a_group, a_jump}, tile.row * TILE, m, range.begin, range.end);
    Loader<TILE, B_ALONG> loader_b(b + item * b_batch, {b_stride, b_group, b_jump}, tile.column * TILE, n, range.begin, range.end);
    const auto copy = [&](int stage, bool any) {
        if (any) {
            loader_a.copy(stage_a(stage));
            loader_b.copy(stage_b(stage));
        }
        copy_async_commit();
    };

    float sums[DOWN][ACROSS][4] = {};
    uint32_t x[2][DOWN][4], y[2][ACROSS][2];
    const auto load = [&](int buffer, int stage, int step) {
#pragma unroll
        for (int i = 0; i < DOWN; i++) load_a<TileA, A_ALONG>(x[buffer][i], stage_a(stage), row + i * 16, step * 16);
#pragma unroll
        for (int j = 0; j < ACROSS; j += 2)
            load_b<TileB, B_ALONG>(y[buffer][j], y[buffer][j + 1], stage_b(stage), column + j * 8, step * 16);
    };

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) copy(s, s < stages);
    copy_async_wait<STAGES - 2>();
    __syncthreads();
    if (stages > 0) load(0, 0, 0);
    int stage = 0, free = STAGES - 1; // the stage being summed, and the one that is copied into
#pragma unroll 1
    for (int s = 0; s < stages; s++) {
        const int next = stage + 1 == STAGES ? 0 : stage + 1;
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            if (step + 1 < STEPS) {
                load((step + 1) % 2, stage, step + 1);
            } else {
                copy_async_wait<STAGES - 2>();
                __syncthreads(); // the next stage has come, and nobody reads this one any more
                if (s + 1 < stages) load(0, next, 0);
            }
            if (step == 0) copy(free, s + STAGES - 1 < stages);
#pragma unroll
            for (int i = 0; i < DOWN; i++) {
#pragma unroll
                for (int j = 0; j < ACROSS; j++) mma_bf16(sums[i][j], x[step % 2][i], y[step % 2][j]);
            }
        }
        free = stage, stage = next;
    }

    copy_async_wait<0>();
    __syncthreads(); // the ring is free
    float* const slab = reinterpret_cast<float*>(bytes) + warp * 16 * SLAB_PITCH<SIDE>;
    float* const bare = partial ? partial + static_cast<size_t>(blockIdx.z) * m * n : nullptr;
    const Epilogue<bf16> epilogue{c, bias, addend, pre, slope, gelu};
    const Rows rows{c_stride, c_group, c_jump};
#pragma unroll
    for (int i = 0; i < DOWN; i++) {
        const int r = tile.row * TILE + row + i * 16, at = tile.column * TILE + column;
        finish_rows<SIDE>(slab, sums[i], r, at, m, n, bare, epilogue, item * c_batch, rows);
    }
}

// Whatever `tensor` does, for any storage and alignment; `a_along` and `b_along`: contiguous along k. Tiles of 64 × 64.
template <typename T>
KERNEL(threads = 128, blocks = 4)
plain(const T* __restrict__ a, const T* __restrict__ b, T* c, float* __restrict__ partial, const float* __restrict__ bias,
      const T* addend, T* pre, const T* slope, int gelu, int m, int n, int k, int a_stride, int a_group, int a_jump,
      int b_stride, int b_group, int b_jump, int c_stride, int c_group, int c_jump, size_t a_batch, size_t b_batch,
      size_t c_batch, int splits, int a_along, int b_along) {
    constexpr int SIDE = 64, SHALLOW = 16, ROWS = 4, PITCH = SIDE + 4;
    SHARED(float, x, [SHALLOW][PITCH]);
    SHARED(float, y, [SHALLOW][PITCH]);
    const int thread = threadIdx.x, across = thread % 8 * 8, down = thread / 8 * ROWS;
    const Place tile = tile_of(blockIdx.x, (m + SIDE - 1) / SIDE, (n + SIDE - 1) / SIDE);
    const int item = blockIdx.z / splits;
    const Range range = range_of<DEPTH>(blockIdx.z % splits, splits, k);

    const auto copy = [&](float (&to)[SHALLOW][PITCH], const T* from, Rows rows, int along, int first, int limit, int begin) {
#pragma unroll
        for (int p = 0; p < SIDE * SHALLOW / THREADS; p++) {
            const int i = along ? thread / SHALLOW + p * (THREADS / SHALLOW) : thread % SIDE;
            const int j = along ? thread % SHALLOW : thread / SIDE + p * (THREADS / SIDE);
            const bool valid = first + i < limit && begin + j < range.end;
            const int outer = along ? first + i : begin + j, inner = along ? begin + j : first + i;
            to[j][i] = valid ? to_float(from[rows.offset(outer) + inner]) : 0.0f;
        }
    };
    float sums[ROWS][8] = {};
    for (int begin = range.begin; begin < range.end; begin += SHALLOW) {
        copy(x, a + item * a_batch, {a_stride, a_group, a_jump}, a_along, tile.row * SIDE, m, begin);
        copy(y, b + item * b_batch, {b_stride, b_group, b_jump}, b_along, tile.column * SIDE, n, begin);
        __syncthreads();
#pragma unroll
        for (int j = 0; j < SHALLOW; j++) {
            const auto left = load<ROWS>(&x[j][down]);
            float right[8];
            load_eight(right, &y[j][across], 8);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
#pragma unroll
                for (int q = 0; q < 8; q++) sums[r][q] += left.at[r] * right[q];
            }
        }
        __syncthreads();
    }
    const Epilogue<T> epilogue{c, bias, addend, pre, slope, gelu};
    const Rows rows{c_stride, c_group, c_jump};
    const int at = tile.column * SIDE + across;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int r = tile.row * SIDE + down + i;
        if (r >= m || at >= n) continue;
        if (partial) store_eight(partial + (static_cast<size_t>(blockIdx.z) * m + r) * n + at, sums[i], min(n - at, 8));
        else epilogue.finish(sums[i], item * c_batch + rows.offset(r) + at, at, min(n - at, 8));
    }
}

// c = epilogue(Σ over splits, in order), eight columns of a row a thread. Grid: eights, 1, batch.
template <typename T>
KERNEL(threads = 256)
finish(const float* __restrict__ partial, T* c, const float* __restrict__ bias, const T* addend, T* pre, const T* slope,
       int gelu, int m, int n, int c_stride, int c_group, int c_jump, size_t c_batch, int splits) {
    const int eights = (n + 7) / 8, i = blockIdx.x * 256 + threadIdx.x;
    const int row = i / eights, column = i % eights * 8, count = min(n - column, 8);
    if (row >= m) return;
    const size_t size = static_cast<size_t>(m) * n;
    const float* from = partial + blockIdx.z * splits * size + static_cast<size_t>(row) * n + column;
    float sum[8] = {};
#pragma unroll 4
    for (int s = 0; s < splits; s++) {
        float v[8];
        load_eight(v, from + s * size, count);
#pragma unroll
        for (int j = 0; j < 8; j++) sum[j] += v[j];
    }
    const Epilogue<T> epilogue{c, bias, addend, pre, slope, gelu};
    const Rows rows{c_stride, c_group, c_jump};
    epilogue.finish(sum, blockIdx.z * c_batch + rows.offset(row) + column, column, count);
}
