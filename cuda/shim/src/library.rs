//! Units compiled as C++ into libraries, kept by the hash of their text.

use monolens_cuda::kernels::{HEADERS, Unit};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// What CUDA has and C++ has not.
const SHIM: &str = include_str!("../include/shim.h");

const OPTIONS: [&str; 8] =
    ["-std=c++17", "-O2", "-march=native", "-shared", "-fPIC", "-w", "-DMONOLENS_SHIM", "-x"];

/// A launch of some of its blocks, as `shim::Launch`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Launch {
    pub params: *const u8,
    pub params_bytes: u64,
    pub grid: [u32; 3],
    pub threads: u32,
    pub shared_bytes: u32,
    pub order: u32,
    pub first: u64,
    pub count: u64,
}

// SAFETY: the parameters are only read, and outlive the launch.
unsafe impl Sync for Launch {}

/// Runs the blocks of a launch; 0 or a fault.
pub(crate) type Kernel = unsafe extern "C" fn(*const Launch) -> i32;

/// Held by the thread that compiles.
static COMPILING: Mutex<()> = Mutex::new(());

/// A loaded unit.
#[derive(Debug)]
pub(crate) struct Library(libloading::Library);

/// The C++ compiler: `CXX`, or `c++`.
pub(crate) fn compiler() -> Result<String, String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Err("kernels run on the CPU on x86-64 Linux only".into());
    }
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    match Command::new(&compiler).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(compiler),
        _ => Err(format!("there is no C++ compiler {compiler}: install g++ or clang, or set CXX")),
    }
}

impl Library {
    pub fn load(unit: Unit) -> Result<Self, String> {
        let compiler = compiler()?;
        let mut hasher = Sha256::new();
        let texts = HEADERS.iter().map(|f| f.text).chain([unit.text(), SHIM, unit.define, &compiler]);
        for text in texts.chain(OPTIONS) {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        let hash: String = hasher.finalize().iter().take(12).map(|b| format!("{b:02x}")).collect();
        let folder = folder();
        let path = folder.join(format!("{}-{hash}.so", unit.name()));
        // Tests run on several threads: one compiles, the others wait. Processes tell their files apart by their ids.
        let compiling = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() {
            compile(&compiler, unit, &path).map_err(|e| format!("{}: {e}", unit.name()))?;
        }
        drop(compiling);
        // SAFETY: a library of our own, which has no initialisers that do anything.
        unsafe { libloading::Library::new(&path) }.map(Self).map_err(|e| e.to_string())
    }

    pub fn kernel(&self, entry: &str) -> Result<Kernel, String> {
        // SAFETY: every entry has this type (`ENTRY` in shim.h). The stand-in keeps the library loaded.
        let found = unsafe { self.0.get::<Kernel>(entry) };
        found.map(|kernel| *kernel).map_err(|e| e.to_string())
    }
}

/// Beside the build's other results.
fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target.unwrap_or_else(own).join("cuda-shim")
}

fn compile(compiler: &str, unit: Unit, path: &Path) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    // The sources in the binary are what is tested: they are written out, so that nothing else can be.
    let sources = path.with_extension(format!("{}.src", std::process::id()));
    fs::create_dir_all(sources.join("shared")).map_err(io)?;
    for file in HEADERS {
        fs::write(sources.join(file.name), file.text).map_err(io)?;
    }
    fs::write(sources.join("shim.h"), SHIM).map_err(io)?;
    let source = sources.join(format!("{}.cu", unit.file));
    fs::write(&source, unit.text()).map_err(io)?;
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut command = Command::new(compiler);
    command.args(OPTIONS).arg("c++").arg(&source).arg("-I").arg(&sources).arg("-o").arg(&unfinished);
    if !unit.define.is_empty() {
        command.arg(format!("-D{}", unit.define));
    }
    let output = command.output().map_err(io)?;
    let removed = fs::remove_dir_all(&sources);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    removed.map_err(io)?;
    fs::rename(unfinished, path).map_err(io)
}
