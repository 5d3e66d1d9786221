// Keys and values in 8 bits. A *record*, a head of a token, is a factor (scale) in f32, then integers from -127 to 127, then
// zeros up to a whole word. A row is known by the pointer to its integers; the factor stands right before them.

#pragma once
#include "shared/element.cuh"

constexpr float MOST = 127.0f;

// Words of a record of `size` elements.
INLINE u32 record_words(u32 size) {
    return 1 + divide_up(size, 4);
}

// Four elements, divided by the factor, rounded to integers in a word.
INLINE u32 pack_four(const float v[4]) {
    u32 word = 0;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        int rounded = (int)rintf(fminf(fmaxf(v[i], -MOST), MOST));
        word |= ((u32)rounded & 0xffu) << (8 * i);
    }
    return word;
}

// Where the elements of head number `head` of a cache begin, heads of `size` elements one after the other.
template <class T>
INLINE const T* row_of_head(const T* cache, u64 head, u32 size) {
    return cache + head * size;
}

INLINE const I8* row_of_head(const I8* cache, u64 head, u32 size) {
    return cache + head * record_words(size) * 4 + sizeof(float);
}

// What the elements of a row are to be multiplied by.
template <class T>
INLINE float factor(const T* row) {
    return 1.0f;
}

INLINE float factor(const I8* row) {
    return ((const float*)row)[-1];
}

// Whether rows have a factor other than 1.
template <class T>
constexpr bool SCALED = false;
template <>
constexpr bool SCALED<I8> = true;
