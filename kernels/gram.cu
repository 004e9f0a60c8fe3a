// src/ops/gram.rs: G = X·Xᵀ over rows of X [n, d], with its columns centred, and sums over pairs of Gram matrices.
//
// Plain FMA: VICReg's are 16×16 (a launch), those of CKA 500×500 at d = 1,024, a quarter of a GFLOP on 136 blocks; tensor cores in
// bf16 would lose the digits that centring needs. Tiles below the diagonal are computed and mirrored.
#include "common.cuh"

constexpr int TILE = 32;

// `mean` may be null. partial[tile] = Σ G² over the tile and its mirror image, or null.
template <typename T>
KERNEL(threads = 256)
forward(const T* __restrict__ x, const float* __restrict__ mean, float* __restrict__ g, float* __restrict__ partial, int n, int d) {
    SHARED(float, a, [TILE][TILE + 1]);
    SHARED(float, b, [TILE][TILE + 1]);
    const int tile = blockIdx.y * gridDim.x + blockIdx.x;
    if (blockIdx.x > blockIdx.y) {
        if (partial && threadIdx.x == 0) partial[tile] = 0;
        return;
    }
    const int row0 = blockIdx.y * TILE, column0 = blockIdx.x * TILE;
    const int load_row = threadIdx.x / 8, load_k = threadIdx.x % 8 * 4; // four neighbouring elements of a row
    const int ty = threadIdx.x / 16 * 2, tx = threadIdx.x % 16 * 2;     // a thread's 2×2 results
    float sum[2][2] = {};
    for (int k0 = 0; k0 < d; k0 += TILE) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int k = k0 + load_k + i, ra = row0 + load_row, rb = column0 + load_row;
            const float m = mean && k < d ? mean[k] : 0.0f;
            a[load_row][load_k + i] = ra < n && k < d ? to_float(x[static_cast<size_t>(ra) * d + k]) - m : 0.0f;
            b[load_row][load_k + i] = rb < n && k < d ? to_float(x[static_cast<size_t>(rb) * d + k]) - m : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE; k++) {
            const float a0 = a[ty][k], a1 = a[ty + 1][k], b0 = b[tx][k], b1 = b[tx + 1][k];
            sum[0][0] += a0 * b0, sum[0][1] += a0 * b1, sum[1][0] += a1 * b0, sum[1][1] += a1 * b1;
        }
        __syncthreads();
    }
    float squares = 0;
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int row = row0 + ty + i, column = column0 + tx + j;
            if (row >= n || column >= n) continue;
            g[static_cast<size_t>(row) * n + column] = sum[i][j];
            if (blockIdx.x != blockIdx.y) g[static_cast<size_t>(column) * n + row] = sum[i][j];
            squares += sum[i][j] * sum[i][j] * (blockIdx.x != blockIdx.y ? 2 : 1);
        }
    }
    if (partial) {
        squares = block_sum<256>(squares);
        if (threadIdx.x == 0) partial[tile] = squares;
    }
}

// Mean of each column: 32 columns a block, eight rows at a time.
template <typename T>
KERNEL(threads = 256)
mean(const T* __restrict__ x, float* __restrict__ y, int n, int d) {
    SHARED(float, partial, [8][WARP]);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, column = blockIdx.x * WARP + lane;
    float sum = 0;
    for (int row = warp; row < n && column < d; row += 8) sum += to_float(x[static_cast<size_t>(row) * d + column]);
    partial[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < d) {
        float total = 0;
#pragma unroll
        for (int w = 0; w < 8; w++) total += partial[w][lane];
        y[column] = total / n;
    }
}

// What alignment of two Gram matrices is made of, of the rows of block i: partial[i] = Σ K∘L, Σ K_ii·L_ii, tr K, tr L.
KERNEL(threads = 256)
products(const float* __restrict__ k, const float* __restrict__ l, float* __restrict__ partial, int n, int rows_per_block) {
    const int first = blockIdx.x * rows_per_block, last = min(first + rows_per_block, n);
    float sum = 0, diagonal = 0, trace_k = 0, trace_l = 0;
    for (int row = first; row < last; row++) {
        for (int column = threadIdx.x; column < n; column += 256) {
            const float a = k[static_cast<size_t>(row) * n + column], b = l[static_cast<size_t>(row) * n + column];
            sum += a * b;
            if (row == column) diagonal += a * b, trace_k += a, trace_l += b;
        }
    }
    sum = block_sum<256>(sum), diagonal = block_sum<256>(diagonal);
    trace_k = block_sum<256>(trace_k), trace_l = block_sum<256>(trace_l);
    if (threadIdx.x == 0) {
        float* to = partial + blockIdx.x * 4;
        to[0] = sum, to[1] = diagonal, to[2] = trace_k, to[3] = trace_l;
    }
}
