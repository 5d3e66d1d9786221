//! The CUDA driver as a [`Gpu`]: loaded when it is asked for, with kernels compiled by NVRTC and cached on disk.

mod compiler;
mod cublaslt;
mod cuda;
mod library;

pub use compiler::{Compiler, find_compiler};
pub use cublaslt::find_cublaslt;
pub use cuda::CudaGpu;

use crate::gpu::Gpu;
use cudarc::driver::{DriverError, result, sys};
use monolens_graph::BackendError;
use std::rc::Rc;

/// The least compute capability: bf16 tensor cores and asynchronous copies.
pub const LEAST_CAPABILITY: (u32, u32) = (8, 0);

/// A device that the driver knows.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Bytes of memory.
    pub memory: u64,
    /// Which one of its kind it is, as `nvidia-smi` writes it.
    pub uuid: String,
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
}

/// A device that [`open`] would open, and all that what it computes depends on besides this program.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The device's name.
    pub name: String,
    /// Device, driver, compiler, library of products.
    pub parts: Vec<String>,
}

/// What is there of CUDA, and what is missing.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The CUDA version that the driver supports, `12.4`.
    pub driver: Option<String>,
    /// The version of the compiler.
    pub compiler: Option<String>,
    /// The version of the library of matrix products, which may be missing: then there are this crate's own kernels.
    pub products: Option<String>,
    /// All devices.
    pub devices: Vec<DeviceReport>,
    /// What is missing, and how to get it.
    pub missing: Vec<(String, String)>,
}

/// Looks for driver, devices and compiler; opens nothing.
pub fn report() -> Report {
    let mut report = Report::default();
    match start() {
        Ok(version) => report.driver = Some(version),
        Err((problem, remedy)) => {
            report.missing.push((problem, remedy));
            return report;
        }
    }
    match devices() {
        Ok(devices) => report.devices = devices,
        Err(error) => report
            .missing
            .push((format!("the driver lists no devices: {}", text(error)), ADVICE_DRIVER.into())),
    }
    match find_compiler() {
        Ok(compiler) => {
            let driver = report.driver.as_deref().unwrap_or_default();
            let problem = too_new(driver, "the compiler", compiler.version());
            report.missing.extend(problem.map(|p| (p, ADVICE_COMPILER.into())));
            report.compiler = Some(compiler.version().to_owned());
        }
        Err(reason) => report.missing.push((reason, ADVICE_COMPILER.into())),
    }
    let driver = report.driver.as_deref().unwrap_or_default();
    match find_cublaslt() {
        Ok(version) => match too_new(driver, "cuBLASLt", &version) {
            Some(problem) => {
                report.missing.push((format!("{problem}; {WITHOUT_CUBLASLT}"), ADVICE_CUBLASLT.into()))
            }
            None => report.products = Some(version),
        },
        Err(reason) => {
            report.missing.push((format!("{reason}; {WITHOUT_CUBLASLT}"), ADVICE_CUBLASLT.into()));
        }
    }
    report
}

const ADVICE_DRIVER: &str = "install NVIDIA's driver, 525 or newer (nvidia-smi shows it), then restart";
const ADVICE_COMPILER: &str = "install the CUDA toolkit, or: pip install nvidia-cuda-nvrtc-cu12 (nvidia-cuda-nvrtc for \
     drivers of CUDA 13); MONOLENS_NVRTC can name the folder with libnvrtc.so";

const WITHOUT_CUBLASLT: &str = "Monolens' own kernels do its work";
const ADVICE_CUBLASLT: &str = "if prompts are to be faster: the CUDA toolkit, or pip install nvidia-cublas-cu12 \
     (nvidia-cublas for drivers of CUDA 13); MONOLENS_CUBLASLT can name the folder with libcublasLt.so";

/// What a device needs to be opened.
struct Ready {
    driver: String,
    device: DeviceReport,
    compiler: Compiler,
}

fn ready(wanted: Option<&str>) -> Result<Ready, BackendError> {
    let unavailable = |what: &str, reason: String| BackendError::Unavailable { what: what.into(), reason };
    let driver = start().map_err(|(problem, remedy)| unavailable("CUDA", format!("{problem}; {remedy}")))?;
    let all = devices().map_err(|e| unavailable("CUDA", text(e)))?;
    let device = choose(&all, wanted)?.clone();
    let no_compiler =
        |reason: String| unavailable("the CUDA compiler", format!("{reason}; {ADVICE_COMPILER}"));
    let compiler = find_compiler().map_err(no_compiler)?;
    match too_new(&driver, "the compiler", compiler.version()) {
        Some(problem) => Err(no_compiler(problem)),
        None => Ok(Ready { driver, device, compiler }),
    }
}

