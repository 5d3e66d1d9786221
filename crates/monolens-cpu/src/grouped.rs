//! Weights stored as small integers in groups with a common factor.

use monolens_graph::{Bits, GROUP_UNIT};

/// Whole rows of such a weight, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct GroupedView<'a> {
    /// Integers, [`Bits::per_word`] a word.
    pub words: &'a [u32],
    /// Factors, one a group.
    pub scales: &'a [f32],
    /// Width of the integers.
    pub bits: Bits,
    /// Elements of a group, a multiple of [`GROUP_UNIT`].
    pub group: usize,
}

impl<'a> GroupedView<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.words.len() * self.bits.per_word()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.words.is_empty()
    }

    /// Elements `from..to`, both at the border of a group.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Self {
        let per_word = self.bits.per_word();
        Self {
            words: &self.words[from / per_word..to / per_word],
            scales: &self.scales[from / self.group..to / self.group],
            ..self
        }
    }

    /// The elements as f32; `out` has as many.
    pub fn widen(self, out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2")]
            fn avx2(view: GroupedView<'_>, out: &mut [f32]) {
                view.widen_here(out);
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: just found.
                return unsafe { avx2(self, out) };
            }
        }
        self.widen_here(out);
    }

    #[inline(always)]
    fn widen_here(self, out: &mut [f32]) {
        match self.bits {
            Bits::Four => self.widen_by::<8>(out),
            Bits::Eight => self.widen_by::<4>(out),
        }
    }

    /// With `N` integers a word: loops of a fixed length, which compilers turn into vectors.
    #[inline(always)]
    fn widen_by<const N: usize>(self, out: &mut [f32]) {
        let bits = 32 / N;
        let (mask, offset) = ((1_u32 << bits) - 1, (1_i32 << (bits - 1)) as f32);
        let groups = out.chunks_exact_mut(self.group).zip(self.words.chunks_exact(self.group / N));
        for ((out, words), &scale) in groups.zip(self.scales) {
            for (out, &word) in out.as_chunks_mut::<N>().0.iter_mut().zip(words) {
                for (i, y) in out.iter_mut().enumerate() {
                    *y = (((word >> (i * bits)) & mask) as i32 as f32 - offset) * scale;
                }
            }
        }
    }

    /// Calls `each` with [`GROUP_UNIT`] elements at a time.
    pub(crate) fn units(self, mut each: impl FnMut(usize, &[f32; GROUP_UNIT])) {
        let mut unit = [0.0; GROUP_UNIT];
        for at in (0..self.len()).step_by(GROUP_UNIT) {
            let words = &self.words[at / self.bits.per_word()..][..GROUP_UNIT / self.bits.per_word()];
            let scales = &self.scales[at / self.group..][..1];
            Self { words, scales, group: GROUP_UNIT, ..self }.widen(&mut unit);
            each(at, &unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_integers_times_the_factor_of_their_group() {
        for bits in Bits::ALL {
            let integers: Vec<i32> = (0..192).map(|i| i * 5 % (2 * bits.offset()) - bits.offset()).collect();
            let words: Vec<u32> = integers.chunks(bits.per_word()).map(|q| bits.pack(q)).collect();
            let view = GroupedView { words: &words, scales: &[0.5, 2.0], bits, group: 96 };
            let want = |i: usize| integers[i] as f32 * if i < 96 { 0.5 } else { 2.0 };
            let mut out = [f32::NAN; 192];
            view.widen(&mut out);
            assert!(out.iter().enumerate().all(|(i, &got)| got == want(i)), "{bits:?} {out:?}");
            let mut part = [f32::NAN; 96];
            view.part(96, 192).widen(&mut part);
            assert_eq!(part, out[96..]);
            view.units(|at, unit| assert_eq!(unit, &out[at..at + GROUP_UNIT]));
        }
    }
}
