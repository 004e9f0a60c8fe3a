// Plain functions for what device/hopper.cuh does in one instruction. What is asynchronous stays so: bytes arrive when the barrier
// that counts them is waited for, results of wgmma at their wait, and until then NaN stands there (src/device/emulated/).
#pragma once

// The address that shared-memory instructions and descriptors take.
inline uint32_t shared_address(const void* p) { return emulator::hooks->window(p); }

// ---- barriers in shared memory ---------------------------------------------------------------------------------------

struct alignas(8) Barrier {
    uint64_t state;
};

inline void barrier_init(Barrier* barrier, int arrivals, WHERE) { emulator::hooks->phase_init(barrier, arrivals, file, line); }
inline void barrier_arrive(Barrier* barrier, WHERE) { emulator::hooks->phase_arrive(barrier, 0, file, line); }
inline void barrier_arrive_expecting(Barrier* barrier, int bytes, WHERE) {
    emulator::hooks->phase_arrive(barrier, bytes, file, line);
}
inline void barrier_wait(Barrier* barrier, int parity, WHERE) { emulator::hooks->phase_wait(barrier, parity, file, line); }
inline void fence_async() { emulator::hooks->async_fence(); }

// ---- the copy engine -------------------------------------------------------------------------------------------------

inline void copy_tile_async(void* to, const TensorMap& map, Barrier* barrier, int column, int row, int item, WHERE) {
    const int from[3] = {column, row, item};
    emulator::hooks->tile_copy(to, &map, barrier, from, file, line);
}
inline void prefetch_map(const TensorMap&) {}

// ---- registers of a warpgroup: the compiler's matter -----------------------------------------------------------------

template <int REGISTERS>
inline void give_registers() {}
template <int REGISTERS>
inline void take_registers() {}

// ---- products of a warpgroup -----------------------------------------------------------------------------------------

inline void wgmma_fence() { emulator::hooks->wgmma_fence(); }
inline void wgmma_commit() { emulator::hooks->wgmma_commit(); }
template <int PENDING>
inline void wgmma_wait(WHERE) {
    emulator::hooks->wgmma_wait(PENDING, file, line);
}
template <int N>
inline void wgmma_settled(float (&)[N][4]) {}

template <bool A_ACROSS, bool B_ACROSS, int N>
inline void wgmma(float (&d)[N][4], uint64_t a, uint64_t b, bool accumulate, WHERE) {
    const emulator::Wgmma product{&d[0][0], nullptr, a, b, 8 * N, accumulate, A_ACROSS, B_ACROSS};
    emulator::hooks->wgmma(&product, file, line);
}
template <bool B_ACROSS, int N>
inline void wgmma(float (&d)[N][4], const uint32_t (&a)[4], uint64_t b, bool accumulate, WHERE) {
    const emulator::Wgmma product{&d[0][0], a, 0, b, 8 * N, accumulate, false, B_ACROSS};
    emulator::hooks->wgmma(&product, file, line);
}