/// Opens a device by its number or part of its name, else the first that can be used.
///
/// # Errors
/// No driver, no such device, one that is too old, or no compiler: each with what would help.
pub fn open(wanted: Option<&str>) -> Result<Rc<dyn Gpu>, BackendError> {
    let Ready { driver, device, compiler } = ready(wanted)?;
    let gpu = CudaGpu::open(&device, &driver, compiler);
    Ok(Rc::new(gpu.map_err(|e| e.explain(&device.name))?))
}

/// The device that [`open`] would open; opens nothing.
///
/// # Errors
/// As [`open`].
pub fn identify(wanted: Option<&str>) -> Result<Identity, BackendError> {
    let Ready { driver, device, compiler } = ready(wanted)?;
    let (major, minor) = device.capability;
    let parts = vec![
        device.name.clone(),
        device.uuid,
        format!("sm_{major}{minor}"),
        driver,
        kernel_driver(),
        compiler.version().to_owned(),
        find_cublaslt().unwrap_or_default(),
    ];
    Ok(Identity { name: device.name, parts })
}

/// The version of the driver's part in the kernel, finer than that of CUDA (Linux).
fn kernel_driver() -> String {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The device that was asked for by its number or part of its name, else the first that can be used.
fn choose<'a>(all: &'a [DeviceReport], wanted: Option<&str>) -> Result<&'a DeviceReport, BackendError> {
    let numbered = |wanted: &str| all.iter().find(|d| wanted.parse() == Ok(d.index));
    let named = |wanted: &str| all.iter().find(|d| d.name.to_lowercase().contains(&wanted.to_lowercase()));
    let found = match wanted {
        None => all.iter().find(|d| d.unusable.is_none()),
        // First by number: that of one may be part of another's name.
        Some(wanted) => numbered(wanted).or_else(|| named(wanted)),
    };
    let Some(device) = found else {
        let known: Vec<String> = all.iter().map(describe).collect();
        let reason = if known.is_empty() { "the driver lists none".into() } else { known.join("; ") };
        let what = wanted.map_or("a CUDA device".into(), |w| format!("a CUDA device {w}"));
        return Err(BackendError::Unavailable { what, reason });
    };
    match &device.unusable {
        None => Ok(device),
        Some(reason) => Err(BackendError::Limit {
            what: format!("compute capability of {}", device.name),
            needed: reason.clone(),
            limit: format!("{}.{}", device.capability.0, device.capability.1),
        }),
    }
}

fn describe(device: &DeviceReport) -> String {
    let usable = device.unusable.as_ref().map_or(String::new(), |why| format!(" (needs {why})"));
    format!(
        "[{}] {}, compute capability {}.{}{usable}",
        device.index, device.name, device.capability.0, device.capability.1
    )
}

/// Loads and starts the driver; gives the CUDA version it supports, or what is missing and how to get it.
fn start() -> Result<String, (String, String)> {
    let missing = |problem: String| (problem, ADVICE_DRIVER.to_owned());
    // cudarc panics where the library is absent.
    // SAFETY: loading the driver runs its initialisers, which is what it is for.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing("NVIDIA's driver library (libcuda) is not there".into()));
    }
    result::init().map_err(|e| missing(format!("the driver does not start: {}", text(e))))?;
    let mut version = 0;
    // SAFETY: the pointer is valid for the call.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(|e| missing(text(e)))?;
    new_enough(version).map_err(missing)
}

/// The version of a driver, or what is wrong with one that is too old.
fn new_enough(version: i32) -> Result<String, String> {
    if version < 12_000 {
        return Err(format!("the driver supports CUDA {} only, 12.0 is needed", version_text(version)));
    }
    Ok(version_text(version))
}

/// What is wrong with a library of a later generation than the driver: its code would not load.
fn too_new(driver: &str, what: &str, version: &str) -> Option<String> {
    let generation = |version: &str| version.split('.').next().and_then(|n| n.parse::<u32>().ok());
    let newer = generation(version) > generation(driver);
    newer.then(|| format!("the driver supports CUDA {driver}, {what} is of CUDA {version}"))
}

fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn devices() -> Result<Vec<DeviceReport>, DriverError> {
    let count = result::device::get_count()?;
    (0..count).map(device).collect()
}

