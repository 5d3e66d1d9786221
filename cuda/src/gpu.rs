//! What this crate asks of a device. [`crate::driver`] asks it of the CUDA driver; tests give it a CPU that runs the kernels.

use crate::kernels::Unit;
use monolens_graph::BackendError;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// A device, for people and for choosing kernels.
#[derive(Clone, Debug)]
pub struct GpuInfo {
    /// As the driver calls it.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Bytes of device memory.
    pub memory: u64,
    /// Multiprocessors.
    pub processors: u32,
    /// Driver and compiler.
    pub detail: String,
    /// Whether it is a real GPU.
    pub is_gpu: bool,
}

/// What a device did not do.
#[derive(Clone, Debug)]
pub enum GpuError {
    /// Memory is full; so many bytes are free.
    OutOfMemory {
        /// Bytes that were free.
        free: u64,
    },
    /// The device is gone, or a fault made its context useless.
    Lost(String),
    /// Kernels were not compiled or could not be loaded.
    Compile(String),
    /// Anything else.
    Other(String),
}

impl GpuError {
    /// As the error of a backend.
    pub fn explain(self, device: &str) -> BackendError {
        match self {
            // Allocations fill in what they asked for, see `Buffer::new`.
            Self::OutOfMemory { free } => BackendError::OutOfMemory {
                device: format!("{device} ({free} bytes are free)"),
                what: "a run".into(),
                requested: 0,
                used: 0,
            },
            Self::Lost(reason) => BackendError::DeviceLost { reason: format!("{device}: {reason}") },
            Self::Compile(reason) => BackendError::Device(format!("kernels for {device}: {reason}")),
            Self::Other(reason) => BackendError::Device(format!("{device}: {reason}")),
        }
    }
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { free } => write!(f, "out of memory, {free} bytes are free"),
            Self::Lost(reason) => write!(f, "the device was lost: {reason}"),
            Self::Compile(reason) | Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// A compiled kernel of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionId(pub usize);

/// A recorded series of launches of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphId(pub usize);

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel.
    pub function: FunctionId,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// Where its parameters lie in the recording.
    pub params: Range<usize>,
}

/// Memory that the vendor's library may work in during a [`Product`].
pub const PRODUCT_WORKSPACE: usize = 32 << 20;

/// What the vendor's library chooses its kernel by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProductShape {
    /// Rows of x and of the result.
    pub rows: u32,
    /// Rows of W, columns of the result: also the elements from one of its rows to the next.
    pub columns: u32,
    /// Columns of x and of W.
    pub inner: u32,
    /// Elements from one row of x to the next.
    pub x_stride: u32,
    /// Elements from one row of W to the next.
    pub weight_stride: u32,
    /// Whether there is a bias.
    pub biased: bool,
}

/// `result = x·Wᵀ (+ bias) (+ added)` by the vendor's library: x and W bf16, all else and the sums f32, rows one after
/// another.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Its sizes.
    pub shape: ProductShape,
    /// Address of x.
    pub x: u64,
    /// Address of W.
    pub weight: u64,
    /// Address of the bias, a number for each column; 0: none.
    pub bias: u64,
    /// Address of what is added, laid out as the result and perhaps the result itself; 0: nothing.
    pub added: u64,
    /// Address of the result.
    pub result: u64,
    /// Address of [`PRODUCT_WORKSPACE`] bytes.
    pub workspace: u64,
}

/// What a device does at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A kernel of this crate.
    Launch(Launch),
    /// The vendor's library; never in what is recorded as a graph.
    Product(Product),
}

/// What one launch is given, in the order of the kernel's `Params`.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// A device address, 0 for none.
    Pointer(u64),
    /// A word.
    Word(u32),
    /// A float.
    Float(f32),
}

/// The work of a run, in order, with its parameters. Equal recordings do the same work on the same memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// In order.
    pub work: Vec<Work>,
    /// Parameters of all launches, each as the C struct `Params` of its kernel.
    pub params: Vec<u8>,
}

impl Recording {
    /// Forgets all, keeping its memory.
    pub fn clear(&mut self) {
        self.work.clear();
        self.params.clear();
    }

    /// Adds a launch; one with no blocks is none.
    pub fn launch(&mut self, function: FunctionId, grid: [u32; 3], threads: u32, arguments: &[Argument]) {
        self.launch_with(function, grid, threads, 0, arguments);
    }

