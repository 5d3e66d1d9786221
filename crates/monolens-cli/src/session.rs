//! A model on a device, ready to answer.

use crate::args::DeviceArgs;
use crate::interrupt;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use monolens_engine::{Engine, EngineError, EngineOptions, Progress, Stage, open_backend};
use monolens_graph::DType;
use monolens_graph::backend::DeviceInfo;
use monolens_models::Model;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Said before the reason for which a device cannot be had.
pub const NO_DEVICE: &str = "cannot open the device (`monolens doctor` shows what is there and how to get more; \
    --device NAME takes a software device too, --backend cpu needs none)";

/// An engine and why it runs where it runs.
pub struct Session {
    /// The engine.
    pub engine: Engine,
    /// Why this device.
    pub reason: String,
    /// Seconds that loading took.
    pub load_seconds: f64,
}

/// A device in one line.
pub fn device_line(device: &DeviceInfo) -> String {
    let detail = if device.detail.is_empty() { String::new() } else { format!(", {}", device.detail) };
    format!("{}: {} ({}{detail})", device.kind, device.name, device.tier)
}

/// Loads a model onto the device that was asked for, with a progress bar where somebody watches.
///
/// # Errors
/// When the device is not there or cannot hold the model, or the weights are broken.
pub fn load(model: Arc<Model>, device: &DeviceArgs, options: EngineOptions, quiet: bool) -> Result<Session> {
    let start = Instant::now();
    let opened = pollster::block_on(open_backend(&device.choice())).context(NO_DEVICE)?;
    log::info!("{} ({})", device_line(opened.backend.device()), opened.reason);
    if let Some(presets) = &opened.presets {
        log::info!("presets: {} {}", presets.reason, presets.found.join("; "));
    }
    // What was asked for by name comes first.
    let kv_dtype = options.kv_dtype.or(device.exact.then_some(DType::F32));
    let options = EngineOptions { kv_dtype, ..options };
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    bar.set_style(
        ProgressStyle::with_template("{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_prefix("loading");
    let mut on_progress = |p: Progress<'_>| {
        match p.stage {
            Stage::Weights => {
                bar.set_length(p.total);
                bar.set_position(p.done);
            }
            Stage::Programs => bar.set_message(format!("preparing {}", p.name)),
        }
        if interrupt::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let loaded = pollster::block_on(Engine::load(model, opened.backend, options, &mut on_progress));
    bar.finish_and_clear();
    match loaded {
        Ok(engine) => {
            Ok(Session { engine, reason: opened.reason, load_seconds: start.elapsed().as_secs_f64() })
        }
        Err(EngineError::Cancelled) => bail!("interrupted while loading"),
        Err(error) => Err(error).context("cannot load the model"),
    }
}
