// Functions that WGSL lacks.

// The error function, to about one unit in the last place: a polynomial below 0.92, above it 1 - exp of a polynomial.
fn erf(v: f32) -> f32 {
    let t = abs(v);
    var y: f32;
    if t > 0.921875 {
        var r = fma(-1.72853470e-5, t, 3.83197126e-4);
        var u = fma(-3.88396438e-3, t, 2.42546219e-2);
        let s = t * t;
        r = fma(r, s, u);
        r = fma(r, t, -1.06777877e-1);
        r = fma(r, t, -6.34846687e-1);
        r = fma(r, t, -1.28717512e-1);
        r = fma(r, t, -t);
        y = 1.0 - exp(max(r, -80.0));
    } else {
        let s = t * t;
        var r = -5.96761703e-4;
        r = fma(r, s, 4.99119423e-3);
        r = fma(r, s, -2.67681349e-2);
        r = fma(r, s, 1.12819925e-1);
        r = fma(r, s, -3.76125336e-1);
        r = fma(r, s, 1.28379166e-1);
        y = fma(r, t, t);
    }
    return select(y, -y, v < 0.0);
}

fn gelu(v: f32) -> f32 {
    return 0.5 * v * (1.0 + erf(v * 0.70710678118654752));
}

fn silu(v: f32) -> f32 {
    return v / (1.0 + exp(-v));
}

// An f32 rounded to the nearest bf16, ties to even, in the low half of a word; NaN stays NaN.
fn bf16_bits(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn bf16_pair(a: f32, b: f32) -> u32 {
    return bf16_bits(a) | (bf16_bits(b) << 16u);
}

fn bf16_low(word: u32) -> f32 {
    return bitcast<f32>(word << 16u);
}

fn bf16_high(word: u32) -> f32 {
    return bitcast<f32>(word & 0xffff0000u);
}

// The inverse hyperbolic tangent for |s| < 0.18.
fn atanh_series(s: f32) -> f32 {
    let q = s * s;
    return s + s * q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
}

// The natural logarithm of a positive normal number; the built-in one may be coarse near 1.
fn ln(v: f32) -> f32 {
    let bits = bitcast<u32>(v);
    // 2^exponent times a mantissa in [sqrt(1/2), sqrt(2)).
    let exponent = i32(bits - 0x3f3504f3u) >> 23u;
    let mantissa = bitcast<f32>(bits - (bitcast<u32>(exponent) << 23u));
    return f32(exponent) * 0.69314718056 + 2.0 * atanh_series((mantissa - 1.0) / (mantissa + 1.0));
}
