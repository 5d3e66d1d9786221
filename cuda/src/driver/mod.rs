//! The CUDA driver as a [`Gpu`]: loaded when it is asked for, with kernels compiled by NVRTC and cached on disk.

mod cache;
mod compiler;
mod cuda;

pub use compiler::{Compiler, find_compiler};
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
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
}

/// What is there of CUDA, and what is missing.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The CUDA version that the driver supports, `12.4`.
    pub driver: Option<String>,
    /// The version of the compiler.
    pub compiler: Option<String>,
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
            report.missing.extend(too_new(driver, compiler.version()).map(|p| (p, ADVICE_COMPILER.into())));
            report.compiler = Some(compiler.version().to_owned());
        }
        Err(reason) => report.missing.push((reason, ADVICE_COMPILER.into())),
    }
    report
}

const ADVICE_DRIVER: &str = "install NVIDIA's driver, 525 or newer (nvidia-smi shows it), then restart";
const ADVICE_COMPILER: &str = "install the CUDA toolkit, or: pip install nvidia-cuda-nvrtc-cu12 (nvidia-cuda-nvrtc for \
     drivers of CUDA 13); MONOLENS_NVRTC can name the folder with libnvrtc.so";

/// Opens a device by its number or part of its name, else the first that can be used.
///
/// # Errors
/// No driver, no such device, one that is too old, or no compiler: each with what would help.
pub fn open(wanted: Option<&str>) -> Result<Rc<dyn Gpu>, BackendError> {
    let unavailable = |what: String, reason: String| BackendError::Unavailable { what, reason };
    let driver =
        start().map_err(|(problem, remedy)| unavailable("CUDA".into(), format!("{problem}; {remedy}")))?;
    let all = devices().map_err(|e| unavailable("CUDA".into(), text(e)))?;
    let fits = |d: &&DeviceReport| match wanted {
        None => d.unusable.is_none(),
        Some(wanted) => {
            wanted.parse() == Ok(d.index) || d.name.to_lowercase().contains(&wanted.to_lowercase())
        }
    };
    let Some(device) = all.iter().find(fits) else {
        let known: Vec<String> = all.iter().map(describe).collect();
        let known = if known.is_empty() { "the driver lists none".into() } else { known.join("; ") };
        let what = wanted.map_or("a CUDA device".into(), |w| format!("a CUDA device {w}"));
        return Err(unavailable(what, known));
    };
    if let Some(reason) = &device.unusable {
        return Err(BackendError::Limit {
            what: format!("compute capability of {}", device.name),
            needed: reason.clone(),
            limit: format!("{}.{}", device.capability.0, device.capability.1),
        });
    }
    let no_compiler =
        |reason: String| unavailable("the CUDA compiler".into(), format!("{reason}; {ADVICE_COMPILER}"));
    let compiler = find_compiler().map_err(no_compiler)?;
    if let Some(problem) = too_new(&driver, compiler.version()) {
        return Err(no_compiler(problem));
    }
    let gpu = CudaGpu::open(device, &driver, compiler);
    Ok(Rc::new(gpu.map_err(|e| e.explain(&device.name))?))
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
    if version < 12_000 {
        return Err(missing(format!(
            "the driver supports CUDA {} only, 12.0 is needed",
            version_text(version)
        )));
    }
    Ok(version_text(version))
}

/// What is wrong with a compiler of a later generation than the driver: its code would not load.
fn too_new(driver: &str, compiler: &str) -> Option<String> {
    let generation = |version: &str| version.split('.').next().and_then(|n| n.parse::<u32>().ok());
    let newer = generation(compiler) > generation(driver);
    newer.then(|| format!("the driver supports CUDA {driver}, the compiler makes code of CUDA {compiler}"))
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
    let old = capability < LEAST_CAPABILITY;
    Ok(DeviceReport {
        index: index as usize,
        name: result::device::get_name(device)?,
        capability,
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }? as u64,
        unusable: old.then(|| format!("compute capability {}.{}", LEAST_CAPABILITY.0, LEAST_CAPABILITY.1)),
    })
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
    fn a_compiler_of_a_later_generation_is_refused() {
        assert!(too_new("12.4", "13.0").is_some());
        assert_eq!(too_new("13.0", "12.9"), None);
        assert_eq!(too_new("12.2", "12.9"), None, "within a generation newer code loads");
    }

    /// On a machine without a driver: an error that says what to install. With one: a device or its reason.
    #[test]
    fn what_is_missing_is_said_without_a_panic() {
        let report = report();
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
