//! Which device runs the model.

use monolens_graph::{Backend, BackendError};
use std::fmt;
use std::str::FromStr;

/// The backend asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendName {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// Plain Rust.
    Cpu,
    /// WGSL on a GPU; a software device only if `device` names it.
    Wgpu,
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
        })
    }
}

impl FromStr for BackendName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Auto, Self::Cpu, Self::Wgpu]
            .into_iter()
            .find(|known| known.to_string() == name)
            .ok_or_else(|| format!("backend: expected auto, cpu or wgpu, got {name}"))
    }
}

/// How the CPU multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CpuArithmetic {
    /// As fast as the instruction set allows.
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
    /// Part of an adapter's name, or its number in the list of adapters (wgpu). A software device must be asked for.
    pub device: Option<String>,
    /// Capability tier (wgpu), at most that of the device.
    pub tier: Option<String>,
    /// Threads (CPU); one a core if none.
    pub threads: Option<usize>,
    /// Arithmetic (CPU).
    pub arithmetic: CpuArithmetic,
}

impl BackendChoice {
    /// The CPU, with reference arithmetic.
    pub fn exact_cpu() -> Self {
        Self { backend: BackendName::Cpu, arithmetic: CpuArithmetic::Exact, ..Self::default() }
    }
}

/// A backend and why it is this one.
pub struct Opened {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// A sentence for the user.
    pub reason: String,
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
    match choice.backend {
        BackendName::Cpu => open_cpu(choice, "the CPU, as asked".into()),
        BackendName::Wgpu => open_wgpu(choice).await,
        BackendName::Auto if choice.device.is_some() => open_wgpu(choice).await,
        BackendName::Auto => match open_wgpu(choice).await {
            Ok(opened) => Ok(opened),
            Err(error) => open_cpu(choice, format!("the CPU, because {error}")),
        },
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
    Ok(Opened { backend: Box::new(backend), reason })
}

#[cfg(not(feature = "cpu"))]
fn open_cpu(_: &BackendChoice, reason: String) -> Result<Opened, BackendError> {
    Err(unavailable("the CPU backend", format!("this build leaves it out ({reason})")))
}

async fn open_wgpu(_: &BackendChoice) -> Result<Opened, BackendError> {
    Err(unavailable("wgpu", "this build leaves it out".into()))
}

fn unavailable(what: &str, reason: String) -> BackendError {
    BackendError::Unavailable { what: what.into(), reason }
}
