//! Threads, or none where there are none (WebAssembly).

use std::sync::{Mutex, PoisonError};

/// f32 elements in a cache line.
const LINE: usize = 16;

/// Runs independent pieces of work on all threads of a backend.
#[derive(Debug)]
pub struct Pool {
    #[cfg(not(target_arch = "wasm32"))]
    threads: rayon::ThreadPool,
    /// A buffer for each thread, kept between runs.
    scratch: Vec<Mutex<Vec<f32>>>,
    /// A buffer that all threads read, kept between runs.
    packed: Mutex<Vec<u32>>,
    /// A buffer that all threads write, each its own part, kept between runs.
    parts: Mutex<Vec<f32>>,
}

impl Pool {
    /// A pool of `threads` threads, or one a core.
    ///
    /// # Errors
    /// The system's reason when threads cannot be made.
    pub fn new(threads: Option<usize>) -> Result<Self, String> {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let n = threads.unwrap_or_else(cores).max(1);
            let builder = rayon::ThreadPoolBuilder::new().num_threads(n);
            let threads = builder
                .thread_name(|i| format!("monolens-cpu-{i}"))
                .build()
                .map_err(|error| error.to_string())?;
            Ok(Self {
                threads,
                scratch: (0..n).map(|_| Mutex::default()).collect(),
                packed: Mutex::default(),
                parts: Mutex::default(),
            })
        }
        #[cfg(target_arch = "wasm32")]
        {
            let _ = threads;
            Ok(Self { scratch: vec![Mutex::default()], packed: Mutex::default(), parts: Mutex::default() })
        }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// Runs `work` on a thread of the pool, so that the pieces it hands out start sooner.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        #[cfg(not(target_arch = "wasm32"))]
        return self.threads.install(work);
        #[cfg(target_arch = "wasm32")]
        work()
    }

    /// Does pieces `0..count`, in any order.
    pub fn each(&self, count: usize, work: impl Fn(usize) + Sync + Send) {
        #[cfg(not(target_arch = "wasm32"))]
        if count > 1 && self.threads() > 1 {
            use rayon::prelude::*;
            self.threads.install(|| (0..count).into_par_iter().with_max_len(1).for_each(work));
            return;
        }
        (0..count).for_each(work);
    }

    /// Gives each row of `width` elements of `out` to `work`, with its number.
    pub fn rows<T: Send>(&self, out: &mut [T], width: usize, work: impl Fn(usize, &mut [T]) + Sync + Send) {
        let width = width.max(1);
        #[cfg(not(target_arch = "wasm32"))]
        if out.len() > 4096 && self.threads() > 1 {
            use rayon::prelude::*;
            let least = (4096 / width).max(1);
            self.threads.install(|| {
                let rows = out.par_chunks_mut(width).enumerate().with_min_len(least);
                rows.for_each(|(i, row)| work(i, row));
            });
            return;
        }
        out.chunks_mut(width).enumerate().for_each(|(i, row)| work(i, row));
    }

    /// Gives `work` `len` elements of the buffer of this thread, of any content, beginning with a cache line. Not to be
    /// nested.
    pub fn scratch<R>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        #[cfg(not(target_arch = "wasm32"))]
        let thread = rayon::current_thread_index().unwrap_or(0) % self.threads();
        #[cfg(target_arch = "wasm32")]
        let thread = 0;
        let mut buffer = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() < len + LINE {
            buffer.resize(len + LINE, 0.0);
        }
        let start = buffer.as_ptr().align_offset(4 * LINE).min(LINE);
        work(&mut buffer[start..start + len])
    }

    /// Gives `work` `len` elements, of any content, that pieces of work may share. Not to be nested.
    pub(crate) fn parts<R>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut buffer = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        work(&mut buffer[..len])
    }

    /// Takes the buffer for packed rows, of any content; to be put back.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn take_packed(&self) -> Vec<u32> {
        std::mem::take(&mut self.packed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the buffer for the next product.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn put_packed(&self, buffer: Vec<u32>) {
        *self.packed.lock().unwrap_or_else(PoisonError::into_inner) = buffer;
    }

    /// Bytes of the buffers.
    pub fn bytes(&self) -> usize {
        let len = |b: &Mutex<Vec<f32>>| b.lock().unwrap_or_else(PoisonError::into_inner).capacity();
        let packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner).capacity();
        4 * (self.scratch.iter().map(len).sum::<usize>() + packed + len(&self.parts))
    }
}
