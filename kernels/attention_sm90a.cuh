// What attention's kernels for Hopper share: a block of two warpgroups with 64 rows each and a producer, and products of its tiles.
#pragma once
#include "attention.cuh"
#include "hopper.cuh"

constexpr int OWN_ROWS = 128; // of a block: queries or keys
constexpr int CONSUMERS = 8; // warps; the ninth is the producer, three more give their registers
// Of a thread: as launched (what 384 threads can have), and after the warpgroups have moved them.
constexpr int REGISTERS = 168, PRODUCER_REGISTERS = 24, CONSUMER_REGISTERS = 240;
static_assert(2 * CONSUMER_REGISTERS + PRODUCER_REGISTERS <= 3 * REGISTERS, "a warpgroup would wait for registers for ever");

// A tile of ROWS rows of a head of DIM columns in shared memory: stacks of 64 columns.
template <int ROWS, int DIM>
struct HeadTile {
    static constexpr int STACK_BYTES = ROWS * TILE_ROW_BYTES, BYTES = DIM / TILE_COLUMNS * STACK_BYTES;
    unsigned char* at;

    // Starts copying rows `row` on of the packed matrix; counts BYTES towards `full`.
    __device__ __forceinline__ void copy(const TensorMap& map, Barrier* full, int column, int row) const {
#pragma unroll
        for (int s = 0; s < DIM / TILE_COLUMNS; s++)
            copy_tile_async(at + s * STACK_BYTES, map, full, column + s * TILE_COLUMNS, row, 0);
    }

    // From row `first` on.
    __device__ __forceinline__ uint64_t descriptor(int first = 0) const {
        return tile_descriptor(at + first * TILE_ROW_BYTES, STACK_BYTES);
    }
};

// s[64, 8·N] = a · bᵀ over a head's columns, started: `a` this warpgroup's rows.
template <int DIM, int A_ROWS, int B_ROWS, int N>
__device__ __forceinline__ void start_transposed(float (&s)[N][4], uint64_t a, uint64_t b) {
#pragma unroll
    for (int step = 0; step < DIM / 16; step++) {
        const uint64_t stack = step / 4 * TILE_ROW_BYTES >> 4;
        wgmma<false, false>(s, advanced<false>(a + stack * A_ROWS, step % 4), advanced<false>(b + stack * B_ROWS, step % 4), step > 0);
    }
    wgmma_commit();
}

// o[64, DIM] += x[64, 16·K] · b, started: `x` in registers.
template <int K, int N>
__device__ __forceinline__ void start_product(float (&o)[N][4], const uint32_t (&x)[K][4], uint64_t b) {
#pragma unroll
    for (int step = 0; step < K; step++) wgmma<true>(o, x[step], advanced<true>(b, step), true);
    wgmma_commit();
}

// A product's layout is that of wgmma's left operand in registers.
template <int K>
__device__ __forceinline__ void pack_left(uint32_t (&x)[K][4], const float (&p)[2 * K][4]) {
#pragma unroll
    for (int n = 0; n < K; n++) {
#pragma unroll
        for (int r = 0; r < 4; r++) x[n][r] = pack_bf16(p[2 * n + r / 2][r % 2 * 2], p[2 * n + r / 2][r % 2 * 2 + 1]);
    }
}