fn device(index: i32) -> Result<DeviceReport, DriverError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    };
    let device = result::device::get(index)?;
    // SAFETY: the device was just got from the driver.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    let major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? as u32;
    let minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)? as u32;
    let capability = (major, minor);
    Ok(DeviceReport {
        index: index as usize,
        name: result::device::get_name(device)?,
        capability,
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }? as u64,
        uuid: uuid_text(result::device::get_uuid(device)?.bytes.map(|byte| byte as u8)),
        unusable: lacks(capability),
    })
}

/// As `nvidia-smi` writes it.
fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What a device of this compute capability lacks, if anything.
fn lacks(capability: (u32, u32)) -> Option<String> {
    let old = capability < LEAST_CAPABILITY;
    old.then(|| format!("compute capability {}.{}", LEAST_CAPABILITY.0, LEAST_CAPABILITY.1))
}

/// What the driver says of an error.
fn text(error: DriverError) -> String {
    let name = error.error_name().map(|n| n.to_string_lossy().into_owned());
    let words = error.error_string().map(|n| n.to_string_lossy().into_owned());
    match (name, words) {
        (Ok(name), Ok(words)) => format!("{words} ({name})"),
        _ => format!("error {:?}", error.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_a_later_generation_is_refused() {
        let problem = too_new("12.4", "the compiler", "13.0").unwrap();
        assert_eq!(problem, "the driver supports CUDA 12.4, the compiler is of CUDA 13.0");
        assert_eq!(too_new("13.0", "the compiler", "12.9"), None);
        assert_eq!(too_new("12.2", "cuBLASLt", "12.9"), None, "within a generation newer code loads");
    }

    #[test]
    fn an_old_driver_is_told_with_its_version_and_what_is_needed() {
        assert_eq!(new_enough(12_040), Ok("12.4".into()));
        let problem = new_enough(11_080).unwrap_err();
        assert_eq!(problem, "the driver supports CUDA 11.8 only, 12.0 is needed");
        assert!(ADVICE_DRIVER.contains("525"), "the first driver of CUDA 12.0");
    }

    fn cards() -> [DeviceReport; 2] {
        [("Tesla V100", (7, 0)), ("A100", (8, 0))].map(|(name, capability)| DeviceReport {
            index: usize::from(capability == (8, 0)),
            name: name.into(),
            capability,
            memory: 16 << 30,
            uuid: uuid_text([capability.0 as u8; 16]),
            unusable: lacks(capability),
        })
    }

    #[test]
    fn a_card_of_an_unsupported_capability_is_passed_over_or_told() {
        let cards = cards();
        assert_eq!(choose(&cards, None).unwrap().name, "A100");
        assert_eq!(choose(&cards, Some("1")).unwrap().name, "A100");
        let error = choose(&cards, Some("v100")).unwrap_err();
        assert!(matches!(error, BackendError::Limit { .. }), "{error:?}");
        let told = "compute capability of Tesla V100: the device has 7.0, compute capability 8.0 are needed";
        assert_eq!(error.to_string(), told);
        let none = choose(&cards[..1], None).unwrap_err().to_string();
        assert!(none.contains("Tesla V100, compute capability 7.0 (needs compute capability 8.0)"), "{none}");
    }

    #[test]
    fn a_card_is_known_by_its_uuid() {
        let bytes = std::array::from_fn(|i| (i * 17) as u8);
        assert_eq!(uuid_text(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn a_card_that_is_not_there_is_told_with_those_that_are() {
        let error = choose(&cards(), Some("H100")).unwrap_err().to_string();
        assert!(error.contains("a CUDA device H100 is not available: [0] Tesla V100"), "{error}");
        assert!(choose(&[], None).unwrap_err().to_string().contains("the driver lists none"));
    }

    /// On a machine without a driver: an error that says what to install. With one: a device or its reason.
    #[test]
    fn what_is_missing_is_said_without_a_panic() {
        let report = report();
        assert_eq!(
            identify(None).map_err(|e| e.to_string()).err(),
            open(None).map_err(|e| e.to_string()).err()
        );
        match open(None) {
            Ok(gpu) => assert!(gpu.info().capability >= LEAST_CAPABILITY),
            Err(BackendError::Unavailable { reason, .. }) => {
                assert!(!reason.is_empty());
                if report.driver.is_none() {
                    assert!(reason.contains("install NVIDIA's driver"), "{reason}");
                }
            }
            Err(other) => assert!(matches!(other, BackendError::Limit { .. }), "{other}"),
        }
    }
}
