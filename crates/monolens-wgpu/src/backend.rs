//! wgpu as a [`Backend`].

use crate::gpu::Gpu;
use crate::pace::Pace;
use crate::pipelines::SharedPipelines;
use crate::program::{Pool, Program, Resources};
use crate::states::States;
use crate::upload::Upload;
use crate::weights::Weights;
use crate::{MatrixUnit, Prefill, Tier, Tuning, adapters};
use monolens_graph::backend::{
    BackendKind, DeviceInfo, HostTensor, Job, LocalFuture, MemoryUse, Outputs, ProgramId,
};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Backend, BackendError, DType, OpTime, WeightFormat, WeightSpec};
use std::rc::Rc;

/// Options of [`WgpuBackend::open`].
#[derive(Clone, Debug, Default)]
pub struct WgpuOptions {
    /// The adapter by its index in [`crate::adapters()`] or part of its name; else the best GPU.
    pub adapter: Option<String>,
    /// The tier; else the highest up to [`Tier::Subgroups`] that the adapter has: matrix units are taken only if they are
    /// asked for, until they have run on a GPU.
    pub tier: Option<Tier>,
    /// The matrix unit of [`Tier::Matrix`], else the preferred one.
    pub matrix_unit: Option<MatrixUnit>,
    /// Whether an adapter that renders in software may be taken when there is no other.
    pub allow_software: bool,
    /// Largest part of a weight and largest state, in bytes, if lower than the device's own limit.
    pub max_binding: Option<u64>,
}

/// An open device and what its backends share.
#[derive(Clone)]
struct Opened {
    info: DeviceInfo,
    capabilities: Capabilities,
    tier: Tier,
    gpu: Gpu,
    pipelines: SharedPipelines,
}

/// Runs plans on a GPU through wgpu.
pub struct WgpuBackend {
    device: Opened,
    weights: Weights,
    upload: Option<Upload>,
    tuning: Rc<Tuning>,
    states: States,
    pool: Pool,
    pace: Pace,
    programs: Vec<Program>,
    /// Grows when a state or the vectors get another buffer.
    generation: u64,
    /// What was measured, if it is to be.
    profile: Option<Vec<OpTime>>,
}

impl WgpuBackend {
    /// Opens a device.
    ///
    /// # Errors
    /// No such adapter; a tier that it does not have, saying what it lacks.
    pub async fn open(options: WgpuOptions) -> Result<Self, BackendError> {
        let adapter = adapters::choose(options.adapter.as_deref(), options.allow_software).await?;
        let (features, limits) = (adapter.features(), adapter.limits());
        let tier = match options.tier {
            Some(tier) => {
                tier.check(features, &limits)?;
                tier
            }
            None => Tier::supported(&adapter)
                .into_iter()
                .rfind(|&tier| tier <= Tier::Subgroups)
                .unwrap_or(Tier::Baseline),
        };
        let unit = match tier {
            Tier::Matrix => Some(MatrixUnit::choose(&adapter, options.matrix_unit)?),
            _ => None,
        };
        let gpu = Gpu::open(&adapter, tier, unit).await?;
        let info = adapter.get_info();
        let driver = format!("{} {}", info.driver, info.driver_info);
        let device = DeviceInfo {
            kind: BackendKind::Wgpu,
            name: info.name.clone(),
            tier: unit.map_or(tier.to_string(), |unit| format!("{tier} {}", unit.name())),
            detail: format!("{}, {}", adapters::api(info.backend), driver.trim()),
            is_gpu: info.device_type != wgpu::DeviceType::Cpu,
        };
        let largest = gpu.limits.max_storage_buffer_binding_size;
        let capabilities = Capabilities {
            fusions: Fusions::ALL,
            max_binding: options.max_binding.map_or(largest, |b| b.min(largest)),
            kv_dtype: DType::BF16,
        };
        let device = Opened { info: device, capabilities, tier, pipelines: SharedPipelines::new(&gpu), gpu };
        Ok(Self::on(device, Rc::default()))
    }

    fn on(device: Opened, tuning: Rc<Tuning>) -> Self {
        Self {
            device,
            tuning,
            weights: Weights::default(),
            upload: None,
            states: States::default(),
            pool: Pool::default(),
            pace: Pace::default(),
            programs: Vec::new(),
            generation: 0,
            profile: None,
        }
    }

