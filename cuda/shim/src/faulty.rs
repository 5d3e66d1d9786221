//! A device that does something wrong on purpose.

use monolens_cuda::gpu::{FunctionId, Gpu, GpuError, GpuInfo, GraphId, ProductShape, Recording, Work};
use monolens_cuda::kernels::Unit;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What a device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The kernels of a file have no blocks for the visual expert.
    WithoutVisual(&'static str),
    /// The kernels of a file do nothing.
    Without(&'static str),
    /// What was recorded does nothing when it is repeated.
    NoReplay,
    /// The vendor's products forget what is to be added.
    NothingAdded,
    /// What is launched takes this long and then fails.
    Late(Duration),
}

/// A device with a fault.
#[derive(Debug)]
pub struct Faulty {
    gpu: Rc<dyn Gpu>,
    fault: Fault,
    /// The file of each function.
    files: RefCell<Vec<(FunctionId, &'static str)>>,
}

impl Faulty {
    /// A device like another one, but for a fault.
    pub fn new(gpu: Rc<dyn Gpu>, fault: Fault) -> Self {
        Self { gpu, fault, files: RefCell::default() }
    }

    /// What is left of a recording.
    fn spoilt(&self, recording: &Recording) -> Recording {
        let files = self.files.borrow();
        let mut spoilt = recording.clone();
        spoilt.work.retain_mut(|work| match (work, self.fault) {
            (Work::Launch(launch), Fault::Without(file)) => !files.contains(&(launch.function, file)),
            (Work::Launch(launch), Fault::WithoutVisual(file)) => {
                if files.contains(&(launch.function, file)) {
                    launch.grid[2] = 1;
                }
                true
            }
            (Work::Product(product), Fault::NothingAdded) => {
                product.added = 0;
                true
            }
            _ => true,
        });
        spoilt
    }
}

impl Gpu for Faulty {
    fn info(&self) -> &GpuInfo {
        self.gpu.info()
    }

    fn allocate(&self, bytes: u64) -> Result<u64, GpuError> {
        self.gpu.allocate(bytes)
    }

    fn free(&self, address: u64) {
        self.gpu.free(address);
    }

    fn free_memory(&self) -> u64 {
        self.gpu.free_memory()
    }

    fn zero(&self, address: u64, bytes: u64) -> Result<(), GpuError> {
        self.gpu.zero(address, bytes)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        self.gpu.write(address, bytes)
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), GpuError> {
        self.gpu.read(address, into)
    }

    fn function(&self, unit: Unit, entry: &str) -> Result<FunctionId, GpuError> {
        let function = self.gpu.function(unit, entry)?;
        self.files.borrow_mut().push((function, unit.file));
        Ok(function)
    }

    fn product_library(&self) -> Result<String, String> {
        self.gpu.product_library()
    }

    fn has_product(&self, shape: &ProductShape) -> bool {
        self.gpu.has_product(shape)
    }

    fn launch(&self, recording: &Recording) -> Result<(), GpuError> {
        if let Fault::Late(time) = self.fault {
            std::thread::sleep(time);
            return Err(GpuError::Lost("it took too long".into()));
        }
        self.gpu.launch(&self.spoilt(recording))
    }

    fn record(&self, recording: &Recording) -> Option<GraphId> {
        self.gpu.record(&self.spoilt(recording))
    }

    fn replay(&self, graph: GraphId) -> Result<(), GpuError> {
        if self.fault == Fault::NoReplay { Ok(()) } else { self.gpu.replay(graph) }
    }

    fn forget(&self, graph: GraphId) {
        self.gpu.forget(graph);
    }

    fn wait(&self) -> Result<(), GpuError> {
        self.gpu.wait()
    }
}
