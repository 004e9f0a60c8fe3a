// src/ops/attention/: the two backward passes of attention_backward.cu on Hopper's own tensor cores, heads of 64 or 128 columns.
//
// A block owns 128 rows, keys in `keys`, queries in `queries`, of which the copy engine brings two tiles that stay (K and V; Q and dO);
// tiles of 64 rows of the other side come through a ring. Each of two warpgroups forms P and dS of its 64 rows in registers, from
// which they are left operands at once; the right ones are the very tiles the scores were formed from, taken across. Sums keep a
// fixed order, as in the portable kernels. Tiles beyond a sample hold the next sample's rows: those of the other side get weight 0,
// those of one's own are not stored.
//
// Limits: at 128 columns `keys` holds 128 registers of dK and dV beside 64 of P and dS; nothing of the next step is under way while a
// warpgroup takes its exponentials, so the other warpgroup's products have to hide them. Expected: 40 to 50 % of the dense bf16 peak.
#include "attention_sm90a.cuh"

constexpr int STEP = 64, STAGES = 2; // rows of the other side

// The block's shared memory: two tiles that stay, two of each stage, and the barriers between producer and consumers.
template <int DIM>
struct Stage {
    using Own = HeadTile<OWN_ROWS, DIM>;
    using Other = HeadTile<STEP, DIM>;
    unsigned char* tiles;
    Barrier *stay, *full, *empty;

    __device__ __forceinline__ Own own(int which) const { return {tiles + which * Own::BYTES}; }
    __device__ __forceinline__ Other other(int stage, int which) const {
        return {tiles + 2 * Own::BYTES + (2 * stage + which) * Other::BYTES};
    }

    __device__ __forceinline__ void init() const {
        if (threadIdx.x == 0) {
            barrier_init(stay, 1);
#pragma unroll
            for (int s = 0; s < STAGES; s++) {
                barrier_init(&full[s], 1);
                barrier_init(&empty[s], CONSUMERS);
            }
            fence_async();
        }
        __syncthreads();
    }

    // The producer: rows `own_row` on of two matrices, then `steps` times STEP rows of two others, from `other_row` on.
    __device__ __forceinline__ void produce(const TensorMap& own_0, const TensorMap& own_1, const TensorMap& other_0,
                                            const TensorMap& other_1, int column, int own_row, int other_row, int steps) const {
        if (steps > 0) {
            barrier_arrive_expecting(stay, 2 * Own::BYTES);
            own(0).copy(own_0, stay, column, own_row);
            own(1).copy(own_1, stay, column, own_row);
        }
        RingPosition<STAGES> at;
        for (int i = 0; i < steps; i++, at.next()) {
            barrier_wait(&empty[at.stage], at.parity ^ 1);
            barrier_arrive_expecting(&full[at.stage], 2 * Other::BYTES);
            other(at.stage, 0).copy(other_0, &full[at.stage], column, other_row + i * STEP);
            other(at.stage, 1).copy(other_1, &full[at.stage], column, other_row + i * STEP);
        }
    }
};

