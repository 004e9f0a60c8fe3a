// src/ops/moe/routing.rs: a stable counting sort of choices by expert, in blocks of 256, each expert's rows filled up to whole tiles.
#include "common.cuh"

constexpr int THREADS = 256;
constexpr int MOST_EXPERTS = 64;
constexpr uint32_t EMPTY = 0xffffffff;

// No sorted row has a choice yet.
KERNEL(threads = 256)
clear(uint32_t* __restrict__ source, int sorted) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < sorted) source[i] = EMPTY;
}

// The choices of this block; EMPTY past the end.
__device__ __forceinline__ void read_block(uint32_t (&own)[THREADS], const uint32_t* chosen, int choices) {
    const int c = blockIdx.x * THREADS + threadIdx.x;
    own[threadIdx.x] = c < choices ? chosen[c] : EMPTY;
    __syncthreads();
}

// counts[block, e]: choices of expert e in the block.
KERNEL(threads = 256)
histogram(const uint32_t* __restrict__ chosen, uint32_t* __restrict__ counts, int choices, int experts) {
    SHARED(uint32_t, own, [THREADS]);
    read_block(own, chosen, choices);
    if (threadIdx.x < experts) {
        uint32_t count = 0;
        for (int i = 0; i < THREADS; i++) count += own[i] == threadIdx.x;
        counts[static_cast<size_t>(blockIdx.x) * experts + threadIdx.x] = count;
    }
}

// counts[block, e] becomes the first sorted row of the block's choices of e; starts[e] the first of e, at whole tiles.
KERNEL(threads = 64)
scan(uint32_t* counts, uint32_t* __restrict__ starts, int experts, int blocks, int tile) {
    SHARED(uint32_t, total, [MOST_EXPERTS]);
    const int e = threadIdx.x;
    if (e < experts) {
        uint32_t sum = 0;
        for (int b = 0; b < blocks; b++) sum += counts[static_cast<size_t>(b) * experts + e];
        total[e] = (sum + tile - 1) / tile * tile;
    }
    __syncthreads();
    if (e < experts) {
        uint32_t next = 0;
        for (int before = 0; before < e; before++) next += total[before];
        starts[e] = next;
        if (e + 1 == experts) starts[experts] = next + total[e];
        for (int b = 0; b < blocks; b++) {
            uint32_t* at = counts + static_cast<size_t>(b) * experts + e;
            const uint32_t count = *at;
            *at = next;
            next += count;
        }
    }
}

// Each choice to its sorted row: after those of its expert that come before it.
KERNEL(threads = 256)
place(const uint32_t* __restrict__ chosen, const uint32_t* __restrict__ firsts, uint32_t* __restrict__ slot,
      uint32_t* __restrict__ source, int choices, int experts) {
    SHARED(uint32_t, own, [THREADS]);
    read_block(own, chosen, choices);
    const int c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= choices) return;
    const uint32_t expert = own[threadIdx.x];
    uint32_t row = firsts[static_cast<size_t>(blockIdx.x) * experts + expert];
    for (int i = 0; i < threadIdx.x; i++) row += own[i] == expert;
    slot[c] = row;
    source[row] = static_cast<uint32_t>(c);
}
