//! A backend that computes nothing, but follows every index: the next id of a sequence is a hash of its tokens, visual
//! embeddings and rotations, read through the page table. Whatever the engine mixes up changes the ids.

use monolens_graph::backend::{
    BackendKind, DeviceInfo, HostTensor, Job, LocalFuture, MemoryUse, Outputs, ProgramId,
};
use monolens_graph::batch::{self, NO_TOKEN, NO_VISUAL, PAGE_SIZE, RowInfo, SamplingRow};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, WeightFormat, WeightSpec};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// What the backend was asked to do, and how it shall misbehave.
#[derive(Debug, Default)]
pub struct Script {
    /// Rows, samples and text-only of each decoder run.
    pub runs: Vec<(usize, usize, bool)>,
    /// Tiles of each vision run.
    pub tiles: Vec<usize>,
    /// Names of weights uploaded.
    pub weights: Vec<String>,
    /// The device is lost at the decoder run of this number.
    pub lose_at: Option<usize>,
    /// The logits are not finite where the last token is this one.
    pub broken_token: Option<u32>,
    /// Allocating more KV slots than this fails.
    pub most_kv_slots: Option<usize>,
}

pub type SharedScript = Rc<RefCell<Script>>;

/// See the module.
pub struct Scripted {
    script: SharedScript,
    device: DeviceInfo,
    capabilities: Capabilities,
    weights: HashMap<String, (u64, u64)>,
    open: Option<(String, u64, u64)>,
    states: BTreeMap<String, usize>,
    programs: Vec<Program>,
    keys: Vec<Option<u64>>,
    visual: Vec<Option<u64>>,
    lost: bool,
}

struct Program {
    limits: Axes,
    is_vision: bool,
    is_text_only: bool,
}

impl Scripted {
    pub fn open() -> (Box<dyn Backend>, SharedScript) {
        let script = SharedScript::default();
        (Self::with(Rc::clone(&script)), script)
    }

    /// Another device under the same script.
    pub fn with(script: SharedScript) -> Box<dyn Backend> {
        let device = DeviceInfo {
            kind: BackendKind::Cpu,
            name: "scripted".into(),
            tier: String::new(),
            detail: String::new(),
            is_gpu: false,
        };
        let capabilities =
            Capabilities { fusions: Fusions::NONE, max_binding: u64::MAX, kv_dtype: DType::BF16 };
        Box::new(Self {
            script,
            device,
            capabilities,
            weights: HashMap::new(),
            open: None,
            states: BTreeMap::new(),
            programs: Vec::new(),
            keys: Vec::new(),
            visual: Vec::new(),
            lost: false,
        })
    }

    fn vision(&mut self, job: &Job<'_>) {
        let tiles = job.axes.get(Axis::Tiles);
        let pixels = job.inputs[batch::PIXELS];
        let slots: Vec<u32> = bytemuck::allocation::pod_collect_to_vec(job.inputs[batch::VISUAL_SLOTS]);
        assert_eq!(slots.len(), tiles);
        for (tile, &first) in pixels.chunks_exact(pixels.len() / tiles).zip(&slots) {
            let content = tile.iter().fold(7, |h, &byte| mix(h, u64::from(byte)));
            // A golden tile has 16 tokens.
            for token in 0..16 {
                self.visual[first as usize + token] = Some(mix(content, token as u64));
            }
        }
        self.script.borrow_mut().tiles.push(tiles);
    }

    fn decoder(&mut self, job: &Job<'_>, is_text_only: bool) -> HostTensor {
        let rows: Vec<RowInfo> = bytemuck::allocation::pod_collect_to_vec(job.inputs[batch::ROWS]);
        let visual: Vec<u32> = bytemuck::allocation::pod_collect_to_vec(job.inputs[batch::VISUAL_ROWS]);
        let sampled: Vec<u32> = bytemuck::allocation::pod_collect_to_vec(job.inputs[batch::SAMPLE_ROWS]);
        let sampling: Vec<SamplingRow> =
            bytemuck::allocation::pod_collect_to_vec(job.inputs[batch::SAMPLING]);
        let table: Vec<u32> = bytemuck::allocation::pod_collect_to_vec(job.inputs[batch::PAGE_TABLE]);
        let rope = job.inputs[batch::ROPE];
        let pages = job.axes.get(Axis::PagesPerSequence);
        assert_eq!(rows.len(), visual.len());
        for (n, row) in rows.iter().enumerate() {
            let token = match visual[n] {
                NO_VISUAL => mix(1, u64::from(row.id)),
                slot => {
                    assert!(!is_text_only, "a visual row in a text-only program");
                    self.visual[slot as usize].expect("a tile is encoded before its tokens are prefilled")
                }
            };
            let width = rope.len() / rows.len();
            let rotation = rope[n * width..][..width].iter().fold(3, |h, &b| mix(h, u64::from(b)));
            self.keys[row.kv_slot as usize] = Some(mix(token, mix(rotation, u64::from(row.position))));
        }
        let mut ids = Vec::new();
        for (&row, sampling) in sampled.iter().zip(&sampling) {
            let info = rows[row as usize];
            let mut hash = 11;
            for at in 0..=info.position as usize {
                let page = table[info.sequence as usize * pages + at / PAGE_SIZE] as usize;
                let key = self.keys[page * PAGE_SIZE + at % PAGE_SIZE];
                hash = mix(hash, key.expect("a key is written before it is read"));
            }
            if sampling.temperature > 0.0 {
                hash = mix(hash, u64::from(batch::sampling_hash(sampling, 0)));
            }
            let broken = self.script.borrow().broken_token == Some(info.id);
            ids.push(if broken { NO_TOKEN } else { 3 + (hash % 480) as u32 });
        }
        self.script.borrow_mut().runs.push((rows.len(), ids.len(), is_text_only));
        HostTensor { dtype: DType::U32, shape: vec![ids.len()], bytes: bytemuck::cast_slice(&ids).to_vec() }
    }
}

