//! The product of up to four rows with a weight whose elements are smaller than f32, for AVX-512.
//!
//! A vector of 64 bytes has sixteen lanes of `K` neighbouring elements: two of bf16, four of 8 bits, eight of 4. Element
//! `s` of all lanes becomes a vector of f32 by a shift or two, so that no element moves between lanes; `x` is laid out
//! alike before, once for all weight rows.

use super::super::GroupedView;
use half::bf16;
use monolens_graph::Bits;
use std::arch::x86_64::*;

/// Weight rows that go along at once where `x` is more than what leaves room in the first cache, so that it is loaded less
/// often. Each is a stream through another quarter of the weight: neighbouring rows would end with their page, and with it
/// the hardware's look-ahead (8192 columns, one row of `x`, one thread: 26.5 GB/s against 16 with two neighbours, 13 with
/// one row and 30 of plain reading; Zen 4, 2026-11-26).
const STREAMS: usize = 4;
/// Elements of `x` up to which it is that little.
const SHORT: usize = 4096;
/// Bytes that are asked for ahead in each stream.
const AHEAD: usize = 2048;
/// Lanes of a vector.
const LANES: usize = 16;

/// How a weight is stored: the step that differs between formats.
pub(super) trait Stored: Copy {
    /// Elements in a lane.
    const K: usize;
    /// Whether lanes have a factor.
    const SCALED: bool;
    /// Bytes of an element, times `K`, is always 4: a row has this many bytes.
    fn row_bytes(self, inner: usize) -> usize {
        4 * inner / Self::K
    }
    /// The first byte.
    fn bytes(self) -> *const u8;
    /// Element `s` of each lane.
    ///
    /// # Safety
    /// The machine has AVX-512.
    unsafe fn pick(vector: __m512i, s: usize) -> __m512;
    /// The factor of each lane of the vector whose first element is `at`, counted from the first row.
    ///
    /// # Safety
    /// The machine has AVX-512, and there is such a vector.
    unsafe fn scales(self, at: usize) -> __m512;
    /// One element.
    fn element(self, at: usize) -> f32;
}

impl Stored for &[bf16] {
    const K: usize = 2;
    const SCALED: bool = false;

    fn bytes(self) -> *const u8 {
        self.as_ptr().cast()
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn pick(vector: __m512i, s: usize) -> __m512 {
        _mm512_castsi512_ps(match s {
            0 => _mm512_slli_epi32::<16>(vector),
            _ => _mm512_and_si512(vector, _mm512_set1_epi32(0xffff_0000_u32 as i32)),
        })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn scales(self, _at: usize) -> __m512 {
        _mm512_set1_ps(1.0)
    }

    fn element(self, at: usize) -> f32 {
        self[at].to_f32()
    }
}

/// Integers of `K` a lane, in groups of a power of two of elements.
#[derive(Clone, Copy)]
pub(super) struct Integers<'a, const K: usize> {
    view: GroupedView<'a>,
    /// Of the group's size.
    log2: u32,
    /// Groups that a vector has elements of, as a mask.
    groups: u16,
    /// Of each lane, which of them.
    group_of: __m512i,
}

impl<'a, const K: usize> Integers<'a, K> {
    /// None for groups of another size.
    pub(super) fn new(view: GroupedView<'a>) -> Option<Self> {
        let elements = LANES * K;
        let groups = (elements / view.group).max(1);
        let group_of: [i32; LANES] = std::array::from_fn(|lane| (lane * K / view.group) as i32);
        (view.group.is_power_of_two() && view.bits.per_word() == K).then(|| Self {
            view,
            log2: view.group.trailing_zeros(),
            groups: ((1_u32 << groups) - 1) as u16,
            // SAFETY: both are 64 bytes of integers.
            group_of: unsafe { std::mem::transmute::<[i32; LANES], __m512i>(group_of) },
        })
    }
}

impl<const K: usize> Stored for Integers<'_, K> {
    const K: usize = K;
    const SCALED: bool = true;

