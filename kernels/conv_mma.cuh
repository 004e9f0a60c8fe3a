// Tensor-core tiles of src/ops/conv_block: c[128, 128] += a[128, k] · b[k, 128], bf16 into f32, by four warps of 64 × 64.
//
// Per 16 of depth a warp loads eight fragments of 512 bytes for 32 mma: 64 bytes a clock at the rate of an H100's mma.sync, half
// of what shared memory gives (warps of 64 × 32 would need three quarters). Slabs of 32 are copied by cp.async two ahead of
// their use, in 48 KiB: two blocks of a third of the registers each fit on every target, and one's epilogue hides behind the
// other's products. Tiles are stored without padding: 16-byte pieces are permuted within 128 bytes so that the eight rows
// that ldmatrix reads, and those that a quarter warp writes, lie in different banks.
#pragma once

constexpr int THREADS = 128;
constexpr int TILE = 128, WARP_TILE = 64; // rows and columns
constexpr int DEPTH = 32;                 // of a slab
constexpr int STAGES = 3;
constexpr int PIECE = 8; // elements of 16 bytes
constexpr int PIECES = TILE * DEPTH / PIECE;

using Accumulators = float[4][8][4]; // m16 × n8 tiles of a warp, as in mma_bf16

struct alignas(128) Slab {
    bf16 a[TILE * DEPTH], b[TILE * DEPTH];
};

// A tile is [128][32] with depth inside, or OUTER: [32][128] with depth outside. Offset of a 16-byte piece of a row.
template <bool OUTER>
__device__ __forceinline__ int place(int row, int piece) {
    return OUTER ? row * TILE + (piece ^ (row & 7)) * PIECE : row * DEPTH + (piece ^ (row >> 1 & 3)) * PIECE;
}

// Starts copying a tile; at(row, piece) is where its eight elements lie, or null where they are zero. `any` is never read.
template <bool OUTER, typename At>
__device__ __forceinline__ void copy_tile(bf16* tile, const bf16* any, At at) {
    constexpr int across = (OUTER ? TILE : DEPTH) / PIECE;
#pragma unroll
    for (int i = 0; i < PIECES / THREADS; i++) {
        const int row = threadIdx.x / across + i * (THREADS / across), piece = threadIdx.x % across;
        const bf16* const from = at(row, piece);
        copy_async<16>(tile + place<OUTER>(row, piece), from ? from : any, from != nullptr);
    }
}

// The fragment of rows m .. m + 15 at depth k .. k + 15.
template <bool OUTER>
__device__ __forceinline__ void load_rows(uint32_t (&r)[4], const bf16* tile, int m, int k) {
    const int lane = threadIdx.x % WARP;
    if constexpr (OUTER) load_matrix_transposed(r, tile + place<true>(k + lane % 8 + lane / 16 * 8, m / 8 + lane / 8 % 2));
    else load_matrix(r, tile + place<false>(m + lane % 16, k / 8 + lane / 16));
}

// The two fragments of columns n .. n + 15 at depth k .. k + 15.
template <bool OUTER>
__device__ __forceinline__ void load_columns(uint32_t (&r)[4], const bf16* tile, int n, int k) {
    const int lane = threadIdx.x % WARP;
    if constexpr (OUTER) load_matrix_transposed(r, tile + place<true>(k + lane % 16, n / 8 + lane / 16));
    else load_matrix(r, tile + place<false>(n + lane % 8 + lane / 16 * 8, k / 8 + lane / 8 % 2));
}

// First row and column of this warp within the block's tile.
__device__ __forceinline__ int warp_row() { return threadIdx.x / WARP / 2 * WARP_TILE; }
__device__ __forceinline__ int warp_column() { return threadIdx.x / WARP % 2 * WARP_TILE; }

// c += a · b over `slabs` slabs; copy(slab) starts copying the next one, and is called in order. Afterwards `stages` is free.
template <bool A_OUTER, bool B_OUTER, typename Copy>
__device__ __forceinline__ void multiply(Accumulators& c, Slab* stages, int slabs, Copy copy) {
    const int m = warp_row(), n = warp_column();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < slabs) copy(stages[s]);
        copy_async_commit();
    }
    int now = 0, next = STAGES - 1;
    for (int slab = 0; slab < slabs; slab++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads(); // the slab is there for all, and all have done with the one that is overwritten next
        if (slab + STAGES - 1 < slabs) copy(stages[next]);
        copy_async_commit();
#pragma unroll
        for (int k = 0; k < DEPTH; k += 16) {
            uint32_t a[4][4], b[4][4];
#pragma unroll
            for (int i = 0; i < 4; i++) load_rows<A_OUTER>(a[i], stages[now].a, m + i * 16, k);
#pragma unroll
            for (int j = 0; j < 4; j++) load_columns<B_OUTER>(b[j], stages[now].b, n + j * 16, k);
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 8; j++) mma_bf16(c[i][j], a[i], {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
            }
        }
        now = now == STAGES - 1 ? 0 : now + 1;
        next = next == STAGES - 1 ? 0 : next + 1;
    }
    copy_async_wait<0>();
    __syncthreads();
}

// Row of the warp's tile that this thread's elements [i][·][2h] and [2h + 1] are of, and the first of their columns.
__device__ __forceinline__ int element_row(int i, int h) { return i * 16 + h * 8 + threadIdx.x % WARP / 4; }
__device__ __forceinline__ int element_column(int j) { return j * 8 + threadIdx.x % 4 * 2; }

// Writes the warp's tile, rounded, by way of shared memory, so that a row leaves as 128 neighbouring bytes: to(row) is where the
// row's columns start, or null where it is none; `columns` counts those that there are (a multiple of 8).
template <typename To>
__device__ __forceinline__ void store_rows(const Accumulators& c, Slab* stages, int columns, To to) {
    constexpr int PITCH = WARP_TILE + PIECE; // rows four banks apart
    static_assert(THREADS / WARP * WARP_TILE * PITCH * sizeof(bf16) <= STAGES * sizeof(Slab), "the warps' tiles fit into the stages");
    bf16* const mine = reinterpret_cast<bf16*>(stages) + threadIdx.x / WARP * WARP_TILE * PITCH;
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
                *reinterpret_cast<uint32_t*>(mine + element_row(i, h) * PITCH + element_column(j)) =
                    pack_bf16(c[i][j][h * 2], c[i][j][h * 2 + 1]);
            }
        }
    }
    __syncwarp();
    const int lane = threadIdx.x % WARP, column = lane % 8 * PIECE;
#pragma unroll 4
    for (int row = lane / 8; row < WARP_TILE; row += WARP / 8) {
        bf16* const at = to(row);
        if (at && column < columns) store<PIECE>(at + column, load<PIECE>(mine + row * PITCH + column));
    }
}
