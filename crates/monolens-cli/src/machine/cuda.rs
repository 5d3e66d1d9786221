//! What is there of CUDA.

use super::{Advice, Drivers};
use serde::Serialize;

/// A device of the CUDA driver.
#[derive(Clone, Debug, Serialize)]
pub struct CudaDevice {
    /// Its number, as `--device` takes it.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Compute capability, `9.0`.
    pub capability: String,
    /// Bytes of memory.
    pub memory: u64,
    /// What it lacks, if it cannot be used.
    pub unusable: Option<String>,
}

/// Driver, compiler and devices.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cuda {
    /// The CUDA version that the driver supports.
    pub driver: Option<String>,
    /// The version of the compiler, NVRTC.
    pub compiler: Option<String>,
    /// The version of the library of matrix products, cuBLASLt; without it Monolens' own kernels do its work.
    pub products: Option<String>,
    /// All devices.
    pub devices: Vec<CudaDevice>,
    /// What is missing, and how to get it.
    #[serde(skip)]
    missing: Vec<(String, String)>,
}

impl Cuda {
    /// How many devices can be used.
    pub fn usable(&self) -> usize {
        let ready = self.driver.is_some() && self.compiler.is_some();
        self.devices.iter().filter(|d| ready && d.unusable.is_none()).count()
    }

    /// What is missing, where there is an NVIDIA card.
    pub fn missing(&self, drivers: &Drivers) -> Vec<Advice> {
        let has_card = self.driver.is_some() || drivers.cards.iter().any(|c| c.vendor == "NVIDIA");
        let all = self.missing.iter().filter(|_| has_card);
        all.map(|(problem, remedy)| Advice { problem: problem.clone(), remedy: remedy.clone() }).collect()
    }

    /// For people: headings and texts.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let or_none = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
        let [driver, compiler] = [&self.driver, &self.compiler].map(or_none);
        let products = self.products.as_deref().unwrap_or("none: own kernels");
        let versions =
            format!("driver {driver}, compiler (NVRTC) {compiler}, products (cuBLASLt) {products}");
        let mut lines = vec![("CUDA", versions)];
        for d in &self.devices {
            let lacks =
                d.unusable.as_ref().map_or(String::new(), |why| format!("; cannot be used: needs {why}"));
            let memory = d.memory as f64 / f64::from(1 << 30);
            let text = format!(
                "[{}] {} (compute capability {}, {memory:.1} GiB{lacks})",
                d.index, d.name, d.capability
            );
            lines.push(("", text));
        }
        lines
    }
}

/// Looks for CUDA.
#[cfg(feature = "cuda")]
pub fn cuda() -> Cuda {
    let report = monolens_engine::device::cuda_report();
    let devices = report.devices.into_iter().map(|d| CudaDevice {
        index: d.index,
        name: d.name,
        capability: format!("{}.{}", d.capability.0, d.capability.1),
        memory: d.memory,
        unusable: d.unusable,
    });
    Cuda {
        driver: report.driver,
        compiler: report.compiler,
        products: report.products,
        devices: devices.collect(),
        missing: report.missing,
    }
}

/// Looks for CUDA: there is none, since this build is without it.
#[cfg(not(feature = "cuda"))]
pub fn cuda() -> Cuda {
    Cuda::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::GraphicsCard;

    #[test]
    fn what_is_missing_is_told_where_there_is_a_card() {
        let cuda = Cuda { missing: vec![("no driver".into(), "install it".into())], ..Cuda::default() };
        let mut drivers = Drivers::default();
        assert!(cuda.missing(&drivers).is_empty());
        drivers.cards.push(GraphicsCard { vendor: "NVIDIA".into(), kernel_driver: None });
        assert_eq!(cuda.missing(&drivers)[0].remedy, "install it");
        assert_eq!(cuda.usable(), 0);
    }

    #[test]
    fn a_machine_without_cublaslt_is_told_what_does_its_work() {
        let cuda = Cuda { driver: Some("12.4".into()), compiler: Some("12.4".into()), ..Cuda::default() };
        let told = "driver 12.4, compiler (NVRTC) 12.4, products (cuBLASLt) none: own kernels";
        assert_eq!(cuda.lines(), [("CUDA", told.to_owned())]);
        let with = Cuda { products: Some("12.4".into()), ..cuda };
        assert!(with.lines()[0].1.ends_with("products (cuBLASLt) 12.4"));
    }
}
