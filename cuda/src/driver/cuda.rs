//! One device of the CUDA driver, with one stream.

use super::compiler::Compiler;
use super::cublaslt::{Products, find_cublaslt};
use super::{DeviceReport, text, too_new};
use crate::gpu::{FunctionId, Gpu, GpuError, GpuInfo, GraphId, Launch, ProductShape, Recording, Work};
use crate::kernels::{FILES, HEADERS, Unit};
use cudarc::driver::{DriverError, result, sys};
use monolens_cache::Cache;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::ptr;

/// Shared memory that a kernel has without asking.
const DEFAULT_SHARED_BYTES: u32 = 48 << 10;

/// A device of the CUDA driver.
#[derive(Debug)]
pub struct CudaGpu {
    info: GpuInfo,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    compiler: Compiler,
    architecture: String,
    /// The driver's version, for the cache.
    driver: String,
    cache: Cache,
    modules: RefCell<BTreeMap<Unit, sys::CUmodule>>,
    functions: RefCell<Vec<Function>>,
    graphs: RefCell<Vec<Option<sys::CUgraphExec>>>,
    /// The vendor's products, opened when they are asked for, or why there are none.
    products: OnceCell<Result<Products, String>>,
}

#[derive(Debug)]
struct Function {
    unit: Unit,
    entry: String,
    handle: sys::CUfunction,
    /// Dynamic shared memory it was allowed so far.
    shared_bytes: std::cell::Cell<u32>,
}

impl From<DriverError> for GpuError {
    fn from(error: DriverError) -> Self {
        let free = || result::mem_get_info().map_or(0, |(free, _)| free as u64);
        fault(error.0, free, || text(error))
    }
}

/// What an error of the driver means; `words` are what it says of it.
fn fault(error: sys::CUresult, free: impl FnOnce() -> u64, words: impl FnOnce() -> String) -> GpuError {
    use sys::CUresult as E;
    match error {
        E::CUDA_ERROR_OUT_OF_MEMORY => GpuError::OutOfMemory { free: free() },
        // After these nothing works in the context any more.
        E::CUDA_ERROR_ILLEGAL_ADDRESS
        | E::CUDA_ERROR_LAUNCH_FAILED
        | E::CUDA_ERROR_LAUNCH_TIMEOUT
        | E::CUDA_ERROR_HARDWARE_STACK_ERROR
        | E::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | E::CUDA_ERROR_MISALIGNED_ADDRESS
        | E::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | E::CUDA_ERROR_INVALID_PC
        | E::CUDA_ERROR_ASSERT
        | E::CUDA_ERROR_ECC_UNCORRECTABLE
        | E::CUDA_ERROR_NVLINK_UNCORRECTABLE
        | E::CUDA_ERROR_TENSOR_MEMORY_LEAK
        | E::CUDA_ERROR_MPS_CLIENT_TERMINATED
        | E::CUDA_ERROR_EXTERNAL_DEVICE
        | E::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | E::CUDA_ERROR_SYSTEM_NOT_READY
        | E::CUDA_ERROR_DEVICE_UNAVAILABLE
        | E::CUDA_ERROR_UNKNOWN => GpuError::Lost(words()),
        E::CUDA_ERROR_NO_BINARY_FOR_GPU
        | E::CUDA_ERROR_INVALID_PTX
        | E::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | E::CUDA_ERROR_INVALID_IMAGE => GpuError::Compile(words()),
        _ => GpuError::Other(words()),
    }
}

