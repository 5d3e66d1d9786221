//! CUDA devices: opened, and proven on the very device before one is taken unasked.
//!
//! Whether kernels are right was decided without a GPU of every kind and every driver. So a device has to show it once: it
//! runs the self-test ([`crate::selftest`]), and what that found is kept under the hash of all that it depends on.

use super::{BackendChoice, CpuArithmetic, Opened};
use crate::selftest::checks::{self, Check, Extent, Way};
use crate::selftest::proof::{self, Place, Proof};
use monolens_cuda::gpu::Gpu;
use monolens_cuda::{Arithmetic, Cache, CudaBackend, CudaOptions, Gemm, driver, kernels};
use monolens_graph::{Backend, BackendError};
use std::ffi::OsString;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub use monolens_cuda::driver::Identity;

/// Seconds that a self-test may take: mostly compiling all kernels, which is done once.
const LIMIT: Duration = Duration::from_secs(150);
/// Bytes of device memory that must be free for it.
const NEEDED: u64 = 512 << 20;
/// Under this name what was found is kept.
const KEPT: &str = "selftest";

/// The CUDA devices of a machine; tests have others than the driver's.
pub trait Devices: fmt::Debug + Send + Sync {
    /// The device that is meant by a part of its name or its number, else the first that can be used, and what its results
    /// depend on. Opens nothing.
    ///
    /// # Errors
    /// What is missing.
    fn identify(&self, wanted: Option<&str>) -> Result<Identity, BackendError>;

    /// Opens it.
    ///
    /// # Errors
    /// What is missing; what the driver says.
    fn open(&self, wanted: Option<&str>) -> Result<Rc<dyn Gpu>, BackendError>;
}

/// Those of NVIDIA's driver.
#[derive(Clone, Copy, Debug)]
pub struct Driver;

impl Devices for Driver {
    fn identify(&self, wanted: Option<&str>) -> Result<Identity, BackendError> {
        driver::identify(wanted)
    }

    fn open(&self, wanted: Option<&str>) -> Result<Rc<dyn Gpu>, BackendError> {
        driver::open(wanted)
    }
}

/// CUDA on a machine, and how it is proven there.
#[derive(Clone, Debug)]
pub struct Cuda {
    /// Its devices.
    pub devices: Arc<dyn Devices>,
    /// Where what was found is kept.
    pub cache: Cache,
    /// Where the self-test runs.
    pub place: Place,
    /// How much it tries.
    pub extent: Extent,
    /// How long it may take.
    pub limit: Duration,
}

/// What is known of a device.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The device's name.
    pub device: String,
    /// What the self-test found.
    pub proof: Proof,
    /// Whether it was found in an earlier run.
    pub was_kept: bool,
}

impl Proven {
    /// Why the device is not to be taken unasked, in a sentence without its end.
    pub fn fault(&self) -> Option<String> {
        let fault = self.proof.fault()?;
        Some(format!(
            "its self-test failed on {}: {fault} (`monolens doctor --self-test` tries again)",
            self.device
        ))
    }
}

impl Cuda {
    /// That of this machine's driver, with the self-test in some place.
    pub fn of_machine(place: Place) -> Self {
        let devices = Arc::new(Driver);
        Self { devices, cache: Cache::of_user("cuda"), place, extent: Extent::default(), limit: LIMIT }
    }

    /// What was found on a device in an earlier run, with the same kernels, driver and program.
    ///
    /// # Errors
    /// There is no such device.
    pub fn kept(&self, wanted: Option<&str>) -> Result<Option<Proven>, BackendError> {
        let identity = self.devices.identify(wanted)?;
        Ok(self.find(&identity).map(|proof| Proven { device: identity.name, proof, was_kept: true }))
    }

