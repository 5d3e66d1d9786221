//! Which adapters there are, and which one is taken.

use crate::{MatrixUnit, Tier};
use monolens_graph::BackendError;

/// What is said where there is no adapter at all.
const NONE: &str = if cfg!(target_arch = "wasm32") {
    "none; this browser has no WebGPU, or no GPU for it"
} else {
    "none; a graphics driver may be missing"
};

/// An adapter as shown to the user.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// Its place in the list: what `WgpuOptions::adapter` takes.
    pub index: usize,
    /// Name, as the driver gives it.
    pub name: String,
    /// Who made it, or the PCI vendor number.
    pub vendor: String,
    /// Driver and its version.
    pub driver: String,
    /// Vulkan, Metal, DirectX 12 or WebGPU.
    pub api: &'static str,
    /// Whether it is rendering in software, on the CPU.
    pub is_software: bool,
    /// The tiers it supports, ascending.
    pub tiers: Vec<Tier>,
    /// What its matrix units multiply, of what there are kernels for.
    pub matrix_units: Vec<MatrixUnit>,
    /// Limits that matter here, by name.
    pub limits: Vec<(&'static str, u64)>,
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
}

impl AdapterReport {
    fn new(index: usize, adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let unusable = usable(adapter).err();
        Self {
            index,
            name: info.name.clone(),
            vendor: vendor(info.vendor),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            api: api(info.backend),
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            tiers: if unusable.is_none() { Tier::supported(adapter) } else { Vec::new() },
            matrix_units: MatrixUnit::of(adapter),
            limits: vec![
                ("storage binding bytes", limits.max_storage_buffer_binding_size),
                ("buffer bytes", limits.max_buffer_size),
                ("storage buffers a stage", u64::from(limits.max_storage_buffers_per_shader_stage)),
                ("workgroup memory bytes", u64::from(limits.max_compute_workgroup_storage_size)),
                ("threads a workgroup", u64::from(limits.max_compute_invocations_per_workgroup)),
                ("smallest subgroup", u64::from(info.subgroup_min_size)),
                ("largest subgroup", u64::from(info.subgroup_max_size)),
            ],
            unusable,
        }
    }
}

/// Every adapter on this machine, also those that cannot be used. None where there is no graphics driver at all.
pub async fn adapters() -> Vec<AdapterReport> {
    let found = enumerate().await;
    found.iter().enumerate().map(|(index, adapter)| AdapterReport::new(index, adapter)).collect()
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    instance.enumerate_adapters(wgpu::Backends::PRIMARY).await
}

/// The adapter that the options ask for: by index or part of its name; else the best real GPU, and a software adapter
/// only if those are allowed.
pub(crate) async fn choose(
    wanted: Option<&str>,
    allow_software: bool,
) -> Result<wgpu::Adapter, BackendError> {
    let found = enumerate().await;
    let unavailable = |what: &str, reason: String| BackendError::Unavailable { what: what.into(), reason };
    let names =
        found.iter().enumerate().map(|(i, a)| described(i, &a.get_info())).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { NONE.into() } else { names };
    if let Some(wanted) = wanted {
        let by_index = wanted.parse::<usize>().ok().and_then(|i| found.get(i));
        let lower = wanted.to_lowercase();
        let by_name = || found.iter().find(|a| a.get_info().name.to_lowercase().contains(&lower));
        let adapter = by_index.or_else(by_name);
        let what = format!("the adapter {wanted:?}");
        let adapter = adapter.ok_or_else(|| unavailable(&what, format!("adapters: {names}")))?;
        usable(adapter).map_err(|reason| unavailable(&what, reason))?;
        return Ok(adapter.clone());
    }
    let mut able: Vec<&wgpu::Adapter> = found.iter().filter(|a| usable(a).is_ok()).collect();
    able.sort_by_key(|a| rank(&a.get_info()));
    let real = |a: &&&wgpu::Adapter| allow_software || a.get_info().device_type != wgpu::DeviceType::Cpu;
    able.iter().find(real).map(|a| (*a).clone()).ok_or_else(|| {
        let hint = if able.is_empty() { "" } else { "; software is used only if it is asked for" };
        unavailable("a GPU", format!("adapters: {names}{hint}"))
    })
}

/// An adapter in a list of them. Browsers may give no name.
fn described(index: usize, info: &wgpu::AdapterInfo) -> String {
    let name = if info.name.is_empty() { "without a name" } else { &info.name };
    let software = if info.device_type == wgpu::DeviceType::Cpu { ", software" } else { "" };
    format!("{index}: {name} ({}{software})", api(info.backend))
}

/// Why an adapter cannot be used, as an error.
fn usable(adapter: &wgpu::Adapter) -> Result<(), String> {
    let flags = adapter.get_downlevel_capabilities().flags;
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Err("it has no compute shaders".into());
    }
    Tier::Baseline.check(adapter.features(), &adapter.limits()).map_err(|e| e.to_string())
}

/// Lower is better.
fn rank(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let device = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let api = match info.backend {
        wgpu::Backend::Vulkan | wgpu::Backend::Metal | wgpu::Backend::BrowserWebGpu => 0,
        wgpu::Backend::Dx12 => 1,
        _ => 2,
    };
    (device, api)
}

pub(crate) fn api(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "Vulkan",
        wgpu::Backend::Metal => "Metal",
        wgpu::Backend::Dx12 => "DirectX 12",
        wgpu::Backend::Gl => "OpenGL",
        wgpu::Backend::BrowserWebGpu => "WebGPU",
        wgpu::Backend::Noop => "none",
    }
}

fn vendor(id: u32) -> String {
    match id {
        0x1002 => "AMD".into(),
        0x106b => "Apple".into(),
        0x10de => "NVIDIA".into(),
        0x13b5 => "Arm".into(),
        0x1414 => "Microsoft".into(),
        0x5143 => "Qualcomm".into(),
        0x8086 => "Intel".into(),
        0x10005 => "Mesa".into(),
        0 => "unknown".into(),
        other => format!("{other:#06x}"),
    }
}
