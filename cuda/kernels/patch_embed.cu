// Cuts tiles into patches: row n of the result is patch n, channel by channel. The projection that follows is `linear`.

#include "shared/base.cuh"

struct Params {
    float* result;
    const float* pixels;
    u32 elements;
    // Pixels and patches along a side of a tile, pixels along a side of a patch.
    u32 side;
    u32 along;
    u32 patch;
};

ENTRY(patch_embed, 256) {
    u64 i = thread_number();
    if (i >= p.elements) {
        return;
    }
    u32 area = p.patch * p.patch;
    u32 number = i / (3 * area);
    u32 within = i % (3 * area);
    u32 tile = number / (p.along * p.along);
    u32 place = number % (p.along * p.along);
    u32 channel = within / area;
    u32 y = (place / p.along) * p.patch + (within % area) / p.patch;
    u32 x = (place % p.along) * p.patch + within % p.patch;
    p.result[i] = p.pixels[((u64)(tile * 3 + channel) * p.side + y) * p.side + x];
}
