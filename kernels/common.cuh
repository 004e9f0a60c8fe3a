// The only include of a kernel file. What differs between a GPU and the emulator is in device/primitives.cuh and
// host/primitives.h, with the same names; everything here is the same for both.
#pragma once

#ifdef __CUDACC__
#include <cstdint>
#include "device/primitives.cuh"
#else
#include "host/primitives.h"
#endif

// Marks a kernel: build/signature.rs reads the parentheses, the name, the arguments and the template header before it, and makes
// the entry points and the Rust function. A kernel is a template over its storage type T and, where needed, over integers.
#define KERNEL(...) __device__ __forceinline__ void

constexpr int WARP = 32;

// Where Hopper's copy engine finds a matrix: made by the host (src/device/tensor_map.rs), passed by reference (hopper.cuh).
struct alignas(128) TensorMap {
    uint64_t words[16];
};

// ---- storage types -------------------------------------------------------------------------------------------------

// The upper half of a float; arithmetic happens in float.
struct alignas(2) bf16 {
    uint16_t bits;
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return bits_to_float(static_cast<uint32_t>(x.bits) << 16); }

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
    return bf16{round_to_bf16(x)};
}

// ---- functions -----------------------------------------------------------------------------------------------------

// GELU in its erf form, and its derivative Φ(x) + x·φ(x).
__device__ __forceinline__ float gelu_value(float x) { return x * normcdff(x); }
__device__ __forceinline__ float gelu_slope(float x) { return normcdff(x) + x * 0.3989422804f * __expf(-0.5f * x * x); }

// ---- vector loads and stores ---------------------------------------------------------------------------------------

// N elements that are loaded and stored by one instruction; N * sizeof(T) is 4, 8 or 16.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

// How many elements a 16-byte access holds.
template <typename T>
constexpr int WIDE = 16 / sizeof(T);

template <int N, typename T>
__device__ __forceinline__ Pack<T, N> load(const T* p) {
    check_alignment(p, sizeof(T) * N);
    return *reinterpret_cast<const Pack<T, N>*>(p);
}

template <int N, typename T>
__device__ __forceinline__ void store(T* p, const Pack<T, N>& x) {
    check_alignment(p, sizeof(T) * N);
    *reinterpret_cast<Pack<T, N>*>(p) = x;
}

// ---- reductions: every thread of the warp or block calls them and gets the result, summed in a fixed order ----------

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) x += shuffle_xor(x, step);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step /= 2) x = fmaxf(x, shuffle_xor(x, step));
    return x;
}

// THREADS is the block's size.
template <int THREADS>
__device__ __forceinline__ float block_sum(float x) {
    constexpr int warps = THREADS / WARP;
    SHARED(float, partial, [warps]);
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = x;
    __syncthreads();
    float sum = 0;
#pragma unroll
    for (int i = 0; i < warps; i++) sum += partial[i];
    __syncthreads(); // `partial` may be written again
    return sum;
}

// ---- randomness: src/random.rs, bit for bit ------------------------------------------------------------------------

struct Random4 {
    uint32_t word[4];
};

// Philox 4x32-10. `counter` and `sub` as in Philox::u32x4, `key` as from Philox::key (low word first).
__device__ __forceinline__ Random4 philox(uint64_t counter, uint64_t sub, uint64_t key) {
    uint32_t c0 = sub, c1 = sub >> 32, c2 = counter, c3 = counter >> 32, k0 = key, k1 = key >> 32;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0, p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
        const uint32_t next0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, next2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c0 = next0, c1 = static_cast<uint32_t>(p1), c2 = next2, c3 = static_cast<uint32_t>(p0);
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// [0, 1) from the upper 24 bits.
__device__ __forceinline__ float uniform(uint32_t word) { return static_cast<float>(word >> 8) * (1.0f / (1 << 24)); }

// ---- element-wise kernels: 256 threads, eight elements each ----------------------------------------------------------

constexpr int ELEMENTWISE_THREADS = 256;
constexpr int ELEMENTWISE = 8; // elements of a thread; ops/parallel.rs knows the product

// Calls f(i, n) for the `n` ≤ 8 elements from `i` on that this thread handles; whole eights are aligned to 8 elements.
template <typename F>
__device__ __forceinline__ void for_elements(size_t count, F f) {
    const size_t i = (static_cast<size_t>(blockIdx.x) * ELEMENTWISE_THREADS + threadIdx.x) * ELEMENTWISE;
    if (i < count) f(i, static_cast<int>(count - i < ELEMENTWISE ? count - i : ELEMENTWISE));
}

// Eight elements as floats: one or two 16-byte loads where all are there and the address allows it.
template <typename T>
__device__ __forceinline__ void load_eight(float (&x)[ELEMENTWISE], const T* p, int n) {
    if (n == ELEMENTWISE && reinterpret_cast<uintptr_t>(p) % 16 == 0) {
#pragma unroll
        for (int i = 0; i < ELEMENTWISE; i += WIDE<T>) {
            const auto pack = load<WIDE<T>>(p + i);
#pragma unroll
            for (int j = 0; j < WIDE<T>; j++) x[i + j] = to_float(pack.at[j]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < ELEMENTWISE; i++) x[i] = i < n ? to_float(p[i]) : 0.0f;
    }
}

template <typename T>
__device__ __forceinline__ void store_eight(T* p, const float (&x)[ELEMENTWISE], int n) {
    if (n == ELEMENTWISE && reinterpret_cast<uintptr_t>(p) % 16 == 0) {
#pragma unroll
        for (int i = 0; i < ELEMENTWISE; i += WIDE<T>) {
            Pack<T, WIDE<T>> pack;
#pragma unroll
            for (int j = 0; j < WIDE<T>; j++) pack.at[j] = from_float<T>(x[i + j]);
            store<WIDE<T>>(p + i, pack);
        }
    } else {
#pragma unroll
        for (int i = 0; i < ELEMENTWISE; i++) {
            if (i < n) p[i] = from_float<T>(x[i]);
        }
    }
}
