//! CUDA as a [`Backend`].

use crate::gpu::Gpu;
use crate::ops::How;
use crate::program::{Pool, Program, Resources};
use crate::states::States;
use crate::weights::{Upload, Weights};
use crate::{Arithmetic, CudaOptions, Gemm, driver};
use monolens_graph::backend::{
    BackendKind, DeviceInfo, HostTensor, Job, LocalFuture, MemoryUse, Outputs, ProgramId,
};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Backend, BackendError, DType, WeightFormat, WeightSpec};
use std::future::ready;
use std::rc::Rc;

/// Runs plans on an NVIDIA GPU.
pub struct CudaBackend {
    info: DeviceInfo,
    capabilities: Capabilities,
    how: How,
    graphs: bool,
    // Before the device that they are on.
    programs: Vec<Program>,
    weights: Weights,
    upload: Option<Upload>,
    states: States,
    pool: Pool,
    gpu: Rc<dyn Gpu>,
}

impl CudaBackend {
    /// Opens a device.
    ///
    /// # Errors
    /// No driver, no such device, one that is too old, no compiler, or no cuBLASLt where it must be: each with what would
    /// help.
    pub fn open(options: &CudaOptions) -> Result<Self, BackendError> {
        Self::with(driver::open(options.device.as_deref())?, options)
    }

    /// A backend on a device that is open.
    ///
    /// # Errors
    /// No cuBLASLt where it must be.
    pub fn with(gpu: Rc<dyn Gpu>, options: &CudaOptions) -> Result<Self, BackendError> {
        if options.gemm == Gemm::Library
            && let Err(reason) = gpu.product_library()
        {
            return Err(BackendError::Unavailable { what: "cuBLASLt".into(), reason });
        }
        Ok(Self::on(gpu, options))
    }

    /// A backend on any device that does what [`Gpu`] asks.
    pub fn on(gpu: Rc<dyn Gpu>, options: &CudaOptions) -> Self {
        let device = gpu.info();
        let (major, minor) = device.capability;
        let numbers = match options.arithmetic {
            Arithmetic::Fast => "bf16 activations for tensor cores",
            Arithmetic::Exact => "f32 activations",
        };
        let library = if options.gemm == Gemm::Own { None } else { gpu.product_library().ok() };
        let products = library.as_deref().unwrap_or("Monolens' kernels");
        Self {
            info: DeviceInfo {
                kind: BackendKind::Cuda,
                name: device.name.clone(),
                tier: format!("sm_{major}{minor}"),
                detail: format!("{}, {numbers}, plain products by {products}", device.detail),
                is_gpu: device.is_gpu,
            },
            capabilities: Capabilities {
                fusions: Fusions::ALL,
                max_binding: u64::MAX,
                kv_dtype: DType::BF16,
            },
            how: How { arithmetic: options.arithmetic, library: library.is_some() },
            graphs: options.graphs,
            programs: Vec::new(),
            weights: Weights::default(),
            upload: None,
            states: States::default(),
            pool: Pool::default(),
            gpu,
        }
    }

    /// Adds what is in use to an error about memory.
    fn explain(&self, error: BackendError) -> BackendError {
        error.with_used(self.memory().total())
    }

    fn prepare_now(&mut self, plan: Plan) -> Result<ProgramId, BackendError> {
        let (weights, states) = (&self.weights, &self.states);
        let program = Program::new(&self.gpu, plan, weights, states, &mut self.pool, self.how);
        let program = program.map_err(|e| self.explain(e))?;
        self.programs.push(program);
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn run_now(&mut self, program: ProgramId, job: &Job<'_>) -> Result<Outputs, BackendError> {
        let number = self.programs.len();
        let missing = BackendError::no_program(BackendKind::Cuda, program, number);
        let program = self.programs.get_mut(program.0).ok_or(missing)?;
        let with = Resources { gpu: &self.gpu, states: &self.states, pool: &self.pool, graphs: self.graphs };
        let outputs = program.run(job, &with);
        outputs.map_err(|e| self.explain(e))
    }
}

impl Backend for CudaBackend {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn begin_weight(&mut self, spec: &WeightSpec, format: WeightFormat) -> Result<(), BackendError> {
        let upload = Upload::new(&self.gpu, spec, format);
        self.upload = Some(upload.map_err(|e| self.explain(e))?);
        Ok(())
    }

    fn write_weight(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.upload.as_mut().ok_or_else(BackendError::no_upload)?.write(bytes)
    }

    fn end_weight(&mut self) -> Result<(), BackendError> {
        self.upload.take().ok_or_else(BackendError::no_upload)?.end(&mut self.weights)
    }

    fn has_weight(&self, name: &str) -> bool {
        self.weights.has(name)
    }

    fn allocate_state(
        &mut self,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
    ) -> Result<(), BackendError> {
        let allocated = self.states.allocate(&self.gpu, name, dtype, rows, width);
        allocated.map_err(|e| self.explain(e))
    }

    fn read_state<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<HostTensor, BackendError>> {
        Box::pin(ready(self.states.read(name)))
    }

    fn write_state(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        self.states.write(name, bytes)
    }

    fn prepare<'a>(&'a mut self, plan: Plan) -> LocalFuture<'a, Result<ProgramId, BackendError>> {
        Box::pin(ready(self.prepare_now(plan)))
    }

    fn run<'a>(
        &'a mut self,
        program: ProgramId,
        job: &'a Job<'a>,
    ) -> LocalFuture<'a, Result<Outputs, BackendError>> {
        Box::pin(async move { self.run_now(program, job) })
    }

    fn dispatches(&self, program: ProgramId, axes: &Axes) -> Vec<&'static str> {
        self.programs.get(program.0).map_or_else(Vec::new, |p| p.dispatches(axes))
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            weights: self.weights.bytes(),
            states: self.states.bytes(),
            activations: self.pool.bytes() + self.programs.iter().map(Program::bytes).sum::<u64>(),
        }
    }
}
