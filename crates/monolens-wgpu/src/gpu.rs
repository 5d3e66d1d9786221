//! The device and its faults: errors and loss are recorded where wgpu reports them and raised at the next call.

use crate::Tier;
use crate::matrix::{MatrixUnit, Taken};
use monolens_graph::BackendError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Alignment of uniform offsets and of slices of the input buffer.
pub(crate) const ALIGNMENT: u64 = 256;

#[derive(Debug, Default)]
struct Faults {
    lost: Option<String>,
    out_of_memory: bool,
    error: Option<String>,
}

/// A device, its queue and its limits.
#[derive(Clone, Debug)]
pub(crate) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: wgpu::Limits,
    pub name: String,
    /// Which kernels projections take.
    pub taken: Taken,
    /// Nanoseconds of a tick of the device's clock, where it writes down when a pass began and ended.
    pub tick: Option<f64>,
    faults: Arc<Mutex<Faults>>,
}

impl Gpu {
    pub async fn open(
        adapter: &wgpu::Adapter,
        tier: Tier,
        unit: Option<MatrixUnit>,
    ) -> Result<Self, BackendError> {
        let info = adapter.get_info();
        let name = info.name;
        let is_cpu = info.device_type == wgpu::DeviceType::Cpu;
        let taken = Taken {
            lanes: is_cpu && tier >= Tier::Subgroups && info.subgroup_min_size >= 8,
            matrix: unit.map(|unit| (unit, unit.threads(adapter))),
        };
        let limits = tier.limits(&adapter.limits());
        let timestamps = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("monolens"),
            required_features: tier.features() | timestamps,
            required_limits: limits.clone(),
            experimental_features: if tier >= Tier::Matrix {
                // SAFETY: asks for bugs to be borne with. What is used of cooperative matrices is one kernel, which
                // parity tests hold to the reference wherever it can run; the tier is taken only if it is asked for.
                unsafe { wgpu::ExperimentalFeatures::enabled() }
            } else {
                wgpu::ExperimentalFeatures::disabled()
            },
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) =
            opened.map_err(|e| BackendError::Unavailable { what: name.clone(), reason: e.to_string() })?;
        let faults = Arc::new(Mutex::new(Faults::default()));
        let of_errors = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            let mut faults = lock(&of_errors);
            match error {
                wgpu::Error::OutOfMemory { .. } => faults.out_of_memory = true,
                other => {
                    log::error!("{other}");
                    faults.error.get_or_insert_with(|| other.to_string());
                }
            }
        }));
        let of_loss = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            lock(&of_loss).lost.get_or_insert(text);
        });
        let tick = (!timestamps.is_empty()).then(|| f64::from(queue.get_timestamp_period()));
        Ok(Self { device, queue, limits, name, taken, tick, faults })
    }

    /// Raises what went wrong since the last call; `what` and `bytes` are of the allocation that was tried, if one was.
    pub fn check(&self, what: &str, bytes: u64) -> Result<(), BackendError> {
        let mut faults = lock(&self.faults);
        if let Some(reason) = &faults.lost {
            return Err(BackendError::DeviceLost { reason: reason.clone() });
        }
        let (out_of_memory, error) = (std::mem::take(&mut faults.out_of_memory), faults.error.take());
        if out_of_memory {
            return Err(BackendError::OutOfMemory {
                device: self.name.clone(),
                what: what.into(),
                requested: bytes,
                used: 0,
            });
        }
        error.map_or(Ok(()), |e| Err(BackendError::Device(format!("{}: {e}", self.name))))
    }

    /// Lets the device report what it has done and what became of it.
    pub fn poll(&self) {
        // A failure shows as a lost device.
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// Waits until everything submitted is done, and raises what went wrong meanwhile.
    pub async fn settle(&self, what: &str) -> Result<(), BackendError> {
        // In a browser errors come later than the call that made them, but not later than the end of a scope.
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation).pop();
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver waits below.
            let _ = sender.send(());
        });
        self.wait();
        // No answer comes from a lost device.
        let _ = receiver.await;
        let _ = scope.await;
        self.check(what, 0)
    }

    /// Waits for a submit and those before it; in a browser this is a matter of awaiting instead.
    pub fn wait_for(&self, submit: wgpu::SubmissionIndex) {
        // A failure shows as a lost device.
        let _ = self.device.poll(wgpu::PollType::Wait { submission_index: Some(submit), timeout: None });
    }

    /// Waits for everything submitted; in a browser this is a matter of awaiting instead.
    pub fn wait(&self) {
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// A buffer of zeros.
    pub fn buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, BackendError> {
        let size = bytes.max(16).next_multiple_of(16);
        if size > self.limits.max_buffer_size {
            return Err(BackendError::Limit {
                what: format!("{what} on {}", self.name),
                needed: format!("a buffer of {size} bytes"),
                limit: format!("{} bytes", self.limits.max_buffer_size),
            });
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.check(what, size)?;
        Ok(buffer)
    }

    /// A storage buffer that can be written, copied from and bound.
    pub fn storage(&self, what: &str, bytes: u64) -> Result<wgpu::Buffer, BackendError> {
        let limit = self.limits.max_storage_buffer_binding_size;
        if bytes > limit {
            return Err(BackendError::Limit {
                what: format!("{what} on {}", self.name),
                needed: format!("a binding of {bytes} bytes"),
                limit: format!("{limit} bytes"),
            });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffer(what, bytes, usage)
    }

    /// The bytes of parts of buffers, in order.
    pub async fn read(
        &self,
        parts: &[(wgpu::Buffer, u64, u64)],
        staging: &mut Option<wgpu::Buffer>,
    ) -> Result<Vec<Vec<u8>>, BackendError> {
        let total: u64 = parts.iter().map(|(_, _, size)| size.next_multiple_of(8)).sum();
        if total == 0 {
            return Ok(vec![Vec::new(); parts.len()]);
        }
        let buffer = match staging {
            Some(buffer) if buffer.size() >= total => buffer.clone(),
            _ => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                staging.insert(self.buffer("readback", total.next_power_of_two(), usage)?).clone()
            }
        };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut at = 0;
        for (source, offset, size) in parts {
            if *size > 0 {
                encoder.copy_buffer_to_buffer(source, *offset, &buffer, at, Some(*size));
            }
            at += size.next_multiple_of(8);
        }
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = futures_channel::oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, ..total, move |result| {
            // The receiver waits below.
            let _ = sender.send(result);
        });
        self.wait();
        let mapped = receiver.await;
        self.check("readback", total)?;
        match mapped {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                // A browser may tell of the failed mapping before it tells why. What is wrong with a call is told by
                // `settle`; what is left is a device that is gone.
                self.settle("readback").await?;
                return Err(BackendError::DeviceLost { reason: format!("readback: {e}") });
            }
            Err(_) => return Err(BackendError::DeviceLost { reason: "no answer to a readback".into() }),
        }
        let view = buffer.get_mapped_range(..total);
        let view = view.map_err(|e| BackendError::Device(format!("{}: readback: {e}", self.name)))?;
        let mut at = 0;
        let mut results = Vec::with_capacity(parts.len());
        for (_, _, size) in parts {
            results.push(view[at as usize..(at + size) as usize].to_vec());
            at += size.next_multiple_of(8);
        }
        drop(view);
        buffer.unmap();
        Ok(results)
    }
}

fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}
