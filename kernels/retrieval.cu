// src/eval/retrieval_device.rs: where does each query's match stand among the candidates of its pool?
//
// A block answers one query: its warps take the candidates in turn, 32 lanes along the embedding. Bound by gathering the
// candidates' rows from L2 (500 queries × 256 candidates × 512 bytes = 64 MB: tens of microseconds).
#include "common.cuh"

// 1/|x| of every row, 0 for a row of zeros; a warp a row.
template <typename T>
KERNEL(threads = 256)
lengths(const T* __restrict__ x, float* __restrict__ inverse, int rows, int d) {
    const int row = blockIdx.x * 8 + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    float sum = 0;
    for (int i = lane; i < d; i += WARP) {
        const float v = to_float(x[static_cast<size_t>(row) * d + i]);
        sum += v * v;
    }
    sum = warp_sum(sum);
    if (lane == 0) inverse[row] = sum > 0 ? 1.0f / sqrtf(sum) : 0.0f;
}

// Cosine of two rows but for the query's length; the whole warp gets it, and equal rows give equal bits.
template <typename T>
__device__ __forceinline__ float similarity(const T* query, const T* candidate, float inverse, int d) {
    float sum = 0;
    for (int i = threadIdx.x % WARP; i < d; i += WARP) sum += to_float(query[i]) * to_float(candidate[i]);
    return warp_sum(sum) * inverse;
}

constexpr int COUNTS = 6; // above, hard won, hard, semi-hard won, semi-hard, tied

// Kinds: 0 match, 1 hard, 2 semi-hard, 3 random. counts[query] as above.
template <typename T>
KERNEL(threads = 256)
rank(const T* __restrict__ from, const T* __restrict__ to, const float* __restrict__ inverse, const uint32_t* __restrict__ queries,
     const uint32_t* __restrict__ candidates, const uint8_t* __restrict__ kinds, uint32_t* __restrict__ counts, int pool, int d) {
    SHARED(uint32_t, partial, [8][COUNTS]);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const uint32_t query = queries[blockIdx.x];
    const T* const asked = from + static_cast<size_t>(query) * d;
    const float matched = similarity(asked, to + static_cast<size_t>(query) * d, inverse[query], d);
    uint32_t count[COUNTS] = {};
    for (int i = warp; i < pool; i += 8) {
        const size_t at = static_cast<size_t>(blockIdx.x) * pool + i;
        const uint32_t candidate = candidates[at];
        const int kind = kinds[at];
        const float other = similarity(asked, to + static_cast<size_t>(candidate) * d, inverse[candidate], d);
        if (kind == 0) continue;
        const uint32_t won = other < matched;
        count[0] += other > matched;
        count[5] += other == matched;
        if (kind == 1) count[1] += won, count[2]++;
        if (kind == 2) count[3] += won, count[4]++;
    }
    if (lane == 0) {
#pragma unroll
        for (int c = 0; c < COUNTS; c++) partial[warp][c] = count[c];
    }
    __syncthreads();
    if (threadIdx.x < COUNTS) {
        uint32_t total = 0;
#pragma unroll
        for (int w = 0; w < 8; w++) total += partial[w][threadIdx.x];
        counts[blockIdx.x * COUNTS + threadIdx.x] = total;
    }
}
