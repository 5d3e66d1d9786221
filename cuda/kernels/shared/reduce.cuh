// Sums and maxima over a warp and over a block.

#pragma once
#include "shared/base.cuh"

INLINE float warp_sum(float v) {
#pragma unroll
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        v += __shfl_xor_sync(0xffffffffu, v, step);
    }
    return v;
}

INLINE float warp_max(float v) {
#pragma unroll
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
    }
    return v;
}

INLINE u32 warp_sum(u32 v) {
#pragma unroll
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        v += __shfl_xor_sync(0xffffffffu, v, step);
    }
    return v;
}

// The sum of every thread's value, the same for all; `terms` has room for one value a warp. Warps must be whole.
template <class T>
INLINE T block_sum(T v, T* terms) {
    v = warp_sum(v);
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        terms[threadIdx.x / WARP] = v;
    }
    __syncthreads();
    T sum = 0;
    for (u32 w = 0; w < blockDim.x / WARP; w++) {
        sum += terms[w];
    }
    return sum;
}

INLINE float block_max(float v, float* terms) {
    v = warp_max(v);
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        terms[threadIdx.x / WARP] = v;
    }
    __syncthreads();
    float most = terms[0];
    for (u32 w = 1; w < blockDim.x / WARP; w++) {
        most = fmaxf(most, terms[w]);
    }
    return most;
}
