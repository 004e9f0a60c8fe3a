// src/ops/gemm: the products of gemm.cu on Hopper's own tensor cores, with the same forms, splits and epilogues.
//
// A block makes a 128 × 128 tile. One warp, the producer, lets the copy engine fill a ring of stages, 64 of k of both operands each;
// two warpgroups sum half of the rows each with wgmma straight from the ring, one stage under way while the next is started. `full`
// counts a stage's bytes in, `empty` the eight warps out. Nothing else passes between them, so copies run as far ahead as the ring
// allows, and edges need no care: the copy engine brings zeros.
//   What limits it: two blocks share an SM (≤ 112 registers, 96 KiB each), one finishing its tile while the other sums. Of the
// 512 cycles that a stage's products take, reading operands from shared memory takes 384 and filling the stage 256; from L2 a block
// asks for 64 bytes a cycle of its share, which tiles of neighbouring blocks (tile_of) find there. Expected: 60 to 70 % of the dense
// bf16 peak from 4096² on, where a tile of 128 × 256 shared by a cluster would reach 80 %.
#include "common.cuh"
#include "gemm_epilogue.cuh"
#include "hopper.cuh"

constexpr int TILE = 128, DEPTH = 64, STAGES = 3;
constexpr int CONSUMERS = 8; // warps; the ninth is the producer
constexpr int OPERAND_BYTES = TILE * DEPTH * sizeof(bf16), STAGE_BYTES = 2 * OPERAND_BYTES;
constexpr int STACK_BYTES = DEPTH * TILE_ROW_BYTES; // of an operand that is contiguous across k: 64 columns, DEPTH rows

// Starts copying an operand's stage: `first` is its first row or column in the result.
template <bool ACROSS>
__device__ __forceinline__ void copy_operand(unsigned char* to, const TensorMap& map, Barrier* full, int first, int k, int item) {
    if constexpr (ACROSS) {
        copy_tile_async(to, map, full, first, k, item);
        copy_tile_async(to + STACK_BYTES, map, full, first + TILE_COLUMNS, k, item);
    } else {
        copy_tile_async(to, map, full, k, first, item);
    }
}

// `a` and `b` map tiles of 128 rows where contiguous along k, of 64 rows where across. Grid: tiles, 1, batch · splits.
// `partial` [batch, splits, m, n] takes the bare sums where it is given.
template <int FORM>
KERNEL(threads = 288, blocks = 2, FORM = 0 | 1 | 2)
tensor(const TensorMap& a, const TensorMap& b, bf16* c, float* __restrict__ partial, const float* __restrict__ bias,
       const bf16* addend, bf16* pre, const bf16* slope, int gelu, int m, int n, int k, int c_stride, int c_group, int c_jump,
       size_t c_batch, int splits) {
    constexpr bool A_ACROSS = FORM == 2, B_ACROSS = FORM != 0;
    DYNAMIC_SHARED(memory);
    SHARED(Barrier, full, [STAGES]);
    SHARED(Barrier, empty, [STAGES]);
    unsigned char* const ring = tile_aligned(memory);

    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const Place tile = tile_of(blockIdx.x, (m + TILE - 1) / TILE, (n + TILE - 1) / TILE);
    const int item = blockIdx.z / splits;
    const Range range = range_of<DEPTH>(blockIdx.z % splits, splits, k);

    if (threadIdx.x == 0) {
#pragma unroll
        for (int s = 0; s < STAGES; s++) {
            barrier_init(&full[s], 1);
            barrier_init(&empty[s], CONSUMERS);
        }
        fence_async();
    }
    __syncthreads();

    RingPosition<STAGES> at;
    if (warp == CONSUMERS) {
        if (lane > 0) return;
        for (int from = range.begin; from < range.end; from += DEPTH, at.next()) {
            unsigned char* const stage = ring + at.stage * STAGE_BYTES;
            barrier_wait(&empty[at.stage], at.parity ^ 1);
            barrier_arrive_expecting(&full[at.stage], STAGE_BYTES);
            copy_operand<A_ACROSS>(stage, a, &full[at.stage], tile.row * TILE, from, item);
            copy_operand<B_ACROSS>(stage + OPERAND_BYTES, b, &full[at.stage], tile.column * TILE, from, item);
        }
        return;
    }

    const int group = warp / 4;
    float sums[TILE / 8][4] = {};
    wgmma_settled(sums);
    int before = 0; // the stage that is under way
    for (int from = range.begin; from < range.end; from += DEPTH, at.next()) {
        const unsigned char* const stage = ring + at.stage * STAGE_BYTES;
        // Its half of A: the second stack of columns, or the rows from 64 on.
        const uint64_t x = tile_descriptor(stage + group * 64 * TILE_ROW_BYTES, STACK_BYTES);
        const uint64_t y = tile_descriptor(stage + OPERAND_BYTES, STACK_BYTES);
        barrier_wait(&full[at.stage], at.parity);
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < DEPTH / 16; step++)
            wgmma<A_ACROSS, B_ACROSS>(sums, advanced<A_ACROSS>(x, step), advanced<B_ACROSS>(y, step), true);
        wgmma_commit();
        wgmma_wait<1>();
        if (lane == 0 && from > range.begin) barrier_arrive(&empty[before]);
        before = at.stage;
    }
    wgmma_wait<0>();
    wgmma_settled(sums);

    named_barrier(1, CONSUMERS * WARP); // all products are done: the ring is free
    float* const slab = reinterpret_cast<float*>(ring) + warp * 16 * SLAB_PITCH<TILE>;
    float* const bare = partial ? partial + static_cast<size_t>(blockIdx.z) * m * n : nullptr;
    const Epilogue<bf16> epilogue{c, bias, addend, pre, slope, gelu};
    finish_rows<TILE>(slab, sums, tile.row * TILE + warp * 16, tile.column * TILE, m, n, bare, epilogue, item * c_batch,
                      {c_stride, c_group, c_jump});
}
