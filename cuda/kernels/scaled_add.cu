// y = a + scale * b, a scale a column. One thread an element.

#include "shared/base.cuh"

struct Params {
    float* result;
    const float* a;
    const float* b;
    const float* scale;
    u32 elements;
    u32 width;
};

ENTRY(scaled_add, 256) {
    u64 i = thread_number();
    if (i < p.elements) {
        p.result[i] = p.a[i] + p.scale[i % p.width] * p.b[i];
    }
}
