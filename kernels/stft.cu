// src/descriptors/device.rs: magnitudes of the short-time Fourier transform, octave-band log energies and A4.
//
// A block transforms one frame of 2,048 real samples as 1,024 complex ones: five radix-4 Stockham passes in shared memory, one
// butterfly a thread, then the split into the spectrum of the real signal. 3,008 frames (a batch of 16) are 23 blocks an SM on an
// H100, eight of them at once; each reads 8 KB that mostly lies in L2 (frames overlap fourfold) and keeps eight numbers: some 20 µs.
#include "common.cuh"

constexpr int N_FFT = 2048, HALF = N_FFT / 2, BINS = HALF + 1, BANDS = 8;

// What the padded signal holds at `index`, which may lie beyond either end: silence or the mirrored signal.
__device__ __forceinline__ float sample(const float* audio, int length, int index, int reflect) {
    if (index >= 0 && index < length) return audio[index];
    if (!reflect || length == 0) return 0;
    if (length == 1) return audio[0];
    const int period = 2 * (length - 1);
    index %= period;
    if (index < 0) index += period;
    return audio[min(index, period - index)];
}

// re[k], im[k] for k < 1024: the transform of z[j] = x[2j] + i·x[2j + 1]. `tables`: window, cos and sin of 2πi/2048.
__device__ __forceinline__ void transform(float (&re)[HALF], float (&im)[HALF], const float* audio, int length, int frame, int hop,
                                          int reflect, const float* tables) {
    const int t = threadIdx.x, start = frame * hop - HALF;
    const float *window = tables, *cosine = tables + N_FFT, *sine = tables + 2 * N_FFT;
    float a[4], b[4]; // real and imaginary
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int i = 2 * (t + r * (HALF / 4));
        a[r] = window[i] * sample(audio, length, start + i, reflect);
        b[r] = window[i + 1] * sample(audio, length, start + i + 1, reflect);
    }
#pragma unroll
    for (int span = 1; span < HALF; span *= 4) {
        const int k = t % span;
#pragma unroll
        for (int r = 1; r < 4; r++) {
            const int turn = r * k * (N_FFT / 4 / span);
            const float c = cosine[turn], s = sine[turn], x = a[r];
            a[r] = x * c + b[r] * s; // times e^(−iφ)
            b[r] = b[r] * c - x * s;
        }
        const float sum_a = a[0] + a[2], sum_b = b[0] + b[2], odd_a = a[1] + a[3], odd_b = b[1] + b[3];
        const float difference_a = a[0] - a[2], difference_b = b[0] - b[2];
        const float turned_a = b[1] - b[3], turned_b = a[3] - a[1]; // −i·(v1 − v3)
        const int to = t / span * span * 4 + k;
        if (span > 1) __syncthreads(); // the last pass has been read
        re[to] = sum_a + odd_a, im[to] = sum_b + odd_b;
        re[to + span] = difference_a + turned_a, im[to + span] = difference_b + turned_b;
        re[to + 2 * span] = sum_a - odd_a, im[to + 2 * span] = sum_b - odd_b;
        re[to + 3 * span] = difference_a - turned_a, im[to + 3 * span] = difference_b - turned_b;
        __syncthreads();
        if (span * 4 < HALF) {
#pragma unroll
            for (int r = 0; r < 4; r++) a[r] = re[t + r * (HALF / 4)], b[r] = im[t + r * (HALF / 4)];
        }
    }
}

// |X[k]| of the real signal, 0 ≤ k ≤ 1024: X = E + e^(−2πik/2048)·O with E, O the even and odd samples' transforms.
__device__ __forceinline__ float magnitude(const float (&re)[HALF], const float (&im)[HALF], int k, const float* tables) {
    const int here = k % HALF, there = (HALF - k) % HALF;
    const float even_re = 0.5f * (re[here] + re[there]), even_im = 0.5f * (im[here] - im[there]);
    const float odd_re = 0.5f * (im[here] + im[there]), odd_im = 0.5f * (re[there] - re[here]);
    const float c = tables[N_FFT + k], s = tables[2 * N_FFT + k];
    const float x = even_re + odd_re * c + odd_im * s, y = even_im + odd_im * c - odd_re * s;
    return sqrtf(x * x + y * y);
}

// spectrum[sample, frame, 1025]
KERNEL(threads = 256)
magnitudes(const float* __restrict__ audio, const float* __restrict__ tables, float* __restrict__ spectrum, int length, int hop,
           int reflect) {
    SHARED(float, re, [HALF]);
    SHARED(float, im, [HALF]);
    transform(re, im, audio + static_cast<size_t>(blockIdx.y) * length, length, blockIdx.x, hop, reflect, tables);
    float* to = spectrum + (static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * BINS;
    for (int k = threadIdx.x; k < BINS; k += 256) to[k] = magnitude(re, im, k, tables);
}

// energy[sample, frame, 8]: mean of ln(1 + |X|) over each band's bins, bins 4·2ⁱ to 8·2ⁱ, the last one with bin 1024; a warp a band.
KERNEL(threads = 256)
energies(const float* __restrict__ audio, const float* __restrict__ tables, float* __restrict__ energy, int length, int hop,
         int reflect) {
    SHARED(float, re, [HALF]);
    SHARED(float, im, [HALF]);
    transform(re, im, audio + static_cast<size_t>(blockIdx.y) * length, length, blockIdx.x, hop, reflect, tables);
    SHARED(float, logs, [BINS]);
    for (int k = threadIdx.x; k < BINS; k += 256) logs[k] = logf(1.0f + magnitude(re, im, k, tables));
    __syncthreads();
    const int band = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int first = 4 << band, last = band == BANDS - 1 ? BINS : 8 << band;
    float sum = 0;
    for (int k = first + lane; k < last; k += WARP) sum += logs[k];
    sum = warp_sum(sum);
    if (lane == 0) {
        energy[(static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * BANDS + band] = sum / static_cast<float>(last - first);
    }
}

// y[sample, frame, 8]: the change to the next frame (the last has none: 0), minus its mean over the frames, over its deviation
// (1/T) + ε. A block a sample, a warp a band, in double: deviations of quiet bands are small differences.
template <typename T>
KERNEL(threads = 256)
standardise(const float* __restrict__ energy, T* __restrict__ y, int frames) {
    const int band = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const size_t start = static_cast<size_t>(blockIdx.x) * frames * BANDS + band;
    const auto change = [&](int t) {
        return t + 1 < frames ? energy[start + (t + 1) * BANDS] - energy[start + t * BANDS] : 0.0f;
    };
    SHARED(double, sums, [BANDS][WARP]);
    const auto total = [&](double mine) {
        sums[band][lane] = mine;
        __syncwarp();
        double sum = 0;
        for (int i = 0; i < WARP; i++) sum += sums[band][i];
        __syncwarp();
        return sum;
    };
    double mine = 0;
    for (int t = lane; t < frames; t += WARP) mine += change(t);
    const double mean = total(mine) / frames;
    mine = 0;
    for (int t = lane; t < frames; t += WARP) mine += (change(t) - mean) * (change(t) - mean);
    const double deviation = sqrt(total(mine) / frames) + 1e-8;
    for (int t = lane; t < frames; t += WARP) {
        y[start + static_cast<size_t>(t) * BANDS] = from_float<T>(static_cast<float>((change(t) - mean) / deviation));
    }
}
