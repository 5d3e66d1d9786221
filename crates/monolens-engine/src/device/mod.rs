//! Which device runs the model.

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "no_cuda.rs"]
mod cuda;

use cuda::Cuda;
use monolens_graph::{Backend, BackendError};
use std::fmt;
use std::str::FromStr;

#[cfg(feature = "wgpu")]
pub use monolens_wgpu::{AdapterReport, adapters};

#[cfg(feature = "cuda")]
pub use monolens_cuda::driver::{Report as CudaReport, report as cuda_report};

/// The backend asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendName {
    /// CUDA on an NVIDIA GPU that passed its self-test, else another real GPU by wgpu, else the CPU.
    #[default]
    Auto,
    /// Plain Rust.
    Cpu,
    /// WGSL on a GPU; a software device only if `device` names it.
    Wgpu,
    /// CUDA on an NVIDIA GPU.
    Cuda,
}

impl BackendName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Cpu, Self::Wgpu, Self::Cuda];
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for BackendName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|known| known.to_string() == name)
            .ok_or_else(|| format!("backend: expected auto, cpu, wgpu or cuda, got {name}"))
    }
}

/// How the CPU and CUDA multiply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CpuArithmetic {
    /// As fast as the instruction set or the tensor cores allow.
    #[default]
    Fast,
    /// f32 activations throughout: the reference.
    Exact,
}

/// A choice of backend and device. The default takes the best there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendChoice {
    /// The backend.
    pub backend: BackendName,
    /// Part of a device's name, or its number in its backend's list (wgpu's unless CUDA is asked for). A software device
    /// must be asked for.
    pub device: Option<String>,
    /// Capability tier (wgpu), at most that of the device.
    pub tier: Option<String>,
    /// Whether a software device may be taken without being named (wgpu).
    pub allow_software: bool,
    /// Threads (CPU); one a core if none.
    pub threads: Option<usize>,
    /// Arithmetic (CPU, CUDA).
    pub arithmetic: CpuArithmetic,
    /// Whether what `monolens tune` found is passed over (wgpu).
    pub no_tuning: bool,
    /// Where a device's self-test runs (CUDA).
    #[cfg(feature = "selftest")]
    pub self_test: crate::selftest::proof::Place,
}

impl BackendChoice {
    /// The CPU, with reference arithmetic.
    pub fn exact_cpu() -> Self {
        Self { backend: BackendName::Cpu, arithmetic: CpuArithmetic::Exact, ..Self::default() }
    }
}

/// Which presets the kernels of a wgpu device take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presets {
    /// A sentence for the user: where they come from.
    pub reason: String,
    /// Those that were found for this device, a line for each kind of projection.
    pub found: Vec<String>,
}

/// A backend and why it is this one.
pub struct Opened {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// A sentence for the user.
    pub reason: String,
    /// Which presets its kernels take; none where there is nothing to choose.
    pub presets: Option<Presets>,
    /// Destroys the device, as a driver reset would; none where nothing can be lost.
    pub destroy: Option<Box<dyn Fn()>>,
    /// Makes further backends on the same device, with the kernels that are compiled already; none where there is nothing
    /// to share.
    pub sibling: Option<Box<dyn Fn() -> Box<dyn Backend>>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("device", self.backend.device()).field("reason", &self.reason).finish()
    }
}

/// Opens the backend of a choice.
///
/// # Errors
/// [`BackendError::Unavailable`] with what would help, when what was asked for is not on this machine.
pub async fn open_backend(choice: &BackendChoice) -> Result<Opened, BackendError> {
    #[cfg(feature = "cuda")]
    let cuda = Cuda::of_machine(choice.self_test.clone());
    #[cfg(not(feature = "cuda"))]
    let cuda = Cuda;
    open_with(choice, &cuda).await
}

/// The same where CUDA has other devices than the driver's, as in tests.
///
/// # Errors
/// As [`open_backend`].
#[cfg(feature = "cuda")]
pub async fn open_backend_with(choice: &BackendChoice, cuda: &Cuda) -> Result<Opened, BackendError> {
    open_with(choice, cuda).await
}