// `k`, `v` map tiles of 128 rows, `q`, `dout` of 64. Grid: blocks of keys, heads, samples.
template <int DIM>
KERNEL(threads = 384, blocks = 1, DIM = 64 | 128)
keys(const TensorMap& q, const TensorMap& k, const TensorMap& v, const TensorMap& dout, const float* __restrict__ log_norm,
     const float* __restrict__ dot, const int* __restrict__ query_offsets, const int* __restrict__ key_offsets,
     bf16* __restrict__ dk, bf16* __restrict__ dv, int rows, int heads, int d, float scale, uint32_t drop_below,
     float drop_scale, const uint64_t* __restrict__ counter, uint64_t key) {
    DYNAMIC_SHARED(memory);
    SHARED(Barrier, stay, [1]);
    SHARED(Barrier, full, [STAGES]);
    SHARED(Barrier, empty, [STAGES]);
    const Stage<DIM> shared{tile_aligned(memory), stay, full, empty};

    const Head of_q = Head::of(query_offsets, heads, d, dk, dv), of_k = Head::of(key_offsets, heads, d, dk, dv);
    const int block = blockIdx.x * OWN_ROWS, steps = (of_q.rows + STEP - 1) / STEP;
    if (block >= of_k.rows) return;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    shared.init();
    if (warp >= CONSUMERS) {
        give_registers<PRODUCER_REGISTERS>();
        if (warp > CONSUMERS || lane > 0) return;
        shared.produce(k, v, q, dout, of_k.column, of_k.first + block, of_q.first, steps);
        return;
    }
    take_registers<CONSUMER_REGISTERS>();

    const int t = lane % 4, row = block + warp * 16; // row: this warp's first key
    const Keep keep{counter, key, drop_below, of_q.first, heads, static_cast<int>(blockIdx.y)};
    const size_t of_head = static_cast<size_t>(blockIdx.y) * rows + of_q.first;
    const uint64_t own_k = shared.own(0).descriptor(warp / 4 * 64), own_v = shared.own(1).descriptor(warp / 4 * 64);
    float sum_k[1][DIM / 8][4] = {}, sum_v[1][DIM / 8][4] = {}, p[1][STEP / 8][4], ds[1][STEP / 8][4];
    uint32_t left_p[STEP / 16][4], left_ds[STEP / 16][4];
    if (steps > 0) barrier_wait(stay, 0);
    RingPosition<STAGES> at;
#pragma unroll 1
    for (int i = 0; i < steps; i++, at.next()) {
        const uint64_t tile_q = shared.other(at.stage, 0).descriptor(), tile_dout = shared.other(at.stage, 1).descriptor();
        barrier_wait(&full[at.stage], at.parity);
        wgmma_fence();
        start_transposed<DIM, OWN_ROWS, STEP>(p[0], own_k, tile_q);
        start_transposed<DIM, OWN_ROWS, STEP>(ds[0], own_v, tile_dout);
        wgmma_wait<0>();
        wgmma_settled(p[0]);
        wgmma_settled(ds[0]);
        KeepByKey<1, STEP / 8> kept;
        if (drop_below) {
            kept.draw(keep, i * STEP, row);
            kept.apply(ds, ds);
        }
#pragma unroll
        for (int n = 0; n < STEP / 8; n++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int query = i * STEP + n * 8 + 2 * t + e;
                const bool there = query < of_q.rows;
                const float log = there ? log_norm[of_head + query] : 0.0f, along = there ? dot[of_head + query] : 0.0f;
#pragma unroll
                for (int m = 0; m < 4; m += 2) {
                    float &weight = p[0][n][m + e], &x = ds[0][n][m + e];
                    weight = there ? exp2_fast(weight * (scale * LOG2_E) - log) : 0.0f;
                    x = there ? weight * (x * drop_scale - along) : 0.0f;
                }
            }
        }
        if (drop_below) kept.apply(p, p);
        pack_left(left_p, p[0]);
        pack_left(left_ds, ds[0]);
        wgmma_settled(sum_v[0]);
        wgmma_settled(sum_k[0]);
        wgmma_fence();
        start_product(sum_v[0], left_p, tile_dout);
        start_product(sum_k[0], left_ds, tile_q);
        wgmma_wait<0>();
        wgmma_settled(sum_v[0]);
        wgmma_settled(sum_k[0]);
        if (lane == 0) barrier_arrive(&empty[at.stage]);
    }
    if (row >= of_k.rows) return;
#pragma unroll
    for (int j = 0; j < DIM / 2; j++) sum_k[0][j / 4][j % 4] *= scale, sum_v[0][j / 4][j % 4] *= drop_scale;
    store_product<DIM>(dk, of_k, row, sum_k);
    store_product<DIM>(dv, of_k, row, sum_v);
}