impl CudaGpu {
    pub(super) fn open(device: &DeviceReport, driver: &str, compiler: Compiler) -> Result<Self, GpuError> {
        let number = result::device::get(device.index as i32)?;
        // SAFETY: the device was just got; the context is released when this is dropped, or here.
        let (context, processors, stream) = unsafe {
            let which = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
            let processors = result::device::get_attribute(number, which)? as u32;
            let context = result::primary_ctx::retain(number)?;
            let stream = result::ctx::set_current(context)
                .and_then(|()| result::stream::create(result::stream::StreamKind::NonBlocking));
            let released = |error| {
                let _ = result::primary_ctx::release(number);
                error
            };
            (context, processors, stream.map_err(released)?)
        };
        let architecture = compiler.architecture(device.capability);
        Ok(Self {
            info: GpuInfo {
                name: device.name.clone(),
                capability: device.capability,
                memory: device.memory,
                processors,
                detail: format!("CUDA {driver}, NVRTC {}", compiler.version()),
                is_gpu: true,
            },
            device: number,
            context,
            stream,
            compiler,
            architecture,
            driver: driver.into(),
            cache: Cache::of_user("cuda"),
            modules: RefCell::default(),
            functions: RefCell::default(),
            graphs: RefCell::default(),
            products: OnceCell::new(),
        })
    }

    /// Makes the context that of this thread: a backend may have been moved from the one that opened it.
    fn enter(&self) -> Result<(), GpuError> {
        // SAFETY: the context lives as long as `self`.
        Ok(unsafe { result::ctx::set_current(self.context) }?)
    }

    fn module(&self, unit: Unit) -> Result<sys::CUmodule, GpuError> {
        if let Some(&module) = self.modules.borrow().get(&unit) {
            return Ok(module);
        }
        let options = Compiler::options(&self.architecture, unit).join(" ");
        let texts =
            HEADERS.iter().chain(FILES.iter().filter(|f| f.name.strip_suffix(".cu") == Some(unit.file)));
        let mut parts: Vec<&[u8]> =
            vec![options.as_bytes(), self.driver.as_bytes(), self.compiler.version().as_bytes()];
        parts.extend(texts.map(|f| f.text.as_bytes()));
        let code = self.cache.get(&unit.name(), &parts, || self.compiler.compile(unit, &self.architecture));
        let code = code.map_err(GpuError::Compile)?;
        // SAFETY: the code is a whole image, and PTX ends with a zero.
        let module = unsafe { result::module::load_data(code.as_ptr().cast()) }?;
        self.modules.borrow_mut().insert(unit, module);
        Ok(module)
    }

    fn products(&self) -> Result<&Products, &String> {
        let open = || {
            let version = find_cublaslt()?;
            too_new(&self.driver, "cuBLASLt", &version).map_or(Ok(()), Err)?;
            self.enter().map_err(|e| e.to_string())?;
            Products::new()
        };
        self.products.get_or_init(open).as_ref()
    }

