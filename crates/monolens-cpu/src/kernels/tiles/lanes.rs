//! What a lane of 32 bits holds and how lanes are multiplied: pairs of bf16 (AVX512-BF16), or f32 (AVX-512).

use super::LANES;
use crate::kernels::{GroupedView, View};
use half::bf16;
use monolens_graph::{Bits, GROUP_UNIT};
use std::arch::x86_64::*;

/// Where the operands of a tile lie; strides are in lanes.
pub(super) struct Tile {
    pub(super) x: *const u32,
    pub(super) x_stride: usize,
    pub(super) w: *const u32,
    pub(super) w_stride: usize,
    pub(super) length: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    pub(super) add: bool,
}

/// What a lane holds.
pub(super) trait Lane {
    /// Elements in a lane.
    const ELEMENTS: usize;

    /// As many lanes as a vector has of the elements `x`, missing ones zeros.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn pack(x: &[f32]) -> [u32; LANES];

    /// Floats of scratch that [`Lane::stored`] needs for so many elements of `w`.
    fn room(w: &View<'_>, elements: usize) -> usize;

    /// The weight's lanes, as they are stored or put into `scratch`. None where there are no such lanes.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn stored<'a>(w: View<'a>, scratch: &'a mut [f32]) -> Option<&'a [u8]>;

    /// `V` vectors of rows by `C` columns.
    ///
    /// # Safety
    /// `x` has `V` blocks of `length` vectors, `w` `C` rows of `length` lanes (of any alignment), `out` `C` columns of `V`
    /// vectors; the machine has the instructions.
    unsafe fn run<const V: usize, const C: usize>(tile: &Tile);
}

/// [`Lane::run`] with an instruction for each vector of `x` and broadcast lane of `w`.
macro_rules! run {
    ($name:ident, $features:literal, |$sum:ident, $x:ident, $w:ident| $add:expr) => {
        #[target_feature(enable = $features)]
        #[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
        unsafe fn $name<const V: usize, const C: usize>(tile: &Tile) {
            // SAFETY: all reads and writes are inside what the caller promises.
            unsafe {
                let mut sums = [[_mm512_setzero_ps(); V]; C];
                if tile.add {
                    for c in 0..C {
                        for v in 0..V {
                            sums[c][v] = _mm512_loadu_ps(tile.out.add(c * tile.out_stride + v * LANES));
                        }
                    }
                }
                for p in 0..tile.length {
                    let mut x = [_mm512_setzero_si512(); V];
                    for v in 0..V {
                        x[v] = _mm512_loadu_si512(tile.x.add(v * tile.x_stride + p * LANES).cast());
                    }
                    for c in 0..C {
                        let lane = tile.w.add(c * tile.w_stride + p).read_unaligned();
                        let $w = _mm512_set1_epi32(lane as i32);
                        for v in 0..V {
                            let ($sum, $x) = (sums[c][v], x[v]);
                            sums[c][v] = $add;
                        }
                    }
                }
                for c in 0..C {
                    for v in 0..V {
                        _mm512_storeu_ps(tile.out.add(c * tile.out_stride + v * LANES), sums[c][v]);
                    }
                }
            }
        }
    };
}

run!(run_pairs, "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16", |sum, x, w| {
    let pairs = |v| std::mem::transmute::<__m512i, __m512bh>(v);
    _mm512_dpbf16_ps(sum, pairs(x), pairs(w))
});
run!(run_floats, "avx512f,avx512bw,avx512vl,avx512dq", |sum, x, w| {
    _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w), sum)
});

/// Neighbouring elements rounded to bf16.
pub(super) struct Pairs;

impl Lane for Pairs {
    const ELEMENTS: usize = 2;

    unsafe fn pack(x: &[f32]) -> [u32; LANES] {
        let whole = x.first_chunk().copied().unwrap_or_else(|| {
            let mut whole = [0.0; 2 * LANES];
            whole[..x.len()].copy_from_slice(x);
            whole
        });
        // SAFETY: the caller promises the instructions.
        unsafe { round(&whole) }
    }

