//! One run: inputs in, launches recorded and submitted, outputs back.

use super::{Place, Pool, Program};
use crate::gpu::{ALIGNMENT, Gpu};
use crate::pace::Pace;
use crate::pipelines::SharedPipelines;
use crate::states::States;
use crate::weights::Weights;
use monolens_graph::backend::{HostTensor, Job, Outputs};
use monolens_graph::{BackendError, OpTime, Source, check};
use std::num::NonZeroU64;
use std::ops::Range;

/// What programs share.
pub(crate) struct Resources<'r> {
    pub gpu: &'r Gpu,
    pub pipelines: &'r SharedPipelines,
    pub weights: &'r Weights,
    pub states: &'r States,
    pub pool: &'r Pool,
    pub pace: &'r mut Pace,
    /// Grows when a state or the vectors get another buffer.
    pub generation: u64,
    /// Where the time of every operator goes, if it is to be measured.
    pub profile: Option<&'r mut Vec<OpTime>>,
}

impl Program {
    /// Runs the program on a job that fits it.
    pub async fn run(&mut self, job: &Job<'_>, with: &mut Resources<'_>) -> Result<Outputs, BackendError> {
        with.gpu.poll();
        with.gpu.check("a run", 0)?;
        check::job(&self.plan, job, &self.states, with.states)?;
        for (id, value) in self.plan.graph.of_source(Source::Input) {
            let offset = self.arena.offset(id);
            if let (Some(offset), Some(bytes)) = (offset, job.inputs.get(value.name.as_str()))
                && !bytes.is_empty()
            {
                with.gpu.queue.write_buffer(&self.arena.buffer, offset, bytes);
            }
        }
        self.launches.clear();
        self.ends.clear();
        let mut of_step = Vec::new();
        for step in &self.steps {
            (step.launches)(&job.axes, &mut of_step);
            self.launches.extend(of_step.drain(..).filter(|launch| !launch.grid.contains(&0)));
            self.ends.push(self.launches.len());
        }
        self.write_params(with)?;
        self.bind(with)?;
        match with.profile.take() {
            Some(profile) => {
                let measured = self.measure(job, with).await?;
                with.profile.insert(profile).extend(measured);
            }
            None => self.submit(with).await,
        }
        with.gpu.check("a run", 0)?;
        self.read(job, with).await
    }

    fn write_params(&mut self, with: &mut Resources<'_>) -> Result<(), BackendError> {
        let stride = ALIGNMENT as usize;
        self.param_bytes.clear();
        self.param_bytes.resize(self.launches.len() * stride, 0);
        for (bytes, launch) in self.param_bytes.chunks_exact_mut(stride).zip(&self.launches) {
            let words: &[u8] = bytemuck::cast_slice(&launch.words);
            bytes[..words.len()].copy_from_slice(words);
        }
        let needed = self.param_bytes.len() as u64;
        if self.params.as_ref().is_none_or(|(buffer, _)| buffer.size() < needed) {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let buffer = with.gpu.buffer("params", needed.next_power_of_two().max(ALIGNMENT), usage)?;
            let group = with.pipelines.borrow().params_group(with.gpu, &buffer);
            self.params = Some((buffer, group));
        }
        if let (Some((buffer, _)), true) = (&self.params, needed > 0) {
            with.gpu.queue.write_buffer(buffer, 0, &self.param_bytes);
        }
        Ok(())
    }

    /// Makes the pipelines and bind groups that are missing or stale.
    fn bind(&mut self, with: &mut Resources<'_>) -> Result<(), BackendError> {
        let generation = with.generation + with.pool.generation;
        for i in 0..self.launches.len() {
            let at = self.launches[i].kernel.0;
            let kernel = &self.kernels[at];
            if kernel.pipeline.is_none() {
                let pipeline = with.pipelines.borrow().get(with.gpu, &kernel.shader, &kernel.writes)?;
                self.kernels[at].pipeline = Some(pipeline);
            }
            let kernel = &self.kernels[at];
            if kernel.group.as_ref().is_none_or(|(made, _)| *made != generation) {
                let bindings = kernel.places.iter().map(|place| self.binding(place, with));
                let bindings = bindings.collect::<Option<Vec<_>>>().ok_or_else(|| {
                    BackendError::Device(format!(
                        "{}: a buffer of {} is gone",
                        self.plan.graph.name, kernel.shader.name
                    ))
                })?;
                let group = with.pipelines.borrow().group(with.gpu, &kernel.writes, &bindings);
                self.kernels[at].group = Some((generation, group));
            }
        }
        Ok(())
    }