    /// What was found on a device in an earlier run or, if nothing was, is found now.
    ///
    /// # Errors
    /// There is no such device, or it cannot be opened, or has no memory left: that proves nothing.
    pub fn prove(&self, wanted: Option<&str>) -> Result<Proven, BackendError> {
        match self.kept(wanted)? {
            Some(known) => Ok(known),
            None => self.prove_anew(wanted),
        }
    }

    /// Runs the self-test, whatever was found before.
    ///
    /// # Errors
    /// As [`Cuda::prove`].
    pub fn prove_anew(&self, wanted: Option<&str>) -> Result<Proven, BackendError> {
        let identity = self.devices.identify(wanted)?;
        log::warn!(
            "CUDA is tried out on {}, once for this driver and this version (within {} s)",
            identity.name,
            self.limit.as_secs_f64()
        );
        let proof = match &self.place {
            Place::Thread => {
                let (cuda, wanted) = (self.clone(), wanted.map(str::to_owned));
                proof::on_thread(self.limit, move || cuda.checks(wanted.as_deref()))
            }
            Place::Process(command) => {
                let named = wanted.map(|wanted| [OsString::from("--device"), OsString::from(wanted)]);
                let command: Vec<OsString> =
                    command.iter().cloned().chain(named.into_iter().flatten()).collect();
                proof::in_process(self.limit, &command)
            }
        };
        if let [Check { name, fault: Some(fault), .. }] = &proof.checks[..]
            && name == OPENING
        {
            return Err(BackendError::Unavailable { what: identity.name, reason: fault.clone() });
        }
        self.keep(&identity, &proof);
        Ok(Proven { device: identity.name, proof, was_kept: false })
    }

    /// All checks on a device, in this very thread and for as long as they take.
    pub fn checks(&self, wanted: Option<&str>) -> Vec<Check> {
        match self.opened(wanted) {
            Ok(gpu) => pollster::block_on(checks::run(&ways(&gpu), &self.extent)),
            Err(error) => {
                let fault = Some(error.to_string());
                vec![Check { name: OPENING.into(), fault, detail: String::new(), seconds: 0.0 }]
            }
        }
    }

    fn opened(&self, wanted: Option<&str>) -> Result<Rc<dyn Gpu>, BackendError> {
        let gpu = self.devices.open(wanted)?;
        let free = gpu.free_memory();
        if free < NEEDED {
            let reason = format!("{free} bytes of its memory are free, {NEEDED} are needed to try it out");
            return Err(BackendError::Unavailable { what: gpu.info().name.clone(), reason });
        }
        Ok(gpu)
    }

    fn find(&self, identity: &Identity) -> Option<Proof> {
        let parts = parts(identity);
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        serde_json::from_slice(&self.cache.read(KEPT, &parts)?).ok()
    }

    fn keep(&self, identity: &Identity, proof: &Proof) {
        let parts = parts(identity);
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        if let Ok(json) = serde_json::to_vec(proof)
            && let Err(error) = self.cache.write(KEPT, &parts, &json)
        {
            log::warn!("what the self-test found cannot be kept: {error}");
        }
    }
}

/// In place of the checks, when there could be none: a device that was opened before may be full or gone for a while.
const OPENING: &str = "opening the device";

/// All that what a device computes depends on.
fn parts(identity: &Identity) -> Vec<String> {
    let mut parts = identity.parts.clone();
    parts.extend([kernels::hash(), env!("CARGO_PKG_VERSION").to_owned(), program()]);
    parts
}

/// Which build of a version this is: size and time of the program's file.
fn program() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let Ok(file) = file else { return String::new() };
    let time = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", file.len(), time.unwrap_or_default().as_nanos())
}

