// src/ops/attention/: the forward pass of attention.cu on Hopper's own tensor cores, heads of 64 or 128 columns.
//
// A block takes 128 queries. The third warpgroup, the producer, gives its registers to the others and lets the copy engine bring Q and
// then a ring of tiles of 128 keys and their values; the first two take 64 queries each: S = Q·Kᵀ from shared memory, softmax in registers, O += P·V with P from registers, V across.
// While a step's exponentials are taken, the products P·V of the step before are under way, so a warpgroup keeps its tensor cores busy
// by itself, and two of them share an SM's (FlashAttention-3). Copies take whole tiles: rows beyond a sample are the next sample's
// or zeros; their scores are masked, their queries not stored.
//
// Limits: one block on an SM (S, P and O take 160 of 240 registers; 161 KiB at 128 columns). Exponentials, 16 a cycle on an SM, take
// as long as half of the products at 128 columns and as long as all of them at 64; dropout adds a Philox for every four weights, which
// is more than either. Expected without dropout: 55 to 65 % of the dense bf16 peak at 128 columns, 40 to 50 % at 64.
#include "attention_sm90a.cuh"

constexpr int KEYS = 128, STAGES = 2;

// `q`, `k`, `v` map tiles of 128 rows. Grid: blocks of queries · splits, heads, samples.
template <int DIM>
KERNEL(threads = 384, blocks = 1, DIM = 64 | 128)
forward(const TensorMap& q, const TensorMap& k, const TensorMap& v, const int* __restrict__ query_offsets,
        const int* __restrict__ key_offsets, bf16* __restrict__ out, float* __restrict__ partial, float* __restrict__ log_norm,
        int rows, int heads, int d, int splits, float scale, uint32_t drop_below, float drop_scale, const uint64_t* __restrict__ counter,
        uint64_t key) {
    using Tile = HeadTile<128, DIM>; // of queries, keys or values
    DYNAMIC_SHARED(memory);
    SHARED(Barrier, full_q, [1]);
    SHARED(Barrier, full_k, [STAGES]);
    SHARED(Barrier, full_v, [STAGES]);
    SHARED(Barrier, empty_k, [STAGES]);
    SHARED(Barrier, empty_v, [STAGES]);
    unsigned char* const tiles = tile_aligned(memory);
    const Tile tile_q{tiles};
    const auto tile_k = [&](int stage) { return Tile{tiles + (1 + 2 * stage) * Tile::BYTES}; };
    const auto tile_v = [&](int stage) { return Tile{tiles + (2 + 2 * stage) * Tile::BYTES}; };

    const Head queries = Head::of(query_offsets, heads, d, out, out), keys = Head::of(key_offsets, heads, d, out, out);
    const int split = blockIdx.x % splits, block = blockIdx.x / splits * OWN_ROWS;
    if (block >= queries.rows) return;
    const int all = (keys.rows + KEYS - 1) / KEYS, begin = all * split / splits, end = all * (split + 1) / splits;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;

    if (threadIdx.x == 0) {
        barrier_init(full_q, 1);
#pragma unroll
        for (int s = 0; s < STAGES; s++) {
            barrier_init(&full_k[s], 1);
            barrier_init(&full_v[s], 1);
            barrier_init(&empty_k[s], CONSUMERS);
            barrier_init(&empty_v[s], CONSUMERS);
        }
        fence_async();
    }
    __syncthreads();

    if (warp >= CONSUMERS) {
        give_registers<PRODUCER_REGISTERS>();
        if (warp > CONSUMERS || lane > 0) return;
        const auto copy = [&](const Tile& to, const TensorMap& map, Barrier* full, int row) {
            barrier_arrive_expecting(full, Tile::BYTES);
            to.copy(map, full, queries.column, row);
        };
        if (begin < end) copy(tile_q, q, full_q, queries.first + block);
        RingPosition<STAGES> at;
        for (int i = begin; i < end; i++, at.next()) {
            barrier_wait(&empty_k[at.stage], at.parity ^ 1);
            copy(tile_k(at.stage), k, &full_k[at.stage], keys.first + i * KEYS);
            barrier_wait(&empty_v[at.stage], at.parity ^ 1);
            copy(tile_v(at.stage), v, &full_v[at.stage], keys.first + i * KEYS);
        }
        return;
    }

    take_registers<CONSUMER_REGISTERS>();
    const int g = lane / 4, t = lane % 4, row = block + warp * 16; // row: this warp's first
    const Keep keep{counter, key, drop_below, queries.first, heads, static_cast<int>(blockIdx.y)};
    const uint64_t left = tile_q.descriptor(warp / 4 * 64);
    float s[1][KEYS / 8][4], o[1][DIM / 8][4] = {}, maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {}, shrink[2];
    uint32_t p[KEYS / 16][4];

    const auto start_scores = [&](int stage) { start_transposed<DIM, 128, KEYS>(s[0], left, tile_k(stage).descriptor()); };
    const auto start_values = [&](int stage) { start_product(o[0], p, tile_v(stage).descriptor()); };
    // From scores to weights, with their running maximum and sum, and the factor that O takes.
    const auto softmax = [&](int i) {
        if ((i + 1) * KEYS > keys.rows) {
#pragma unroll
            for (int n = 0; n < KEYS / 4; n++) {
                if (i * KEYS + n / 2 * 8 + 2 * t + n % 2 < keys.rows) continue;
                s[0][n / 2][n % 2] = s[0][n / 2][2 + n % 2] = -INFINITY;
            }
        }
#pragma unroll
        for (int m = 0; m < 2; m++) {
            const int e = m * 2;
            float most = -INFINITY;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) most = fmaxf(most, fmaxf(s[0][n][e], s[0][n][e + 1]));
            most = fmaxf(most, shuffle_xor(most, 1));
            most = fmaxf(most, shuffle_xor(most, 2));
            const float now = fmaxf(maximum[m], most * scale);
            shrink[m] = exp2_fast(maximum[m] - now);
            maximum[m] = now;
            float total = 0;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
                s[0][n][e] = exp2_fast(s[0][n][e] * scale - now);
                s[0][n][e + 1] = exp2_fast(s[0][n][e + 1] * scale - now);
                total += s[0][n][e] + s[0][n][e + 1];
            }
            sum[m] = sum[m] * shrink[m] + total;
        }
        if (drop_below) {
            KeepByQuery<1, KEYS / 8> kept;
            kept.draw(keep, row, i * KEYS);
            kept.apply(s, s);
        }
    };
    const auto take_weights = [&] {
#pragma unroll
        for (int j = 0; j < DIM / 8; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) o[0][j][e] *= shrink[e / 2];
        }
        pack_left(p, s[0]);
    };
    const auto release = [&](Barrier* empty) {
        if (lane == 0) barrier_arrive(empty);
    };

    if (begin < end) {
        RingPosition<STAGES> at, before; // of the scores, and of the values one step behind
        barrier_wait(full_q, 0);
        barrier_wait(&full_k[at.stage], at.parity);
        wgmma_fence();
        start_scores(at.stage);
        wgmma_wait<0>();
        wgmma_settled(s[0]);
        release(&empty_k[at.stage]);
        softmax(begin);
        take_weights();
        at.next();
#pragma unroll 1
        for (int i = begin + 1; i < end; i++, at.next(), before.next()) {
            wgmma_settled(s[0]);
            wgmma_settled(o[0]);
            barrier_wait(&full_k[at.stage], at.parity);
            wgmma_fence();
            start_scores(at.stage);
            barrier_wait(&full_v[before.stage], before.parity);
            wgmma_fence();
            start_values(before.stage);
            wgmma_wait<1>();
            wgmma_settled(s[0]);
            release(&empty_k[at.stage]);
            softmax(i);
            wgmma_wait<0>();
            wgmma_settled(o[0]);
            release(&empty_v[before.stage]);
            take_weights();
        }
        wgmma_settled(o[0]);
        barrier_wait(&full_v[before.stage], before.parity);
        wgmma_fence();
        start_values(before.stage);
        wgmma_wait<0>();
        wgmma_settled(o[0]);
    }
    if (row >= queries.rows) return;

    float* const norms = log_norm + static_cast<size_t>(split * heads + blockIdx.y) * rows + queries.first;
#pragma unroll
    for (int m = 0; m < 2; m++) {
        float total = sum[m];
        total += shuffle_xor(total, 1);
        total += shuffle_xor(total, 2);
        const float inverse = total > 0 ? drop_scale / total : 0.0f; // a sample without keys
#pragma unroll
        for (int j = 0; j < DIM / 8; j++) o[0][j][m * 2] *= inverse, o[0][j][m * 2 + 1] *= inverse;
        const int r = row + m * 8 + g;
        if (t == 0 && r < queries.rows) norms[r] = total > 0 ? maximum[m] + log2f(total) : -INFINITY;
    }
    if (splits == 1) store_product<DIM>(out, queries, row, o);
    else store_product<DIM>(partial + static_cast<size_t>(split) * rows * d, queries, row, o);
}
