// Chooses the next token of a sampled row. One block of up to 1024 threads a row.
//
// Thresholds are found by bisection on the ordered bits of the logits: 32 passes, no sorting.

#include "shared/reduce.cuh"

struct Params {
    u32* result;
    const float* logits;
    const u32* sampling;
    const u32* seen;
    u32 vocab;
};

constexpr u32 NO_TOKEN = 0xffffffffu;
// At most.
constexpr u32 WARPS = 32;

// Greater float, greater word; the two zeros are one.
INLINE u32 ordered(float v) {
    u32 bits = __float_as_uint(v);
    if (bits == 0x80000000u) {
        bits = 0;
    }
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

struct Row {
    const float* logits;
    const u32* seen;
    float temperature;
    float penalty;

    INLINE float logit(u32 token) const {
        float l = logits[token];
        if (penalty != 1.0f && (seen[token / 32] >> (token % 32) & 1)) {
            l = l > 0.0f ? l / penalty : l * penalty;
        }
        return temperature > 0.0f ? l / temperature : l;
    }
};

INLINE u32 pcg(u32 v) {
    u32 state = v * 747796405u + 2891336453u;
    u32 word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737u;
    return (word >> 22) ^ word;
}

// exp(l - most), also where both are infinite.
INLINE float weight(float l, float most) {
    return l == most ? 1.0f : expf(l - most);
}

// -ln(-ln(u)), u = (hash + 0.5) / 2³². Where u is near 1 it is taken as 1 - v: there f32 is too coarse, and those are the
// tokens that win.
INLINE float gumbel(u32 hash) {
    const float unit = 1.0f / 4294967296.0f;
    if (hash < 0xb0000000u) {
        return -logf(-logf(((float)hash + 0.5f) * unit));
    }
    return -logf(-log1pf(-((float)~hash + 0.5f) * unit));
}

// A candidate: the greater key wins, the lower id on ties.
struct Best {
    u32 key;
    u32 id;

    INLINE void meet(u32 other_key, u32 other_id) {
        if (other_key > key || (other_key == key && other_id < id)) {
            key = other_key;
            id = other_id;
        }
    }
};

INLINE u32 block_best(Best best, Best* terms) {
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        u32 key = __shfl_xor_sync(0xffffffffu, best.key, step);
        u32 id = __shfl_xor_sync(0xffffffffu, best.id, step);
        best.meet(key, id);
    }
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        terms[threadIdx.x / WARP] = best;
    }
    __syncthreads();
    best = terms[0];
    for (u32 w = 1; w < blockDim.x / WARP; w++) {
        best.meet(terms[w].key, terms[w].id);
    }
    return best.id;
}

ENTRY(sample, 1024) {
    __shared__ u32 counts[WARPS];
    __shared__ float masses[WARPS];
    __shared__ Best bests[WARPS];
    u64 number = block_number();
    const u32* settings = p.sampling + number * 8;
    Row row = {p.logits + number * p.vocab, p.seen + number * divide_up(p.vocab, 32), __uint_as_float(settings[0]),
               __uint_as_float(settings[2])};
    float top_p = __uint_as_float(settings[1]);
    u32 top_k = settings[3];

    u32 bad = 0, finite = 0;
    Best top = {0, NO_TOKEN};
    for (u32 t = threadIdx.x; t < p.vocab; t += blockDim.x) {
        u32 magnitude = __float_as_uint(row.logits[t]) & 0x7fffffffu;
        bad |= magnitude > 0x7f800000u;
        finite |= magnitude < 0x7f800000u;
        top.meet(ordered(row.logit(t)), t);
    }
    bad = block_sum(bad, counts);
    finite = block_sum(finite, counts);
    u32 greedy = block_best(top, bests);
    if (bad > 0 || finite == 0 || row.temperature <= 0.0f) {
        if (threadIdx.x == 0) {
            p.result[number] = bad > 0 || finite == 0 ? NO_TOKEN : greedy;
        }
        return;
    }

    // The least key that is kept.
    u32 least = 0;
    if (top_k > 0 && top_k < p.vocab) {
        for (u32 bit = 0x80000000u; bit > 0; bit >>= 1) {
            u32 n = 0;
            for (u32 t = threadIdx.x; t < p.vocab; t += blockDim.x) {
                n += ordered(row.logit(t)) >= (least | bit);
            }
            if (block_sum(n, counts) >= top_k) {
                least |= bit;
            }
        }
    }
    if (top_p < 1.0f) {
        float most = row.logit(greedy);
        u32 kept = least;
        // The probability mass of what is kept and not below a threshold.
        auto mass = [&](u32 threshold) {
            float part = 0.0f;
            for (u32 t = threadIdx.x; t < p.vocab; t += blockDim.x) {
                float l = row.logit(t);
                if (ordered(l) >= max(threshold, kept)) {
                    part += weight(l, most);
                }
            }
            return block_sum(part, masses);
        };
        float wanted = top_p * mass(0);
        least = 0;
        for (u32 bit = 0x80000000u; bit > 0; bit >>= 1) {
            if (mass(least | bit) >= wanted) {
                least |= bit;
            }
        }
        least = max(least, kept);
    }

    u32 seed = pcg(pcg(pcg(settings[4]) ^ settings[5]) ^ settings[6]);
    top = {0, NO_TOKEN};
    for (u32 t = threadIdx.x; t < p.vocab; t += blockDim.x) {
        float l = row.logit(t);
        if (ordered(l) >= least) {
            top.meet(ordered(l + gumbel(pcg(seed ^ t))), t);
        }
    }
    u32 chosen = block_best(top, bests);
    if (threadIdx.x == 0) {
        p.result[number] = chosen;
    }
}