async fn open_with(choice: &BackendChoice, cuda: &Cuda) -> Result<Opened, BackendError> {
    match choice.backend {
        BackendName::Cpu if choice.device.is_some() => Err(unavailable(
            "a device of the CPU backend",
            "there is only the CPU; --device is for wgpu and cuda".into(),
        )),
        BackendName::Cpu if choice.tier.is_some() => {
            Err(unavailable("a tier of the CPU backend", "--tier is for wgpu".into()))
        }
        BackendName::Cpu => open_cpu(choice, "The CPU was asked for.".into()),
        BackendName::Cuda if choice.tier.is_some() => {
            Err(unavailable("a tier of the CUDA backend", "--tier is for wgpu".into()))
        }
        BackendName::Cuda => cuda::open_asked(choice, cuda),
        BackendName::Wgpu => open_wgpu(choice).await,
        BackendName::Auto => open_best(choice, cuda).await,
    }
}

/// CUDA where a device passed its self-test, since a wrong answer is worse than a slow one; else a GPU by wgpu; else the CPU,
/// if no GPU was asked for.
async fn open_best(choice: &BackendChoice, cuda: &Cuda) -> Result<Opened, BackendError> {
    let number = choice.device.as_deref().is_some_and(|device| device.parse::<usize>().is_ok());
    let proven = match (&choice.tier, number) {
        (Some(_), _) => Err("tiers are wgpu's".into()),
        (None, true) => Err("numbers are wgpu's unless --backend says cuda".into()),
        (None, false) => cuda::open_proven(choice, cuda),
    };
    let why = match proven {
        Ok(opened) => return Ok(opened),
        // A build without CUDA, as in browsers, has nobody who asks for it.
        Err(_) if !cfg!(feature = "cuda") => String::new(),
        Err(why) => format!(" CUDA is not used: {why}."),
    };
    match open_wgpu(choice).await {
        Ok(opened) => Ok(Opened { reason: opened.reason + &why, ..opened }),
        Err(error) if choice.device.is_some() || choice.tier.is_some() => Err(error),
        Err(error) => open_cpu(choice, format!("The CPU, because {error}.{why}")),
    }
}

#[cfg(feature = "cpu")]
fn open_cpu(choice: &BackendChoice, reason: String) -> Result<Opened, BackendError> {
    use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
    let arithmetic = match choice.arithmetic {
        CpuArithmetic::Fast => Arithmetic::Fast,
        CpuArithmetic::Exact => Arithmetic::Exact,
    };
    let backend = CpuBackend::new(CpuOptions { threads: choice.threads, arithmetic })?;
    Ok(Opened { backend: Box::new(backend), reason, presets: None, destroy: None, sibling: None })
}

#[cfg(not(feature = "cpu"))]
fn open_cpu(_: &BackendChoice, reason: String) -> Result<Opened, BackendError> {
    Err(unavailable("the CPU backend", format!("this build is without it ({reason})")))
}

#[cfg(feature = "wgpu")]
async fn open_wgpu(choice: &BackendChoice) -> Result<Opened, BackendError> {
    let (mut backend, reason) = open_wgpu_backend(choice).await?;
    let presets = tune(&mut backend, choice.no_tuning);
    let (destroy, sibling) = (backend.destroyer(), backend.sibling());
    Ok(Opened {
        backend: Box::new(backend),
        reason,
        presets,
        destroy: Some(Box::new(destroy)),
        sibling: Some(Box::new(move || Box::new(sibling()))),
    })
}

/// Lets a backend take what was found for its device.
#[cfg(all(feature = "wgpu", not(target_arch = "wasm32")))]
fn tune(backend: &mut monolens_wgpu::WgpuBackend, not: bool) -> Option<Presets> {
    if not {
        return Some(Presets { reason: "Defaults: --no-tuning.".into(), found: Vec::new() });
    }
    let Some(tuning) = crate::tuning::remembered(backend.device()) else {
        let reason =
            "Defaults: `monolens tune` has found nothing yet for this device, driver, tier and version.";
        return Some(Presets { reason: reason.into(), found: Vec::new() });
    };
    let found: Vec<String> = tuning.to_text().lines().map(str::to_owned).collect();
    backend.set_tuning(tuning);
    let reason =
        format!("As `monolens tune` found on this device, for {} kinds of projections.", found.len());
    Some(Presets { reason, found })
}

