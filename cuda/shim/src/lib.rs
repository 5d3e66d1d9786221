//! Tests only: a [`Gpu`] that runs the CUDA kernels on the CPU, so that the CUDA backend is tested where there is no GPU.
//!
//! Each unit is compiled as C++ (`include/shim.h` has what CUDA has) into a library that is loaded. Device memory ends at a
//! page that cannot be touched, so that what reads or writes beyond it crashes at that instruction; new memory is NaN. What
//! only hardware shows, races within an instruction, timing, the tensor cores' own rounding, is not found here.

mod faulty;
mod library;
mod memory;
mod product;

pub use faulty::{Fault, Faulty};

use library::{Kernel, Launch, Library};
use memory::Memory;
use monolens_cuda::gpu::{self, FunctionId, Gpu, GpuError, GpuInfo, GraphId, ProductShape, Recording, Work};
use monolens_cuda::kernels::Unit;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Blocks below which a launch is not shared among threads.
const FEW_BLOCKS: u64 = 8;

/// A CPU that stands in for a GPU.
#[derive(Debug)]
pub struct ShimGpu {
    info: GpuInfo,
    memory: RefCell<Memory>,
    libraries: RefCell<BTreeMap<Unit, Rc<Library>>>,
    kernels: RefCell<Vec<(Unit, String, Kernel)>>,
    graphs: RefCell<Vec<Option<Recording>>>,
    /// Which order threads run in, another one each launch.
    order: Cell<u32>,
    threads: u64,
    /// Products of the vendor's library so far.
    products: Cell<u64>,
    /// Whether it does nothing any more.
    is_lost: Cell<bool>,
}

impl ShimGpu {
    /// A device.
    ///
    /// # Errors
    /// Why there can be none: another processor than x86-64, or no C++ compiler.
    pub fn open() -> Result<Rc<Self>, String> {
        Self::with_memory(u64::MAX)
    }

    /// A device with so many bytes of memory.
    ///
    /// # Errors
    /// As [`ShimGpu::open`].
    pub fn with_memory(bytes: u64) -> Result<Rc<Self>, String> {
        let compiler = library::compiler()?;
        Ok(Rc::new(Self {
            info: GpuInfo {
                name: "CPU in place of a GPU".into(),
                capability: (8, 0),
                memory: bytes,
                processors: 1,
                detail: format!("kernels compiled by {compiler}"),
                is_gpu: false,
            },
            memory: RefCell::new(Memory::new(bytes)),
            libraries: RefCell::default(),
            kernels: RefCell::default(),
            graphs: RefCell::default(),
            order: Cell::new(0),
            threads: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            products: Cell::new(0),
            is_lost: Cell::new(false),
        }))
    }

    /// How many products of the vendor's library were done.
    pub fn products(&self) -> u64 {
        self.products.get()
    }

    /// From now on it is as a GPU that fell off the bus: every call fails.
    pub fn lose(&self) {
        self.is_lost.set(true);
    }

    fn alive(&self) -> Result<(), GpuError> {
        match self.is_lost.get() {
            true => Err(GpuError::Lost("it fell off the bus".into())),
            false => Ok(()),
        }
    }

    fn launch_one(&self, launch: &gpu::Launch, recording: &Recording) -> Result<(), GpuError> {
        let kernels = self.kernels.borrow();
        let Some((unit, entry, kernel)) = kernels.get(launch.function.0) else {
            return Err(GpuError::Other("a kernel of another device".into()));
        };
        let order = self.order.get();
        self.order.set(order.wrapping_add(1));
        let [x, y, z] = launch.grid;
        if y > 65_535 || z > 65_535 || launch.shared_bytes > 99 << 10 {
            return Err(GpuError::Other(format!("{}: {launch:?} is beyond what sm_86 can do", unit.name())));
        }
        let params = &recording.params[launch.params.clone()];
        let call = Launch {
            params: params.as_ptr(),
            params_bytes: params.len() as u64,
            grid: launch.grid,
            threads: launch.threads,
            shared_bytes: launch.shared_bytes,
            order,
            first: 0,
            count: 0,
        };
        let blocks = u64::from(x) * u64::from(y) * u64::from(z);
        self.run(*kernel, &format!("{entry} of {}", unit.name()), &call, blocks)
    }

