// Folds s x s neighbouring patches into the channels of one token. One thread an element.

#include "shared/base.cuh"

struct Params {
    float* result;
    const float* x;
    u32 elements;
    // Patches along a side, s, channels of a patch.
    u32 side;
    u32 scale;
    u32 width;
    // Rows of a tile before its patches: 1 to drop a class token.
    u32 skip;
    // 1: tokens are listed column by column.
    u32 columns;
};

ENTRY(pixel_shuffle, 256) {
    u64 i = thread_number();
    if (i >= p.elements) {
        return;
    }
    u32 along = p.side / p.scale;
    u32 channels = p.scale * p.scale * p.width;
    u32 token = i / channels;
    u32 tile = token / (along * along);
    u32 within = token % (along * along);
    u32 row = p.columns ? within % along : within / along;
    u32 column = p.columns ? within / along : within % along;
    u32 channel = i % channels;
    u32 piece = channel / p.width;
    u32 patch_row = p.scale * row + piece / p.scale;
    u32 patch_column = p.scale * column + piece % p.scale;
    u64 source = tile * (p.side * p.side + p.skip) + p.skip + patch_row * p.side + patch_column;
    p.result[i] = p.x[source * p.width + channel % p.width];
}
