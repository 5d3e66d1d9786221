// Keys and values in 8 bits. A *record*, a head of a token, is a factor (scale) in f32, then integers from -127 to 127, four a
// word, the first in the lowest bits, then zeros up to a whole word.

// Words of a record of `size` elements.
fn record_words(size: u32) -> u32 {
    return 1u + (size + 3u) / 4u;
}

// Integer `e` of the record that begins at word `record`, in its word.
fn integer(word: u32, e: u32) -> f32 {
    return f32(bitcast<i32>(word << (24u - 8u * (e % 4u))) >> 24u);
}

// Integers e and e + 1; e is even.
fn two_integers(word: u32, e: u32) -> vec2<f32> {
    return vec2(integer(word, e), integer(word, e + 1u));
}

// Elements, divided by the factor, rounded to integers in a word.
fn pack(elements: vec4<f32>) -> u32 {
    let rounded = clamp(round(elements), vec4(-127.0), vec4(127.0));
    let bytes = bitcast<vec4<u32>>(vec4<i32>(rounded)) & vec4(255u);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}