    /// What makes further backends on the same device: with weights and states of their own, but with the kernels that
    /// are compiled already.
    pub fn sibling(&self) -> impl Fn() -> Self + 'static {
        let (device, tuning) = (self.device.clone(), Rc::clone(&self.tuning));
        move || Self::on(device.clone(), Rc::clone(&tuning))
    }

    /// Sets which presets the programs take that are prepared from now on. What the device cannot do is passed over.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = Rc::new(tuning);
    }

    /// Which presets programs take.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// The ways that this device has to project many rows by weights of this format, the default first.
    pub fn prefill_presets(&self, format: WeightFormat) -> Vec<Prefill> {
        self.device.gpu.taken.prefill(format)
    }

    /// Whether operators are measured by the device's own clock.
    pub fn has_clock(&self) -> bool {
        self.device.gpu.tick.is_some()
    }

    /// The kernels of the launches that a run with these axes makes, in order: shader, features, constants.
    pub fn kernels(&self, program: ProgramId, axes: &Axes) -> Vec<String> {
        self.programs.get(program.0).map_or_else(Vec::new, |program| program.kernels(axes))
    }

    /// The tier in use.
    pub fn tier(&self) -> Tier {
        self.device.tier
    }

    /// How many kernels were compiled so far.
    pub fn pipelines(&self) -> usize {
        self.device.pipelines.borrow().len()
    }

    /// What destroys the device, as a driver reset would, even while the backend is busy: for tests of what happens then.
    pub fn destroyer(&self) -> impl Fn() + 'static {
        let device = self.device.gpu.device.clone();
        move || {
            device.destroy();
            // A failure shows as a lost device.
            let _ = device.poll(wgpu::PollType::Poll);
        }
    }

    /// Adds what is in use to an error about memory.
    fn explain(&self, error: BackendError) -> BackendError {
        error.with_used(self.memory().total())
    }

    async fn prepare_now(&mut self, plan: Plan) -> Result<ProgramId, BackendError> {
        self.device.gpu.poll();
        self.device.gpu.check("a program", 0)?;
        if self.weights.upload_vectors(&self.device.gpu)? {
            self.generation += 1;
        }
        let (gpu, tuning) = (&self.device.gpu, &*self.tuning);
        let mut program = Program::new(gpu, tuning, plan, &self.weights, &self.states, &mut self.pool)?;
        program.compile(&self.device.gpu, &self.device.pipelines).await?;
        // Memory that was not there is told only now.
        self.device.gpu.settle("activations").await?;
        self.programs.push(program);
        Ok(ProgramId(self.programs.len() - 1))
    }

    async fn run_now(&mut self, program: ProgramId, job: &Job<'_>) -> Result<Outputs, BackendError> {
        let number = self.programs.len();
        let missing = BackendError::no_program(BackendKind::Wgpu, program, number);
        let program = self.programs.get_mut(program.0).ok_or(missing)?;
        if self.weights.upload_vectors(&self.device.gpu)? {
            self.generation += 1;
        }
        let mut with = Resources {
            gpu: &self.device.gpu,
            pipelines: &self.device.pipelines,
            weights: &self.weights,
            states: &self.states,
            pool: &self.pool,
            pace: &mut self.pace,
            generation: self.generation,
            profile: self.profile.as_mut(),
        };
        program.run(job, &mut with).await
    }
}

impl Backend for WgpuBackend {
    fn device(&self) -> &DeviceInfo {
        &self.device.info
    }

    fn capabilities(&self) -> &Capabilities {
        &self.device.capabilities
    }

    fn begin_weight(&mut self, spec: &WeightSpec, format: WeightFormat) -> Result<(), BackendError> {
        let upload = Upload::new(&self.device.gpu, spec, format, self.device.capabilities.max_binding);
        self.upload = Some(upload.map_err(|e| self.explain(e))?);
        Ok(())
    }

    fn write_weight(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.upload.as_mut().ok_or_else(BackendError::no_upload)?.write(&self.device.gpu, bytes)
    }

    fn end_weight(&mut self) -> Result<(), BackendError> {
        self.upload.take().ok_or_else(BackendError::no_upload)?.end(&self.device.gpu, &mut self.weights)
    }

    fn has_weight(&self, name: &str) -> bool {
        self.weights.by_name.contains_key(name)
    }

    fn allocate_state(
        &mut self,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
    ) -> Result<(), BackendError> {
        self.generation += 1;
        let max_binding = self.device.capabilities.max_binding;
        let allocated = self.states.allocate(&self.device.gpu, name, dtype, rows, width, max_binding);
        allocated.map_err(|e| self.explain(e))
    }

    fn settle<'a>(&'a mut self) -> LocalFuture<'a, Result<(), BackendError>> {
        Box::pin(
            async move { self.device.gpu.settle("weights and states").await.map_err(|e| self.explain(e)) },
        )
    }

    fn read_state<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<HostTensor, BackendError>> {
        Box::pin(self.states.read(&self.device.gpu, name))
    }

    fn write_state(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        self.states.write(&self.device.gpu, name, bytes)
    }

    fn prepare<'a>(&'a mut self, plan: Plan) -> LocalFuture<'a, Result<ProgramId, BackendError>> {
        Box::pin(async move { self.prepare_now(plan).await.map_err(|e| self.explain(e)) })
    }

    fn run<'a>(
        &'a mut self,
        program: ProgramId,
        job: &'a Job<'a>,
    ) -> LocalFuture<'a, Result<Outputs, BackendError>> {
        Box::pin(async move { self.run_now(program, job).await.map_err(|e| self.explain(e)) })
    }

    fn longest(&self, program: ProgramId) -> Option<f64> {
        self.programs.get(program.0)?.longest()
    }

    fn dispatches(&self, program: ProgramId, axes: &Axes) -> Vec<&'static str> {
        self.programs.get(program.0).map_or_else(Vec::new, |p| p.dispatches(axes))
    }

    // A browser does not let a page wait for each operator.
    #[cfg(not(target_arch = "wasm32"))]
    fn profile(&mut self, on: bool) -> Option<Vec<OpTime>> {
        let measured = std::mem::replace(&mut self.profile, on.then(Vec::new));
        Some(measured.unwrap_or_default())
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            weights: self.weights.bytes(),
            states: self.states.bytes(),
            activations: self.pool.bytes() + self.programs.iter().map(Program::bytes).sum::<u64>(),
        }
    }
}
