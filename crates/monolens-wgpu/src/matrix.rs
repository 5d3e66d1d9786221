//! What a device's matrix units multiply.

use crate::{Prefill, Tier, Tile};
use monolens_graph::{BackendError, DType, WeightFormat};
use wgpu::CooperativeScalarType as Scalar;

/// A matrix unit that `project_matrix.wgsl` has a kernel for: the factors' type and the side of the squares it multiplies.
/// The sums are f32. WGSL, as naga reads it, has squares of 8 or 16 only: Intel's GPUs, which multiply 8 x 16, are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixUnit {
    /// f32, 8 x 8: as exact as other kernels, and as fast as f16 on Apple's GPUs, which have all three.
    F32x8,
    /// f16, 16 x 16: NVIDIA's and AMD's.
    F16x16,
    /// f16, 8 x 8.
    F16x8,
}

impl MatrixUnit {
    /// All, the one that is preferred first.
    pub const ALL: [MatrixUnit; 3] = [MatrixUnit::F32x8, MatrixUnit::F16x16, MatrixUnit::F16x8];

    /// The shaders' feature.
    pub const fn name(self) -> &'static str {
        match self {
            MatrixUnit::F32x8 => "f32x8",
            MatrixUnit::F16x16 => "f16x16",
            MatrixUnit::F16x8 => "f16x8",
        }
    }

    const fn size(self) -> u32 {
        match self {
            MatrixUnit::F16x16 => 16,
            MatrixUnit::F32x8 | MatrixUnit::F16x8 => 8,
        }
    }

    /// Whether there is a kernel for weights of this format: f16 has no room for all of an f32.
    pub(crate) fn takes(self, format: WeightFormat) -> bool {
        self == MatrixUnit::F32x8 || format != WeightFormat::Plain(DType::F32)
    }

    /// Subgroups of a workgroup: each has 4 x 4 squares of 64 rows x 128 weight rows.
    const fn subgroups(self) -> u32 {
        64 * 128 / (16 * self.size() * self.size())
    }

    /// Bytes of workgroup memory, as `project_matrix.wgsl` declares them, rounded up.
    const fn memory(self) -> u32 {
        let factors = match self {
            MatrixUnit::F32x8 => 192 * 20 * 4 + 64 * 4 * 4,
            MatrixUnit::F16x16 | MatrixUnit::F16x8 => 192 * 40 * 2 + 64 * 8 * 4,
        };
        factors + self.subgroups() * self.size() * self.size() * 4 + 64
    }

    /// Threads of a workgroup on an adapter: never fewer subgroups than there is work for.
    pub(crate) fn threads(self, adapter: &wgpu::Adapter) -> u32 {
        let info = adapter.get_info();
        // wgpu says 4 to 64 of all that Metal drives; Apple's own GPUs have 32.
        let is_apple = info.backend == wgpu::Backend::Metal && info.name.starts_with("Apple");
        self.subgroups() * if is_apple { 32 } else { info.subgroup_max_size }
    }

    /// The units that an adapter has, the preferred one first.
    pub fn of(adapter: &wgpu::Adapter) -> Vec<MatrixUnit> {
        let limits = adapter.limits();
        let configurations = adapter.cooperative_matrix_properties();
        let has = |unit: &MatrixUnit| {
            let factor = if *unit == MatrixUnit::F32x8 { Scalar::F32 } else { Scalar::F16 };
            let threads = unit.threads(adapter);
            configurations.iter().any(|c| {
                [c.m_size, c.n_size, c.k_size] == [unit.size(); 3]
                    && (c.ab_type, c.cr_type) == (factor, Scalar::F32)
            }) && (1..=limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x))
                .contains(&threads)
                && unit.memory() <= limits.max_compute_workgroup_storage_size
        };
        Self::ALL.into_iter().filter(has).collect()
    }

    /// The one that was asked for, or the preferred one.
    ///
    /// # Errors
    /// The adapter has none, or not this one: says which there are.
    pub(crate) fn choose(adapter: &wgpu::Adapter, wanted: Option<Self>) -> Result<Self, BackendError> {
        let units = Self::of(adapter);
        let found = wanted.map_or(units.first(), |w| units.iter().find(|u| **u == w));
        found.copied().ok_or_else(|| BackendError::Limit {
            what: format!("tier {}", Tier::Matrix),
            needed: match wanted {
                Some(unit) => format!("matrix units of {}", unit.name()),
                None => format!("matrix units of {}", Self::ALL.map(Self::name).join(", ")),
            },
            limit: described(&adapter.cooperative_matrix_properties()),
        })
    }
}

/// The configurations of an adapter, in words.
fn described(configurations: &[wgpu::CooperativeMatrixProperties]) -> String {
    let each = |c: &wgpu::CooperativeMatrixProperties| {
        format!("{}x{}x{} {:?} to {:?}", c.m_size, c.n_size, c.k_size, c.ab_type, c.cr_type)
    };
    let all: Vec<_> = configurations.iter().map(each).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

/// Which kernels of a projection a device takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// `project_lanes`, which needs subgroups but no workgroup memory: on adapters that run on a CPU, where barriers
    /// cost most.
    pub lanes: bool,
    /// `project_matrix`, and the threads of its workgroups.
    pub matrix: Option<(MatrixUnit, u32)>,
}

impl Taken {
    /// The ways to do many rows with weights of this format, the default first.
    pub fn prefill(self, format: WeightFormat) -> Vec<Prefill> {
        let matrix = self.matrix.filter(|(unit, _)| unit.takes(format)).map(|_| Prefill::Matrix);
        let lanes = self.lanes.then_some(Prefill::Lanes);
        matrix.into_iter().chain(lanes).chain(Tile::ALL.map(Prefill::Tiles)).collect()
    }
}
