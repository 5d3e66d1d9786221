// Rows of x as sums of bf16 terms for the tensor cores, with the RMSNorm before them if there is one. One block a row.
//
// Term t of row r begins at `result + (t * rows + r) * depth`; columns from `width` to `depth` are zeros.

#include "shared/element.cuh"
#include "shared/reduce.cuh"

struct Params {
    u16* result;
    const float* x;
    // Null: no norm.
    const float* norm;
    u32 rows;
    u32 width;
    u32 depth;
    u32 terms;
    float eps;
};

ENTRY(pack_rows, 256) {
    __shared__ float sums[8];
    u64 row = block_number();
    if (row >= p.rows) {
        return;
    }
    const float* x = p.x + row * p.width;
    float scale = 1.0f;
    if (p.norm != nullptr) {
        float square = 0.0f;
        for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
            square += x[i] * x[i];
        }
        scale = rsqrtf(block_sum(square, sums) / p.width + p.eps);
    }
    // Two columns a thread: depth is even, and so are the places written.
    for (u32 i = 2 * threadIdx.x; i < p.depth; i += 2 * blockDim.x) {
        float v[2];
        for (u32 h = 0; h < 2; h++) {
            v[h] = i + h < p.width ? x[i + h] : 0.0f;
            if (p.norm != nullptr && i + h < p.width) {
                v[h] = v[h] * scale * p.norm[i + h];
            }
        }
        for (u32 t = 0; t < p.terms; t++) {
            u32 pair = (u32)bf16_term(v[0], t) | ((u32)bf16_term(v[1], t) << 16);
            *(u32*)(p.result + ((u64)t * p.rows + row) * p.depth + i) = pair;
        }
    }
}
