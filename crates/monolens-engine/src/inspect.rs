//! Looking inside: forced decoding, logits, and tensors between the layers.

use crate::prompt::Prompt;
use crate::scheduler::{Alone, Missing};
use crate::tensors::{append_rows, cache_tensor, pad_columns};
use crate::{Engine, EngineError, pack};
use monolens_graph::backend::{HostTensor, Outputs, ProgramId};
use monolens_graph::batch::{self, Batch, SamplingRow, key_state, value_state};
use monolens_graph::plan::Plan;
use monolens_models::graphs::DecoderOptions;
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows that a run with outputs takes at most: each holds every tap, and logits.
const ROWS: usize = 64;

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub struct Inspect {
    /// The prompt.
    pub prompt: Prompt,
    /// Tokens after the prompt, as if they had been generated.
    pub forced: Vec<u32>,
    /// Names of tensors: those of the golden files (`hidden.3`, `hidden_final_norm`, `vit_embeds`, ..),
    /// `attention_map.{layer}`, and `layer{i}.k_cache`, `layer{i}.v_cache`.
    pub taps: Vec<String>,
    /// Whether logits are wanted.
    pub logits: bool,
    /// Rows (tokens of prompt and `forced`) that are wanted; all if none. Earlier ones may come from the prefix cache.
    pub rows: Option<Range<usize>>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Inspected {
    /// The rows that follow are those from here on.
    pub first_row: usize,
    /// Of each row the most likely next id, or [`batch::NO_TOKEN`] if its logits are not finite.
    pub next_ids: Vec<u32>,
    /// f32 [rows, V].
    pub logits: Option<HostTensor>,
    /// By name. Decoder taps are [rows, width], attention maps [rows, tokens], vision taps [tiles, ..], caches
    /// [kv heads, tokens, head size].
    pub tensors: BTreeMap<String, HostTensor>,
}

/// Programs with outputs, prepared when they are first asked for.
#[derive(Default)]
pub(crate) struct Inspectors {
    decoders: Vec<(DecoderOptions, usize, ProgramId)>,
    vision: Option<ProgramId>,
}

/// The taps of a request by what gives them.
struct Taps {
    vision: Vec<String>,
    decoder: Vec<String>,
    caches: Vec<(String, String)>,
}

impl Engine {
    /// Runs a prompt and forced tokens by themselves and gives what is inside. Running requests wait meanwhile.
    ///
    /// # Errors
    /// A prompt that does not fit, a tap that the model does not have, errors of the device.
    pub async fn inspect(&mut self, request: Inspect) -> Result<Inspected, EngineError> {
        if self.is_lost() {
            return Err(EngineError::NeedsRecovery);
        }
        let result = self.inspect_alive(request).await;
        self.scheduler.end_alone();
        self.note_loss(result)
    }

    async fn inspect_alive(&mut self, request: Inspect) -> Result<Inspected, EngineError> {
        let Inspect { prompt, forced, taps, logits, rows } = request;
        let mut sequence = self.sequence(prompt)?;
        let vocab = self.blueprint.vocab;
        for (at, &id) in forced.iter().enumerate() {
            if id as usize >= vocab {
                return Err(EngineError::BadToken { id, position: sequence.tokens().len() + at, vocab });
            }
        }
        let (needed, available) = (sequence.prompt_len() + forced.len(), self.context());
        if needed > available {
            let visual = sequence.visual_tokens();
            return Err(EngineError::ContextOverflow { needed, visual, available });
        }
        forced.iter().for_each(|&id| sequence.push(id));
        let rows = rows.unwrap_or(0..needed);
        let rows = rows.start.min(needed)..rows.end.min(needed);
        let taps = self.sort_taps(taps)?;
        let decoder = self.decoder_inspector(&taps, logits, needed).await?;
        let vision = if taps.vision.is_empty() { None } else { Some(self.vision_inspector().await?) };

        let reusable = if vision.is_some() { 0 } else { rows.start };
        self.scheduler.begin_alone(sequence, reusable)?;
        let mut tapped = Vec::new();
        let mut seen = Inspected { first_row: rows.start, ..Inspected::default() };
        let mut read: Vec<&str> = taps.decoder.iter().map(String::as_str).collect();
        read.push(batch::NEXT_IDS);
        if logits {
            read.push(batch::LOGITS);
        }
        loop {
            let at = self.scheduler.alone().map_or(usize::MAX, Alone::computed);
            if at >= rows.end {
                break;
            }
            let inside = at >= rows.start;
            let wanted = match inside {
                true => (rows.end - at).min(ROWS),
                false => (rows.start - at).min(self.runner.chunk()),
            };
            let count = self.scheduler.alone_places(wanted);
            if count == 0 {
                return Err(EngineError::Internal("no place for a tile"));
            }
            self.encode_alone(vision, &taps.vision, &mut tapped, &mut seen.tensors).await?;
            let batch = self.pack_alone(count, inside)?;
            if inside {
                let outputs = self.runner.run_with(decoder, &batch, &read).await?;
                collect(outputs, needed, &mut seen)?;
            } else {
                self.runner.run(&batch).await?;
            }
            self.scheduler.alone_done(count);
        }
        self.read_caches(&taps, &mut seen).await?;
        seen.logits = seen.tensors.remove(batch::LOGITS);
        Ok(seen)
    }

    /// Sorts tap names by what gives them.
    fn sort_taps(&self, names: Vec<String>) -> Result<Taps, EngineError> {
        let layers = self.model.config().decoder.num_layers;
        let vision = self.model.vision_graph(true)?;
        let options = DecoderOptions {
            taps: true,
            attention_maps: (0..layers).collect(),
            ..self.blueprint.decoder_options.clone()
        };
        let decoder = self.model.decoder_graph(&options)?;
        let caches: BTreeMap<String, String> = (0..layers)
            .flat_map(|i| {
                [(format!("layer{i}.k_cache"), key_state(i)), (format!("layer{i}.v_cache"), value_state(i))]
            })
            .collect();
        let mut taps = Taps { vision: Vec::new(), decoder: Vec::new(), caches: Vec::new() };
        for name in names {
            if vision.outputs.contains_key(&name) {
                taps.vision.push(name);
            } else if decoder.outputs.contains_key(&name) {
                taps.decoder.push(name);
            } else if let Some(state) = caches.get(&name) {
                taps.caches.push((name, state.clone()));
            } else {
                let known = vision.outputs.keys().chain(decoder.outputs.keys()).chain(caches.keys());
                let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(EngineError::UnknownTap { name, known });
            }
        }
        Ok(taps)
    }

    /// A decoder program with these outputs, for sequences of up to `tokens` tokens.
    async fn decoder_inspector(
        &mut self,
        taps: &Taps,
        logits: bool,
        tokens: usize,
    ) -> Result<ProgramId, EngineError> {
        // One program for whatever layers are asked for: programs stay, so there must not be many.
        let is_map = |name: &String| name.starts_with("attention_map.");
        let layers = if taps.decoder.iter().any(is_map) { self.model.config().decoder.num_layers } else { 0 };
        let options = DecoderOptions {
            logits,
            taps: !taps.decoder.iter().all(is_map),
            attention_maps: (0..layers).collect(),
            ..self.blueprint.decoder_options.clone()
        };
        let known = self.inspectors.decoders.iter();
        if let Some((.., program)) = known.into_iter().find(|(o, most, _)| *o == options && *most >= tokens) {
            return Ok(*program);
        }
        let sizes = *self.runner.sizes();
        let most = tokens.next_power_of_two().max(256).min(sizes.context);
        let graph = self.model.decoder_graph(&options)?;
        let rows = ROWS.min(sizes.context);
        let limits = sizes.decoder_limits(rows, rows).with(monolens_graph::Axis::Context, most);
        let backend = self.runner.backend_mut();
        let plan = Plan::new(&graph, backend.capabilities(), limits);
        let program = backend.prepare(plan).await?;
        self.inspectors.decoders.push((options, most, program));
        Ok(program)
    }

    async fn vision_inspector(&mut self) -> Result<ProgramId, EngineError> {
        if let Some(program) = self.inspectors.vision {
            return Ok(program);
        }
        let graph = self.model.vision_graph(true)?;
        let limits = self.runner.sizes().vision_limits();
        let backend = self.runner.backend_mut();
        let plan = Plan::new(&graph, backend.capabilities(), limits);
        let program = backend.prepare(plan).await?;
        self.inspectors.vision = Some(program);
        Ok(program)
    }

    /// Runs the tiles that have a place and no embeddings yet.
    async fn encode_alone(
        &mut self,
        tapped: Option<ProgramId>,
        taps: &[String],
        done: &mut Vec<usize>,
        tensors: &mut BTreeMap<String, HostTensor>,
    ) -> Result<(), EngineError> {
        let Some(alone) = self.scheduler.alone() else { return Ok(()) };
        // Tapped tiles are all run: their embeddings may be there, but not what comes before them.
        let held = alone.sequence.held.iter().map(|(&tile, &place)| Missing { key: 0, tile, place });
        let todo: Vec<Missing> = match tapped {
            Some(_) => held.filter(|m| !done.contains(&m.tile)).collect(),
            None => self.scheduler.tiles_to_encode(std::iter::once((0, &alone.sequence))),
        };
        let read: Vec<&str> = taps.iter().map(String::as_str).collect();
        for group in todo.chunks(self.runner.sizes().tiles_per_run) {
            let Some(alone) = self.scheduler.alone() else { return Ok(()) };
            let tiles =
                group.iter().map(|&m| pack::tile(&alone.sequence, m)).collect::<Result<Vec<_>, _>>()?;
            let outputs = match tapped {
                Some(program) => self.runner.encode_with(program, &tiles, &read).await?,
                None => {
                    self.runner.encode(&tiles).await?;
                    Outputs::new()
                }
            };
            outputs.into_iter().try_for_each(|(name, tensor)| append_rows(tensors, name, tensor))?;
            for m in group {
                self.scheduler.places_mut().set_encoded(m.place);
                done.push(m.tile);
            }
        }
        Ok(())
    }

    fn pack_alone(&self, count: usize, sample: bool) -> Result<Batch, EngineError> {
        let alone = self.scheduler.alone().ok_or(EngineError::Internal("nothing is inspected"))?;
        let rows = pack::Rows::of(&alone.sequence, count, self.scheduler.rope())?;
        let mut chunk = rows.chunk(&alone.sequence, count);
        if sample {
            chunk.sample = Some(SamplingRow::GREEDY);
            chunk.sample_every_row = true;
        }
        Ok(Batch::pack(&[chunk], self.blueprint.vocab))
    }

    async fn read_caches(&mut self, taps: &Taps, seen: &mut Inspected) -> Result<(), EngineError> {
        let decoder = &self.model.config().decoder;
        let (heads, size) = (decoder.num_kv_heads, decoder.head_size());
        for (name, state) in &taps.caches {
            let tensor = self.runner.backend_mut().read_state(state).await?;
            let Some(alone) = self.scheduler.alone() else { continue };
            let tensor = cache_tensor(&tensor, &alone.sequence.pages, alone.computed(), heads, size)?;
            seen.tensors.insert(name.clone(), tensor);
        }
        Ok(())
    }

    pub(crate) fn forget_inspectors(&mut self) {
        self.inspectors = Inspectors::default();
    }
}

/// Takes what a run gave. `tokens` is the width of whole attention maps.
fn collect(outputs: Outputs, tokens: usize, seen: &mut Inspected) -> Result<(), EngineError> {
    for (name, tensor) in outputs {
        if name == batch::NEXT_IDS {
            seen.next_ids.extend(batch::ids_of(&tensor));
        } else if name.starts_with("attention_map.") {
            append_rows(&mut seen.tensors, name, pad_columns(&tensor, tokens))?;
        } else {
            append_rows(&mut seen.tensors, name, tensor)?;
        }
    }
    Ok(())
}
