// src/ops/attention/: with P = 2^(S − log_norm) formed again and dot = rowsum(dO∘O): dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P∘(dP − dot),
// dQ = dS·K/√d_k, dK = dSᵀ·Q/√d_k; dropout's mask, drawn again, multiplies P in dV and dP.
//
// Two passes, so that no sum crosses blocks: `keys` has a block for each 64·M keys and walks over the queries with Kᵀ-side scores
// Sᵀ, so that Pᵀ and dSᵀ are already left operands of dV and dK; `queries` has a block for each 64·M queries and walks over the
// keys. Nothing passes through shared memory but the inputs' tiles; one barrier a step. That is seven products where a single
// pass with dQ added up across blocks has five, for a fixed order of every sum and no [blocks, T, d] of partial dQ.
//
// Limits: at d_k = 128 `keys` holds 128 registers of dK and dV for 16 keys a warp, and an mma's operands cost 256–384 bytes of
// shared memory, which binds on a par with the tensor cores of an A100 (256) and before those of an H100. Expected: 50–55 % of an
// A100's peak, 30 % of an H100's.
#include "attention.cuh"

// 16-row tiles of a warp, and rows of a step of either kernel; src/ops/attention/device.rs knows them too.
template <typename T, int DIM>
constexpr int ROW_TILES = sizeof(T) == 2 && DIM < 128 ? 2 : 1;
template <typename T, int DIM>
constexpr int QUERY_STEP = sizeof(T) == 2 || DIM < 128 ? 32 : 8;
template <typename T, int DIM>
constexpr int KEY_STEP = sizeof(T) == 2 && DIM < 128 ? 64 : QUERY_STEP<T, DIM>;

// dot[head, row] = Σ dO∘O over the head's columns: PARTS lanes share a row.
template <typename T, int PARTS>
KERNEL(threads = 128, PARTS = 2 | 4 | 8 | 16)
dots(const T* __restrict__ dout, const T* __restrict__ out, float* __restrict__ dot, int rows, int heads, int d) {
    const size_t i = static_cast<size_t>(blockIdx.x) * THREADS + threadIdx.x, group = i / PARTS;
    const int row = group / heads, head = group % heads, width = d / heads, column = i % PARTS * 8;
    const int n = row < rows ? min(max(width - column, 0), 8) : 0;
    const size_t at = n > 0 ? static_cast<size_t>(row) * d + head * width + column : 0;
    float a[8], b[8], sum = 0;
    load_eight(a, dout + at, n);
    load_eight(b, out + at, n);
#pragma unroll
    for (int j = 0; j < 8; j++) sum += a[j] * b[j];
#pragma unroll
    for (int step = PARTS / 2; step > 0; step /= 2) sum += shuffle_xor(sum, step);
    if (column == 0 && row < rows) dot[static_cast<size_t>(head) * rows + row] = sum;
}

