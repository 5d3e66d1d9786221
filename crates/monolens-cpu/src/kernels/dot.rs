//! Dot products.

use super::View;
use crate::Isa;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use crate::isa::Level;
use half::{bf16, f16};

/// `Σ x·w` in f32.
///
/// # Panics
/// When the lengths differ.
pub fn dot(isa: Isa, x: &[f32], w: View<'_>) -> f32 {
    assert_eq!(x.len(), w.len(), "vectors of one length");
    match w {
        View::F32(w) => match isa.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` is only made on a machine that has it; the lengths are equal.
            Level::Avx512 | Level::Avx512Bf16 => unsafe { x86::dot_f32_avx512(x, w) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx2 => unsafe { x86::dot_f32_avx2(x, w) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Level::Neon => unsafe { neon::dot_f32(x, w) },
            _ => plain(x, w, |w| w),
        },
        View::BF16(w) => match isa.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 | Level::Avx512Bf16 => unsafe { x86::dot_bf16_avx512(x, w) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx2 => unsafe { x86::dot_bf16_avx2(x, w) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Level::Neon => unsafe { neon::dot_bf16(x, w) },
            _ => plain(x, w, widen),
        },
        View::F16(w) => match isa.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 | Level::Avx512Bf16 => unsafe { x86::dot_f16_avx512(x, w) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if is_x86_feature_detected!("f16c") => {
                // SAFETY: as above, and f16c has just been found.
                unsafe { x86::dot_f16_avx2(x, w) }
            }
            _ => plain(x, w, f16::to_f32),
        },
        View::Grouped(w) => {
            let mut sum = 0.0;
            w.units(|at, unit| sum += dot(isa, &x[at..at + unit.len()], View::F32(unit)));
            sum
        }
        View::Scaled(w, scale) => {
            scale
                * match isa.0 {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx512 | Level::Avx512Bf16 => unsafe { x86::dot_i8_avx512(x, w) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx2 => unsafe { x86::dot_i8_avx2(x, w) },
                    _ => plain(x, w, f32::from),
                }
        }
    }
}

#[inline(always)]
fn widen(w: bf16) -> f32 {
    f32::from_bits(u32::from(w.to_bits()) << 16)
}

/// Sixteen partial sums, which compilers turn into vectors (NEON, SSE2, SIMD128).
fn plain<T: Copy>(x: &[f32], w: &[T], widen: impl Fn(T) -> f32) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (xs, x_rest) = x.as_chunks::<16>();
    let (ws, w_rest) = w.as_chunks::<16>();
    for (x, w) in xs.iter().zip(ws) {
        for i in 0..16 {
            sums[i] += x[i] * widen(w[i]);
        }
    }
    let rest: f32 = x_rest.iter().zip(w_rest).map(|(&x, &w)| x * widen(w)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use half::{bf16, f16};
    use std::arch::x86_64::*;

    /// A function over whole vectors of 16 with four sums, the rest by mask.
    macro_rules! avx512_dot {
        ($name:ident, $type:ty, $load:expr, $load_masked:expr) => {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
            pub(super) unsafe fn $name(x: &[f32], w: &[$type]) -> f32 {
                let n = x.len().min(w.len());
                let (xp, wp) = (x.as_ptr(), w.as_ptr());
                let mut sums = [_mm512_setzero_ps(); 4];
                let mut i = 0;
                while i + 64 <= n {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: i + 64 <= n, the length of both.
                        unsafe {
                            let a = _mm512_loadu_ps(xp.add(i + 16 * j));
                            *sum = _mm512_fmadd_ps(a, $load(wp.add(i + 16 * j)), *sum);
                        }
                    }
                    i += 64;
                }
                while i < n {
                    let mask = if n - i >= 16 { u16::MAX } else { (1 << (n - i)) - 1 };
                    // SAFETY: masked lanes beyond n are not read.
                    unsafe {
                        let a = _mm512_maskz_loadu_ps(mask, xp.add(i));
                        sums[0] = _mm512_fmadd_ps(a, $load_masked(mask, wp.add(i)), sums[0]);
                    }
                    i += 16;
                }
                let [a, b, c, d] = sums;
                _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
            }
        };
    }

    avx512_dot!(dot_f32_avx512, f32, |p| _mm512_loadu_ps(p), |m, p| _mm512_maskz_loadu_ps(m, p));
    avx512_dot!(
        dot_bf16_avx512,
        bf16,
        |p: *const bf16| widen_512(_mm256_loadu_si256(p.cast())),
        |m, p: *const bf16| widen_512(_mm256_maskz_loadu_epi16(m, p.cast()))
    );
    avx512_dot!(
        dot_f16_avx512,
        f16,
        |p: *const f16| _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())),
        |m, p: *const f16| _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p.cast()))
    );

    avx512_dot!(
        dot_i8_avx512,
        i8,
        |p: *const i8| _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))),
        |m, p: *const i8| _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(m, p)))
    );

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn widen_512(w: __m256i) -> __m512 {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(w)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn widen_256(w: __m128i) -> __m256 {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(w)))
    }

    /// A function over whole vectors of 8 with four sums, the rest one by one.
    macro_rules! avx2_dot {
        ($name:ident, $features:literal, $type:ty, $load:expr, $widen:expr) => {
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(x: &[f32], w: &[$type]) -> f32 {
                let n = x.len().min(w.len());
                let (xp, wp) = (x.as_ptr(), w.as_ptr());
                let mut sums = [_mm256_setzero_ps(); 4];
                let mut i = 0;
                while i + 32 <= n {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: i + 32 <= n, the length of both.
                        unsafe {
                            let a = _mm256_loadu_ps(xp.add(i + 8 * j));
                            *sum = _mm256_fmadd_ps(a, $load(wp.add(i + 8 * j)), *sum);
                        }
                    }
                    i += 32;
                }
                let [a, b, c, d] = sums;
                let sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
                let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
                let two = _mm_add_ps(half, _mm_movehl_ps(half, half));
                let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
                let rest: f32 = x[i..n].iter().zip(&w[i..n]).map(|(&x, &w)| x * $widen(w)).sum();
                _mm_cvtss_f32(one) + rest
            }
        };
    }

    avx2_dot!(dot_f32_avx2, "avx2,fma", f32, |p| _mm256_loadu_ps(p), |w: f32| w);
    avx2_dot!(
        dot_bf16_avx2,
        "avx2,fma",
        bf16,
        |p: *const bf16| widen_256(_mm_loadu_si128(p.cast())),
        super::widen
    );
    avx2_dot!(
        dot_i8_avx2,
        "avx2,fma",
        i8,
        |p: *const i8| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))),
        f32::from
    );
    avx2_dot!(
        dot_f16_avx2,
        "avx2,fma,f16c",
        f16,
        |p: *const f16| _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
        f16::to_f32
    );
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use half::bf16;
    use std::arch::aarch64::*;

    /// A function over whole vectors of 4 with four sums, the rest one by one.
    macro_rules! neon_dot {
        ($name:ident, $type:ty, $load:expr, $widen:expr) => {
            #[target_feature(enable = "neon")]
            pub(super) unsafe fn $name(x: &[f32], w: &[$type]) -> f32 {
                let n = x.len().min(w.len());
                let (xp, wp) = (x.as_ptr(), w.as_ptr());
                let mut sums = [vdupq_n_f32(0.0); 4];
                let mut i = 0;
                while i + 16 <= n {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: i + 16 <= n, the length of both.
                        unsafe {
                            *sum = vfmaq_f32(*sum, vld1q_f32(xp.add(i + 4 * j)), $load(wp.add(i + 4 * j)));
                        }
                    }
                    i += 16;
                }
                let [a, b, c, d] = sums;
                let sum = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)));
                sum + x[i..n].iter().zip(&w[i..n]).map(|(&x, &w)| x * $widen(w)).sum::<f32>()
            }
        };
    }

    neon_dot!(dot_f32, f32, |p| vld1q_f32(p), |w: f32| w);
    neon_dot!(
        dot_bf16,
        bf16,
        |p: *const bf16| vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p.cast()))),
        super::widen
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_sum_of_products() {
        for n in [0, 1, 7, 8, 15, 16, 31, 33, 64, 65, 127, 500] {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let w: Vec<f32> = (0..n).map(|i| bf16::from_f32((i as f32 * 0.73).cos()).to_f32()).collect();
            let b: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
            let h: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
            let q: Vec<i8> = (0..n).map(|i| (i * 89 % 255) as i8).collect();
            let exact: f64 = x.iter().zip(&w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            let exact_h: f64 = x.iter().zip(&h).map(|(&x, w)| f64::from(x) * w.to_f64()).sum();
            let exact_q: f64 = x.iter().zip(&q).map(|(&x, &q)| f64::from(x) * f64::from(q) / 128.0).sum();
            for isa in Isa::available() {
                let close = |got: f32, want: f64| {
                    assert!(
                        (f64::from(got) - want).abs() < 1e-5 * (n as f64 + 1.0),
                        "{isa:?} {n}: {got} {want}"
                    );
                };
                close(dot(isa, &x, View::F32(&w)), exact);
                close(dot(isa, &x, View::BF16(&b)), exact);
                close(dot(isa, &x, View::F16(&h)), exact_h);
                close(dot(isa, &x, View::Scaled(&q, 1.0 / 128.0)), exact_q);
            }
        }
    }
}
