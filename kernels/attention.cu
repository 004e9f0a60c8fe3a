// src/ops/attention/: O = softmax(Q·Kᵀ/√d_k)·V per sample and head, over packed samples.
//
// A block takes 64·M queries and walks over the keys in tiles of KEYS, the next tile's K and V copied while this one is used; each
// warp keeps its queries' O, running maximum and sum in registers (FlashAttention-2). Scores live in base 2: exp is one fused
// multiply-add and one ex2. Where there are too few queries to fill the GPU, `splits` blocks share the keys, and `combine` joins
// their normalised results by their log-normalisers.
//
// Limits: with M = 2 an mma's operands cost 192 bytes of shared memory (d_k = 128), so tensor cores bind before shared memory does
// (A100: 256 bytes; H100 under mma.sync: about 200); two blocks of four warps on an SM (160–250 registers) let one's exponentials
// hide behind the other's products. Expected: 60–65 % of an A100's peak, 35–40 % of an H100's, whose full rate takes wgmma. Dropout
// adds a Philox for every four weights, about half as long as the products.
#include "attention.cuh"

// 16-row tiles of a warp, and keys of a step; src/ops/attention/device.rs knows them too.
template <typename T, int DIM>
constexpr int ROW_TILES = sizeof(T) == 2 ? 2 : 1;
template <typename T, int DIM>
constexpr int STEP = (DIM < 128 ? 64 : 32) / (sizeof(T) / 2);

template <typename T, int DIM>
KERNEL(threads = 128, DIM = 16 | 32 | 64 | 128)
forward(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const int* __restrict__ query_offsets,
        const int* __restrict__ key_offsets, T* __restrict__ out, float* __restrict__ partial, float* __restrict__ log_norm,
        int rows, int heads, int d, int splits, float scale, uint32_t drop_below, float drop_scale, const uint64_t* __restrict__ counter,
        uint64_t key) {
    constexpr int M = ROW_TILES<T, DIM>, KEYS = STEP<T, DIM>, N = KEYS / 8, TILE = KEYS * PITCH<T, DIM>;
    constexpr int QUERIES = WARPS * 16 * M;
    DYNAMIC_SHARED(memory);
    T* const tile_q = reinterpret_cast<T*>(memory);
    T* const tiles = tile_q + QUERIES * PITCH<T, DIM>; // K, V; K, V

    const Head queries = Head::of(query_offsets, heads, d, q, q), keys = Head::of(key_offsets, heads, d, k, v);
    const int split = blockIdx.x % splits, block = blockIdx.x / splits * QUERIES;
    if (block >= queries.rows) return;
    const int all = (keys.rows + KEYS - 1) / KEYS, begin = all * split / splits, end = all * (split + 1) / splits;
    const int warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const int row = block + warp * 16 * M; // this warp's first
    const Keep keep{drop_below ? *counter : 0, key, drop_below, queries.first, heads, static_cast<int>(blockIdx.y)};

    float o[M][DIM / 8][4] = {}, maximum[M][2], sum[M][2] = {};
#pragma unroll
    for (int m = 0; m < 2 * M; m++) maximum[m / 2][m % 2] = -INFINITY;

    const auto copy = [&](int i) {
        T* const stage = tiles + i % 2 * 2 * TILE;
        copy_tile<KEYS, DIM>(stage, k, keys, i * KEYS);
        copy_tile<KEYS, DIM>(stage + TILE, v, keys, i * KEYS);
        copy_async_commit();
    };
    if (begin < end) {
        copy_tile<QUERIES, DIM>(tile_q, q, queries, block);
        copy(begin);
    }
    for (int i = begin; i < end; i++) {
        copy_async_wait<0>();
        __syncthreads(); // this tile is there, and nobody reads the other any more
        if (i + 1 < end) copy(i + 1);
        if (row >= queries.rows) continue;
        const T* const tile_k = tiles + i % 2 * 2 * TILE;

        float s[M][N][4] = {};
        product_transposed<DIM>(s, tile_q + warp * 16 * M * PITCH<T, DIM>, tile_k);
        if ((i + 1) * KEYS > keys.rows) {
#pragma unroll
            for (int n = 0; n < 2 * N; n++) {
                if (i * KEYS + n / 2 * 8 + 2 * t + n % 2 < keys.rows) continue;
#pragma unroll
                for (int m = 0; m < 2 * M; m++) s[m / 2][n / 2][m % 2 * 2 + n % 2] = -INFINITY;
            }
        }
#pragma unroll
        for (int m = 0; m < 2 * M; m++) {
            auto& mine = s[m / 2];
            const int e = m % 2 * 2;
            float most = -INFINITY;
#pragma unroll
            for (int n = 0; n < N; n++) most = fmaxf(most, fmaxf(mine[n][e], mine[n][e + 1]));
            most = fmaxf(most, shuffle_xor(most, 1));
            most = fmaxf(most, shuffle_xor(most, 2));
            const float before = maximum[m / 2][m % 2], now = fmaxf(before, most * scale);
            const float shrink = exp2_fast(before - now);
            float total = 0;
#pragma unroll
            for (int n = 0; n < N; n++) {
                mine[n][e] = exp2_fast(mine[n][e] * scale - now);
                mine[n][e + 1] = exp2_fast(mine[n][e + 1] * scale - now);
                total += mine[n][e] + mine[n][e + 1];
            }
            maximum[m / 2][m % 2] = now;
            sum[m / 2][m % 2] = sum[m / 2][m % 2] * shrink + total;
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) o[m / 2][j][e] *= shrink, o[m / 2][j][e + 1] *= shrink;
        }
        if (drop_below) {
            KeepByQuery<M, N> kept;
            kept.draw(keep, row, i * KEYS);
            kept.apply(s, s);
        }
        product<DIM>(o, s, tile_k + TILE);
    }
    if (row >= queries.rows) return;

    float* const norms = log_norm + static_cast<size_t>(split * heads + blockIdx.y) * rows + queries.first;
