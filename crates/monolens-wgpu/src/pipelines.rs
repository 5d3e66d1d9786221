//! Compiled kernels, cached by shader permutation.

use crate::gpu::Gpu;
use crate::shaders;
use monolens_graph::BackendError;
use std::collections::HashMap;
use std::num::NonZeroU64;

/// Bytes of a launch's parameters.
pub(crate) const PARAMS_BYTES: u64 = 128;

struct Layout {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// The pipelines made so far.
pub(crate) struct Pipelines {
    params: wgpu::BindGroupLayout,
    /// By which bindings are written: bit i for binding i, above them the number of bindings.
    layouts: HashMap<u32, Layout>,
    compiled: HashMap<String, wgpu::ComputePipeline>,
}

impl Pipelines {
    pub fn new(gpu: &Gpu) -> Self {
        let params = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("params"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: true,
                    min_binding_size: NonZeroU64::new(PARAMS_BYTES),
                },
                count: None,
            }],
        });
        Self { params, layouts: HashMap::new(), compiled: HashMap::new() }
    }

    /// How many kernels were compiled.
    pub fn len(&self) -> usize {
        self.compiled.len()
    }

    fn layout(&mut self, gpu: &Gpu, writes: &[bool]) -> &Layout {
        let bits = writes.iter().enumerate().fold(0, |bits, (i, &w)| bits | (u32::from(w) << i));
        let key = bits | ((writes.len() as u32) << 16);
        let params = &self.params;
        self.layouts.entry(key).or_insert_with(|| {
            let entries: Vec<_> =
                (0..).zip(writes).map(|(binding, &write)| storage_entry(binding, write)).collect();
            let group = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let pipeline = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(params), Some(&group)],
                immediate_size: 0,
            });
            Layout { group, pipeline }
        })
    }

    /// The bind group of a launch's parameters, bound with a dynamic offset.
    pub fn params_group(&self, gpu: &Gpu, buffer: &wgpu::Buffer) -> wgpu::BindGroup {
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("params"),
            layout: &self.params,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size: NonZeroU64::new(PARAMS_BYTES),
                }),
            }],
        })
    }

    /// The bind group of a kernel's buffers.
    pub fn group(
        &mut self,
        gpu: &Gpu,
        writes: &[bool],
        buffers: &[wgpu::BufferBinding<'_>],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, b)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(b.clone()),
            })
            .collect();
        let layout = &self.layout(gpu, writes).group;
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// The pipeline of a shader permutation.
    pub fn get(
        &mut self,
        gpu: &Gpu,
        name: &str,
        writes: &[bool],
    ) -> Result<wgpu::ComputePipeline, BackendError> {
        if let Some(pipeline) = self.compiled.get(name) {
            return Ok(pipeline.clone());
        }
        let Some(text) = shaders::source(name) else {
            return Err(BackendError::Device(format!("there is no shader {name}")));
        };
        let layout = self.layout(gpu, writes).pipeline.clone();
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.into()) };
        let checks =
            wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
        // SAFETY: bounds stay checked; every loop in `shaders/` counts up to a parameter or down to 0.
        let module = unsafe { gpu.device.create_shader_module_trusted(descriptor, checks) };
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        gpu.check(name, 0)?;
        self.compiled.insert(name.into(), pipeline.clone());
        Ok(pipeline)
    }
}

fn storage_entry(binding: u32, write: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: !write },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}
