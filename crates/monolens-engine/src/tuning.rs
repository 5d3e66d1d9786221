//! Which presets of its kernels a wgpu device takes: what `monolens tune` found, kept in the user's cache folder.
//!
//! What was found holds for one device with one driver, at one tier, with the shaders of one version: each has a file of its
//! own, so what is out of date is just not there any more.

use crate::device::{BackendChoice, open_wgpu_backend};
use monolens_cache::Cache;
use monolens_graph::BackendError;
use monolens_graph::backend::DeviceInfo;
use monolens_wgpu::shaders;
use std::io;
use std::path::PathBuf;

pub use monolens_wgpu::{Choice, Class, Decode, Prefill, Tile, Tuning, WgpuBackend};

/// Opens the wgpu device of a choice with default presets, to be measured.
///
/// # Errors
/// As [`crate::open_backend`].
pub async fn open(choice: &BackendChoice) -> Result<WgpuBackend, BackendError> {
    Ok(open_wgpu_backend(choice).await?.0)
}

/// What was found for a device; none where nothing was, or for another driver, tier or version, or the file is damaged.
pub fn remembered(device: &DeviceInfo) -> Option<Tuning> {
    Memory::of_user().read(device)
}

/// Keeps what was found for a device, beside what was found for other weights; gives the file.
///
/// # Errors
/// Without a cache folder, or one that cannot be written to.
pub fn remember(device: &DeviceInfo, found: &Tuning) -> io::Result<PathBuf> {
    Memory::of_user().add(device, found)
}

struct Memory(Cache);

impl Memory {
    const NAME: &str = "tuning";

    fn of_user() -> Self {
        Self(Cache::of_user("wgpu"))
    }

    fn key(device: &DeviceInfo, shaders: u64) -> [String; 4] {
        [device.name.clone(), device.detail.clone(), device.tier.clone(), format!("{shaders:016x}")]
    }

    fn read(&self, device: &DeviceInfo) -> Option<Tuning> {
        self.read_of(device, shaders::HASH)
    }

    fn read_of(&self, device: &DeviceInfo, shaders: u64) -> Option<Tuning> {
        let key = Self::key(device, shaders);
        let bytes = self.0.read(Self::NAME, &key.each_ref().map(String::as_bytes))?;
        Tuning::from_text(std::str::from_utf8(&bytes).ok()?)
    }

    fn add(&self, device: &DeviceInfo, found: &Tuning) -> io::Result<PathBuf> {
        let mut all = self.read(device).unwrap_or_default();
        all.extend(found);
        let key = Self::key(device, shaders::HASH);
        self.0.write(Self::NAME, &key.each_ref().map(String::as_bytes), all.to_text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_graph::backend::BackendKind;
    use monolens_graph::{DType, WeightFormat};
    use std::fs;

    fn device(name: &str, detail: &str, tier: &str) -> DeviceInfo {
        DeviceInfo {
            kind: BackendKind::Wgpu,
            name: name.into(),
            tier: tier.into(),
            detail: detail.into(),
            is_gpu: true,
        }
    }

    fn found(dtype: DType, decode: Decode) -> Tuning {
        let mut tuning = Tuning::default();
        let class = Class::of(WeightFormat::Plain(dtype), 2048, 2048);
        tuning.set(class, Choice { prefill: None, decode: Some(decode) });
        tuning
    }

    #[test]
    fn what_was_found_is_remembered_for_that_device_driver_tier_and_version_only() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory(Cache::at(folder.path().to_owned()));
        let here = device("GPU", "Vulkan, driver 1", "subgroups");
        assert_eq!(memory.read(&here), None);
        let bf16 = found(DType::BF16, Decode::ALL[1]);
        memory.add(&here, &bf16).unwrap();
        assert_eq!(memory.read(&here), Some(bf16));
        for other in [
            device("GPU 2", "Vulkan, driver 1", "subgroups"),
            device("GPU", "Vulkan, driver 2", "subgroups"),
            device("GPU", "Vulkan, driver 1", "half"),
        ] {
            assert_eq!(memory.read(&other), None, "{other:?}");
        }
        assert_eq!(memory.read_of(&here, shaders::HASH ^ 1), None, "other shaders");
    }

    #[test]
    fn other_weights_are_added_and_the_same_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory(Cache::at(folder.path().to_owned()));
        let here = device("GPU", "", "baseline");
        memory.add(&here, &found(DType::BF16, Decode::ALL[1])).unwrap();
        memory.add(&here, &found(DType::F16, Decode::ALL[2])).unwrap();
        memory.add(&here, &found(DType::BF16, Decode::ALL[3])).unwrap();
        let mut all = found(DType::BF16, Decode::ALL[3]);
        all.extend(&found(DType::F16, Decode::ALL[2]));
        assert_eq!(memory.read(&here), Some(all));
    }

    #[test]
    fn a_damaged_file_is_as_none_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory(Cache::at(folder.path().to_owned()));
        let here = device("GPU", "", "baseline");
        let tuning = found(DType::BF16, Decode::ALL[1]);
        let path = memory.add(&here, &tuning).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[3] ^= 4;
        for damaged in [&b""[..], b"bf16", &whole[..whole.len() - 1], &flipped, &[0xff; 200]] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(memory.read(&here), None);
        }
        // Whole, but of a version with other presets.
        let key = Memory::key(&here, shaders::HASH);
        memory
            .0
            .write(Memory::NAME, &key.each_ref().map(String::as_bytes), b"bf16 2048 2048 - 5x5\n")
            .unwrap();
        assert_eq!(memory.read(&here), None);
        memory.add(&here, &tuning).unwrap();
        assert_eq!(memory.read(&here), Some(tuning));
    }
}
