//! Where the keys and values of a sequence lie.

use monolens_graph::batch::PAGE_SIZE;

/// The page table of a batch.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub(super) table: &'a [u32],
    pub(super) per_sequence: usize,
}

impl Pages<'_> {
    /// The first slot of the page that holds a key of a sequence.
    pub(super) fn slot(self, sequence: u32, key: usize) -> usize {
        self.table[sequence as usize * self.per_sequence + key / PAGE_SIZE] as usize * PAGE_SIZE
    }

    /// Calls `page(first key, first slot, keys)` for the pages that hold keys `from..to` of a sequence; `from` begins a
    /// page.
    pub(super) fn each(
        self,
        sequence: u32,
        from: usize,
        to: usize,
        mut page: impl FnMut(usize, usize, usize),
    ) {
        let pages = &self.table[sequence as usize * self.per_sequence..];
        for key in (from..to).step_by(PAGE_SIZE) {
            page(key, pages[key / PAGE_SIZE] as usize * PAGE_SIZE, PAGE_SIZE.min(to - key));
        }
    }
}
