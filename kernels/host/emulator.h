// The emulated device as compiled kernels see it. The other side is src/device/emulated/, which runs one fiber per CUDA
// thread; a hook that waits or fails switches to another fiber and may never return.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

struct Dim3 {
    unsigned x, y, z;
};

constexpr int LANES = 32;
constexpr int SLOT = 64;

// What the lanes of a warp lay out for each other; two sets, so that a lane may run one exchange ahead.
struct Warp {
    alignas(16) uint8_t slots[2][LANES][SLOT];
};

struct Thread {
    Dim3 thread, block, threads, blocks;
    Warp* warp;
    unsigned lane, exchanges;
};

// A product that a warpgroup starts, as one of its threads asks for it.
struct Wgmma {
    float* d;           // this thread's columns / 2 accumulators
    const uint32_t* a;  // this thread's four registers of the left operand, or null
    uint64_t a_tile, b_tile;
    unsigned columns;
    bool accumulate, a_across, b_across;
};

struct Hooks {
    void (*barrier)(unsigned id, unsigned threads, const char* file, unsigned line);
    void (*warp_barrier)(unsigned mask, bool fences, const char* file, unsigned line);
    void* (*shared)(const void* key, size_t bytes, size_t alignment);
    void* (*dynamic_shared)();
    void (*copy)(void* to, const void* from, size_t bytes, bool valid, const char* file, unsigned line);
    void (*copy_commit)();
    void (*copy_wait)(unsigned pending, const char* file, unsigned line);
    void (*fence)();
    void (*access)(const void* address, size_t bytes, bool write, bool atomic);
    uint32_t (*window)(const void* address);
    void (*phase_init)(void* barrier, unsigned arrivals, const char* file, unsigned line);
    void (*phase_arrive)(void* barrier, unsigned bytes, const char* file, unsigned line);
    void (*phase_wait)(void* barrier, unsigned parity, const char* file, unsigned line);
    void (*tile_copy)(void* to, const void* map, void* barrier, const int* from, const char* file, unsigned line);
    void (*async_fence)();
    void (*wgmma)(const Wgmma* product, const char* file, unsigned line);
    void (*wgmma_fence)();
    void (*wgmma_commit)();
    void (*wgmma_wait)(unsigned pending, const char* file, unsigned line);
    void (*fail)(const char* message, const char* file, unsigned line);
    void (*reported)(const char* report);
};

extern const Hooks* hooks;
extern thread_local const Thread* current;

// Lays `value` out for the other lanes and waits for theirs; slot i of the result is lane i's.
const uint8_t (*exchange(const void* value, size_t bytes, const char* file, unsigned line))[SLOT];

} // namespace emulator
