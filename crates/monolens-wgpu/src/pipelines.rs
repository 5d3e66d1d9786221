//! Compiled kernels, cached by shader permutation.

use crate::gpu::Gpu;
use crate::{begun, shaders};
use monolens_graph::BackendError;
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU64;
use std::rc::Rc;

/// Bytes of a launch's parameters.
pub(crate) const PARAMS_BYTES: u64 = 128;
/// Kernels that are compiled at once: enough for the cores of most machines.
const AT_ONCE: usize = 8;

/// A constant that a shader declares with `override`: its id in the shader, and its value.
pub(crate) type Constant = (&'static str, u32);

/// A shader permutation, and the constants it is compiled with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Permutation {
    pub name: String,
    pub constants: Vec<Constant>,
}

impl fmt::Display for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.constants.iter().try_for_each(|(id, value)| write!(f, " {id}={value}"))
    }
}

struct Layout {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// The pipelines made so far.
pub(crate) struct Pipelines {
    params: wgpu::BindGroupLayout,
    /// By which bindings are written: bit i for binding i, above them the number of bindings.
    layouts: HashMap<u32, Layout>,
    compiled: HashMap<Permutation, wgpu::ComputePipeline>,
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
        shader: &Permutation,
        writes: &[bool],
    ) -> Result<wgpu::ComputePipeline, BackendError> {
        if let Some(pipeline) = self.compiled.get(shader) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.create(gpu, shader, &module(gpu, &shader.name)?, writes);
        gpu.check(&shader.name, 0)?;
        self.compiled.insert(shader.clone(), pipeline.clone());
        Ok(pipeline)
    }

    fn create(
        &mut self,
        gpu: &Gpu,
        shader: &Permutation,
        module: &wgpu::ShaderModule,
        writes: &[bool],
    ) -> wgpu::ComputePipeline {
        let constants: Vec<_> = shader.constants.iter().map(|&(id, value)| (id, f64::from(value))).collect();
        gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&shader.name),
            layout: Some(&self.layout(gpu, writes).pipeline),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }
}

/// The pipelines of one device, for all its backends.
#[derive(Clone)]
pub(crate) struct SharedPipelines(Rc<RefCell<Pipelines>>);

impl SharedPipelines {
    pub fn new(gpu: &Gpu) -> Self {
        Self(Rc::new(RefCell::new(Pipelines::new(gpu))))
    }

    /// The pipelines; not to be kept while something is awaited.
    pub fn borrow(&self) -> RefMut<'_, Pipelines> {
        self.0.borrow_mut()
    }

    /// Compiles these permutations, several at once where the device can do that.
    ///
    /// # Errors
    /// What the device's compiler says, in a browser too.
    pub async fn compile(&self, gpu: &Gpu, wanted: &[(&Permutation, &[bool])]) -> Result<(), BackendError> {
        let missing: BTreeMap<&Permutation, &[bool]> = wanted
            .iter()
            .copied()
            .filter(|(shader, _)| !self.0.borrow().compiled.contains_key(*shader))
            .collect();
        let missing: Vec<_> = missing.into_iter().collect();
        for some in missing.chunks(AT_ONCE) {
            let modules: Vec<_> =
                some.iter().map(|(shader, _)| module(gpu, &shader.name)).collect::<Result<_, _>>()?;
            let create = || {
                let mut pipelines = self.0.borrow_mut();
                let each = some.iter().zip(&modules);
                each.map(|((shader, writes), module)| pipelines.create(gpu, shader, module, writes)).collect()
            };
            let made: Vec<wgpu::ComputePipeline> = begun::create_all(create).await;
            // In a browser errors come later than the call that made them.
            gpu.settle(&some[0].0.name).await?;
            let shaders = some.iter().map(|(shader, _)| (*shader).clone());
            self.0.borrow_mut().compiled.extend(shaders.zip(made));
        }
        Ok(())
    }
}

fn module(gpu: &Gpu, name: &str) -> Result<wgpu::ShaderModule, BackendError> {
    let Some(text) = shaders::source(name) else {
        return Err(BackendError::Device(format!("there is no shader {name}")));
    };
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.into()) };
    let checks =
        wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
    // SAFETY: bounds stay checked; every loop in `shaders/` counts up to a parameter or down to 0.
    Ok(unsafe { gpu.device.create_shader_module_trusted(descriptor, checks) })
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