/// In a browser there is no tuner: defaults.
#[cfg(all(feature = "wgpu", target_arch = "wasm32"))]
fn tune(_: &mut monolens_wgpu::WgpuBackend, _: bool) -> Option<Presets> {
    None
}

/// The wgpu backend of a choice and why it is this one.
#[cfg(feature = "wgpu")]
pub(crate) async fn open_wgpu_backend(
    choice: &BackendChoice,
) -> Result<(monolens_wgpu::WgpuBackend, String), BackendError> {
    use monolens_wgpu::{Tier, WgpuBackend, WgpuOptions};
    let tier = match &choice.tier {
        None => None,
        Some(name) => Some(Tier::from_name(name).ok_or_else(|| {
            let known = Tier::ALL.map(Tier::name).join(", ");
            unavailable(&format!("tier {name}"), format!("there are {known}"))
        })?),
    };
    let adapter = choice.device.clone();
    let options =
        WgpuOptions { adapter, tier, allow_software: choice.allow_software, ..WgpuOptions::default() };
    let backend = WgpuBackend::open(options).await?;
    let device = backend.device();
    let what = if device.is_gpu { "a GPU" } else { "a software device" };
    // Browsers may not tell a name.
    let name = if device.name.is_empty() { "It" } else { &device.name };
    let reason = match &choice.device {
        Some(asked) => format!("{name} is {what} and fits \"{asked}\", which was asked for."),
        None => format!("{name} is {what}, the best one here."),
    };
    Ok((backend, reason))
}

#[cfg(not(feature = "wgpu"))]
async fn open_wgpu(_: &BackendChoice) -> Result<Opened, BackendError> {
    Err(unavailable("wgpu", "this build is without it".into()))
}

fn unavailable(what: &str, reason: String) -> BackendError {
    BackendError::Unavailable { what: what.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_found_by_name() {
        for name in BackendName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("cuda9".parse::<BackendName>().unwrap_err().contains("auto, cpu, wgpu or cuda"));
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn the_choice_is_explained() {
        let opened = pollster::block_on(open_backend(&BackendChoice::exact_cpu())).unwrap();
        assert_eq!(opened.reason, "The CPU was asked for.");
        assert!(!opened.backend.device().is_gpu);
        let odd = BackendChoice { device: Some("no such device".into()), ..BackendChoice::exact_cpu() };
        assert!(pollster::block_on(open_backend(&odd)).is_err());
        let tier = BackendChoice { tier: Some("half".into()), ..BackendChoice::exact_cpu() };
        assert!(pollster::block_on(open_backend(&tier)).unwrap_err().to_string().contains("for wgpu"));
    }

    #[test]
    fn a_device_that_is_not_there_is_no_reason_to_take_another() {
        let choice = BackendChoice { device: Some("no such device".into()), ..BackendChoice::default() };
        assert!(matches!(pollster::block_on(open_backend(&choice)), Err(BackendError::Unavailable { .. })));
    }

    #[test]
    fn cuda_is_opened_or_says_what_is_missing() {
        let choice = BackendChoice { backend: BackendName::Cuda, ..BackendChoice::default() };
        match pollster::block_on(open_backend(&choice)) {
            Ok(opened) => assert!(opened.backend.device().is_gpu),
            Err(error) => assert!(error.to_string().contains("CUDA"), "{error}"),
        }
        let with_tier = BackendChoice { tier: Some("half".into()), ..choice };
        assert!(pollster::block_on(open_backend(&with_tier)).is_err());
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn unknown_tiers_are_refused_with_those_that_are_known() {
        let choice = BackendChoice { tier: Some("turbo".into()), ..BackendChoice::default() };
        let error = pollster::block_on(open_backend(&choice)).unwrap_err().to_string();
        assert!(error.contains("baseline, half, subgroups"), "{error}");
    }
}