#pragma unroll
    for (int m = 0; m < 2 * M; m++) {
        float total = sum[m / 2][m % 2];
        total += shuffle_xor(total, 1);
        total += shuffle_xor(total, 2);
        const float inverse = total > 0 ? drop_scale / total : 0.0f; // a sample without keys
#pragma unroll
        for (int j = 0; j < DIM / 8; j++) o[m / 2][j][m % 2 * 2] *= inverse, o[m / 2][j][m % 2 * 2 + 1] *= inverse;
        const int r = row + m * 8 + g;
        if (t == 0 && r < queries.rows) norms[r] = total > 0 ? maximum[m / 2][m % 2] + log2f(total) : -INFINITY;
    }
    if (splits == 1) store_product<DIM>(out, queries, row, o);
    else store_product<DIM>(partial + static_cast<size_t>(split) * rows * d, queries, row, o);
}

// out = Σ 2^(log_i − log)·partial_i with log = log2 Σ 2^log_i over the splits, eight columns a thread.
template <typename T>
KERNEL(threads = 128)
combine(const float* __restrict__ partial, const float* __restrict__ logs, T* __restrict__ out, float* __restrict__ log_norm,
        int rows, int heads, int d, int splits) {
    const int width = d / heads, pieces = (width + 7) / 8;
    const size_t i = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x, group = i / pieces;
    const int row = group / heads, head = group % heads, column = i % pieces * 8, n = min(8, width - column);
    if (row >= rows) return;
    const size_t at = static_cast<size_t>(head) * rows + row, next = static_cast<size_t>(heads) * rows;
    float most = -INFINITY, total = 0, o[8] = {};
    for (int s = 0; s < splits; s++) most = fmaxf(most, logs[s * next + at]);
    const bool any = most > -INFINITY;
    for (int s = 0; s < splits; s++) total += any ? exp2_fast(logs[s * next + at] - most) : 0.0f;
    const float log = any ? most + log2f(total) : -INFINITY;
    for (int s = 0; s < splits; s++) {
        const float weight = any ? exp2_fast(logs[s * next + at] - log) : 0.0f;
        float x[8];
        load_eight(x, partial + (static_cast<size_t>(s) * rows + row) * d + head * width + column, n);
#pragma unroll
        for (int j = 0; j < 8; j++) o[j] += weight * x[j];
    }
    store_eight(out + static_cast<size_t>(row) * d + head * width + column, o, n);
    if (column == 0) log_norm[at] = log;
}