template <typename T, int DIM>
KERNEL(threads = 128, DIM = 16 | 32 | 64 | 128)
keys(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ dout,
     const float* __restrict__ log_norm, const float* __restrict__ dot, const int* __restrict__ query_offsets,
     const int* __restrict__ key_offsets, T* __restrict__ dk, T* __restrict__ dv, int rows, int heads, int d, float scale,
     uint32_t drop_below, float drop_scale, const uint64_t* __restrict__ counter, uint64_t key) {
    constexpr int M = ROW_TILES<T, DIM>, QUERIES = QUERY_STEP<T, DIM>, N = QUERIES / 8;
    constexpr int KEYS = WARPS * 16 * M, TILE = QUERIES * PITCH<T, DIM>;
    DYNAMIC_SHARED(memory);
    SHARED(float, norms, [2][2][QUERIES]); // log-normalisers, dots; of either stage
    T* const tile_k = reinterpret_cast<T*>(memory);
    T* const tile_v = tile_k + KEYS * PITCH<T, DIM>;
    T* const tiles = tile_v + KEYS * PITCH<T, DIM>; // Q, dO; Q, dO

    const Head of_q = Head::of(query_offsets, heads, d, q, dout), of_k = Head::of(key_offsets, heads, d, k, v);
    const int block = blockIdx.x * KEYS;
    if (block >= of_k.rows) return;
    const int warp = threadIdx.x / WARP, t = threadIdx.x % 4;
    const int row = block + warp * 16 * M; // this warp's first key
    const Keep keep{drop_below ? *counter : 0, key, drop_below, of_q.first, heads, static_cast<int>(blockIdx.y)};

    const auto copy = [&](int i) {
        T* const stage = tiles + i % 2 * 2 * TILE;
        copy_tile<QUERIES, DIM>(stage, q, of_q, i * QUERIES);
        copy_tile<QUERIES, DIM>(stage + TILE, dout, of_q, i * QUERIES);
        const int which = threadIdx.x / QUERIES, r = threadIdx.x % QUERIES;
        if (which < 2) {
            const float* const from = which == 0 ? log_norm : dot;
            const bool valid = i * QUERIES + r < of_q.rows;
            const size_t at = static_cast<size_t>(blockIdx.y) * rows + of_q.first + i * QUERIES + r;
            copy_async<4>(&norms[i % 2][which][r], valid ? from + at : from, valid);
        }
        copy_async_commit();
    };
    float sum_k[M][DIM / 8][4] = {}, sum_v[M][DIM / 8][4] = {};
    const int steps = (of_q.rows + QUERIES - 1) / QUERIES;
    if (steps > 0) {
        copy_tile<KEYS, DIM>(tile_k, k, of_k, block);
        copy_tile<KEYS, DIM>(tile_v, v, of_k, block);
        copy(0);
    }
    for (int i = 0; i < steps; i++) {
        copy_async_wait<0>();
        __syncthreads(); // this step's tiles are there, and nobody reads the last step's any more
        if (i + 1 < steps) copy(i + 1);
        if (row >= of_k.rows) continue;
        const T* const tile_q = tiles + i % 2 * 2 * TILE;
        const T* const tile_dout = tile_q + TILE;
        const auto& stage = norms[i % 2];

        // Absent queries have Q = dO = 0 and log_norm = dot = 0: P = 1, but it multiplies zeros.
        float p[M][N][4] = {};
        product_transposed<DIM>(p, tile_k + warp * 16 * M * PITCH<T, DIM>, tile_q);
#pragma unroll
        for (int n = 0; n < N; n++) {
            const auto log = load<2>(&stage[0][n * 8 + 2 * t]);
#pragma unroll
            for (int m = 0; m < 4 * M; m++) p[m / 4][n][m % 4] = exp2_fast(p[m / 4][n][m % 4] * (scale * LOG2_E) - log.at[m % 2]);
        }
        KeepByKey<M, N> kept;
        if (drop_below) {
            kept.draw(keep, i * QUERIES, row);
            float left[M][N][4];
            kept.apply(left, p);
            product<DIM>(sum_v, left, tile_dout);
        } else {
            product<DIM>(sum_v, p, tile_dout);
        }
        float ds[M][N][4] = {};
        product_transposed<DIM>(ds, tile_v + warp * 16 * M * PITCH<T, DIM>, tile_dout);
        if (drop_below) kept.apply(ds, ds);
#pragma unroll
        for (int n = 0; n < N; n++) {
            const auto along = load<2>(&stage[1][n * 8 + 2 * t]);
#pragma unroll
            for (int m = 0; m < 4 * M; m++) {
                float& x = ds[m / 4][n][m % 4];
                x = p[m / 4][n][m % 4] * (x * drop_scale - along.at[m % 2]);
            }
        }
        product<DIM>(sum_k, ds, tile_q);
    }
    if (row >= of_k.rows) return;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int j = 0; j < DIM / 2; j++) sum_k[m][j / 4][j % 4] *= scale, sum_v[m][j / 4][j % 4] *= drop_scale;
    }
    store_product<DIM>(dk, of_k, row, sum_k);
    store_product<DIM>(dv, of_k, row, sum_v);
}

