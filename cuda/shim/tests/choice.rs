//! `auto` takes CUDA only where the device passed the self-test: here on a CPU in place of a GPU, right or wrong on purpose.
//! Where no C++ compiler is this is reported as SKIPPED.

use monolens_cuda::Cache;
use monolens_cuda::gpu::Gpu;
use monolens_cuda_shim::{Fault, Faulty, ShimGpu};
use monolens_engine::device::cuda::{Cuda, Devices, Identity};
use monolens_engine::device::open_backend_with;
use monolens_engine::selftest::checks::Extent;
use monolens_engine::selftest::proof::Place;
use monolens_engine::{BackendChoice, BackendName, Opened};
use monolens_graph::BackendError;
use monolens_graph::backend::BackendKind;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const NAME: &str = "CPU in place of a GPU";

/// A machine with one device.
#[derive(Debug, Default)]
struct Machine {
    fault: Option<Fault>,
    /// Of its driver.
    version: String,
    /// Bytes of memory; none: more than enough.
    memory: Option<u64>,
    opened: AtomicUsize,
}

impl Devices for Machine {
    fn identify(&self, wanted: Option<&str>) -> Result<Identity, BackendError> {
        match wanted {
            Some(other) if !NAME.contains(other) => {
                Err(BackendError::Unavailable { what: format!("a CUDA device {other}"), reason: NAME.into() })
            }
            _ => Ok(Identity { name: NAME.into(), parts: vec![NAME.into(), self.version.clone()] }),
        }
    }

    fn open(&self, wanted: Option<&str>) -> Result<Rc<dyn Gpu>, BackendError> {
        self.identify(wanted)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let gpu = ShimGpu::with_memory(self.memory.unwrap_or(u64::MAX));
        let gpu = gpu.map_err(|reason| BackendError::Unavailable { what: NAME.into(), reason })?;
        Ok(match self.fault {
            Some(fault) => Rc::new(Faulty::new(gpu, fault)),
            None => gpu,
        })
    }
}

