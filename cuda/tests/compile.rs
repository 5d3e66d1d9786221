//! Every kernel compiles for every architecture that is supported, without a GPU.
//!
//! `cargo xtask nvrtc` fetches the compiler; where there is none the test is reported as SKIPPED, which
//! `MONOLENS_REQUIRE_NVRTC=1` (as CI sets it) makes a failure.

use monolens_cuda::driver::find_compiler;
use monolens_cuda::kernels::Unit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ampere, Hopper with its own instructions, Blackwell.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90a", "sm_100"];

#[test]
fn every_unit_compiles_for_every_architecture() {
    let compiler = match find_compiler() {
        Ok(compiler) => compiler,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            assert!(std::env::var_os("MONOLENS_REQUIRE_NVRTC").is_none(), "{reason}");
            return;
        }
    };
    let jobs: Vec<(Unit, &str)> =
        Unit::all().into_iter().flat_map(|unit| ARCHITECTURES.map(|a| (unit, a))).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let work = || {
        let mut errors = Vec::new();
        while let Some(&(unit, architecture)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match compiler.compile(unit, architecture) {
                Ok(code) if code.starts_with(b"\x7fELF") => {}
                Ok(_) => errors.push(format!("{} for {architecture}: no machine code", unit.name())),
                Err(error) => errors.push(error),
            }
        }
        errors
    };
    let errors: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap_or_else(|_| vec!["a thread failed".into()]))
            .collect()
    });
    println!("NVRTC {}: {} compilations", compiler.version(), jobs.len());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}