    fn binding<'b>(&'b self, place: &'b Place, with: &Resources<'b>) -> Option<wgpu::BufferBinding<'b>> {
        let whole = |buffer| wgpu::BufferBinding { buffer, offset: 0, size: None };
        Some(match place {
            Place::Slot(slot) => whole(with.pool.buffers.get(*self.pool_of.get(*slot)?)?),
            Place::Input { offset, size } => wgpu::BufferBinding {
                buffer: &self.arena.buffer,
                offset: *offset,
                size: NonZeroU64::new(*size),
            },
            Place::Tables => wgpu::BufferBinding {
                buffer: &self.arena.buffer,
                offset: 0,
                size: NonZeroU64::new(self.arena.tables.max(16)),
            },
            Place::State(name) => whole(&with.states.get(name)?.buffer),
            Place::Vectors => whole(with.weights.vectors()?),
            Place::Buffer(buffer) => whole(buffer),
        })
    }

    async fn submit(&mut self, with: &mut Resources<'_>) {
        self.largest = self.launches.iter().map(super::Launch::cost).fold(0.0, f64::max);
        let Some((_, params)) = &self.params else { return };
        let gpu = with.gpu;
        let mut first = 0;
        while first < self.launches.len() {
            let (rest, budget) = (&self.launches[first..], self.rate.budget());
            let (mut work, mut count) = (0.0, 0);
            while let Some(launch) = rest.get(count)
                && (count == 0 || work + launch.cost() <= budget)
            {
                work += launch.cost();
                count += 1;
            }
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            self.record(&mut pass, params, first..first + count);
            drop(pass);
            with.pace.submit(gpu, encoder.finish(), work, &self.rate).await;
            first += count;
        }
    }

    /// Records launches.
    pub(super) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        params: &wgpu::BindGroup,
        launches: Range<usize>,
    ) {
        let mut last = None;
        for (i, launch) in launches.clone().zip(&self.launches[launches]) {
            let kernel = &self.kernels[launch.kernel.0];
            let (Some(pipeline), Some((_, group))) = (&kernel.pipeline, &kernel.group) else { continue };
            if last != Some(launch.kernel) {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(1, group, &[]);
                last = Some(launch.kernel);
            }
            pass.set_bind_group(0, params, &[(i as u64 * ALIGNMENT) as u32]);
            let [x, y, z] = launch.grid;
            pass.dispatch_workgroups(x, y, z);
        }
    }

    async fn read(&mut self, job: &Job<'_>, with: &mut Resources<'_>) -> Result<Outputs, BackendError> {
        let mut parts = Vec::with_capacity(job.read.len());
        for name in &job.read {
            let Some(&id) = self.plan.graph.outputs.get(*name) else { continue };
            let value = self.plan.graph.value(id);
            let size = (value.shape.elements(&job.axes) * value.dtype.bytes()) as u64;
            let place = self.place(id);
            let binding = self.binding(&place, with);
            let binding = binding
                .ok_or_else(|| BackendError::Device(format!("the buffer of output {name} is gone")))?;
            parts.push((binding.buffer.clone(), binding.offset, size));
        }
        if parts.is_empty() {
            with.gpu.poll();
            return Ok(Outputs::new());
        }
        let mut staging = self.staging.take();
        let read = with.gpu.read(&parts, &mut staging).await;
        self.staging = staging;
        let mut outputs = Outputs::new();
        for (name, bytes) in job.read.iter().zip(read?) {
            let Some(&id) = self.plan.graph.outputs.get(*name) else { continue };
            let value = self.plan.graph.value(id);
            let tensor = HostTensor { dtype: value.dtype, shape: value.shape.sizes(&job.axes), bytes };
            outputs.insert((*name).to_owned(), tensor);
        }
        Ok(outputs)
    }
}