// `q`, `dout` map tiles of 128 rows, `k`, `v` of 64. Grid: blocks of queries, heads, samples.
template <int DIM>
KERNEL(threads = 384, blocks = 1, DIM = 64 | 128)
queries(const TensorMap& q, const TensorMap& k, const TensorMap& v, const TensorMap& dout, const float* __restrict__ log_norm,
        const float* __restrict__ dot, const int* __restrict__ query_offsets, const int* __restrict__ key_offsets,
        bf16* __restrict__ dq, int rows, int heads, int d, float scale, uint32_t drop_below, float drop_scale, const uint64_t* __restrict__ counter,
        uint64_t key) {
    DYNAMIC_SHARED(memory);
    SHARED(Barrier, stay, [1]);
    SHARED(Barrier, full, [STAGES]);
    SHARED(Barrier, empty, [STAGES]);
    const Stage<DIM> shared{tile_aligned(memory), stay, full, empty};

    const Head of_q = Head::of(query_offsets, heads, d, dq, dq), of_k = Head::of(key_offsets, heads, d, dq, dq);
    const int block = blockIdx.x * OWN_ROWS, steps = (of_k.rows + STEP - 1) / STEP;
    if (block >= of_q.rows) return;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    shared.init();
    if (warp >= CONSUMERS) {
        give_registers<PRODUCER_REGISTERS>();
        if (warp > CONSUMERS || lane > 0) return;
        shared.produce(q, dout, k, v, of_q.column, of_q.first + block, of_k.first, steps);
        return;
    }
    take_registers<CONSUMER_REGISTERS>();

    const int g = lane / 4, t = lane % 4, row = block + warp * 16; // row: this warp's first query
    const Keep keep{counter, key, drop_below, of_q.first, heads, static_cast<int>(blockIdx.y)};
    const uint64_t own_q = shared.own(0).descriptor(warp / 4 * 64), own_dout = shared.own(1).descriptor(warp / 4 * 64);
    float sum[1][DIM / 8][4] = {}, p[1][STEP / 8][4], ds[1][STEP / 8][4], log[2], along[2];
    uint32_t left[STEP / 16][4];
#pragma unroll
    for (int m = 0; m < 2; m++) {
        const int r = row + m * 8 + g;
        const size_t from = static_cast<size_t>(blockIdx.y) * rows + of_q.first + r;
        log[m] = r < of_q.rows ? log_norm[from] : 0.0f;
        along[m] = r < of_q.rows ? dot[from] : 0.0f;
    }
    if (steps > 0) barrier_wait(stay, 0);
    RingPosition<STAGES> at;
#pragma unroll 1
    for (int i = 0; i < steps; i++, at.next()) {
        const uint64_t tile_k = shared.other(at.stage, 0).descriptor(), tile_v = shared.other(at.stage, 1).descriptor();
        const bool whole = (i + 1) * STEP <= of_k.rows;
        barrier_wait(&full[at.stage], at.parity);
        wgmma_fence();
        start_transposed<DIM, OWN_ROWS, STEP>(p[0], own_q, tile_k);
        start_transposed<DIM, OWN_ROWS, STEP>(ds[0], own_dout, tile_v);
        wgmma_wait<0>();
        wgmma_settled(p[0]);
        wgmma_settled(ds[0]);
        if (drop_below) {
            KeepByQuery<1, STEP / 8> kept;
            kept.draw(keep, row, i * STEP);
            kept.apply(ds, ds);
        }
#pragma unroll
        for (int n = 0; n < STEP / 8; n++) {
#pragma unroll
            for (int m = 0; m < 4; m++) {
                const bool absent = !whole && i * STEP + n * 8 + 2 * t + m % 2 >= of_k.rows;
                const float weight = exp2_fast(p[0][n][m] * (scale * LOG2_E) - log[m / 2]);
                float& x = ds[0][n][m];
                x = absent ? 0.0f : weight * (x * drop_scale - along[m / 2]);
            }
        }
        pack_left(left, ds[0]);
        wgmma_settled(sum[0]);
        wgmma_fence();
        start_product(sum[0], left, tile_k);
        wgmma_wait<0>();
        wgmma_settled(sum[0]);
        if (lane == 0) barrier_arrive(&empty[at.stage]);
    }
    if (row >= of_q.rows) return;
#pragma unroll
    for (int j = 0; j < DIM / 2; j++) sum[0][j / 4][j % 4] *= scale;
    store_product<DIM>(dq, of_q, row, sum);
}
