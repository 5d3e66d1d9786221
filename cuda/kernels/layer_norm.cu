// y = (x - mean) / sqrt(var + eps) * weight + bias, biased variance. One block a row.

#include "shared/reduce.cuh"

struct Params {
    float* result;
    const float* x;
    const float* weight;
    const float* bias;
    u32 rows;
    u32 width;
    float eps;
};

ENTRY(layer_norm, 256) {
    __shared__ float terms[8];
    u64 row = block_number();
    if (row >= p.rows) {
        return;
    }
    const float* x = p.x + row * p.width;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        sum += x[i];
    }
    float mean = block_sum(sum, terms) / p.width;
    float square = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        square += (x[i] - mean) * (x[i] - mean);
    }
    float scale = rsqrtf(block_sum(square, terms) / p.width + p.eps);
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        p.result[row * p.width + i] = (x[i] - mean) * scale * p.weight[i] + p.bias[i];
    }
}
