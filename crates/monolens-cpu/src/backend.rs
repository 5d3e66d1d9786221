//! The CPU as a [`Backend`].

use crate::frame::Work;
use crate::isa::{Isa, Level, cpu_name};
use crate::kernels::Product;
use crate::program::{Program, Weights};
use crate::state::{Contents, State, States};
use crate::weight::{Upload, Weight};
use crate::{Arithmetic, CpuOptions, Pool};
use monolens_graph::backend::{
    BackendKind, DeviceInfo, HostTensor, Job, LocalFuture, MemoryUse, Outputs, ProgramId,
};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Backend, BackendError, DType, OpTime, WeightFormat, WeightSpec};
use std::future::ready;

/// Runs plans on the CPU.
#[derive(Debug)]
pub struct CpuBackend {
    info: DeviceInfo,
    capabilities: Capabilities,
    isa: Isa,
    arithmetic: Arithmetic,
    pool: Pool,
    weights: Weights,
    upload: Option<Upload>,
    states: States,
    programs: Vec<Program>,
    work: Work,
    /// What was measured, if it is to be.
    profile: Option<Vec<OpTime>>,
}

impl CpuBackend {
    /// A backend with the best instruction set of this machine.
    ///
    /// # Errors
    /// When threads cannot be made.
    pub fn new(options: CpuOptions) -> Result<Self, BackendError> {
        Self::with_isa(options, Isa::detect())
    }

    /// The same with another instruction set, for tests.
    ///
    /// # Errors
    /// When threads cannot be made.
    pub fn with_isa(options: CpuOptions, isa: Isa) -> Result<Self, BackendError> {
        let pool = Pool::new(options.threads)
            .map_err(|reason| BackendError::Unavailable { what: "the CPU backend".into(), reason })?;
        let arithmetic = match isa.0 {
            Level::Avx2 | Level::Avx512Bf16 => options.arithmetic,
            _ => Arithmetic::Exact,
        };
        let threads = pool.threads();
        let numbers = match arithmetic {
            Arithmetic::Exact => "f32 activations",
            Arithmetic::Fast if isa.0 == Level::Avx2 => "16-bit activations where weights are integers",
            Arithmetic::Fast => "bf16 activations where weights are bf16",
        };
        Ok(Self {
            info: DeviceInfo {
                kind: BackendKind::Cpu,
                name: cpu_name(),
                tier: isa.name().into(),
                detail: format!("{threads} thread{}, {numbers}", if threads == 1 { "" } else { "s" }),
                is_gpu: false,
            },
            capabilities: Capabilities {
                fusions: Fusions::ALL,
                max_binding: u64::MAX,
                kv_dtype: DType::BF16,
            },
            isa,
            arithmetic,
            pool,
            weights: Weights::default(),
            upload: None,
            states: States::default(),
            programs: Vec::new(),
            work: Work::default(),
            profile: None,
        })
    }

    fn prepare_now(&mut self, plan: Plan) -> Result<ProgramId, BackendError> {
        Program::find_weights(&plan, &self.weights)?;
        Program::find_states(&plan, &self.states, None)?;
        self.programs.push(Program::new(plan, &self.info.name, self.memory().total())?);
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn run_now(&mut self, program: ProgramId, job: &Job<'_>) -> Result<Outputs, BackendError> {
        let number = self.programs.len();
        let Some(program) = self.programs.get_mut(program.0) else {
            return Err(BackendError::no_program(BackendKind::Cpu, program, number));
        };
        let product = Product { pool: &self.pool, isa: self.isa, arithmetic: self.arithmetic };
        let (weights, states, work) = (&self.weights, &mut self.states, &mut self.work);
        let profile = self.profile.as_mut();
        self.pool.enter(|| program.run(job, weights, states, work, product, profile))
    }
}

impl Backend for CpuBackend {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn begin_weight(&mut self, spec: &WeightSpec, format: WeightFormat) -> Result<(), BackendError> {
        self.upload = Some(Upload::new(spec, format, &self.info.name, self.memory().total())?);
        Ok(())
    }

    fn write_weight(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.upload.as_mut().ok_or_else(BackendError::no_upload)?.write(bytes)
    }

    fn end_weight(&mut self) -> Result<(), BackendError> {
        let (name, weight) = self.upload.take().ok_or_else(BackendError::no_upload)?.end()?;
        match self.weights.names.get(&name) {
            Some(&at) => self.weights.list[at] = weight,
            None => {
                self.weights.names.insert(name, self.weights.list.len());
                self.weights.list.push(weight);
            }
        }
        Ok(())
    }

    fn has_weight(&self, name: &str) -> bool {
        self.weights.names.contains_key(name)
    }

    fn allocate_state(
        &mut self,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
    ) -> Result<(), BackendError> {
        self.states.release(name);
        if !matches!(dtype, DType::F32 | DType::BF16 | DType::I8) {
            return Err(BackendError::state(BackendKind::Cpu, name, "f32, bf16 or i8", dtype));
        }
        let elements = rows.checked_mul(width).filter(|n| n.checked_mul(4).is_some());
        let data = elements.and_then(|n| Contents::zeros(dtype, n));
        let data = data.ok_or_else(|| BackendError::OutOfMemory {
            device: self.info.name.clone(),
            what: format!("state {name}"),
            requested: (rows as u64).saturating_mul(width as u64).saturating_mul(dtype.bytes() as u64),
            used: self.memory().total(),
        })?;
        self.states.put(State { name: name.into(), rows, width, data });
        Ok(())
    }

    fn read_state<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<HostTensor, BackendError>> {
        let state = self.states.index(name).map(|i| self.states.get(i).to_host());
        Box::pin(ready(state.ok_or_else(|| BackendError::no_state(BackendKind::Cpu, name))))
    }

    fn write_state(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        let index = self.states.index(name).ok_or_else(|| BackendError::no_state(BackendKind::Cpu, name))?;
        let to = self.states.get_mut(index).data.bytes_mut();
        if to.len() != bytes.len() {
            let expected = format!("{} bytes", to.len());
            return Err(BackendError::state(BackendKind::Cpu, name, expected, bytes.len()));
        }
        to.copy_from_slice(bytes);
        Ok(())
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

    fn dispatches(&self, program: ProgramId, _axes: &Axes) -> Vec<&'static str> {
        let nodes = self.programs.get(program.0).map_or(&[][..], |p| &p.plan.graph.nodes);
        nodes.iter().map(|n| n.op.name()).collect()
    }

    fn profile(&mut self, on: bool) -> Option<Vec<OpTime>> {
        let measured = std::mem::replace(&mut self.profile, on.then(Vec::new));
        Some(measured.unwrap_or_default())
    }

    fn memory(&self) -> MemoryUse {
        let weights = self.weights.list.iter().map(Weight::bytes).sum();
        let programs: u64 = self.programs.iter().map(Program::bytes).sum();
        let scratch = (self.work.bytes() + self.pool.bytes()) as u64;
        MemoryUse { weights, states: self.states.bytes(), activations: programs + scratch }
    }
}
