// y = silu(gate) * up. One thread an element.

#include "shared/math.cuh"

struct Params {
    float* result;
    const float* gate;
    const float* up;
    u32 elements;
};

ENTRY(swiglu, 256) {
    u64 i = thread_number();
    if (i < p.elements) {
        p.result[i] = silu(p.gate[i]) * p.up[i];
    }
}