template <typename T, int DIM>
KERNEL(threads = 128, DIM = 16 | 32 | 64 | 128)
queries(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ dout,
        const float* __restrict__ log_norm, const float* __restrict__ dot, const int* __restrict__ query_offsets,
        const int* __restrict__ key_offsets, T* __restrict__ dq, int rows, int heads, int d, float scale, uint32_t drop_below,
        float drop_scale, const uint64_t* __restrict__ counter, uint64_t key) {
    constexpr int M = ROW_TILES<T, DIM>, KEYS = KEY_STEP<T, DIM>, N = KEYS / 8;
    constexpr int QUERIES = WARPS * 16 * M, TILE = KEYS * PITCH<T, DIM>;
    DYNAMIC_SHARED(memory);
    T* const tile_q = reinterpret_cast<T*>(memory);
    T* const tile_dout = tile_q + QUERIES * PITCH<T, DIM>;
    T* const tiles = tile_dout + QUERIES * PITCH<T, DIM>; // K, V; K, V

    const Head of_q = Head::of(query_offsets, heads, d, q, dout), of_k = Head::of(key_offsets, heads, d, k, v);
    const int block = blockIdx.x * QUERIES;
    if (block >= of_q.rows) return;
    const int warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    const int row = block + warp * 16 * M; // this warp's first query
    const Keep keep{drop_below ? *counter : 0, key, drop_below, of_q.first, heads, static_cast<int>(blockIdx.y)};

    const auto copy = [&](int i) {
        T* const stage = tiles + i % 2 * 2 * TILE;
        copy_tile<KEYS, DIM>(stage, k, of_k, i * KEYS);
        copy_tile<KEYS, DIM>(stage + TILE, v, of_k, i * KEYS);
        copy_async_commit();
    };
    const int steps = (of_k.rows + KEYS - 1) / KEYS;
    if (steps > 0) {
        copy_tile<QUERIES, DIM>(tile_q, q, of_q, block);
        copy_tile<QUERIES, DIM>(tile_dout, dout, of_q, block);
        copy(0);
    }
    float log[2 * M], along[2 * M], sum[M][DIM / 8][4] = {};
#pragma unroll
    for (int m = 0; m < 2 * M; m++) {
        const int r = row + m * 8 + g;
        const size_t at = static_cast<size_t>(blockIdx.y) * rows + of_q.first + r;
        log[m] = r < of_q.rows ? log_norm[at] : 0.0f;
        along[m] = r < of_q.rows ? dot[at] : 0.0f;
    }
    for (int i = 0; i < steps; i++) {
        copy_async_wait<0>();
        __syncthreads(); // this step's tiles are there, and nobody reads the last step's any more
        if (i + 1 < steps) copy(i + 1);
        if (row >= of_q.rows) continue;
        const T* const tile_k = tiles + i % 2 * 2 * TILE;
        const bool whole = (i + 1) * KEYS <= of_k.rows;

        float p[M][N][4] = {}, ds[M][N][4] = {};
        product_transposed<DIM>(p, tile_q + warp * 16 * M * PITCH<T, DIM>, tile_k);
        product_transposed<DIM>(ds, tile_dout + warp * 16 * M * PITCH<T, DIM>, tile_k + TILE);
        if (drop_below) {
            KeepByQuery<M, N> kept;
            kept.draw(keep, row, i * KEYS);
            kept.apply(ds, ds);
        }
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int m = 0; m < 4 * M; m++) {
                const bool absent = !whole && i * KEYS + n * 8 + 2 * t + m % 2 >= of_k.rows;
                const float weight = absent ? 0.0f : exp2_fast(p[m / 4][n][m % 4] * (scale * LOG2_E) - log[m / 2]);
                float& x = ds[m / 4][n][m % 4];
                x = weight * (x * drop_scale - along[m / 2]);
            }
        }
        product<DIM>(sum, ds, tile_k);
    }
    if (row >= of_q.rows) return;
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int j = 0; j < DIM / 2; j++) sum[m][j / 4][j % 4] *= scale;
    }
    store_product<DIM>(dq, of_q, row, sum);
}
