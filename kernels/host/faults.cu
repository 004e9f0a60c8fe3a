// A small sound kernel (FAULT = 0) and copies of it with one thing wrong each: the emulator must find every one.
// Compiled for the emulator's own tests only.
#include "common.cuh"

constexpr int THREADS = 64;

// What only AddressSanitizer sees: thread 2 reads past the end of an array of its own by way of a pointer.
__device__ __forceinline__ float past_own(float value) {
    const float own[2] = {value, value};
    const float* from = own;
    return from[threadIdx.x % 3];
}

// y = x with each group of 64 reversed, by way of shared memory and an asynchronous copy.
template <int FAULT>
KERNEL(threads = 64, FAULT = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10)
reverse(const float* x, float* y) {
    SHARED(float, tile, [THREADS]);
    const int i = threadIdx.x, last = THREADS - 1;
    const float* from = x + blockIdx.x * THREADS;
    float* to = y + blockIdx.x * THREADS;
    if (FAULT == 6) from += 1;                             // 6: the last thread reads past the end of x
    if (FAULT == 7) to = y;                                // 7: every block writes the same bytes
    copy_async<4>(&tile[i], from + i);
    copy_async_commit();
    if (FAULT != 1) copy_async_wait<0>();                  // 1: no wait
    if (FAULT == 3) {
        if (i < 32) __syncthreads();                       // 3: half of the block comes to a barrier
    } else if (FAULT == 4) {
        if (i < 32) __syncthreads();                       // 4: the halves come to different barriers
        else
            __syncthreads();
    } else if (FAULT != 2) {                               // 2: no barrier
        __syncthreads();
    }
    float value = tile[last - i];
    if (FAULT == 5) value = tile[THREADS - i];             // 5: past the end of shared memory
    if (FAULT == 8) value = load<2>(&tile[i % 2]).at[0];   // 8: misaligned vector access
    if (FAULT == 9 && i < 16) value = shuffle_xor(value, 1); // 9: half of a warp shuffles
    if (FAULT == 10) value = past_own(value);              // 10: past the end of a local array
    to[i] = value;
}
