//! What a device can do, as an ordered enum.

use crate::MatrixUnit;
use monolens_graph::BackendError;
use std::fmt;

/// Capability tiers, each with all of the one before. Kernels of a tier may use what it names, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// WebGPU's default limits: 128 MiB bindings, 8 storage buffers, 16 KiB of workgroup memory.
    Baseline,
    /// 16-bit floats in shaders, and bindings as large as the adapter has them.
    Half,
    /// Subgroup operations.
    Subgroups,
    /// Cooperative matrices of a kind in [`crate::MatrixUnit`].
    Matrix,
}

impl Tier {
    /// All tiers, in ascending order.
    pub const ALL: [Tier; 4] = [Tier::Baseline, Tier::Half, Tier::Subgroups, Tier::Matrix];

    /// The name used in options.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Baseline => "baseline",
            Tier::Half => "half",
            Tier::Subgroups => "subgroups",
            Tier::Matrix => "matrix",
        }
    }

    /// The tier of a name.
    pub fn from_name(name: &str) -> Option<Tier> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// The features a device of this tier is opened with.
    pub fn features(self) -> wgpu::Features {
        let mut features = wgpu::Features::empty();
        if self >= Tier::Half {
            features |= wgpu::Features::SHADER_F16;
        }
        if self >= Tier::Subgroups {
            features |= wgpu::Features::SUBGROUP;
        }
        if self >= Tier::Matrix {
            features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        }
        features
    }

    /// The limits a device of this tier is opened with, on an adapter with limits `of`.
    pub fn limits(self, of: &wgpu::Limits) -> wgpu::Limits {
        let mut limits = wgpu::Limits::default();
        if self >= Tier::Half {
            // Kernels count elements with 32 bits.
            let most = u64::from(u32::MAX - 3);
            limits.max_buffer_size = of.max_buffer_size.min(most).max(limits.max_buffer_size);
            limits.max_storage_buffer_binding_size =
                of.max_storage_buffer_binding_size.min(most).max(limits.max_storage_buffer_binding_size);
        }
        if self >= Tier::Subgroups {
            // The kernels take any size; asking for the range the adapter has keeps it as it is.
            limits.max_compute_workgroup_storage_size =
                of.max_compute_workgroup_storage_size.max(limits.max_compute_workgroup_storage_size);
        }
        if self >= Tier::Matrix {
            // Eight subgroups of any size.
            limits.max_compute_invocations_per_workgroup =
                of.max_compute_invocations_per_workgroup.max(limits.max_compute_invocations_per_workgroup);
            limits.max_compute_workgroup_size_x =
                of.max_compute_workgroup_size_x.max(limits.max_compute_workgroup_size_x);
        }
        limits
    }

    /// What an adapter lacks for this tier, if anything.
    ///
    /// # Errors
    /// Names the feature or limit, what is needed and what the adapter has.
    pub fn check(self, features: wgpu::Features, limits: &wgpu::Limits) -> Result<(), BackendError> {
        let missing = self.features() - features;
        if !missing.is_empty() {
            let names = missing.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
            return Err(BackendError::Limit {
                what: format!("tier {self}"),
                needed: names,
                limit: "no such feature".into(),
            });
        }
        let mut short = None;
        self.limits(limits).check_limits_with_fail_fn(limits, true, |name, needed, has| {
            short.get_or_insert_with(|| BackendError::Limit {
                what: format!("tier {self}: {name}"),
                needed: needed.to_string(),
                limit: has.to_string(),
            });
        });
        short.map_or(Ok(()), Err)
    }

    /// The tiers an adapter has, by its features and limits; [`Tier::Matrix`] needs one of the units of
    /// [`crate::MatrixUnit`] too.
    pub(crate) fn supported(adapter: &wgpu::Adapter) -> Vec<Tier> {
        let (features, limits) = (adapter.features(), adapter.limits());
        let has = |tier: &Tier| {
            tier.check(features, &limits).is_ok()
                && (*tier < Tier::Matrix || !MatrixUnit::of(adapter).is_empty())
        };
        Self::ALL.into_iter().take_while(has).collect()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