/// FNV-like, but over words.
fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

fn refuse<T>(what: String) -> Result<T, BackendError> {
    Err(BackendError::Device(what))
}

impl Backend for Scripted {
    fn device(&self) -> &DeviceInfo {
        &self.device
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn begin_weight(&mut self, spec: &WeightSpec, format: WeightFormat) -> Result<(), BackendError> {
        let bytes = format.bytes(&spec.shape).unwrap();
        assert!(self.open.is_none(), "one weight at a time");
        self.open = Some((spec.name.clone(), bytes as u64, 0));
        Ok(())
    }

    fn write_weight(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.open.as_mut().unwrap().2 += bytes.len() as u64;
        Ok(())
    }

    fn end_weight(&mut self) -> Result<(), BackendError> {
        let (name, expected, got) = self.open.take().unwrap();
        assert_eq!(expected, got, "{name}");
        self.script.borrow_mut().weights.push(name.clone());
        self.weights.insert(name, (expected, got));
        Ok(())
    }

    fn has_weight(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    fn allocate_state(&mut self, name: &str, _: DType, rows: usize, _: usize) -> Result<(), BackendError> {
        if name == batch::VISUAL {
            self.visual = vec![None; rows];
        } else if self.script.borrow().most_kv_slots.is_some_and(|most| rows > most) {
            return Err(BackendError::OutOfMemory {
                device: "scripted".into(),
                what: name.into(),
                requested: rows as u64,
                used: 0,
            });
        } else {
            self.keys = vec![None; rows];
        }
        self.states.insert(name.into(), rows);
        Ok(())
    }

    fn read_state<'a>(&'a mut self, name: &'a str) -> LocalFuture<'a, Result<HostTensor, BackendError>> {
        Box::pin(async move { refuse(format!("no {name}")) })
    }

    fn write_state(&mut self, name: &str, _: &[u8]) -> Result<(), BackendError> {
        refuse(format!("no {name}"))
    }

    fn prepare<'a>(&'a mut self, plan: Plan) -> LocalFuture<'a, Result<ProgramId, BackendError>> {
        let uses = |name: &str| {
            let id = plan.graph.find(name);
            id.is_some_and(|id| plan.graph.nodes.iter().any(|node| node.inputs.contains(&id)))
        };
        for id in plan.graph.used_weights() {
            assert!(self.has_weight(&plan.graph.weight(id).name), "weights come before programs");
        }
        let program = Program {
            limits: plan.limits,
            is_vision: uses(batch::PIXELS),
            is_text_only: !uses(batch::VISUAL_ROWS),
        };
        self.programs.push(program);
        let id = ProgramId(self.programs.len() - 1);
        Box::pin(async move { Ok(id) })
    }

    fn run<'a>(
        &'a mut self,
        id: ProgramId,
        job: &'a Job<'a>,
    ) -> LocalFuture<'a, Result<Outputs, BackendError>> {
        let program = &self.programs[id.0];
        assert_eq!(job.axes.exceeds(&program.limits), None, "{:?} {:?}", job.axes, program.limits);
        let (is_vision, is_text_only) = (program.is_vision, program.is_text_only);
        Box::pin(async move {
            let number = self.script.borrow().runs.len();
            if self.lost || self.script.borrow().lose_at == Some(number) {
                self.script.borrow_mut().lose_at = None;
                self.lost = true;
                return Err(BackendError::DeviceLost { reason: "scripted".into() });
            }
            let mut outputs = Outputs::new();
            if is_vision {
                self.vision(job);
            } else {
                let ids = self.decoder(job, is_text_only);
                if job.read.contains(&batch::NEXT_IDS) {
                    outputs.insert(batch::NEXT_IDS.into(), ids);
                }
            }
            Ok(outputs)
        })
    }

    fn dispatches(&self, _: ProgramId, _: &Axes) -> Vec<&'static str> {
        Vec::new()
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }
}