    fn do_all(&self, recording: &Recording) -> Result<(), GpuError> {
        for work in &recording.work {
            match work {
                Work::Launch(launch) => self.launch_one(launch, recording)?,
                Work::Product(product) => {
                    let products = self.products().map_err(|e| GpuError::Other(e.clone()))?;
                    // The library does not say that the device was lost; the driver does.
                    let begun = products.launch(product, self.stream);
                    begun.map_err(|error| match self.wait() {
                        Err(lost @ GpuError::Lost(_)) => lost,
                        _ => error,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn launch_one(&self, launch: &Launch, recording: &Recording) -> Result<(), GpuError> {
        let functions = self.functions.borrow();
        let Some(function) = functions.get(launch.function.0) else {
            return Err(GpuError::Other("a kernel of another device".into()));
        };
        if launch.shared_bytes > DEFAULT_SHARED_BYTES.max(function.shared_bytes.get()) {
            let which = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is of a loaded module.
            unsafe {
                result::function::set_function_attribute(function.handle, which, launch.shared_bytes as i32)
            }?;
            function.shared_bytes.set(launch.shared_bytes);
        }
        let params = recording.params[launch.params.clone()].as_ptr();
        let mut arguments = [params.cast_mut().cast::<c_void>()];
        let [x, y, z] = launch.grid;
        // SAFETY: the kernel has one parameter, a struct that the bytes hold; the driver copies it now.
        let launched = unsafe {
            result::launch_kernel(
                function.handle,
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared_bytes,
                self.stream,
                &mut arguments,
            )
        };
        launched.map_err(|e| match GpuError::from(e) {
            GpuError::Other(reason) => {
                GpuError::Other(format!("{} of {}: {reason}", function.entry, function.unit.name()))
            }
            other => other,
        })
    }
}

impl Gpu for CudaGpu {
    fn info(&self) -> &GpuInfo {
        &self.info
    }

    fn allocate(&self, bytes: u64) -> Result<u64, GpuError> {
        self.enter()?;
        let size = usize::try_from(bytes).unwrap_or(usize::MAX);
        // SAFETY: the address is only used through this trait.
        Ok(unsafe { result::malloc_sync(size) }?)
    }

    fn free(&self, address: u64) {
        // Nothing can be done about a failure, which shows again at the next call. That the driver waits for work which uses
        // the memory is its habit, not its promise.
        let _ = self.wait();
        // SAFETY: the address came from `allocate`, and nothing uses it any more.
        let _ = self.enter().and_then(|()| Ok(unsafe { result::free_sync(address) }?));
    }

    fn free_memory(&self) -> u64 {
        self.enter().ok().and_then(|()| result::mem_get_info().ok()).map_or(0, |(free, _)| free as u64)
    }

    fn zero(&self, address: u64, bytes: u64) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: the buffer is as large as its owner says.
        Ok(unsafe { result::memset_d8_async(address, 0, bytes as usize, self.stream) }?)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: as above. The driver may still read memory that is not pinned once this returned ("might be synchronous",
        // and where the GPU reads the host's page tables it need not be): so the copy is waited for.
        unsafe {
            result::memcpy_htod_async(address, bytes, self.stream)?;
            result::stream::synchronize(self.stream)?;
        }
        Ok(())
    }

    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: as above; the copy is done when the stream is.
        unsafe {
            result::memcpy_dtoh_async(into, address, self.stream)?;
            result::stream::synchronize(self.stream)?;
        }
        Ok(())
    }

    fn function(&self, unit: Unit, entry: &str) -> Result<FunctionId, GpuError> {
        self.enter()?;
        let known = self.functions.borrow().iter().position(|f| f.unit == unit && f.entry == entry);
        if let Some(at) = known {
            return Ok(FunctionId(at));
        }
        let module = self.module(unit)?;
        let name = CString::new(entry).map_err(|_| GpuError::Other(format!("no kernel {entry:?}")))?;
        // SAFETY: the module is loaded and stays.
        let handle = unsafe { result::module::get_function(module, name) }?;
        let mut functions = self.functions.borrow_mut();
        functions.push(Function { unit, entry: entry.into(), handle, shared_bytes: 0.into() });
        Ok(FunctionId(functions.len() - 1))
    }

    fn product_library(&self) -> Result<String, String> {
        self.products().map_err(Clone::clone)?;
        Ok(format!("cuBLASLt {}", find_cublaslt()?))
    }

    fn has_product(&self, shape: &ProductShape) -> bool {
        self.enter().is_ok() && self.products().is_ok_and(|products| products.has(shape))
    }

    fn launch(&self, recording: &Recording) -> Result<(), GpuError> {
        self.enter()?;
        self.do_all(recording)
    }

    fn record(&self, recording: &Recording) -> Option<GraphId> {
        use sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.enter().ok()?;
        // SAFETY: the stream is ours; a capture that began is ended. Parameters are copied into the graph.
        let captured = unsafe {
            result::stream::begin_capture(self.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).ok()?;
            let launched = self.do_all(recording);
            let graph = result::stream::end_capture(self.stream);
            match (launched, graph) {
                (Err(error), Ok(graph)) if !graph.is_null() => {
                    let _ = result::graph::destroy(graph);
                    Err(error)
                }
                (launched, graph) => launched.and(graph.map_err(GpuError::from)),
            }
        };
        let graph = match captured {
            Ok(graph) if !graph.is_null() => graph,
            other => {
                log::warn!("launches are not recorded: {other:?}");
                return None;
            }
        };
        let mut executable = ptr::null_mut();
        // SAFETY: the graph was just made, and is not needed once it is instantiated.
        let made = unsafe {
            let made = sys::cuGraphInstantiateWithFlags(&mut executable, graph, 0).result();
            let destroyed = result::graph::destroy(graph);
            made.and(destroyed)
        };
        if let Err(error) = made {
            log::warn!("launches are not recorded: {}", text(error));
            return None;
        }
        let mut graphs = self.graphs.borrow_mut();
        // In the place of one that was forgotten, so that there are never more places than graphs at once.
        let place = graphs.iter().position(Option::is_none).unwrap_or_else(|| {
            graphs.push(None);
            graphs.len() - 1
        });
        graphs[place] = Some(executable);
        Some(GraphId(place))
    }

    fn replay(&self, graph: GraphId) -> Result<(), GpuError> {
        self.enter()?;
        match self.graphs.borrow().get(graph.0) {
            // SAFETY: it was instantiated and not destroyed.
            Some(Some(executable)) => Ok(unsafe { result::graph::launch(*executable, self.stream) }?),
            _ => Err(GpuError::Other("a recording that was forgotten".into())),
        }
    }

    fn forget(&self, graph: GraphId) {
        let executable = self.graphs.borrow_mut().get_mut(graph.0).and_then(Option::take);
        if let (Some(executable), Ok(())) = (executable, self.enter()) {
            // SAFETY: it is not used again. A failure shows again at the next call.
            let _ = unsafe { result::graph::exec_destroy(executable) };
        }
    }

    fn wait(&self) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: the stream is ours.
        Ok(unsafe { result::stream::synchronize(self.stream) }?)
    }
}

impl Drop for CudaGpu {
    fn drop(&mut self) {
        if self.enter().is_err() {
            return;
        }
        drop(self.products.take());
        // Failures are of a device that is lost: there is nothing more to free.
        // SAFETY: nothing uses any of these afterwards; buffers hold the device and are gone.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            for executable in self.graphs.borrow().iter().flatten() {
                let _ = result::graph::exec_destroy(*executable);
            }
            for module in self.modules.borrow().values() {
                let _ = result::module::unload(*module);
            }
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_graph::BackendError;
    use sys::CUresult as E;

    fn explained(error: E) -> BackendError {
        fault(error, || 1234, || "what the driver says".into()).explain("A card")
    }

    #[test]
    fn a_full_device_says_what_is_free() {
        let error = explained(E::CUDA_ERROR_OUT_OF_MEMORY);
        assert!(matches!(error, BackendError::OutOfMemory { .. }), "{error:?}");
        assert!(error.to_string().contains("A card (1234 bytes are free)"), "{error}");
    }

    #[test]
    fn what_makes_the_context_useless_is_a_lost_device() {
        for lost in [
            E::CUDA_ERROR_ILLEGAL_ADDRESS,
            E::CUDA_ERROR_LAUNCH_FAILED,
            E::CUDA_ERROR_ECC_UNCORRECTABLE,
            E::CUDA_ERROR_UNKNOWN,
        ] {
            let error = explained(lost);
            assert!(matches!(error, BackendError::DeviceLost { .. }), "{error:?}");
            assert_eq!(error.to_string(), "the device was lost: A card: what the driver says");
        }
    }

    #[test]
    fn code_that_does_not_load_and_what_else_goes_wrong_are_told_in_the_drivers_words() {
        let error = explained(E::CUDA_ERROR_NO_BINARY_FOR_GPU).to_string();
        assert_eq!(error, "kernels for A card: what the driver says");
        let error = explained(E::CUDA_ERROR_INVALID_VALUE).to_string();
        assert_eq!(error, "A card: what the driver says");
    }
}
