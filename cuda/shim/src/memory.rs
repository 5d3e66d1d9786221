//! Device memory of the stand-in: each allocation ends at a page that cannot be touched.

use monolens_cuda::gpu::GpuError;
use std::collections::BTreeMap;
use std::ptr;

const PAGE: usize = 4096;

#[derive(Debug)]
struct Allocation {
    /// Of the mapping.
    base: usize,
    mapped: usize,
    bytes: usize,
}

/// All allocations by address.
#[derive(Debug)]
pub(crate) struct Memory {
    allocations: BTreeMap<usize, Allocation>,
    free: u64,
}

impl Memory {
    pub fn new(bytes: u64) -> Self {
        Self { allocations: BTreeMap::new(), free: bytes }
    }

    pub fn allocate(&mut self, bytes: u64) -> Result<u64, GpuError> {
        let full = GpuError::OutOfMemory { free: self.free };
        let Some(size) = usize::try_from(bytes).ok().filter(|_| bytes <= self.free) else { return Err(full) };
        // A size that is no multiple of 16 would end before the page.
        let size = size.next_multiple_of(16);
        let Some(mapped) = size.checked_next_multiple_of(PAGE).and_then(|n| n.checked_add(PAGE)) else {
            return Err(full);
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, of which the last page is then closed.
        let base = unsafe {
            let base = libc::mmap(ptr::null_mut(), mapped, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if base == libc::MAP_FAILED {
                return Err(full);
            }
            if libc::mprotect(base.byte_add(mapped - PAGE), PAGE, libc::PROT_NONE) != 0 {
                libc::munmap(base, mapped);
                return Err(full);
            }
            base as usize
        };
        self.free = self.free.saturating_sub(size as u64);
        let address = base + mapped - PAGE - size;
        self.allocations.insert(address, Allocation { base, mapped, bytes: size });
        // Undefined contents are none that anything can be computed from.
        self.slice(address as u64, size as u64)?.fill(0xff);
        Ok(address as u64)
    }

    /// Bytes that may still be allocated.
    pub fn left(&self) -> u64 {
        self.free
    }

    pub fn free(&mut self, address: u64) {
        if let Some(allocation) = self.allocations.remove(&(address as usize)) {
            self.free = self.free.saturating_add(allocation.bytes as u64);
            // SAFETY: the mapping was made in `allocate` and nothing refers to it any more.
            unsafe { libc::munmap(allocation.base as *mut libc::c_void, allocation.mapped) };
        }
    }

    /// Memory within one allocation.
    pub fn slice(&mut self, address: u64, bytes: u64) -> Result<&mut [u8], GpuError> {
        let (at, size) = (address as usize, bytes as usize);
        let found = self.allocations.range(..=at).next_back();
        let within = found.is_some_and(|(&start, a)| at + size <= start + a.bytes);
        if !within {
            return Err(GpuError::Other(format!(
                "{bytes} bytes at {address:#x} are no memory of the device"
            )));
        }
        // SAFETY: it lies within a mapping that `self` owns.
        Ok(unsafe { std::slice::from_raw_parts_mut(at as *mut u8, size) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let addresses: Vec<usize> = self.allocations.keys().copied().collect();
        addresses.into_iter().for_each(|address| self.free(address as u64));
    }
}
