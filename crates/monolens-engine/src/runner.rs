//! The device's side of the engine: states, programs and runs.

use crate::EngineError;
use crate::blueprint::Blueprint;
use crate::kv::pages_for;
use monolens_graph::backend::{Job, Outputs, ProgramId};
use monolens_graph::batch::{self, Batch, PAGE_SIZE, QUERY_BLOCK, ROUTE_BLOCK};
use monolens_graph::plan::Plan;
use monolens_graph::{Axes, Axis, Backend, BackendError, Graph, Source};
use monolens_models::image::{MEAN, STD};

/// Prompt rows of the first step: in a browser few, until it is known how fast the device is.
const FIRST_CHUNK: usize = if cfg!(target_arch = "wasm32") { 128 } else { 1 << 16 };
/// Prompt rows of a step at least, however slow the device is: fewer would read the weights too often.
const LEAST_CHUNK: usize = ROUTE_BLOCK;

/// Sizes that states and programs are made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Tokens of a conversation.
    pub context: usize,
    /// Tokens of the KV pool.
    pub kv_tokens: usize,
    /// Prompt rows in a step.
    pub chunk: usize,
    /// Sequences in a step.
    pub sequences: usize,
    /// Seconds that one launch may hold the device.
    pub launch_seconds: f64,
    /// Tiles of a vision run.
    pub tiles_per_run: usize,
    /// Places for tiles in the visual state.
    pub places: usize,
    /// Tokens of a tile.
    pub tokens_per_tile: usize,
    /// Side of a tile in pixels.
    pub tile_size: usize,
}

impl Sizes {
    fn kv_slots(&self) -> usize {
        pages_for(self.kv_tokens) * PAGE_SIZE
    }

    fn visual_slots(&self) -> usize {
        self.places * self.tokens_per_tile
    }

    /// Limits of a decoder program with `rows` rows, `samples` of them sampled.
    pub fn decoder_limits(&self, rows: usize, samples: usize) -> Axes {
        Axes::new()
            .with(Axis::Rows, rows)
            .with(Axis::Samples, samples)
            .with(Axis::Sequences, self.sequences)
            .with(Axis::PagesPerSequence, pages_for(self.context))
            .with(Axis::KvSlots, self.kv_slots())
            .with(Axis::VisualSlots, self.visual_slots())
            .with(Axis::RouteBlocks, rows.div_ceil(ROUTE_BLOCK))
            .with(Axis::QueryBlocks, rows.div_ceil(QUERY_BLOCK) + self.sequences)
            .with(Axis::Context, self.context)
    }

    /// Limits of a vision program.
    pub fn vision_limits(&self) -> Axes {
        Axes::new().with(Axis::Tiles, self.tiles_per_run).with(Axis::VisualSlots, self.visual_slots())
    }
}

/// What the runner did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Runs of the decoder.
    pub steps: u64,
    /// Runs of the vision program.
    pub vision_runs: u64,
    /// Tiles that went through it.
    pub tiles: u64,
}

/// A backend with the model's states and programs.
pub(crate) struct Runner {
    backend: Box<dyn Backend>,
    sizes: Sizes,
    /// Few rows, text experts only.
    decode: ProgramId,
    /// Many rows, text experts only.
    text: ProgramId,
    /// Many rows, all experts.
    mixed: ProgramId,
    vision: ProgramId,
    /// Prompt rows in a step, as fast as the device is.
    chunk: usize,
    /// What it did.
    pub counts: Counts,
}

impl Runner {
    /// Programs that [`Runner::new`] prepares.
    pub const PROGRAMS: u64 = 4;

    /// Allocates every state that the decoder uses, KV pools and visual embeddings.
    pub async fn allocate(
        backend: &mut dyn Backend,
        blueprint: &Blueprint,
        sizes: &Sizes,
    ) -> Result<(), EngineError> {
        let axes = sizes.decoder_limits(0, 0);
        for (_, value) in blueprint.decoder.of_source(Source::State) {
            let width = value.shape.width().ok_or(EngineError::Internal("a state without a width"))?;
            backend.allocate_state(&value.name, value.dtype, value.shape.rows(&axes), width)?;
        }
        Ok(backend.settle().await?)
    }

