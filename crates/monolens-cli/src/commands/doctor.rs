//! `monolens doctor`: what is there, what will be used and why, what is missing and how to get it.

use crate::args::DeviceArgs;
use crate::bundled;
use crate::exit::Outcome;
use crate::machine::{self, Adapter, Advice, Cpu, Cuda, Drivers, SelfTest};
use anyhow::Result;
use clap::Args;
use monolens_engine::open_backend;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Options of `monolens doctor`.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Hold the device to the CPU and to the official code, whatever was found before (CUDA: before it is used unasked)
    #[arg(long)]
    pub self_test: bool,
    /// Only that, on a CUDA device, as JSON: what another process of this program asks for
    #[arg(long, hide = true)]
    pub prove: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// What was found out.
#[derive(Debug, Serialize)]
struct Findings {
    cpu: Cpu,
    drivers: Drivers,
    adapters: Vec<Adapter>,
    cuda: Cuda,
    self_test: Option<SelfTest>,
    choice: Choice,
    missing: Vec<Advice>,
}

/// Which presets its kernels take.
#[derive(Debug, Serialize)]
struct Presets {
    reason: String,
    found: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Choice {
    Works {
        backend: String,
        name: String,
        tier: String,
        detail: String,
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        presets: Option<Presets>,
    },
    Fails {
        error: String,
    },
}

/// Runs the command.
///
/// It fails, with all that was found, where the device that was asked for cannot be used.
///
/// # Errors
/// When stdout cannot be written to; when there is no device to be tested.
pub fn run(args: &DoctorArgs) -> Result<Outcome> {
    if args.prove {
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&machine::prove(&args.device))?)?;
        return Ok(Outcome::Fine);
    }
    // Before the device is chosen, which may depend on it.
    let asked = args.self_test.then(|| machine::self_test(&args.device)).transpose()?;
    let adapters = machine::adapters();
    let drivers = machine::drivers();
    let cuda = machine::cuda();
    let real = adapters.iter().filter(|a| a.is_usable_gpu()).count() + cuda.usable();
    let choice = match pollster::block_on(open_backend(&args.device.choice())) {
        Ok(opened) => {
            let device = opened.backend.device();
            Choice::Works {
                backend: device.kind.to_string(),
                name: device.name.clone(),
                tier: device.tier.clone(),
                detail: device.detail.clone(),
                reason: opened.reason,
                presets: opened.presets.map(|p| Presets { reason: p.reason, found: p.found }),
            }
        }
        Err(error) => Choice::Fails { error: error.to_string() },
    };
    let fails = matches!(choice, Choice::Fails { .. });
    let failed = fails || asked.as_ref().is_some_and(|found| found.fault.is_some());
    let self_test = asked.or_else(|| machine::kept(&args.device));
    let mut missing = machine::advise(&drivers, real);
    missing.extend(cuda.missing(&drivers));
    let findings = Findings { cpu: machine::cpu(), missing, drivers, adapters, cuda, self_test, choice };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        out.write_all(text(&findings).as_bytes())?;
    }
    Ok(if failed { Outcome::Failed } else { Outcome::Fine })
}

fn text(f: &Findings) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let mut line = |head: &str, text: String| {
        let _ = writeln!(out, "{head:<9} {text}");
    };
    line("monolens", format!("{} on {} {}", env!("CARGO_PKG_VERSION"), f.drivers.system, f.cpu.architecture));
    line("model", format!("{} in this binary", bundled::NAME));
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    line("CPU", format!("{}, {} threads", f.cpu.name, f.cpu.threads));
    let has = |yes: bool| {
        let names: Vec<_> = f.cpu.features.iter().filter(|(_, has)| *has == yes).map(|(n, _)| *n).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    line("", format!("instruction sets: {} (not there: {})", has(true), has(false)));
    line("", format!("memory: {}, {} free", gib(f.cpu.memory), gib(f.cpu.free_memory)));
    if f.adapters.is_empty() {
        line("GPU", "no adapter answers".into());
    }
    for (i, a) in f.adapters.iter().enumerate() {
        let software = if a.is_software { "; software: used only if --device asks for it" } else { "" };
        let head = if i == 0 { "GPU" } else { "" };
        line(head, format!("[{}] {} ({}, {}{software})", a.index, a.name, a.api, a.driver));
        if let Some(why) = &a.unusable {
            line("", format!("    cannot be used: {why}"));
            continue;
        }
        line("", format!("    tiers: {}", a.tiers.join(", ")));
        let units = match a.matrix_units.as_slice() {
            [] => "none that there are kernels for; other kernels are used".into(),
            units => {
                format!("{}; used only by --tier matrix, until they have run on a GPU", units.join(", "))
            }
        };
        line("", format!("    matrix units: {units}"));
        let limits = a.limits.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
        line("", format!("    limits: {}", limits.join(", ")));
    }
    for card in &f.drivers.cards {
        let driver = card.kernel_driver.as_deref().unwrap_or("none");
        line("card", format!("{} (kernel driver: {driver})", card.vendor));
    }
    if f.drivers.system == "linux" {
        let loader = f.drivers.vulkan_loader.as_ref();
        let names: Vec<_> = f.drivers.vulkan_drivers.iter().map(|p| p.display().to_string()).collect();
        line("Vulkan", format!("loader {}", loader.map_or("not found".into(), |p| p.display().to_string())));
        line("", format!("drivers {}", if names.is_empty() { "none".into() } else { names.join(", ") }));
    }
    f.cuda.lines().into_iter().for_each(|(head, text)| line(head, text));
    f.self_test.iter().flat_map(SelfTest::lines).for_each(|(head, text)| line(head, text));
    match &f.choice {
        Choice::Works { backend, name, tier, detail, reason, presets } => {
            line("will use", format!("{backend}: {name} ({tier}, {detail})"));
            line("", format!("because: {reason}"));
            if let Some(Presets { reason, found }) = presets {
                line("presets", reason.clone());
                found.iter().for_each(|one| line("", one.clone()));
            }
        }
        Choice::Fails { error } => line("will use", format!("nothing: {error}")),
    }
    for advice in &f.missing {
        line("missing", advice.problem.clone());
        line("", format!("→ {}", advice.remedy));
    }
    out
}
