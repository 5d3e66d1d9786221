// RMSNorm of the queries and of the keys in rows [q | k | v]; values pass. One block a row and part: grid z is the part.

#include "shared/reduce.cuh"

struct Params {
    float* result;
    const float* x;
    const float* q;
    const float* k;
    u32 rows;
    // Of a part.
    u32 width;
    float eps;
};

ENTRY(qk_norm, 256) {
    __shared__ float terms[8];
    u64 row = block_number();
    if (row >= p.rows) {
        return;
    }
    u64 at = (row * 3 + blockIdx.z) * p.width;
    const float* x = p.x + at;
    float square = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        square += x[i] * x[i];
    }
    float scale = rsqrtf(block_sum(square, terms) / p.width + p.eps);
    const float* weight = blockIdx.z == 0 ? p.q : p.k;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        p.result[at + i] = blockIdx.z == 2 ? x[i] : x[i] * scale * weight[i];
    }
}
