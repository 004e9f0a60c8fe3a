// What the kernels for Hopper share: its primitives, and tiles in shared memory as the copy engine leaves them and wgmma takes them.
// Included inside the namespace of the kernel file.
#pragma once
#ifdef __CUDACC__
#include "device/hopper.cuh"
#else
#include "host/hopper.h"
#endif

constexpr int WARPGROUP = 128; // threads

// A tile is a stack of rows of 64 bf16, 128 bytes, whose 16-byte chunk c lies at c ^ (row mod 8): eight rows are 1,024 bytes, to a
// multiple of which tiles are aligned. An operand wider than 64 is several such stacks, one after the other.
constexpr int TILE_COLUMNS = 64, TILE_ROW_BYTES = 128, EIGHT_ROWS = 8 * TILE_ROW_BYTES;

// The first multiple of 1,024 bytes, for which a launch asks that much more dynamic shared memory.
__device__ __forceinline__ unsigned char* tile_aligned(unsigned char* p) { return p + (-shared_address(p) & (EIGHT_ROWS - 1)); }

// The descriptor of a tile: bits 0–13 its address, 16–29 and 32–45 two strides, all in units of 16 bytes, 62–63 the swizzle
// (1: 128 bytes). `stack`: bytes from one stack of 64 columns to the next.
//   Contiguous along k, a row is one of m or n, and wgmma steps from eight rows to the next; the other stride is not used.
//   Contiguous across k, a row is one of k, and wgmma steps from eight rows to the next and from stack to stack.
__device__ __forceinline__ uint64_t tile_descriptor(const void* tile, int stack) {
    return static_cast<uint64_t>(shared_address(tile) >> 4 & 0x3fff) | static_cast<uint64_t>(stack >> 4) << 16 |
           static_cast<uint64_t>(EIGHT_ROWS >> 4) << 32 | uint64_t{1} << 62;
}

// `step` sixteens of k further on: within the row, or sixteen rows down.
template <bool ACROSS>
__device__ __forceinline__ uint64_t advanced(uint64_t descriptor, int step) {
    return descriptor + (ACROSS ? step * 2 * EIGHT_ROWS >> 4 : step * 32 >> 4);
}

// Position in a ring of STAGES and the parity of the phase that it is in.
template <int STAGES>
struct RingPosition {
    int stage = 0, parity = 0;

    __device__ __forceinline__ void next() {
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
};