/// CUDA on a machine, with an empty cache; none where there is no C++ compiler.
fn cuda(name: &str, machine: Machine) -> Option<(Cuda, PathBuf)> {
    if let Err(reason) = ShimGpu::open() {
        println!("SKIPPED: {reason}");
        assert!(std::env::var_os("MONOLENS_REQUIRE_CUDA_SHIM").is_none(), "{reason}");
        return None;
    }
    let folder = std::env::temp_dir().join(format!("monolens-choice-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let cuda = Cuda {
        devices: Arc::new(machine),
        cache: Cache::at(folder.clone()),
        place: Place::Thread,
        // A routed and a decoding case of each operator, in as many ways as on a GPU.
        extent: Extent { cases: 2..4, large: 1..2 },
        limit: Duration::from_secs(900),
    };
    Some((cuda, folder))
}

fn open(backend: BackendName, device: Option<&str>, cuda: &Cuda) -> Result<Opened, BackendError> {
    let choice = BackendChoice { backend, device: device.map(str::to_owned), ..BackendChoice::default() };
    pollster::block_on(open_backend_with(&choice, cuda))
}

fn auto(cuda: &Cuda) -> (BackendKind, String) {
    let opened = open(BackendName::Auto, None, cuda).expect("there is the CPU at least");
    (opened.backend.device().kind, opened.reason)
}

#[test]
fn a_device_that_passes_is_taken_and_tried_once_for_its_driver() {
    let machine = |version: &str| Arc::new(Machine { version: version.into(), ..Machine::default() });
    let Some((cuda, folder)) = cuda("passes", Machine::default()) else { return };
    let first = machine("12.4");
    let cuda = Cuda { devices: first.clone(), ..cuda };
    let taken = (
        BackendKind::Cuda,
        format!("{NAME} is an NVIDIA GPU that CUDA can use. Its self-test passed there just now."),
    );
    assert_eq!(auto(&cuda), taken);
    assert_eq!(first.opened.load(Ordering::Relaxed), 2, "to be tried, to be used");
    let known = (BackendKind::Cuda, taken.1.replace("just now", "before"));
    assert_eq!(auto(&cuda), known);
    assert_eq!(first.opened.load(Ordering::Relaxed), 3, "to be used");
    let proven = cuda.kept(None).unwrap().expect("what was found is kept");
    assert!(proven.proof.checks.len() >= 8, "{:?}", proven.proof);
    assert!(proven.proof.checks.iter().all(|check| check.fault.is_none()));

    // Another driver is another proof; the old one stays.
    let later = Cuda { devices: machine("13.0"), ..cuda.clone() };
    assert!(later.kept(None).unwrap().is_none());
    // A file that was damaged is as none: none of a right length, and none with other contents.
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    for damaged in
        [&whole[..whole.len() / 2], b"{}", &whole.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()[..]]
    {
        fs::write(&file, damaged).unwrap();
        assert!(cuda.kept(None).unwrap().is_none());
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(auto(&cuda), known);
    let _ = fs::remove_dir_all(folder);
}

/// Each is found by the self-test, told with the device, and neither the device nor the test's time is taken again.
#[test]
fn a_device_that_computes_wrongly_is_not_taken() {
    for (name, fault, words) in [
        (
            "visual",
            Fault::WithoutVisual("gate_up"),
            "operators, f32 activations, own kernels: gate_up case 2",
        ),
        ("combine", Fault::Without("attention_combine"), "far attention case 1"),
        ("replay", Fault::NoReplay, "operators, f32 activations, own kernels: add case 2"),
        ("products", Fault::NothingAdded, "products by"),
    ] {
        let machine = Machine { fault: Some(fault), ..Machine::default() };
        let Some((cuda, folder)) = cuda(name, machine) else { return };
        let (kind, reason) = auto(&cuda);
        assert_ne!(kind, BackendKind::Cuda, "{fault:?}: {reason}");
        let told = format!("CUDA is not used: its self-test failed on {NAME}: ");
        assert!(reason.contains(&told) && reason.contains(words), "{fault:?}: {reason}");
        assert!(cuda.kept(None).unwrap().is_some_and(|known| known.fault().is_some()), "{fault:?}");
        // Asked for it is used all the same, and that is told.
        let asked = open(BackendName::Cuda, None, &cuda).unwrap();
        assert_eq!(asked.backend.device().kind, BackendKind::Cuda);
        assert!(asked.reason.contains("But its self-test failed"), "{}", asked.reason);
        let _ = fs::remove_dir_all(folder);
    }
}

#[test]
fn a_device_that_does_not_come_back_is_not_waited_for() {
    let machine = Machine { fault: Some(Fault::Late(Duration::from_secs(2))), ..Machine::default() };
    let Some((cuda, folder)) = cuda("late", machine) else { return };
    let cuda = Cuda { limit: Duration::from_millis(200), ..cuda };
    let (kind, reason) = auto(&cuda);
    assert_ne!(kind, BackendKind::Cuda);
    assert!(reason.contains("it was not done within 0.2 s"), "{reason}");
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_device_that_is_full_proves_nothing() {
    let Some((cuda, folder)) = cuda("full", Machine { memory: Some(1 << 20), ..Machine::default() }) else {
        return;
    };
    let (kind, reason) = auto(&cuda);
    assert_ne!(kind, BackendKind::Cuda);
    assert!(reason.contains("1048576 bytes of its memory are free"), "{reason}");
    assert!(cuda.kept(None).unwrap().is_none(), "it may have room another time");
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_device_that_is_not_there_is_told_in_one_line() {
    let Some((cuda, folder)) = cuda("absent", Machine::default()) else { return };
    let asked = open(BackendName::Cuda, Some("H100"), &cuda).unwrap_err();
    assert_eq!(asked.to_string(), format!("a CUDA device H100 is not available: {NAME}"));
    // Numbers and tiers are those of wgpu, which has no such device.
    assert!(open(BackendName::Auto, Some("99"), &cuda).is_err());
    let _ = fs::remove_dir_all(folder);
}
