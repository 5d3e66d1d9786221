// y = x / sqrt(mean(x²) + eps) * weight. One block a row.

#include "shared/reduce.cuh"

struct Params {
    float* result;
    const float* x;
    const float* weight;
    u32 rows;
    u32 width;
    float eps;
};

ENTRY(rms_norm, 256) {
    __shared__ float terms[8];
    u64 row = block_number();
    if (row >= p.rows) {
        return;
    }
    const float* x = p.x + row * p.width;
    float square = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        square += x[i] * x[i];
    }
    float scale = rsqrtf(block_sum(square, terms) / p.width + p.eps);
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        p.result[row * p.width + i] = x[i] * scale * p.weight[i];
    }
}
