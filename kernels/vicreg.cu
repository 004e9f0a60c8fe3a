// src/ops/vicreg.rs: the loss of two batches [n, d] through their centred Gram matrices (gram.cu), its terms and its gradient.
//
// At n = 16, d = 256 every kernel is a launch; no d×d matrix is ever formed. Terms stay on the device until someone reads them.
#include "rows.cuh"

constexpr int SUMS = 3; // of a block: hinge, Σ square², Σ (x − y)²

// For side blockIdx.y: each column's mean and centred sum of squares, and the block's sums of what the terms need.
template <typename T>
KERNEL(threads = 256)
columns(const T* __restrict__ x, const T* __restrict__ y, float* __restrict__ mean, float* __restrict__ square,
        float* __restrict__ partial, float epsilon, int n, int d) {
    const int warp = threadIdx.x / WARP, column = blockIdx.x * WARP + threadIdx.x % WARP, side = blockIdx.y;
    const T* from = side == 0 ? x : y;
    const int last = column < d ? n : 0;
    float sum = 0, apart = 0;
    for (int row = warp; row < last; row += 8) {
        const size_t i = static_cast<size_t>(row) * d + column;
        sum += to_float(from[i]);
        const float difference = to_float(x[i]) - to_float(y[i]);
        apart += difference * difference;
    }
    const float m = sum_over_warps(sum) / n;
    float squares = 0;
    for (int row = warp; row < last; row += 8) {
        const float centred = to_float(from[static_cast<size_t>(row) * d + column]) - m;
        squares += centred * centred;
    }
    squares = sum_over_warps(squares);
    apart = sum_over_warps(apart);
    if (warp != 0) return;
    if (column < d) mean[side * d + column] = m, square[side * d + column] = squares;
    const float hinge = column < d ? fmaxf(1.0f - sqrtf(squares / (n - 1) + epsilon), 0.0f) : 0.0f;
    const float hinges = warp_sum(hinge), quartic = warp_sum(squares * squares), distance = warp_sum(apart);
    if (threadIdx.x == 0) {
        float* to = partial + (side * gridDim.x + blockIdx.x) * SUMS;
        to[0] = hinges, to[1] = quartic, to[2] = distance;
    }
}

// One block: partial sums in order, in double because the covariance is a difference, into loss, invariance, variance, covariance.
KERNEL(threads = 256)
finish(const float* __restrict__ partial, const float* __restrict__ tiles, float* __restrict__ terms, float weight_inv,
       float weight_var, float weight_cov, float inv_over, float var_over, int blocks, int count, int n, int d) {
    SHARED(double, sums, [256][4]); // hinge, Σ square², Σ (x − y)², Σ G², over both sides
    double mine[4] = {};
    for (int i = threadIdx.x; i < 2 * blocks; i += 256) {
        const float* from = partial + i * SUMS;
        mine[0] += from[0], mine[1] += from[1], mine[2] += i < blocks ? from[2] : 0.0f;
    }
    for (int i = threadIdx.x; i < 2 * count; i += 256) mine[3] += tiles[i];
#pragma unroll
    for (int j = 0; j < 4; j++) sums[threadIdx.x][j] = mine[j];
    __syncthreads();
    for (int step = 128; step > 0; step /= 2) {
        if (static_cast<int>(threadIdx.x) < step) {
#pragma unroll
            for (int j = 0; j < 4; j++) sums[threadIdx.x][j] += sums[threadIdx.x + step][j];
        }
        __syncthreads();
    }
    if (threadIdx.x != 0) return;
    const double invariance = sums[0][2] / inv_over, variance = sums[0][0] / d / var_over;
    const double covariance = (sums[0][3] - sums[0][1]) / (static_cast<double>(n - 1) * (n - 1)) / d;
    terms[0] = static_cast<float>(weight_inv * invariance + weight_var * variance + weight_cov * covariance);
    terms[1] = static_cast<float>(invariance), terms[2] = static_cast<float>(variance), terms[3] = static_cast<float>(covariance);
}

// Gradient of side blockIdx.y, a block taking 32 columns and eight rows: row i of G against the centred columns.
template <typename T>
KERNEL(threads = 256)
backward(const float* __restrict__ dloss, const T* __restrict__ x, const T* __restrict__ y, const float* __restrict__ mean,
         const float* __restrict__ square, const float* __restrict__ gram, T* __restrict__ dx, T* __restrict__ dy, float weight_inv,
         float weight_var, float weight_cov, float epsilon, int n, int d) {
    const int warp = threadIdx.x / WARP, column = blockIdx.x * WARP + threadIdx.x % WARP, side = blockIdx.y;
    const int row = blockIdx.z * 8 + warp;
    if (column >= d || row >= n) return;
    const T* from = side == 0 ? x : y;
    const float m = mean[side * d + column], squares = square[side * d + column];
    const float* g = gram + static_cast<size_t>(side) * n * n + static_cast<size_t>(row) * n;
    float along = 0;
    for (int j = 0; j < n; j++) along += g[j] * (to_float(from[static_cast<size_t>(j) * d + column]) - m);
    const size_t i = static_cast<size_t>(row) * d + column;
    const float centred = to_float(from[i]) - m, deviation = sqrtf(squares / (n - 1) + epsilon);
    float value = weight_inv * (to_float(x[i]) - to_float(y[i])) * (side == 0 ? 1 : -1);
    if (deviation < 1) value -= weight_var * centred / deviation;
    value += weight_cov * (along - centred * squares);
    (side == 0 ? dx : dy)[i] = from_float<T>(value * *dloss);
}

// One block: what a step reports, in one place. Loss and terms, the mean over columns of each side's standard deviation, the
// gradient's norm.
KERNEL(threads = 256)
figures(const float* __restrict__ terms, const float* __restrict__ square, const float* __restrict__ norm, float* __restrict__ y,
        int n, int d) {
    const int side = threadIdx.x / 128, lane = threadIdx.x % 128;
    SHARED(float, sums, [2][128]);
    float sum = 0;
    for (int column = lane; column < d; column += 128) sum += sqrtf(square[side * d + column] / (n - 1));
    sums[side][lane] = sum;
    __syncthreads();
    for (int step = 64; step > 0; step /= 2) {
        if (lane < step) sums[side][lane] += sums[side][lane + step];
        __syncthreads();
    }
    if (threadIdx.x < 4) y[threadIdx.x] = terms[threadIdx.x];
    if (lane == 0) y[4 + side] = sums[side][0] / d;
    if (threadIdx.x == 6) y[6] = *norm;
}
