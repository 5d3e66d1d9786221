//! The graphics adapters that the engine can see.

use serde::Serialize;

/// An adapter.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Its number, as `--device` takes it.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub vendor: String,
    /// Driver and version.
    pub driver: String,
    /// Vulkan, Metal, DirectX 12..
    pub api: String,
    /// Whether it renders on the CPU.
    pub is_software: bool,
    /// Capability tiers, ascending.
    pub tiers: Vec<String>,
    /// What its matrix units multiply, of what there are kernels for.
    pub matrix_units: Vec<String>,
    /// Limits by name.
    pub limits: Vec<(String, u64)>,
    /// Why it cannot be used, if it cannot.
    pub unusable: Option<String>,
}

impl Adapter {
    /// Whether it is a GPU that the engine takes by itself.
    pub fn is_usable_gpu(&self) -> bool {
        !self.is_software && self.unusable.is_none()
    }
}

/// All adapters of this machine.
#[cfg(feature = "wgpu")]
pub fn adapters() -> Vec<Adapter> {
    let found = pollster::block_on(monolens_engine::device::adapters());
    found
        .into_iter()
        .map(|a| Adapter {
            index: a.index,
            name: a.name,
            vendor: a.vendor,
            driver: a.driver,
            api: a.api.to_owned(),
            is_software: a.is_software,
            tiers: a.tiers.iter().map(|t| t.name().to_owned()).collect(),
            matrix_units: a.matrix_units.iter().map(|unit| unit.name().to_owned()).collect(),
            limits: a.limits.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            unusable: a.unusable,
        })
        .collect()
}

/// All adapters of this machine: none, since this build is without wgpu.
#[cfg(not(feature = "wgpu"))]
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}
