// Stored types and their widening to f32.

#pragma once
#include "shared/base.cuh"

struct Bf16 {
    u16 bits;
};

struct F16 {
    u16 bits;
};

// An integer of 8 bits of a key or value (eight.cuh).
struct I8 {
    signed char value;
};

INLINE float widen(I8 v) {
    return (float)v.value;
}

INLINE float widen(Bf16 v) {
    return __uint_as_float((u32)v.bits << 16);
}

INLINE float widen(F16 v) {
#ifdef MONOLENS_SHIM
    return shim::f16_to_f32(v.bits);
#else
    float out;
    asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(v.bits));
    return out;
#endif
}

INLINE float widen(float v) {
    return v;
}

// Rounded to the nearest bf16, ties to even; NaN stays NaN.
INLINE u16 bf16_bits(float v) {
    u32 bits = __float_as_uint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (u16)((bits >> 16) | 0x40u);
    }
    return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Two as bf16 in a word, `low` in its low half.
INLINE u32 bf16_pair(float low, float high) {
#ifdef MONOLENS_SHIM
    return (u32)bf16_bits(low) | ((u32)bf16_bits(high) << 16);
#else
    u32 out;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
    return out;
#endif
}

INLINE void store(float* to, float v) {
    *to = v;
}

INLINE void store(Bf16* to, float v) {
    to->bits = bf16_bits(v);
}

// Eight elements from a place aligned to 16 bytes.
INLINE void load_8(const float* from, float out[8]) {
    const float4* f = (const float4*)from;
    float4 a = f[0], b = f[1];
    out[0] = a.x; out[1] = a.y; out[2] = a.z; out[3] = a.w;
    out[4] = b.x; out[5] = b.y; out[6] = b.z; out[7] = b.w;
}

template <class T>
INLINE void load_8(const T* from, float out[8]) {
    uint4 w = *(const uint4*)from;
    const u32 words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        out[2 * i] = widen(T{(u16)(words[i] & 0xffffu)});
        out[2 * i + 1] = widen(T{(u16)(words[i] >> 16)});
    }
}

// Eight integers from a place aligned to a word.
INLINE void load_8(const I8* from, float out[8]) {
    const u32* words = (const u32*)from;
#pragma unroll
    for (u32 i = 0; i < 8; i++) {
        out[i] = (float)((int)(words[i / 4] << (24 - 8 * (i % 4))) >> 24);
    }
}

// Up to eight elements from anywhere, zeros beyond `present`.
template <class T>
INLINE void load_some(const T* from, u32 present, float out[8]) {
#pragma unroll
    for (u32 i = 0; i < 8; i++) {
        out[i] = i < present ? widen(from[i]) : 0.0f;
    }
}

// How the host numbers stored types.
constexpr u32 F32_CODE = 0, BF16_CODE = 1, F16_CODE = 2, EIGHT_BITS = 3, FOUR_BITS = 4;

// Element `at` of an array of floats.
INLINE float element(u32 dtype, const void* from, u64 at) {
    if (dtype == F32_CODE) {
        return ((const float*)from)[at];
    }
    return dtype == BF16_CODE ? widen(((const Bf16*)from)[at]) : widen(((const F16*)from)[at]);
}

// The term of an f32 in a sum of bf16s: term 0 is the rounded value, each further one what the terms before left. Three
// terms are exact to f32's last bit.
INLINE u16 bf16_term(float v, u32 term) {
    for (;; term--) {
        u16 bits = bf16_bits(v);
        // What an infinity leaves is nothing, not a NaN.
        if (term == 0) {
            return bits;
        }
        v = (bits & 0x7fffu) == 0x7f80u ? 0.0f : v - widen(Bf16{bits});
    }
}

// The type of keys and values that a unit is compiled for.
#if defined(KV_BF16)
typedef Bf16 Kv;
#elif defined(KV_I8)
typedef I8 Kv;
#elif defined(KV_F32)
typedef float Kv;
#endif
