//! Instruction sets, found when the program runs.

/// An instruction set that kernels are written for and that this machine has.
///
/// A value can only be made by asking the machine, which is what makes calling the kernels sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(pub(crate) Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code, reason = "each architecture makes some of them")]
pub(crate) enum Level {
    Scalar,
    Neon,
    Avx2,
    Avx512,
    Avx512Bf16,
}

impl Isa {
    /// Plain Rust.
    pub const SCALAR: Self = Self(Level::Scalar);

    /// Every instruction set of this machine, the best last.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "aarch64")]
        return vec![Self::SCALAR, Self(Level::Neon)];
        #[cfg(target_arch = "x86_64")]
        {
            let mut all = vec![Self::SCALAR];
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq");
            // Every CPU that multiplies bf16 multiplies bytes too.
            let bf16 =
                avx512 && is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
            let found = [(avx2, Level::Avx2), (avx512, Level::Avx512), (bf16, Level::Avx512Bf16)];
            all.extend(found.into_iter().filter(|(has, _)| *has).map(|(_, level)| Self(level)));
            all
        }
        #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
        vec![Self::SCALAR]
    }

    /// The best of this machine.
    pub fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::SCALAR)
    }

    /// The name shown to users.
    pub fn name(self) -> &'static str {
        match self.0 {
            // In a browser, plain Rust that the compiler has made SIMD of.
            Level::Scalar if cfg!(target_feature = "simd128") => "simd128",
            Level::Scalar => "scalar",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Bf16 => "avx512bf16",
        }
    }
}

/// The CPU's name, as it gives it itself.
pub(crate) fn cpu_name() -> String {
    // A browser does not tell which CPU it is.
    if cfg!(target_arch = "wasm32") {
        return "CPU (WebAssembly)".into();
    }
    brand().unwrap_or_else(|| format!("{} CPU", std::env::consts::ARCH))
}

#[cfg(target_arch = "x86_64")]
fn brand() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return None;
    }
    let mut bytes = Vec::with_capacity(48);
    for leaf in 0x8000_0002..=0x8000_0004_u32 {
        let r = __cpuid(leaf);
        for word in [r.eax, r.ebx, r.ecx, r.edx] {
            bytes.extend(word.to_le_bytes());
        }
    }
    let name = String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(not(target_arch = "x86_64"))]
fn brand() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|l| l.starts_with("model name") || l.starts_with("Model"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