    fn bytes(self) -> *const u8 {
        self.view.words.as_ptr().cast()
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn pick(vector: __m512i, s: usize) -> __m512 {
        if K == 8 {
            // The four low bits of a lane choose among sixteen floats.
            let table = _mm512_setr_ps(
                -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
            );
            let index = match s {
                0 => vector,
                1 => _mm512_srli_epi32::<4>(vector),
                2 => _mm512_srli_epi32::<8>(vector),
                3 => _mm512_srli_epi32::<12>(vector),
                4 => _mm512_srli_epi32::<16>(vector),
                5 => _mm512_srli_epi32::<20>(vector),
                6 => _mm512_srli_epi32::<24>(vector),
                _ => _mm512_srli_epi32::<28>(vector),
            };
            return _mm512_permutexvar_ps(index, table);
        }
        // With the offset's bit turned over a byte is the signed integer.
        let signed = _mm512_xor_si512(vector, _mm512_set1_epi32(0x8080_8080_u32 as i32));
        let high = match s {
            0 => _mm512_slli_epi32::<24>(signed),
            1 => _mm512_slli_epi32::<16>(signed),
            2 => _mm512_slli_epi32::<8>(signed),
            _ => signed,
        };
        _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(high))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn scales(self, at: usize) -> __m512 {
        // SAFETY: the groups of the vector's elements exist.
        unsafe {
            let first = self.view.scales.as_ptr().add(at >> self.log2);
            if self.groups == 1 {
                return _mm512_set1_ps(*first);
            }
            _mm512_permutexvar_ps(self.group_of, _mm512_maskz_loadu_ps(self.groups, first))
        }
    }

    fn element(self, at: usize) -> f32 {
        let GroupedView { words, scales, bits, .. } = self.view;
        bits.unpack(words[at / K], at % K) as f32 * scales[at >> self.log2]
    }
}

/// Whether there is a kernel for such groups.
pub(super) fn takes(view: GroupedView<'_>) -> bool {
    match view.bits {
        Bits::Four => Integers::<8>::new(view).is_some(),
        Bits::Eight => Integers::<4>::new(view).is_some(),
    }
}

/// `R` rows of `x` times `columns` rows of `w`; `scratch` has the length of `x`.
///
/// # Safety
/// The machine has AVX-512; `w` has `columns` rows of `inner` elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn rows<W: Stored, const R: usize>(
    x: &[f32],
    w: W,
    inner: usize,
    columns: usize,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    assert!(x.len() == R * inner && scratch.len() == x.len() && out.len() >= R * columns);
    let whole = inner / (LANES * W::K) * LANES * W::K;
    for (x, to) in x.chunks_exact(inner).zip(scratch.chunks_exact_mut(inner)) {
        for (x, to) in x.chunks_exact(LANES * W::K).zip(to.chunks_exact_mut(LANES * W::K)) {
            for s in 0..W::K {
                for lane in 0..LANES {
                    to[s * LANES + lane] = x[lane * W::K + s];
                }
            }
        }
    }
    let mut put = |n: usize, sums: [f32; R]| {
        for (r, sum) in sums.iter().enumerate() {
            let x = &x[r * inner..][..inner];
            let rest = (whole..inner).map(|k| x[k] * w.element(n * inner + k));
            out[r * columns + n] = sum + rest.sum::<f32>();
        }
    };
    let apart = if R > 1 || inner > SHORT { columns / STREAMS } else { 0 };
    for n in 0..apart {
        // SAFETY: rows n, n + apart, … of w, and all of scratch, are there; the caller promises the instructions.
        let sums = unsafe { tile::<W, R, STREAMS>(scratch.as_ptr(), w, [n, apart], inner, whole) };
        for (i, sums) in sums.into_iter().enumerate() {
            put(n + i * apart, sums);
        }
    }
    for n in STREAMS * apart..columns {
        // SAFETY: as above, of row n.
        let [sums] = unsafe { tile::<W, R, 1>(scratch.as_ptr(), w, [n, 0], inner, whole) };
        put(n, sums);
    }
}

/// `R` rows by `N` weight rows, the first and so many `apart`, up to element `whole`.
///
/// # Safety
/// `x` has R rows and `w` those rows, of `inner` elements; the machine has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
unsafe fn tile<W: Stored, const R: usize, const N: usize>(
    x: *const f32,
    w: W,
    [row, apart]: [usize; 2],
    inner: usize,
    whole: usize,
) -> [[f32; R]; N] {
    // Neighbouring elements have sums of their own where there are registers for them.
    let mut sums = [[[_mm512_setzero_ps(); 2]; R]; N];
    let stride = w.row_bytes(inner);
    let first: [*const u8; N] = std::array::from_fn(|n| w.bytes().wrapping_add((row + n * apart) * stride));
    for (block, k) in (0..whole).step_by(LANES * W::K).enumerate() {
        for n in 0..N {
            // SAFETY: the vector lies within row n, k + LANES·K <= whole <= inner; a prefetch may name any address.
            unsafe {
                let stored = first[n].add(64 * block);
                if N > 1 {
                    _mm_prefetch::<_MM_HINT_T1>(stored.wrapping_add(AHEAD).cast());
                }
                let vector = _mm512_loadu_si512(stored.cast());
                let mut block_sums = [_mm512_setzero_ps(); R];
                for s in 0..W::K {
                    let weights = W::pick(vector, s);
                    for r in 0..R {
                        let x = _mm512_loadu_ps(x.add(r * inner + k + s * LANES));
                        let sum = if W::SCALED {
                            &mut block_sums[r]
                        } else {
                            &mut sums[n][r][if N * R <= 8 { s % 2 } else { 0 }]
                        };
                        *sum = _mm512_fmadd_ps(x, weights, *sum);
                    }
                }
                if W::SCALED {
                    let scales = w.scales((row + n * apart) * inner + k);
                    for r in 0..R {
                        sums[n][r][0] = _mm512_fmadd_ps(block_sums[r], scales, sums[n][r][0]);
                    }
                }
            }
        }
    }
    sums.map(|rows| rows.map(|[a, b]| _mm512_reduce_add_ps(_mm512_add_ps(a, b))))
}
