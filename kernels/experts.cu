// src/ops/moe/experts.rs: products of sorted rows with their experts' matrices. A tile of 64 sorted rows belongs to one expert.
//
// Which expert a tile has is read from `starts` in device memory, so that a recorded step routes anew each time it runs.
//
// `…_tensor`: tensor cores, as gemm.cu's with TILE = 64, for features in multiples of eight. The others: FMA on 64 × 64 tiles through
// shared memory, any storage and any size.
#include "common.cuh"
#include "gemm_epilogue.cuh"
#include "gemm_tile.cuh"

constexpr int SIDE = 64, SHALLOW = 16, ROWS = 4, PITCH = SIDE + 4;

// C[i, j] = Σ_k A(i, k)·B(j, k) for a tile; A and B give 0 beyond their ends; put(i, j, eight sums).
// Loops are unrolled in part: as a whole they do not fit into the registers that four blocks share.
template <typename A, typename B, typename Put>
__device__ __forceinline__ void multiply(int begin, int end, A a, B b, Put put) {
    SHARED(float, x, [SHALLOW][PITCH]);
    SHARED(float, y, [SHALLOW][PITCH]);
    const int across = threadIdx.x % 8 * 8, down = threadIdx.x / 8 * ROWS;
    float sums[ROWS][8] = {};
    for (int k = begin; k < end; k += SHALLOW) {
#pragma unroll 2
        for (int i = threadIdx.x; i < SIDE * SHALLOW; i += THREADS) {
            const int row = i / SHALLOW, depth = i % SHALLOW;
            x[depth][row] = k + depth < end ? a(row, k + depth) : 0.0f;
            y[depth][row] = k + depth < end ? b(row, k + depth) : 0.0f;
        }
        __syncthreads();
#pragma unroll 4
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
#pragma unroll
    for (int r = 0; r < ROWS; r++) put(down + r, across, sums[r]);
}

// The expert of sorted row `row`; −1 past the last.
__device__ __forceinline__ int expert_of(const uint32_t* starts, int experts, uint32_t row) {
    for (int e = 0; e < experts; e++) {
        if (row < starts[e + 1]) return e;
    }
    return -1;
}

// A matrix whose rows lie one after the other.
__device__ __forceinline__ Rows dense(int columns) { return {columns, 0x7fffffff, 0}; }

// What is stored of a sum: with the expert's bias, where there is one.
struct Biased {
    bf16* out;
    const bf16* bias;

    __device__ __forceinline__ void finish(float (&v)[8], size_t at, int column, int n) const {
        if (bias) {
            float b[8];
            load_eight(b, bias + column, n);
#pragma unroll
            for (int j = 0; j < 8; j++) v[j] += b[j];
        }
        store_eight(out + at, v, n);
    }
};

// A tile of A·B over k from `begin` to `end`, from row `row` and column `column` on of a result m × n, which goes to `epilogue`, or bare to
// `sums_to`. `a` and `b` are dense, of a_columns and b_columns.
template <int FORM>
__device__ __forceinline__ void multiply_tensor(unsigned char* bytes, const bf16* a, int a_columns, const bf16* b, int b_columns,
                                                int begin, int end, int row, int column, int m, int n, float* sums_to,
                                                const Biased& epilogue) {
    using Own = Block<FORM, SIDE>;
    const typename Own::LoaderA from_a(a, dense(a_columns), row, m, begin, end);
    const typename Own::LoaderB from_b(b, dense(b_columns), column, n, begin, end);
    float sums[Own::DOWN][Own::ACROSS][4] = {};
    sum_stages<FORM, SIDE>(bytes, from_a, from_b, (end - begin + DEPTH - 1) / DEPTH, sums);
    float* const slab = reinterpret_cast<float*>(bytes) + threadIdx.x / WARP * 16 * SLAB_PITCH<Own::SIDE>;
#pragma unroll
    for (int i = 0; i < Own::DOWN; i++) {
        const int r = row + Own::row() + i * 16, at = column + Own::column();
        finish_rows<Own::SIDE>(slab, sums[i], r, at, m, n, sums_to, epilogue, 0, dense(n));
    }
}

// y[i] = W_e·x[i] + b_e. Grid: tiles of columns, tiles of sorted rows.
template <typename T>
KERNEL(threads = 128, blocks = 4)
forward(const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const uint32_t* __restrict__ starts,
        T* __restrict__ y, int experts, int sorted, int outputs, int inputs) {
    const int first = blockIdx.y * SIDE, column = blockIdx.x * SIDE, e = expert_of(starts, experts, first);
    const T* w = weight + static_cast<size_t>(max(e, 0)) * outputs * inputs;
    const auto a = [&](int i, int k) { return to_float(x[static_cast<size_t>(first + i) * inputs + k]); };
    const auto b = [&](int j, int k) {
        return column + j < outputs ? to_float(w[static_cast<size_t>(column + j) * inputs + k]) : 0.0f;
    };
    multiply(0, e < 0 ? 0 : inputs, a, b, [&](int i, int j, float (&v)[8]) {
        const int at = column + j, n = min(max(outputs - at, 0), 8);
        if (n == 0) return;
        for (int q = 0; q < n; q++) v[q] += e < 0 ? 0.0f : to_float(bias[static_cast<size_t>(e) * outputs + at + q]);
        store_eight(y + static_cast<size_t>(first + i) * outputs + at, v, n);
    });
}

KERNEL(threads = 128)
forward_tensor(const bf16* __restrict__ x, const bf16* __restrict__ weight, const bf16* __restrict__ bias,
               const uint32_t* __restrict__ starts, bf16* __restrict__ y, int experts, int sorted, int outputs, int inputs) {
    DYNAMIC_SHARED(bytes);
    const int first = blockIdx.y * SIDE, e = expert_of(starts, experts, first);
    const bf16* w = weight + static_cast<size_t>(max(e, 0)) * outputs * inputs;
    const Biased to{y, e < 0 ? nullptr : bias + static_cast<size_t>(e) * outputs};
    multiply_tensor<0>(bytes, x, inputs, w, inputs, 0, e < 0 ? 0 : inputs, first, blockIdx.x * SIDE, sorted, outputs, nullptr, to);
}

// dx[i] = W_eᵀ·dy[i].
template <typename T>
KERNEL(threads = 128, blocks = 4)
input(const T* __restrict__ dy, const T* __restrict__ weight, const uint32_t* __restrict__ starts, T* __restrict__ dx, int experts,
      int sorted, int outputs, int inputs) {
    const int first = blockIdx.y * SIDE, column = blockIdx.x * SIDE, e = expert_of(starts, experts, first);
    const T* w = weight + static_cast<size_t>(max(e, 0)) * outputs * inputs;
    const auto a = [&](int i, int k) { return to_float(dy[static_cast<size_t>(first + i) * outputs + k]); };
    const auto b = [&](int j, int k) {
        return column + j < inputs ? to_float(w[static_cast<size_t>(k) * inputs + column + j]) : 0.0f;
    };
    multiply(0, e < 0 ? 0 : outputs, a, b, [&](int i, int j, float (&v)[8]) {
        const int at = column + j, n = min(max(inputs - at, 0), 8);
        if (n > 0) store_eight(dx + static_cast<size_t>(first + i) * inputs + at, v, n);
    });
}

KERNEL(threads = 128)
input_tensor(const bf16* __restrict__ dy, const bf16* __restrict__ weight, const uint32_t* __restrict__ starts,
             bf16* __restrict__ dx, int experts, int sorted, int outputs, int inputs) {
    DYNAMIC_SHARED(bytes);
    const int first = blockIdx.y * SIDE, e = expert_of(starts, experts, first);
    const bf16* w = weight + static_cast<size_t>(max(e, 0)) * outputs * inputs;
    const int end = e < 0 ? 0 : outputs;
    multiply_tensor<1>(bytes, dy, outputs, w, inputs, 0, end, first, blockIdx.x * SIDE, sorted, inputs, nullptr, {dx, nullptr});
}

// dW_e = Σ dy[i]⊗x[i] over e's sorted rows; empty ones have dy = 0. Grid: tiles of inputs, tiles of outputs, experts.
template <typename T>
KERNEL(threads = 128, blocks = 4)
weight(const T* __restrict__ dy, const T* __restrict__ x, const uint32_t* __restrict__ starts, float* __restrict__ dw, int outputs,
       int inputs) {
    const int row = blockIdx.y * SIDE, column = blockIdx.x * SIDE;
    const auto a = [&](int i, int k) {
        return row + i < outputs ? to_float(dy[static_cast<size_t>(k) * outputs + row + i]) : 0.0f;
    };
    const auto b = [&](int j, int k) {
        return column + j < inputs ? to_float(x[static_cast<size_t>(k) * inputs + column + j]) : 0.0f;
    };
    float* const to = dw + static_cast<size_t>(blockIdx.z) * outputs * inputs;
    multiply(static_cast<int>(starts[blockIdx.z]), static_cast<int>(starts[blockIdx.z + 1]), a, b, [&](int i, int j, float (&v)[8]) {
        const int n = min(max(inputs - column - j, 0), 8);
        if (n > 0 && row + i < outputs) store_eight(to + static_cast<size_t>(row + i) * inputs + column + j, v, n);
    });
}

KERNEL(threads = 128)
weight_tensor(const bf16* __restrict__ dy, const bf16* __restrict__ x, const uint32_t* __restrict__ starts, float* __restrict__ dw,
              int outputs, int inputs) {
    DYNAMIC_SHARED(bytes);
    const int begin = static_cast<int>(starts[blockIdx.z]), end = static_cast<int>(starts[blockIdx.z + 1]);
    float* const to = dw + static_cast<size_t>(blockIdx.z) * outputs * inputs;
    const int row = blockIdx.y * SIDE, column = blockIdx.x * SIDE;
    multiply_tensor<2>(bytes, dy, outputs, x, inputs, begin, end, row, column, outputs, inputs, to, {nullptr, nullptr});
}

// db_e = Σ dy[i] over e's sorted rows: a block for 32 columns of an expert, eight rows at a time.
template <typename T>
KERNEL(threads = 256)
bias(const T* __restrict__ dy, const uint32_t* __restrict__ starts, float* __restrict__ db, int outputs) {
    constexpr int LANES = 256 / WARP;
    const int column = blockIdx.x * WARP + threadIdx.x % WARP, lane = threadIdx.x / WARP;
    float sum = 0;
    if (column < outputs) {
        for (uint32_t i = starts[blockIdx.y] + lane; i < starts[blockIdx.y + 1]; i += LANES)
            sum += to_float(dy[static_cast<size_t>(i) * outputs + column]);
    }
    SHARED(float, partial, [LANES][WARP]);
    partial[lane][threadIdx.x % WARP] = sum;
    __syncthreads();
    if (lane == 0 && column < outputs) {
        float total = 0;
#pragma unroll
        for (int i = 0; i < LANES; i++) total += partial[i][threadIdx.x];
        db[static_cast<size_t>(blockIdx.y) * outputs + column] = total;
    }
}