/// How backends on CUDA multiply: with activations as they are or rounded, by own kernels or by cuBLASLt where it is.
fn ways(gpu: &Rc<dyn Gpu>) -> Vec<Way<'_>> {
    let way = |arithmetic, numbers: &str, gemm, who: &str| Way {
        name: format!("{numbers} activations, {who}"),
        is_exact: arithmetic == Arithmetic::Exact,
        open: Box::new(move || -> Result<Box<dyn Backend>, BackendError> {
            let options = CudaOptions { arithmetic, gemm, ..CudaOptions::default() };
            Ok(Box::new(CudaBackend::on(Rc::clone(gpu), &options)))
        }),
    };
    let own = (Gemm::Own, "own kernels".to_owned());
    let library = gpu.product_library().ok().map(|name| (Gemm::Library, format!("products by {name}")));
    let pairs = [own].into_iter().chain(library);
    let both = |(gemm, who): (Gemm, String)| {
        [way(Arithmetic::Exact, "f32", gemm, &who), way(Arithmetic::Fast, "bf16", gemm, &who)]
    };
    pairs.flat_map(both).collect()
}

/// Opens the device that was asked for, whatever the self-test says of it; that is told.
pub(super) fn open_asked(choice: &BackendChoice, cuda: &Cuda) -> Result<Opened, BackendError> {
    // First, since a device may be one that only one process can have.
    let fault = match cuda.prove(choice.device.as_deref()) {
        Ok(proven) => proven.fault(),
        Err(error) => Some(format!("it could not be tried out: {error}")),
    };
    let mut opened = open(choice, cuda)?;
    if let Some(fault) = fault {
        log::warn!("CUDA was asked for and is used, but {fault}");
        opened.reason = format!("{} But {fault}.", opened.reason);
    }
    Ok(opened)
}

/// Opens a device that nobody asked for: only one that passed the self-test.
///
/// # Errors
/// Why it is not used, in a sentence without its end.
pub(super) fn open_proven(choice: &BackendChoice, cuda: &Cuda) -> Result<Opened, String> {
    let proven = cuda.prove(choice.device.as_deref()).map_err(short)?;
    if let Some(fault) = proven.fault() {
        return Err(fault);
    }
    let mut opened = open(choice, cuda).map_err(short)?;
    let when = if proven.was_kept { "passed there before" } else { "passed there just now" };
    opened.reason = format!("{} Its self-test {when}.", opened.reason);
    Ok(opened)
}

fn open(choice: &BackendChoice, cuda: &Cuda) -> Result<Opened, BackendError> {
    let arithmetic = match choice.arithmetic {
        CpuArithmetic::Fast => Arithmetic::Fast,
        CpuArithmetic::Exact => Arithmetic::Exact,
    };
    let options = CudaOptions { arithmetic, gemm: Gemm::of_environment()?, ..CudaOptions::default() };
    let backend = CudaBackend::with(cuda.devices.open(choice.device.as_deref())?, &options)?;
    let reason = format!("{} is an NVIDIA GPU that CUDA can use.", backend.device().name);
    Ok(Opened { backend: Box::new(backend), reason, presets: None, destroy: None, sibling: None })
}

/// An error in one line: what would help stands behind a semicolon, and `doctor` has room for that.
fn short(error: BackendError) -> String {
    match error {
        BackendError::Unavailable { what, reason } => {
            let first = reason.split("; ").next().unwrap_or_default();
            let first = first.split(", nor in ").next().unwrap_or_default();
            if what == "CUDA" { first.to_owned() } else { format!("{what} is not available: {first}") }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_in_one_line() {
        let unavailable =
            |what: &str, reason: &str| BackendError::Unavailable { what: what.into(), reason: reason.into() };
        assert_eq!(
            short(unavailable("CUDA", "the driver supports CUDA 11.8 only; install another")),
            "the driver supports CUDA 11.8 only"
        );
        let compiler =
            short(unavailable("the CUDA compiler", "NVRTC is not there, nor in /a, /b; pip install it"));
        assert_eq!(compiler, "the CUDA compiler is not available: NVRTC is not there");
        let full = short(BackendError::DeviceLost { reason: "gone".into() });
        assert_eq!(full, "the device was lost: gone");
    }
}