    /// Prepares the programs; weights and states must be there. `note` is told each program's name before it.
    pub async fn new(
        mut backend: Box<dyn Backend>,
        blueprint: &Blueprint,
        sizes: Sizes,
        note: &mut dyn FnMut(&'static str) -> Result<(), EngineError>,
    ) -> Result<Self, EngineError> {
        let capabilities = *backend.capabilities();
        let rows = sizes.chunk + sizes.sequences;
        let few = sizes.decoder_limits(sizes.sequences, sizes.sequences);
        let many = sizes.decoder_limits(rows, sizes.sequences);
        let decoder = &blueprint.decoder;
        note("decode")?;
        let decode = backend.prepare(Plan::text_only(decoder, &capabilities, few)).await?;
        note("text prefill")?;
        let text = backend.prepare(Plan::text_only(decoder, &capabilities, many)).await?;
        note("image prefill")?;
        let mixed = backend.prepare(Plan::new(decoder, &capabilities, many)).await?;
        note("vision")?;
        let vision = Plan::new(&blueprint.vision, &capabilities, sizes.vision_limits());
        let vision = backend.prepare(vision).await?;
        let chunk = sizes.chunk.min(FIRST_CHUNK);
        Ok(Self { backend, sizes, decode, text, mixed, vision, chunk, counts: Counts::default() })
    }

    /// The backend.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// The backend, to prepare other programs on it or to read its states.
    pub fn backend_mut(&mut self) -> &mut dyn Backend {
        &mut *self.backend
    }

    /// The sizes.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Prompt rows that the next step may have.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Halves or doubles the rows of a step by how long the longest launch of this one took.
    fn adapt(&mut self, program: ProgramId, rows: usize) {
        let Some(seconds) = self.backend.longest(program) else { return };
        let expected = seconds * self.chunk as f64 / rows.max(1) as f64;
        if expected > self.sizes.launch_seconds {
            self.chunk = (self.chunk / 2).max(LEAST_CHUNK).min(self.sizes.chunk);
        } else if expected < self.sizes.launch_seconds / 4.0 {
            self.chunk = (self.chunk * 2).min(self.sizes.chunk);
        }
    }

    /// The kernel launches of each phase: one decoded token, full chunks, one tile.
    pub fn dispatches(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let of = |name, program, axes| (name, self.backend.dispatches(program, &axes));
        let one = |rows: usize| {
            let limits = self.sizes.decoder_limits(rows, 1);
            limits.with(Axis::Sequences, 1).with(Axis::QueryBlocks, rows.div_ceil(QUERY_BLOCK))
        };
        let tile = self.sizes.vision_limits().with(Axis::Tiles, 1);
        vec![
            of("decode", self.decode, one(1)),
            of("text prefill", self.text, one(self.sizes.chunk)),
            of("image prefill", self.mixed, one(self.sizes.chunk)),
            of("vision", self.vision, tile),
        ]
    }

    /// Runs a batch with the cheapest program that fits; gives the sampled ids.
    pub async fn run(&mut self, batch: &Batch) -> Result<Vec<u32>, EngineError> {
        let program = match batch.is_text_only() {
            true if batch.rows.len() <= self.sizes.sequences => self.decode,
            true => self.text,
            false => self.mixed,
        };
        let mut job = batch.job(self.sizes.kv_slots(), self.sizes.visual_slots());
        let samples = batch.sample_rows.len();
        if samples > 0 {
            job.read(batch::NEXT_IDS);
        }
        let outputs = self.backend.run(program, &job).await?;
        if program != self.decode {
            self.adapt(program, batch.rows.len());
        }
        self.counts.steps += 1;
        let ids = outputs.get(batch::NEXT_IDS).map(batch::ids_of).unwrap_or_default();
        if ids.len() != samples {
            return Err(EngineError::Internal(
                "the decoder returned another number of ids than it was asked for",
            ));
        }
        Ok(ids)
    }

    /// Runs a batch with another program of the decoder, prepared on this backend.
    pub async fn run_with(
        &mut self,
        program: ProgramId,
        batch: &Batch,
        read: &[&str],
    ) -> Result<Outputs, EngineError> {
        let mut job = batch.job(self.sizes.kv_slots(), self.sizes.visual_slots());
        read.iter().for_each(|&name| {
            job.read(name);
        });
        self.counts.steps += 1;
        Ok(self.backend.run(program, &job).await?)
    }

    /// Runs tiles (u8 [S, S, 3] each, at most `tiles_per_run`) through the vision program into their places.
    pub async fn encode(&mut self, tiles: &[(&[u8], usize)]) -> Result<(), EngineError> {
        self.encode_with(self.vision, tiles, &[]).await.map(|_| ())
    }

    /// As [`Runner::encode`] with another vision program.
    pub async fn encode_with(
        &mut self,
        program: ProgramId,
        tiles: &[(&[u8], usize)],
        read: &[&str],
    ) -> Result<Outputs, EngineError> {
        let mut pixels = Vec::with_capacity(tiles.len() * 3 * self.sizes.tile_size * self.sizes.tile_size);
        tiles.iter().for_each(|(rgb, _)| normalise(rgb, &mut pixels));
        let slots: Vec<u32> =
            tiles.iter().map(|&(_, place)| (place * self.sizes.tokens_per_tile) as u32).collect();
        let axes =
            Axes::new().with(Axis::Tiles, tiles.len()).with(Axis::VisualSlots, self.sizes.visual_slots());
        let mut job = Job::new(axes);
        job.input(batch::PIXELS, bytemuck::cast_slice(&pixels));
        job.input(batch::VISUAL_SLOTS, bytemuck::cast_slice(&slots));
        read.iter().for_each(|&name| {
            job.read(name);
        });
        let outputs = self.backend.run(program, &job).await?;
        self.counts.vision_runs += 1;
        self.counts.tiles += tiles.len() as u64;
        Ok(outputs)
    }
}

/// Whether a smaller pool might succeed where this error came.
pub(crate) fn is_too_large(error: &EngineError) -> bool {
    matches!(error, EngineError::Backend(BackendError::OutOfMemory { .. } | BackendError::Limit { .. }))
}

/// Appends a tile's pixel values, f32 [3, S, S] (spec §3.5).
fn normalise(rgb: &[u8], out: &mut Vec<f32>) {
    for channel in 0..3 {
        let (mean, std) = (MEAN[channel], STD[channel]);
        let values = rgb.iter().skip(channel).step_by(3);
        out.extend(values.map(|&value| (f32::from(value) / 255.0 - mean) / std));
    }
}

/// Bytes of keys and values that a token takes.
pub(crate) fn kv_bytes_per_token(decoder: &Graph) -> u64 {
    let states = decoder.of_source(Source::State).map(|(_, value)| value);
    let kv = states.filter(|value| value.name != batch::VISUAL);
    kv.map(|value| (value.shape.width().unwrap_or(0) * value.dtype.bytes()) as u64).sum()
}
