//! What a device's self-test found.

use crate::args::{BackendArg, DeviceArgs};
use anyhow::{Result, bail};
use monolens_engine::open_backend;
use monolens_engine::selftest::checks::{self, Check, Extent};
use monolens_engine::selftest::proof::Proof;
use monolens_engine::selftest::ways;
use monolens_graph::backend::BackendKind;
use serde::Serialize;
use std::time::Instant;

/// What a device's self-test found.
#[derive(Clone, Debug, Serialize)]
pub struct SelfTest {
    /// The device's name.
    pub device: String,
    /// What went wrong first.
    pub fault: Option<String>,
    /// Whether an earlier run found it.
    pub was_kept: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// All that was tried.
    pub checks: Vec<Check>,
}

impl SelfTest {
    fn new(device: String, proof: Proof, was_kept: bool) -> Self {
        Self { device, fault: proof.fault(), was_kept, seconds: proof.seconds, checks: proof.checks }
    }

    /// For people: headings and texts.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let outcome = self.fault.as_ref().map_or("passed".into(), |fault| format!("FAILED: {fault}"));
        let when = if self.was_kept { "in an earlier run" } else { "now" };
        let mut lines =
            vec![("self-test", format!("{}: {outcome} ({when}, {:.1} s)", self.device, self.seconds))];
        for check in &self.checks {
            let outcome = check.fault.as_ref().map_or(("ok", &check.detail), |fault| ("FAILED", fault));
            lines.push((
                "",
                format!("{:<6} {:>5.1} s  {}: {}", outcome.0, check.seconds, check.name, outcome.1),
            ));
        }
        lines
    }
}

/// Runs the self-test of the device that was asked for; CUDA's where that may be meant and there is one.
///
/// # Errors
/// There is no such device.
pub fn self_test(device: &DeviceArgs) -> Result<SelfTest> {
    if let Some(found) = cuda::prove_anew(device)? {
        return Ok(found);
    }
    let opened = pollster::block_on(open_backend(&device.choice()))?;
    let info = opened.backend.device().clone();
    drop(opened);
    let backend = match info.kind {
        BackendKind::Cpu => BackendArg::Cpu,
        BackendKind::Wgpu => BackendArg::Wgpu,
        BackendKind::Cuda => bail!("CUDA has a self-test of its own"),
    };
    let choice = DeviceArgs { backend, ..device.clone() }.choice();
    let start = Instant::now();
    let checks = pollster::block_on(checks::run(&ways(&choice), &Extent::default()));
    let proof = Proof { checks, broken: None, seconds: start.elapsed().as_secs_f64() };
    Ok(SelfTest::new(info.name, proof, false))
}

pub use cuda::{kept, prove};

#[cfg(feature = "cuda")]
mod cuda {
    use super::{BackendArg, DeviceArgs, Proof, Result, SelfTest};
    use monolens_engine::device::cuda::{Cuda, Proven};
    use std::time::Instant;

    fn cuda(device: &DeviceArgs) -> Cuda {
        Cuda::of_machine(device.choice().self_test)
    }

    fn told(Proven { device, proof, was_kept }: Proven) -> SelfTest {
        SelfTest::new(device, proof, was_kept)
    }

    /// None where CUDA is not asked for and not there.
    pub fn prove_anew(device: &DeviceArgs) -> Result<Option<SelfTest>> {
        let (cuda, wanted) = (cuda(device), device.device.as_deref());
        match device.backend {
            BackendArg::Cuda => Ok(Some(told(cuda.prove_anew(wanted)?))),
            BackendArg::Auto if cuda.devices.identify(wanted).is_ok() => {
                Ok(Some(told(cuda.prove_anew(wanted)?)))
            }
            _ => Ok(None),
        }
    }

    /// What an earlier run found on the CUDA device, where CUDA is asked for or may be taken.
    pub fn kept(device: &DeviceArgs) -> Option<SelfTest> {
        let asked = matches!(device.backend, BackendArg::Auto | BackendArg::Cuda);
        let found = asked.then(|| cuda(device).kept(device.device.as_deref()));
        found?.ok()?.map(told)
    }

    /// Tries out a CUDA device in this very process, for the one that started it.
    pub fn prove(device: &DeviceArgs) -> Proof {
        let start = Instant::now();
        let checks = cuda(device).checks(device.device.as_deref());
        Proof { checks, broken: None, seconds: start.elapsed().as_secs_f64() }
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    use super::{DeviceArgs, Proof, Result, SelfTest};

    /// None: this build is without CUDA.
    pub fn prove_anew(_: &DeviceArgs) -> Result<Option<SelfTest>> {
        Ok(None)
    }

    /// None: this build is without CUDA.
    pub fn kept(_: &DeviceArgs) -> Option<SelfTest> {
        None
    }

    /// This build is without CUDA.
    pub fn prove(_: &DeviceArgs) -> Proof {
        Proof { broken: Some("this build is without CUDA".into()), ..Proof::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_line() {
        let check = |name: &str, fault: Option<&str>| Check {
            name: name.into(),
            fault: fault.map(str::to_owned),
            detail: "31 operators".into(),
            seconds: 1.25,
        };
        let checks = vec![check("operators", None), check("a model", Some("ids differ"))];
        let proof = Proof { checks, broken: None, seconds: 12.34 };
        let lines = SelfTest::new("A card".into(), proof, true).lines();
        let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
        let expected = [
            "A card: FAILED: a model: ids differ (in an earlier run, 12.3 s)",
            "ok       1.2 s  operators: 31 operators",
            "FAILED   1.2 s  a model: ids differ",
        ];
        assert_eq!(texts, expected);
    }
}
