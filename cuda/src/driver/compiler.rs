//! NVRTC: the compiler that comes as a library.

use super::library::Library;
use crate::kernels::{File, HEADERS, Unit};
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::OnceLock;

const NVRTC: Library = Library {
    what: "the CUDA compiler library (NVRTC)",
    name: "libnvrtc",
    variable: "MONOLENS_NVRTC",
    packages: ["cu13/lib", "cuda_nvrtc/lib"],
    is_found: sys::is_culib_present,
};

/// NVRTC, loaded.
#[derive(Clone, Debug)]
pub struct Compiler {
    version: String,
    /// Architectures it makes code for, as numbers: 80, 90, 100.
    architectures: Vec<u32>,
}

/// Finds and loads NVRTC: in the folder that `MONOLENS_NVRTC` names, where the system looks for libraries, in the CUDA
/// toolkit's usual places, in a Python environment that is active.
///
/// # Errors
/// Where it was looked for.
pub fn find_compiler() -> Result<Compiler, String> {
    static FOUND: OnceLock<Result<Compiler, String>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<Compiler, String> {
    NVRTC.load()?;
    Compiler::new()
}

impl Compiler {
    fn new() -> Result<Self, String> {
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: pointers are valid for the calls, and `all` has room for as many as NVRTC said.
        let all = unsafe {
            sys::nvrtcVersion(&mut major, &mut minor).result().map_err(|e| e.to_string())?;
            sys::nvrtcGetNumSupportedArchs(&mut count).result().map_err(|e| e.to_string())?;
            let mut all = vec![0; count.max(0) as usize];
            sys::nvrtcGetSupportedArchs(all.as_mut_ptr()).result().map_err(|e| e.to_string())?;
            all
        };
        let architectures = all.into_iter().map(|a| a as u32).collect();
        Ok(Self { version: format!("{major}.{minor}"), architectures })
    }

    /// NVRTC's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What to compile for a device: its own code (`sm_90`), or, where the compiler is older than the device, code for the
    /// newest it knows, which the driver then translates (`compute_90`).
    pub fn architecture(&self, (major, minor): (u32, u32)) -> String {
        let wanted = major * 10 + minor;
        if self.architectures.contains(&wanted) {
            return format!("sm_{wanted}");
        }
        let older = self.architectures.iter().filter(|&&a| a <= wanted).max();
        format!("compute_{}", older.copied().unwrap_or(wanted))
    }

    /// Options for an architecture.
    pub fn options(architecture: &str, unit: Unit) -> Vec<String> {
        let mut options = vec![format!("--gpu-architecture={architecture}"), "--std=c++17".into()];
        if !unit.define.is_empty() {
            options.push(format!("--define-macro={}", unit.define));
        }
        options
    }

    /// Compiles a unit: machine code for `sm_..`, PTX for `compute_..`.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn compile(&self, unit: Unit, architecture: &str) -> Result<Vec<u8>, String> {
        let c = |text: &str| CString::new(text).map_err(|_| format!("{}: a zero in its text", unit.name()));
        let (text, name) = (c(unit.text())?, c(&format!("{}.cu", unit.file))?);
        let headers = HEADERS.iter().map(|f: &File| Ok((c(f.text)?, c(f.name)?)));
        let headers: Vec<(CString, CString)> = headers.collect::<Result<_, String>>()?;
        let texts: Vec<*const c_char> = headers.iter().map(|(text, _)| text.as_ptr()).collect();
        let names: Vec<*const c_char> = headers.iter().map(|(_, name)| name.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: all strings outlive the program, which is destroyed below.
        unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                text.as_ptr(),
                name.as_ptr(),
                headers.len() as i32,
                texts.as_ptr(),
                names.as_ptr(),
            )
        }
        .result()
        .map_err(|e| format!("{}: {e}", unit.name()))?;
        // SAFETY: the program was just made.
        let made = unsafe { compile(program, unit, architecture) };
        // SAFETY: it is not used again.
        let destroyed = unsafe { result::destroy_program(program) };
        let made = made?;
        destroyed.map_err(|e| format!("{}: {e}", unit.name()))?;
        Ok(made)
    }
}

/// # Safety
/// The program must have been made and not destroyed.
unsafe fn compile(program: sys::nvrtcProgram, unit: Unit, architecture: &str) -> Result<Vec<u8>, String> {
    let options = Compiler::options(architecture, unit);
    // SAFETY: as above, and buffers have the sizes that NVRTC gives.
    unsafe {
        if let Err(error) = result::compile_program(program, &options) {
            let log = result::get_program_log(program).unwrap_or_default();
            let log: Vec<u8> = log.into_iter().map(|c| c as u8).collect();
            let log = CStr::from_bytes_until_nul(&log).map(|l| l.to_string_lossy().into_owned());
            return Err(format!("{} for {architecture}: {error}: {}", unit.name(), log.unwrap_or_default()));
        }
        let error = |e| format!("{} for {architecture}: {e}", unit.name());
        if !architecture.starts_with("sm_") {
            return Ok(result::get_ptx(program).map_err(error)?.into_iter().map(|c| c as u8).collect());
        }
        let mut size = 0;
        sys::nvrtcGetCUBINSize(program, &mut size).result().map_err(error)?;
        let mut code = vec![0_u8; size];
        sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result().map_err(error)?;
        Ok(code)
    }
}
