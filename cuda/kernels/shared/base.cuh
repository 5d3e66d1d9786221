// What every kernel starts from. No header of a CUDA toolkit is needed: NVRTC alone compiles these files.
//
// A kernel is an ENTRY with one struct of parameters by value: pointers and 32-bit words in the order in which the host gives
// them. A null pointer means that there is no such buffer. Tests compile the same files as C++ and run them on the CPU
// (cuda/shim); what has no counterpart there, inline PTX above all, stands behind a function of tensor.cuh or element.cuh.

#pragma once

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

#ifdef MONOLENS_SHIM
#include "shim.h"
#else
#define ENTRY(name, threads) extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Params p)
// Memory of the block, as many bytes as the launch says.
#define SHARED_BYTES(name) extern __shared__ __align__(128) unsigned char name[]
#endif

#define INLINE __device__ __forceinline__

constexpr u32 WARP = 32;

// Number of the block in a grid that may be wider than one dimension can be.
INLINE u64 block_number() {
    return (u64)blockIdx.y * gridDim.x + blockIdx.x;
}

// Number of the thread in the grid.
INLINE u64 thread_number() {
    return block_number() * blockDim.x + threadIdx.x;
}

INLINE u32 divide_up(u32 a, u32 b) {
    return (a + b - 1) / b;
}
