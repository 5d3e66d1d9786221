// Functions of one number.

#pragma once
#include "shared/base.cuh"

// Exact GELU; erfc keeps the small values of the negative side exact.
INLINE float gelu(float v) {
    return 0.5f * v * erfcf(v * -0.70710678118654752f);
}

INLINE float silu(float v) {
    return v / (1.0f + expf(-v));
}
