//! The processor and main memory.

use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// The processor and main memory.
#[derive(Clone, Debug, Serialize)]
pub struct Cpu {
    /// Its name.
    pub name: String,
    /// Architecture, as Rust calls it.
    pub architecture: &'static str,
    /// Threads that it runs at once for this process.
    pub threads: usize,
    /// Instruction sets that the engine has use for, and whether they are there.
    pub features: Vec<(&'static str, bool)>,
    /// Memory in bytes.
    pub memory: u64,
    /// Memory that is free, in bytes.
    pub free_memory: u64,
}

/// Looks at the processor.
pub fn cpu() -> Cpu {
    let kinds = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds);
    let name = system.cpus().first().map(|c| c.brand().trim().to_owned()).unwrap_or_default();
    Cpu {
        name: if name.is_empty() { "unknown".into() } else { name },
        architecture: std::env::consts::ARCH,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        features: features(),
        memory: system.total_memory(),
        free_memory: system.available_memory(),
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<(&'static str, bool)> {
    use std::arch::is_x86_feature_detected as has;
    vec![
        ("avx2", has!("avx2")),
        ("fma", has!("fma")),
        ("f16c", has!("f16c")),
        ("avx512f", has!("avx512f")),
        ("avx512bf16", has!("avx512bf16")),
        ("avx512vnni", has!("avx512vnni")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as has;
    vec![
        ("neon", has!("neon")),
        ("fp16", has!("fp16")),
        ("bf16", has!("bf16")),
        ("dotprod", has!("dotprod")),
        ("i8mm", has!("i8mm")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<(&'static str, bool)> {
    Vec::new()
}
