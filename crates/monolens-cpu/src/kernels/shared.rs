//! A matrix that several threads write, each its own part.

use std::marker::PhantomData;

/// Rows of one width that several threads write at once, each other columns or other rows.
#[derive(Clone, Copy)]
pub(crate) struct SharedRows<'a> {
    data: *mut f32,
    len: usize,
    width: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from a unique borrow that lasts for 'a; `part` asks its callers for disjoint parts.
unsafe impl Send for SharedRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedRows<'_> {}

impl<'a> SharedRows<'a> {
    pub(crate) fn new(data: &'a mut [f32], width: usize) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), width, owner: PhantomData }
    }

    /// Columns `from..from + len` of a row.
    ///
    /// # Safety
    /// No other part that is in use overlaps this one.
    ///
    /// # Panics
    /// When the part lies outside the matrix.
    pub(crate) unsafe fn part(&self, row: usize, from: usize, len: usize) -> &'a mut [f32] {
        assert!(from + len <= self.width && (row + 1) * self.width <= self.len, "a part of the matrix");
        // SAFETY: inside the borrowed slice as just checked, and disjoint as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.width + from), len) }
    }
}
