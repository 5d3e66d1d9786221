//! The CPU with faults on demand.

use monolens_engine::{BackendChoice, open_backend};
use monolens_graph::backend::{DeviceInfo, HostTensor, Job, LocalFuture, MemoryUse, Outputs, ProgramId};
use monolens_graph::plan::{Capabilities, Plan};
use monolens_graph::{Axes, Backend, BackendError, DType, WeightFormat, WeightSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What shall go wrong.
#[derive(Debug, Default)]
pub struct Faults {
    /// Milliseconds that every run takes longer.
    pub delay: AtomicU64,
    /// The next run loses the device.
    pub lose: AtomicBool,
    /// The next run finds no memory.
    pub fill: AtomicBool,
    /// There is no device to open.
    pub absent: AtomicBool,
}

impl Faults {
    pub fn slow(&self, milliseconds: u64) {
        self.delay.store(milliseconds, Ordering::SeqCst);
    }
}

struct Faulty {
    cpu: Box<dyn Backend>,
    faults: Arc<Faults>,
    lost: bool,
}

/// The CPU under these faults.
pub fn open(faults: &Arc<Faults>) -> Result<Box<dyn Backend>, BackendError> {
    if faults.absent.load(Ordering::SeqCst) {
        return Err(BackendError::Unavailable { what: "the device".into(), reason: "a test took it".into() });
    }
    let cpu = pollster::block_on(open_backend(&BackendChoice::exact_cpu()))?.backend;
    Ok(Box::new(Faulty { cpu, faults: Arc::clone(faults), lost: false }))
}

impl Backend for Faulty {
    fn device(&self) -> &DeviceInfo {
        self.cpu.device()
    }

    fn capabilities(&self) -> &Capabilities {
        self.cpu.capabilities()
    }

    fn begin_weight(&mut self, spec: &WeightSpec, format: WeightFormat) -> Result<(), BackendError> {
        self.cpu.begin_weight(spec, format)
    }

    fn write_weight(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.cpu.write_weight(bytes)
    }

    fn end_weight(&mut self) -> Result<(), BackendError> {
        self.cpu.end_weight()
    }

    fn has_weight(&self, name: &str) -> bool {
        self.cpu.has_weight(name)
    }

    fn allocate_state(
        &mut self,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
    ) -> Result<(), BackendError> {
        self.cpu.allocate_state(name, dtype, rows, width)
    }

    fn read_state<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<HostTensor, BackendError>> {
        self.cpu.read_state(name)
    }

    fn write_state(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        self.cpu.write_state(name, bytes)
    }

    fn prepare<'a>(&'a mut self, plan: Plan) -> LocalFuture<'a, Result<ProgramId, BackendError>> {
        self.cpu.prepare(plan)
    }

    fn run<'a>(
        &'a mut self,
        program: ProgramId,
        job: &'a Job<'a>,
    ) -> LocalFuture<'a, Result<Outputs, BackendError>> {
        std::thread::sleep(Duration::from_millis(self.faults.delay.load(Ordering::SeqCst)));
        self.lost |= self.faults.lose.swap(false, Ordering::SeqCst);
        if self.lost {
            return Box::pin(async { Err(BackendError::DeviceLost { reason: "by a test".into() }) });
        }
        if self.faults.fill.swap(false, Ordering::SeqCst) {
            let (device, what) = ("the device".into(), "activations".into());
            return Box::pin(async {
                Err(BackendError::OutOfMemory { device, what, requested: 123_456, used: 7 })
            });
        }
        self.cpu.run(program, job)
    }

    fn dispatches(&self, program: ProgramId, axes: &Axes) -> Vec<&'static str> {
        self.cpu.dispatches(program, axes)
    }

    fn memory(&self) -> MemoryUse {
        self.cpu.memory()
    }
}