    /// Adds a launch whose blocks have shared memory.
    pub fn launch_with(
        &mut self,
        function: FunctionId,
        grid: [u32; 3],
        threads: u32,
        shared_bytes: u32,
        arguments: &[Argument],
    ) {
        if grid.contains(&0) {
            return;
        }
        // Pointers are aligned to 8, and so is the struct: begin there.
        let start = self.params.len();
        for argument in arguments {
            match argument {
                Argument::Pointer(address) => {
                    self.params.resize(self.params.len().next_multiple_of(8), 0);
                    self.params.extend_from_slice(&address.to_le_bytes());
                }
                Argument::Word(word) => self.params.extend_from_slice(&word.to_le_bytes()),
                Argument::Float(v) => self.params.extend_from_slice(&v.to_le_bytes()),
            }
        }
        self.params.resize(self.params.len().next_multiple_of(8), 0);
        let params = start..self.params.len();
        self.work.push(Work::Launch(Launch { function, grid, threads, shared_bytes, params }));
    }
}

/// A device with one queue: what is asked for happens in order, and only [`Gpu::read`] and [`Gpu::wait`] wait.
pub trait Gpu: fmt::Debug {
    /// The device.
    fn info(&self) -> &GpuInfo;

    /// Allocates memory, aligned to 256 bytes (16 on the CPU of tests); its contents are undefined.
    ///
    /// # Errors
    /// Out of memory; a lost device.
    fn allocate(&self, bytes: u64) -> Result<u64, GpuError>;

    /// Frees memory once everything that was asked for before is done.
    fn free(&self, address: u64);

    /// Bytes of memory that are free.
    fn free_memory(&self) -> u64;

    /// Zeros memory.
    ///
    /// # Errors
    /// A lost device.
    fn zero(&self, address: u64, bytes: u64) -> Result<(), GpuError>;

    /// Copies to the device; the bytes may change once this returns.
    ///
    /// # Errors
    /// A lost device.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError>;

    /// Copies from the device when all before is done.
    ///
    /// # Errors
    /// A lost device; what went wrong in launches before.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), GpuError>;

    /// Compiles (or loads from its cache) a kernel.
    ///
    /// # Errors
    /// What the compiler says.
    fn function(&self, unit: Unit, entry: &str) -> Result<FunctionId, GpuError>;

    /// The vendor's library of matrix products and its version.
    ///
    /// # Errors
    /// Why there is none.
    fn product_library(&self) -> Result<String, String>;

    /// Whether that library is there and has a kernel for such products.
    fn has_product(&self, shape: &ProductShape) -> bool;

    /// Does all of a recording.
    ///
    /// # Errors
    /// A launch that the device refuses.
    fn launch(&self, recording: &Recording) -> Result<(), GpuError>;

    /// Makes a recording repeatable at low cost; none where the device cannot.
    fn record(&self, recording: &Recording) -> Option<GraphId>;

    /// Launches a recording that was made repeatable.
    ///
    /// # Errors
    /// As [`Gpu::launch`].
    fn replay(&self, graph: GraphId) -> Result<(), GpuError>;

    /// Frees a recording.
    fn forget(&self, graph: GraphId);

    /// Waits until everything is done.
    ///
    /// # Errors
    /// A lost device; what went wrong in launches before.
    fn wait(&self) -> Result<(), GpuError>;
}

/// Device memory that frees itself.
#[derive(Debug)]
pub(crate) struct Buffer {
    gpu: Rc<dyn Gpu>,
    pub address: u64,
    pub bytes: u64,
}

impl Buffer {
    /// Memory of undefined contents; at least 16 bytes.
    pub fn new(gpu: &Rc<dyn Gpu>, what: &str, bytes: u64) -> Result<Self, BackendError> {
        let name = &gpu.info().name;
        let size = bytes.max(16).checked_next_multiple_of(16).unwrap_or(u64::MAX);
        let address = gpu.allocate(size).map_err(|error| match error {
            GpuError::OutOfMemory { free } => BackendError::OutOfMemory {
                device: format!("{name} ({free} bytes are free)"),
                what: what.into(),
                requested: bytes,
                used: 0,
            },
            other => other.explain(name),
        })?;
        Ok(Self { gpu: Rc::clone(gpu), address, bytes: size })
    }

    pub fn zero(&self) -> Result<(), BackendError> {
        self.gpu.zero(self.address, self.bytes).map_err(|e| e.explain(&self.gpu.info().name))
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), BackendError> {
        if bytes.is_empty() {
            return Ok(());
        }
        debug_assert!(offset + bytes.len() as u64 <= self.bytes);
        self.gpu.write(self.address + offset, bytes).map_err(|e| e.explain(&self.gpu.info().name))
    }

    pub fn read(&self, bytes: usize) -> Result<Vec<u8>, BackendError> {
        read(&*self.gpu, self.address, bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu.free(self.address);
    }
}

/// Bytes from an address.
pub(crate) fn read(gpu: &dyn Gpu, address: u64, bytes: usize) -> Result<Vec<u8>, BackendError> {
    let mut into = vec![0; bytes];
    if bytes > 0 {
        gpu.read(address, &mut into).map_err(|e| e.explain(&gpu.info().name))?;
    }
    Ok(into)
}
