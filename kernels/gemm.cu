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
#include "gemm_tile.cuh"

// Operands, rows and columns must be aligned to 8 elements where they are contiguous. Grid: tiles, 1, batch · splits.
// `partial` [batch, splits, m, n] takes the bare sums where it is given.
template <int FORM, int TILE>
KERNEL(threads = 128, blocks = 2, FORM = 0 | 1 | 2, TILE = 64 | 128)
tensor(const bf16* __restrict__ a, const bf16* __restrict__ b, bf16* c, float* __restrict__ partial,
       const float* __restrict__ bias, const bf16* addend, bf16* pre, const bf16* slope, int gelu, int m, int n, int k,
       int a_stride, int a_group, int a_jump, int b_stride, int b_group, int b_jump, int c_stride, int c_group, int c_jump,
       size_t a_batch, size_t b_batch, size_t c_batch, int splits) {
    using Own = Block<FORM, TILE>;
    constexpr int SIDE = Own::SIDE, DOWN = Own::DOWN;
    DYNAMIC_SHARED(bytes);

    const Place tile = tile_of(blockIdx.x, (m + TILE - 1) / TILE, (n + TILE - 1) / TILE);
    const int item = blockIdx.z / splits;
    const Range range = range_of<DEPTH>(blockIdx.z % splits, splits, k);
    const int stages = (range.end - range.begin + DEPTH - 1) / DEPTH;
    const typename Own::LoaderA from_a(a + item * a_batch, {a_stride, a_group, a_jump}, tile.row * TILE, m, range.begin, range.end);
    const typename Own::LoaderB from_b(b + item * b_batch, {b_stride, b_group, b_jump}, tile.column * TILE, n, range.begin, range.end);
    float sums[DOWN][Own::ACROSS][4] = {};
    sum_stages<FORM, TILE>(bytes, from_a, from_b, stages, sums);

    const int warp = threadIdx.x / WARP, row = Own::row(), column = Own::column();
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
