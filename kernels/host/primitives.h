// Plain functions for what device/primitives.cuh does in one instruction, and CUDA's own names that kernels use.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulator.h"

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict

// Where a kernel called a primitive, for messages.
#define WHERE const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()

#define threadIdx (emulator::current->thread)
#define blockIdx (emulator::current->block)
#define blockDim (emulator::current->threads)
#define gridDim (emulator::current->blocks)

using std::max;
using std::min;

// ---- shared memory -------------------------------------------------------------------------------------------------

#define SHARED(type, name, dimensions)                                                                                 \
    static const char name##_key = 0;                                                                                  \
    auto& name = *static_cast<type(*) dimensions>(                                                                     \
        emulator::hooks->shared(&name##_key, sizeof(type dimensions), std::max<size_t>(alignof(type), 16)))

#define DYNAMIC_SHARED(name) unsigned char* name = static_cast<unsigned char*>(emulator::hooks->dynamic_shared())

inline void check_alignment(const void* p, int bytes, WHERE) {
    if (reinterpret_cast<uintptr_t>(p) % bytes != 0) emulator::hooks->fail("vector access to an address that is not aligned to it", file, line);
}

// ---- numbers -------------------------------------------------------------------------------------------------------

inline float bits_to_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline uint32_t float_to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline uint16_t round_to_bf16(float x) {
    const uint32_t bits = float_to_bits(x);
    if (x != x) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline uint32_t pack_bf16(float low, float high) { return static_cast<uint32_t>(round_to_bf16(high)) << 16 | round_to_bf16(low); }

inline float exp2_fast(float x) { return exp2f(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
inline int __ffs(uint32_t x) { return __builtin_ffs(static_cast<int>(x)); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }

// ---- between threads -----------------------------------------------------------------------------------------------

inline void __syncthreads(WHERE) { emulator::hooks->barrier(0, 0, file, line); }
inline void named_barrier(int id, int threads, WHERE) { emulator::hooks->barrier(id, threads, file, line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, WHERE) { emulator::hooks->warp_barrier(mask, true, file, line); }
inline void __threadfence() { emulator::hooks->fence(); }
inline unsigned atomicAdd(unsigned* p, unsigned value) { return __atomic_fetch_add(p, value, __ATOMIC_RELAXED); }

template <typename V>
inline V shuffle_from(V x, int lane, const char* file, unsigned line) {
    const auto* slots = emulator::exchange(&x, sizeof x, file, line);
    memcpy(&x, slots[lane % emulator::LANES], sizeof x);
    return x;
}

inline float shuffle_xor(float x, int mask, WHERE) { return shuffle_from(x, emulator::current->lane ^ mask, file, line); }
inline uint32_t shuffle_xor(uint32_t x, int mask, WHERE) { return shuffle_from(x, emulator::current->lane ^ mask, file, line); }
inline float shuffle(float x, int lane, WHERE) { return shuffle_from(x, lane, file, line); }
inline uint32_t shuffle(uint32_t x, int lane, WHERE) { return shuffle_from(x, lane, file, line); }

inline uint32_t lane_vote(bool yes, WHERE) {
    const uint32_t mine = yes;
    const auto* slots = emulator::exchange(&mine, sizeof mine, file, line);
    uint32_t all = 0;
    for (int lane = 0; lane < emulator::LANES; lane++) all |= static_cast<uint32_t>(slots[lane][0] & 1) << lane;
    return all;
}

// ---- tensor cores --------------------------------------------------------------------------------------------------

// Element `half` of a register that holds two bf16.
inline float half_of(uint32_t word, int half) { return bits_to_float(half == 0 ? word << 16 : word & 0xffff0000u); }

inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], WHERE) {
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const auto* slots = emulator::exchange(mine, sizeof mine, file, line);
    // Register `r` of lane `lane`, element `half`.
    const auto element = [&](int lane, int r, int half) {
        uint32_t word;
        memcpy(&word, slots[lane] + 4 * r, 4);
        return half_of(word, half);
    };
    const int group = emulator::current->lane / 4, within = emulator::current->lane % 4;
    for (int i = 0; i < 4; i++) {
        const int low_row = i / 2, column = 2 * within + i % 2;
        float sum = 0;
        for (int k = 0; k < 16; k++) {
            const int holder = k % 8 / 2;
            sum += element(group * 4 + holder, low_row + k / 8 * 2, k % 2) * element(column * 4 + holder, 4 + k / 8, k % 2);
        }
        c[i] += sum;
    }
}

template <int N>
inline void load_matrices(uint32_t (&r)[N], const void* row, bool transposed, const char* file, unsigned line) {
    const auto* slots = emulator::exchange(&row, sizeof row, file, line);
    const int group = emulator::current->lane / 4, within = emulator::current->lane % 4;
    for (int i = 0; i < N; i++) {
        uint16_t pair[2];
        for (int half = 0; half < 2; half++) {
            const int column = 2 * within + half;
            const uint16_t* source;
            memcpy(&source, slots[8 * i + (transposed ? column : group)], sizeof source);
            check_alignment(source, 16, file, line);
            pair[half] = source[transposed ? group : column];
        }
        r[i] = static_cast<uint32_t>(pair[1]) << 16 | pair[0];
    }
}

inline void load_matrix(uint32_t (&r)[4], const void* row, WHERE) { load_matrices(r, row, false, file, line); }
inline void load_matrix(uint32_t (&r)[2], const void* row, WHERE) { load_matrices(r, row, false, file, line); }
inline void load_matrix_transposed(uint32_t (&r)[4], const void* row, WHERE) { load_matrices(r, row, true, file, line); }
inline void load_matrix_transposed(uint32_t (&r)[2], const void* row, WHERE) { load_matrices(r, row, true, file, line); }

// ---- asynchronous copies: the bytes arrive at the wait, and until then the destination holds NaN ---------------------

template <int BYTES>
inline void copy_async(void* to, const void* from, bool valid = true, WHERE) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "cp.async copies 4, 8 or 16 bytes");
    check_alignment(to, BYTES, file, line);
    check_alignment(from, BYTES, file, line);
    emulator::hooks->copy(to, from, BYTES, valid, file, line);
}
inline void copy_async_commit() { emulator::hooks->copy_commit(); }
template <int PENDING>
inline void copy_async_wait(WHERE) {
    emulator::hooks->copy_wait(PENDING, file, line);
}