    fn run(&self, kernel: Kernel, name: &str, launch: &Launch, blocks: u64) -> Result<(), GpuError> {
        let run = |first: u64, count: u64| {
            let part = Launch { first, count, ..*launch };
            // SAFETY: the library has this kernel with this parameter.
            unsafe { kernel(&part) }
        };
        let threads = if blocks < FEW_BLOCKS { 1 } else { self.threads };
        let a_thread = blocks.div_ceil(threads);
        let fault = std::thread::scope(|scope| {
            let starts = (1..threads).map(|t| t * a_thread).filter(|&first| first < blocks);
            let others: Vec<_> =
                starts.map(|first| scope.spawn(move || run(first, a_thread.min(blocks - first)))).collect();
            let own = run(0, a_thread.min(blocks));
            others.into_iter().fold(own, |fault, other| fault.max(other.join().unwrap_or(i32::MAX)))
        });
        match fault {
            0 => Ok(()),
            1 => Err(GpuError::Other(format!("{name}: threads wait at different barriers"))),
            2 => Err(GpuError::Other(format!("{name}: its parameters are of another size"))),
            3 => Err(GpuError::Other(format!("{name}: more threads than the kernel is bounded to"))),
            other => Err(GpuError::Other(format!("{name}: fault {other}"))),
        }
    }
}

impl Gpu for ShimGpu {
    fn info(&self) -> &GpuInfo {
        &self.info
    }

    fn allocate(&self, bytes: u64) -> Result<u64, GpuError> {
        self.alive()?;
        self.memory.borrow_mut().allocate(bytes)
    }

    fn free(&self, address: u64) {
        self.memory.borrow_mut().free(address);
    }

    fn free_memory(&self) -> u64 {
        self.memory.borrow().left()
    }

    fn zero(&self, address: u64, bytes: u64) -> Result<(), GpuError> {
        self.alive()?;
        self.memory.borrow_mut().slice(address, bytes)?.fill(0);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        self.alive()?;
        self.memory.borrow_mut().slice(address, bytes.len() as u64)?.copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), GpuError> {
        self.alive()?;
        into.copy_from_slice(self.memory.borrow_mut().slice(address, into.len() as u64)?);
        Ok(())
    }

    fn function(&self, unit: Unit, entry: &str) -> Result<FunctionId, GpuError> {
        self.alive()?;
        let known = self.kernels.borrow().iter().position(|(u, e, _)| *u == unit && e == entry);
        if let Some(at) = known {
            return Ok(FunctionId(at));
        }
        let loaded = self.libraries.borrow().get(&unit).cloned();
        let library = match loaded {
            Some(library) => library,
            None => {
                let library = Rc::new(Library::load(unit).map_err(GpuError::Compile)?);
                self.libraries.borrow_mut().insert(unit, Rc::clone(&library));
                library
            }
        };
        let kernel = library.kernel(entry).map_err(GpuError::Compile)?;
        let mut kernels = self.kernels.borrow_mut();
        kernels.push((unit, entry.into(), kernel));
        Ok(FunctionId(kernels.len() - 1))
    }

    fn product_library(&self) -> Result<String, String> {
        Ok("plain sums".into())
    }

    fn has_product(&self, _: &ProductShape) -> bool {
        true
    }

    fn launch(&self, recording: &Recording) -> Result<(), GpuError> {
        self.alive()?;
        for work in &recording.work {
            match work {
                Work::Launch(launch) => self.launch_one(launch, recording)?,
                Work::Product(product) => {
                    self.products.set(self.products.get() + 1);
                    product::run(&mut self.memory.borrow_mut(), product)?;
                }
            }
        }
        Ok(())
    }

    fn record(&self, recording: &Recording) -> Option<GraphId> {
        // See `Work::Product`.
        if self.is_lost.get() || recording.work.iter().any(|work| matches!(work, Work::Product(_))) {
            return None;
        }
        let mut graphs = self.graphs.borrow_mut();
        graphs.push(Some(recording.clone()));
        Some(GraphId(graphs.len() - 1))
    }

    fn replay(&self, graph: GraphId) -> Result<(), GpuError> {
        let recording = self.graphs.borrow().get(graph.0).cloned().flatten();
        recording.map_or_else(
            || Err(GpuError::Other("a recording that was forgotten".into())),
            |recording| self.launch(&recording),
        )
    }

    fn forget(&self, graph: GraphId) {
        if let Some(recording) = self.graphs.borrow_mut().get_mut(graph.0) {
            *recording = None;
        }
    }

    fn wait(&self) -> Result<(), GpuError> {
        self.alive()
    }
}
