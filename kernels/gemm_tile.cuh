// The sums of a tensor-core product over one tile: stages in shared memory that asynchronous copies fill, and the loop over them.
// gemm.cu tells how it works and what limits it. Included inside the namespace of the kernel file, after gemm_epilogue.cuh.
#pragma once

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

// What the four warps of a block make a tile from.
template <int FORM, int TILE>
struct Block {
    static constexpr bool A_ALONG = FORM != 2, B_ALONG = FORM == 0;
    static constexpr int SIDE = TILE / 2, DOWN = SIDE / 16, ACROSS = SIDE / 8; // of a warp: elements, mma tiles
    using LoaderA = Loader<TILE, A_ALONG>;
    using LoaderB = Loader<TILE, B_ALONG>;

    // First row and column of this warp within the tile.
    static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x) / WARP / 2 * SIDE; }
    static __device__ __forceinline__ int column() { return static_cast<int>(threadIdx.x) / WARP % 2 * SIDE; }
};

// Adds a tile's products over `stages` stages, from where the loaders stand, to the sums of this warp. Afterwards the ring is free.
template <int FORM, int TILE>
__device__ __forceinline__ void sum_stages(unsigned char* bytes, typename Block<FORM, TILE>::LoaderA loader_a,
                                           typename Block<FORM, TILE>::LoaderB loader_b, int stages,
                                           float (&sums)[Block<FORM, TILE>::DOWN][Block<FORM, TILE>::ACROSS][4]) {
    using Own = Block<FORM, TILE>;
    constexpr bool A_ALONG = Own::A_ALONG, B_ALONG = Own::B_ALONG;
    constexpr int STAGES = TILE == 128 ? 3 : 4, STEPS = DEPTH / 16, DOWN = Own::DOWN, ACROSS = Own::ACROSS;
    using TileA = Tile<TILE, A_ALONG>;
    using TileB = Tile<TILE, B_ALONG>;
    bf16* const ring = reinterpret_cast<bf16*>(bytes);
    const auto stage_a = [&](int stage) { return ring + stage * (TileA::ELEMENTS + TileB::ELEMENTS); };
    const auto stage_b = [&](int stage) { return stage_a(stage) + TileA::ELEMENTS; };
    const int row = Own::row(), column = Own::column();
    const auto copy = [&](int stage, bool any) {
        if (any) {
            loader_a.copy(stage_a(stage));
            loader_b.copy(stage_b(stage));
        }
        copy_async_commit();
    };

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
    __syncthreads();
}
