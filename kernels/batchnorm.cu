// src/ops/batchnorm.rs: normalisation of columns over the batch, with ReLU where RELU = 1.
//
// A block takes 32 columns, each of its eight warps every eighth row: at batch 16 and 2,048 columns 64 blocks read two rows a
// thread. Everything is a few hundred kilobytes; what it costs is the launch, hence the fusions.
#include "rows.cuh"

template <typename T, int RELU>
KERNEL(threads = 256, RELU = 0 | 1)
forward(const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta, T* __restrict__ y,
        float* __restrict__ mean, float* __restrict__ variance, float* __restrict__ scale, float epsilon, int rows, int d) {
    const int warp = threadIdx.x / WARP, column = blockIdx.x * WARP + threadIdx.x % WARP;
    const int last = column < d ? rows : 0; // absent columns have no rows
    const auto at = [&](int row) { return static_cast<size_t>(row) * d + column; };
    float sum = 0;
    for (int row = warp; row < last; row += 8) sum += to_float(x[at(row)]);
    const float m = sum_over_warps(sum) / rows;
    float squares = 0;
    for (int row = warp; row < last; row += 8) {
        const float centred = to_float(x[at(row)]) - m;
        squares += centred * centred;
    }
    squares = sum_over_warps(squares);
    const float inverse = 1.0f / sqrtf(squares / rows + epsilon);
    if (column >= d) return;
    const float g = gamma[column] * inverse, b = beta[column];
    for (int row = warp; row < last; row += 8) {
        const float v = (to_float(x[at(row)]) - m) * g + b;
        y[at(row)] = from_float<T>(RELU ? fmaxf(v, 0.0f) : v);
    }
    if (warp == 0) mean[column] = m, variance[column] = squares / (rows - 1), scale[column] = inverse;
}

// dx = (g − mean(g) − x̂·mean(g∘x̂))/σ with g = dy∘γ (∘[y > 0]), dγ = Σ dy∘x̂, dβ = Σ dy.
template <typename T, int RELU>
KERNEL(threads = 256, RELU = 0 | 1)
backward(const T* __restrict__ dy, const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta,
         const float* __restrict__ mean, const float* __restrict__ scale, T* __restrict__ dx, float* __restrict__ dgamma,
         float* __restrict__ dbeta, int rows, int d) {
    const int warp = threadIdx.x / WARP, column = blockIdx.x * WARP + threadIdx.x % WARP;
    const int last = column < d ? rows : 0, safe = min(column, d - 1);
    const float m = mean[safe], inverse = scale[safe], g = gamma[safe], b = beta[safe];
    const auto normed = [&](int row) { return (to_float(x[static_cast<size_t>(row) * d + column]) - m) * inverse; };
    const auto gradient = [&](int row, float x_hat) {
        const float v = to_float(dy[static_cast<size_t>(row) * d + column]);
        return RELU && x_hat * g + b <= 0 ? 0.0f : v;
    };
    float along = 0, sum = 0;
    for (int row = warp; row < last; row += 8) {
        const float x_hat = normed(row), v = gradient(row, x_hat);
        along += v * x_hat;
        sum += v;
    }
    along = sum_over_warps(along);
    sum = sum_over_warps(sum);
    for (int row = warp; row < last; row += 8) {
        const float x_hat = normed(row);
        const float v = g * inverse * (gradient(row, x_hat) - (sum + x_hat * along) / rows);
        dx[static_cast<size_t>(row) * d + column] = from_float<T>(v);
    }
    if (warp == 0 && column < d) dgamma[column] = along, dbeta[column] = sum;
}

// Evaluation: running statistics.
template <typename T>
KERNEL(threads = 256)
frozen(const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta, const float* __restrict__ mean,
       const float* __restrict__ variance, T* __restrict__ y, float epsilon, int rows, int d) {
    for_row_elements(rows, d, [&](int row, int column, int n) {
        float v[ELEMENTWISE];
        load_eight(v, x + static_cast<size_t>(row) * d + column, n);
#pragma unroll
        for (int j = 0; j < ELEMENTWISE; j++) {
            const int c = min(column + j, d - 1);
            v[j] = (v[j] - mean[c]) / sqrtf(variance[c] + epsilon) * gamma[c] + beta[c];
        }
        store_eight(y + static_cast<size_t>(row) * d + column, v, n);
    });
}

// running ← running + momentum·(batch − running), unless the gradient's norm is not a number: such a step leaves no trace.
KERNEL(threads = 256)
update_running(const float* __restrict__ mean, const float* __restrict__ variance, const float* __restrict__ norm,
               float* __restrict__ running_mean, float* __restrict__ running_variance, float momentum, int d) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= d || !(*norm <= 3.4e38f)) return;
    running_mean[i] = (1 - momentum) * running_mean[i] + momentum * mean[i];
    running_variance[i] = (1 - momentum) * running_variance[i] + momentum * variance[i];
}
