// What a GPU does in one instruction. host/primitives.h holds a plain function of the same name and meaning for each.
#pragma once

#include <cstdint>

// ---- shared memory -------------------------------------------------------------------------------------------------

// SHARED(float, tile, [16][33]): an array that the block's threads share.
#define SHARED(type, name, dimensions) __shared__ type name dimensions

// DYNAMIC_SHARED(bytes): `unsigned char* bytes`, aligned to 128, as long as the launch said.
#define DYNAMIC_SHARED(name)                                                                                           \
    extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];                                            \
    unsigned char* name = dynamic_shared_memory

// The address that shared-memory instructions take.
__device__ __forceinline__ uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// The emulator checks it; a GPU faults.
__device__ __forceinline__ void check_alignment(const void*, int) {}

// ---- numbers -------------------------------------------------------------------------------------------------------

__device__ __forceinline__ float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }
__device__ __forceinline__ uint32_t float_to_bits(float x) { return __float_as_uint(x); }

// To nearest, ties to even.
__device__ __forceinline__ uint16_t round_to_bf16(float x) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Two bf16 in a register, the first in the low half: what mma_bf16 takes.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

// 2ˣ to two units in the last place, denormal results as 0.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// ---- between threads -----------------------------------------------------------------------------------------------

__device__ __forceinline__ float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
__device__ __forceinline__ uint32_t shuffle_xor(uint32_t x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
__device__ __forceinline__ float shuffle(float x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
__device__ __forceinline__ uint32_t shuffle(uint32_t x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }

// Bit i is lane i's `yes`.
__device__ __forceinline__ uint32_t lane_vote(bool yes) { return __ballot_sync(0xffffffffu, yes); }

// Barrier `id` (1..15) among the `threads` threads that come to it: for warps with different roles.
__device__ __forceinline__ void named_barrier(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- tensor cores --------------------------------------------------------------------------------------------------

// c[16, 8] += a[16, 16] · b[16, 8], bf16 into f32, over a warp. With g = lane / 4 and t = lane % 4, a thread holds
// c: rows g (0, 1) and g + 8 (2, 3), columns 2t and 2t + 1; a: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8) and the
// column after each; b: rows 2t and 2t + 8 and the row after each, column g.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads 8×8 matrices of 16-bit elements from shared memory: lanes 8i .. 8i+7 give the addresses (16-byte aligned) of the eight
// rows of matrix i; register i receives row lane / 4, columns 2(lane % 4) and the next, of matrix i (transposed: of its transpose).
__device__ __forceinline__ void load_matrix(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void load_matrix(uint32_t (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void load_matrix_transposed(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void load_matrix_transposed(uint32_t (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row)) : "memory");
}

// ---- asynchronous copies -------------------------------------------------------------------------------------------

// Starts copying BYTES (4, 8 or 16, both sides aligned to it) from global to shared memory; zeros arrive where `valid` is false
// (`from` is then not read, but must point into the allocation).
template <int BYTES>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid = true) {
    const int bytes = valid ? BYTES : 0;
    if constexpr (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(BYTES), "r"(bytes)
                     : "memory");
    }
}

// Closes the group of copies that this thread started since the last one.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most PENDING of this thread's groups are still under way. Other threads see the data after a barrier.
template <int PENDING>
__device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}