    fn room(w: &View<'_>, elements: usize) -> usize {
        if matches!(w, View::BF16(_)) { 0 } else { elements / 2 }
    }

    unsafe fn stored<'a>(w: View<'a>, scratch: &'a mut [f32]) -> Option<&'a [u8]> {
        match w {
            View::BF16(w) => Some(bytemuck::cast_slice(w)),
            View::Grouped(w) => {
                let rounded: &mut [bf16] = &mut bytemuck::cast_slice_mut(scratch)[..w.len()];
                // SAFETY: the caller promises the instructions.
                unsafe { round_groups(w, rounded) };
                Some(bytemuck::cast_slice(rounded))
            }
            _ => None,
        }
    }

    unsafe fn run<const V: usize, const C: usize>(tile: &Tile) {
        // SAFETY: as the caller promises.
        unsafe { run_pairs::<V, C>(tile) }
    }
}

/// Elements in f32.
pub(super) struct Floats;

impl Lane for Floats {
    const ELEMENTS: usize = 1;

    unsafe fn pack(x: &[f32]) -> [u32; LANES] {
        std::array::from_fn(|i| x.get(i).copied().unwrap_or_default().to_bits())
    }

    fn room(w: &View<'_>, elements: usize) -> usize {
        if matches!(w, View::F32(_)) { 0 } else { elements }
    }

    unsafe fn stored<'a>(w: View<'a>, scratch: &'a mut [f32]) -> Option<&'a [u8]> {
        Some(match w {
            View::F32(w) => bytemuck::cast_slice(w),
            w => {
                let wide = &mut scratch[..w.len()];
                w.widen(wide);
                bytemuck::cast_slice(wide)
            }
        })
    }

    unsafe fn run<const V: usize, const C: usize>(tile: &Tile) {
        // SAFETY: as the caller promises.
        unsafe { run_floats::<V, C>(tile) }
    }
}

/// Sixteen pairs of bf16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(in crate::kernels) fn round(x: &[f32; 2 * LANES]) -> [u32; LANES] {
    let (low, high) = x.split_at(LANES);
    // SAFETY: both halves have a vector's elements, and a vector is as large as sixteen pairs.
    unsafe {
        let (low, high) = (_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr()));
        std::mem::transmute::<__m512bh, [u32; LANES]>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Integers in groups as bf16, the nearest.
///
/// # Panics
/// When `out` has not as many elements.
#[target_feature(enable = "avx512f,avx512bf16")]
fn round_groups(w: GroupedView<'_>, out: &mut [bf16]) {
    assert_eq!(out.len(), w.len(), "an element for each integer");
    let units = out.as_chunks_mut::<GROUP_UNIT>().0.iter_mut();
    let words = w.words.chunks_exact(GROUP_UNIT / w.bits.per_word());
    let offset = _mm512_set1_epi32(w.bits.offset());
    for (at, (out, words)) in units.zip(words).enumerate() {
        let scale = _mm512_set1_ps(w.scales[at * GROUP_UNIT / w.group]);
        let float = |q: __m128i| {
            let q = _mm512_sub_epi32(_mm512_cvtepu8_epi32(q), offset);
            _mm512_mul_ps(_mm512_cvtepi32_ps(q), scale)
        };
        // SAFETY: a unit has 16 bytes of 4-bit integers or 32 of 8-bit ones, and 64 bytes of bf16.
        unsafe {
            let words = words.as_ptr().cast::<__m128i>();
            let first = _mm_loadu_si128(words);
            let [low, high] = match w.bits {
                Bits::Eight => [first, _mm_loadu_si128(words.add(1))],
                Bits::Four => {
                    // Neighbours are halves of one byte.
                    let mask = _mm_set1_epi8(0x0f);
                    let even = _mm_and_si128(first, mask);
                    let odd = _mm_and_si128(_mm_srli_epi16::<4>(first), mask);
                    [_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd)]
                }
            };
            let pairs = _mm512_cvtne2ps_pbh(float(high), float(low));
            out.as_mut_ptr().cast::<__m512bh>().write_unaligned(pairs);
        }
    }
}
