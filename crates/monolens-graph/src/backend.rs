//! What a backend does: it takes weights as a stream, prepares plans and runs batches.
//!
//! Everything that waits is a future, because a browser cannot block; native code blocks at its edge. A backend is used
//! from one thread at a time, and futures need not be `Send`: a server gives each engine a thread.

pub use crate::backend_error::BackendError;
use crate::plan::{Capabilities, Plan};
use crate::{Axes, DType, OpTime, WeightFormat, WeightSpec};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A future of the backend's own thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The kind of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// Plain Rust on the CPU.
    Cpu,
    /// WGSL on wgpu.
    Wgpu,
    /// CUDA kernels.
    Cuda,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

/// A device as shown to the user.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Which backend drives it.
    pub kind: BackendKind,
    /// Its name, as the driver gives it.
    pub name: String,
    /// The capability tier in use (wgpu), or the instruction set (CPU).
    pub tier: String,
    /// Driver, API, threads and the like.
    pub detail: String,
    /// Whether it is a real GPU (not software rendering, not the CPU).
    pub is_gpu: bool,
}

/// A prepared plan in its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub usize);

/// Inputs of one run.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// Size of every axis the program's values use.
    pub axes: Axes,
    /// Little-endian bytes by input name. Names the program does not know are ignored.
    pub inputs: BTreeMap<&'a str, &'a [u8]>,
    /// Names of the graph outputs to read back.
    pub read: Vec<&'a str>,
}

impl<'a> Job<'a> {
    /// A run without inputs.
    pub fn new(axes: Axes) -> Self {
        Self { axes, inputs: BTreeMap::new(), read: Vec::new() }
    }

    /// Binds an input by name.
    pub fn input(&mut self, name: &'a str, bytes: &'a [u8]) -> &mut Self {
        self.inputs.insert(name, bytes);
        self
    }

    /// Asks for an output.
    pub fn read(&mut self, name: &'a str) -> &mut Self {
        self.read.push(name);
        self
    }
}

/// A tensor in host memory, little-endian.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Elements.
    pub bytes: Vec<u8>,
}

impl HostTensor {
    /// The elements as f32.
    ///
    /// # Panics
    /// When they are of another type.
    pub fn f32s(&self) -> Vec<f32> {
        assert_eq!(self.dtype, DType::F32, "an f32 tensor");
        bytemuck::allocation::pod_collect_to_vec(&self.bytes)
    }
}

/// Outputs of one run, by name.
pub type Outputs = BTreeMap<String, HostTensor>;

/// Device memory in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights.
    pub weights: u64,
    /// States: KV pools, visual embeddings.
    pub states: u64,
    /// Activations and inputs of all programs.
    pub activations: u64,
}

impl MemoryUse {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.states + self.activations
    }
}

/// Runs plans on one device.
///
/// Order of use: [`Backend::begin_weight`], [`Backend::write_weight`].. and [`Backend::end_weight`] for each weight;
/// [`Backend::allocate_state`] for each state; [`Backend::prepare`] for each plan; then [`Backend::run`] in any order.
pub trait Backend {
    /// The device, for people.
    fn device(&self) -> &DeviceInfo;

    /// What the planner may ask of it.
    fn capabilities(&self) -> &Capabilities;

    /// Starts the upload of a weight stored in this format. One at a time.
    ///
    /// # Errors
    /// Out of memory; a format that the backend does not take, or not for this shape.
    fn begin_weight(&mut self, spec: &WeightSpec, format: WeightFormat) -> Result<(), BackendError>;

    /// The next bytes of the weight being uploaded, little-endian, in the order of its format, in pieces of any size.
    ///
    /// # Errors
    /// More bytes than the weight has; a lost device.
    fn write_weight(&mut self, bytes: &[u8]) -> Result<(), BackendError>;

    /// Ends the upload.
    ///
    /// # Errors
    /// Fewer bytes than the weight has.
    fn end_weight(&mut self) -> Result<(), BackendError>;

    /// Whether a weight of this name is loaded.
    fn has_weight(&self, name: &str) -> bool;

    /// Allocates a state of zeros, `rows` × `width`; an old one of the same name is dropped.
    ///
    /// # Errors
    /// Out of memory, or over the device's limits.
    fn allocate_state(
        &mut self,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
    ) -> Result<(), BackendError>;

    /// Waits until the device has taken all that it was given, and raises what went wrong with it: some devices only say
    /// so later.
    fn settle<'a>(&'a mut self) -> LocalFuture<'a, Result<(), BackendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Reads a state back, for tests and for showing what is inside.
    fn read_state<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<HostTensor, BackendError>>;

    /// Writes a state whole (same bytes as it was allocated with).
    ///
    /// # Errors
    /// No such state; another size.
    fn write_state(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackendError>;

    /// Prepares a plan: allocates its memory and compiles its kernels. Weights and states must be there.
    fn prepare<'a>(&'a mut self, plan: Plan) -> LocalFuture<'a, Result<ProgramId, BackendError>>;

    /// Runs a program and reads the outputs that the job asks for; with none it need not wait for the device.
    fn run<'a>(
        &'a mut self,
        program: ProgramId,
        job: &'a Job<'a>,
    ) -> LocalFuture<'a, Result<Outputs, BackendError>>;

    /// Seconds that the longest launch of a program's last run held the device, as far as that is known: in a browser
    /// the page cannot draw meanwhile.
    fn longest(&self, _: ProgramId) -> Option<f64> {
        None
    }

    /// Kernel launches that a run with these axes makes, by operator name, in order.
    fn dispatches(&self, program: ProgramId, axes: &Axes) -> Vec<&'static str>;

    /// Memory in use.
    fn memory(&self) -> MemoryUse;

    /// Begins or ends measuring every operator by itself in the runs that follow, which makes them slower. Gives what was
    /// measured since it began, or none where the backend cannot.
    fn profile(&mut self, _on: bool) -> Option<Vec<OpTime>> {
        None
    }
}
