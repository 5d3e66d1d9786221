// Joins the splits of attention_split. Blocks of 128 threads: x = rows times heads.

#include "shared/base.cuh"

struct Params {
    float* result;
    const float* parts;
    u32 head_size;
    u32 splits;
};

ENTRY(attention_combine, 128) {
    u32 d = p.head_size, stride = d + 2;
    const float* parts = p.parts + (u64)blockIdx.x * p.splits * stride;
    float most = parts[d];
    for (u32 s = 1; s < p.splits; s++) {
        most = fmaxf(most, parts[s * stride + d]);
    }
    for (u32 e = threadIdx.x; e < d; e += blockDim.x) {
        float sum = 0.0f, total = 0.0f;
        for (u32 s = 0; s < p.splits; s++) {
            float weight = expf(parts[s * stride + d] - most);
            sum += weight * parts[s * stride + e];
            total += weight * parts[s * stride + d + 1];
        }
        p.result[(u64)blockIdx.x * d + e] = sum / total;
    }
}
